"""Linear probes: sampling, packing, and the chance they say, against closed forms and scipy."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from mien.faces import probes
from mien.faces.face import Activations
from mien.faces.mesh import NUM_POINTS
from rendered_heads import heads


def activations(seed=0):
    rng = np.random.default_rng(seed)
    return Activations(
        rng.normal(size=(64, 24, 24)).astype(np.float32),
        rng.normal(size=(128, 12, 12)).astype(np.float32),
        rng.uniform(0.2, 0.8, (NUM_POINTS, 2)).astype(np.float32),
    )


def test_sampling_is_bilinear_between_cell_centres():
    rng = np.random.default_rng(1)
    maps = rng.normal(size=(3, 6, 9)).astype(np.float32)
    places = rng.uniform(-0.2, 1.2, (50, 2)).astype(np.float32)  # some off the map: its edge goes on
    at = [places[:, 1] * 6 - 0.5, places[:, 0] * 9 - 0.5]
    for channel, expected in zip(maps, probes.sample(maps, places).T, strict=True):
        assert expected == pytest.approx(map_coordinates(channel, at, order=1, mode="nearest"), abs=1e-5)


def test_eye_signs_follow_the_corners_of_the_eyes():
    seen = activations()
    ramp = np.broadcast_to((np.arange(24, dtype=np.float32) + 0.5) / 24, (64, 24, 24))  # x itself
    signs = probes.eye_signs(Activations(ramp, seen.coarse, seen.places)).reshape(2, 7, 64)
    for eye, corners in zip(signs, ((33, 133), (362, 263)), strict=True):
        left, right = seen.places[list(corners), 0]
        assert eye[1, 0] == pytest.approx(left, abs=1e-5)
        assert eye[3, 0] == pytest.approx((left + right) / 2, abs=1e-5)
        assert eye[5, 0] == pytest.approx(right, abs=1e-5)


@pytest.mark.parametrize(("probe", "count"), [(probes.shut_eyes, 2 * 7 * 64), (probes.mask, 5 * 128)])
def test_a_probe_is_a_logistic_regression(probe, count):
    ours, seen = probe(), activations()
    assert ours.weights.shape == (count,)
    logit = float(ours.weights.astype(np.float64) @ ours.signs(seen)) + ours.bias
    assert ours.chance(seen) == pytest.approx(1 / (1 + np.exp(-np.clip(logit, -50, 50))), abs=1e-6)


def test_packed_weights_come_back_within_half_a_step():
    weights = np.random.default_rng(2).normal(size=1000).astype(np.float32)
    text, step = probes.pack(weights)
    assert step == pytest.approx(np.abs(weights).max() / 127)
    assert np.abs(probes.unpack(text, step) - weights).max() <= step / 2 * 1.0001
    assert not set(text) & set("\"\\'")  # stands in source as it is


def test_the_finder_hands_on_what_the_network_saw(mesh_finder):
    image = heads()[0][0]
    face = mesh_finder.find(image)[0]
    seen = face.activations
    assert (seen.fine.shape, seen.coarse.shape, seen.places.shape) == ((64, 24, 24), (128, 12, 12), (468, 2))
    again = mesh_finder.find(image[:, ::-1].copy())[0].activations
    assert (seen.fine != again.fine).any(), "a copy of its own, not the network's buffer"
    moved = np.linalg.lstsq(np.c_[seen.places, np.ones(468)], face.points[:, :2], rcond=None)[0]
    assert np.c_[seen.places, np.ones(468)] @ moved == pytest.approx(face.points[:, :2], abs=0.01)
