"""The mesh network as feature extractor."""

import cv2
import numpy as np
import pytest

from mien.core import artefacts
from mien.core.errors import MienError
from mien.faces.mesh import MeshNetwork
from rendered_heads import heads


@pytest.fixture(scope="module")
def network():
    if artefacts.artefact_path("face-mesh") is None:
        pytest.skip("face-mesh is not in the cache (run `mien artefacts fetch face-mesh`)")
    return MeshNetwork()


@pytest.fixture(scope="module")
def pictures():
    return np.stack(heads()[0])


def test_features_do_not_depend_on_the_batch(network, pictures):
    together = network.features(np.concatenate([pictures] * 3))
    assert together.shape == (3 * len(pictures), network.num_features)
    assert together.dtype == np.float32
    assert (together[: len(pictures)] == together[-len(pictures) :]).all()
    alone = np.concatenate([network.features(picture[np.newaxis]) for picture in pictures])
    assert np.abs(alone - together[: len(pictures)]).max() < 1e-5
    assert network.features(pictures[:0]).shape == (0, network.num_features)


def test_features_tell_people_apart_more_than_sizes(network, pictures):
    large = network.features(pictures)
    small = network.features(
        np.stack([cv2.resize(p, (120, 120), interpolation=cv2.INTER_AREA) for p in pictures])
    )
    distances = np.linalg.norm(large[:, np.newaxis] - small[np.newaxis], axis=2)
    assert (distances.argmin(axis=1) == np.arange(len(pictures))).all()


def test_blur_moves_features_steadily_away(network, pictures):
    sharp = network.features(pictures)
    moved = []
    for sigma in (1, 2, 4, 8):
        blurred = np.stack([cv2.GaussianBlur(picture, (0, 0), sigma) for picture in pictures])
        moved.append(np.linalg.norm(network.features(blurred) - sharp, axis=1).mean())
    assert moved == sorted(moved)
    assert moved[0] > 0


def test_gray_channel_is_taken_as_gray_picture(network, pictures):
    gray = pictures[..., :1]
    assert (network.features(gray) == network.features(np.repeat(gray, 3, axis=3))).all()


def test_identity_is_stable_and_names_file_layers_and_resize(network):
    assert network.identity == MeshNetwork().identity
    assert len(network.identity) == 16


@pytest.mark.parametrize("bad", [np.zeros((2, 8, 8, 3), np.float32), np.zeros((8, 8, 3), np.uint8)])
def test_wrong_arrays_are_refused(network, bad):
    with pytest.raises(TypeError):
        network.features(bad)


def test_missing_artefact_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    with pytest.raises(MienError, match="mien artefacts fetch face-mesh"):
        MeshNetwork()
