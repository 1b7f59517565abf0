"""Measurements move as the picture does: rendered heads, of which one thing at a time is changed."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mien.core import artefacts
from mien.core.picture import Picture, decode, list_pictures
from mien.faces.crop import Square
from mien.faces.finder import needed_artefacts, open_finder
from mien.faces.measure import GRAY, SUGGESTED, measure
from mien.faces.measure_light import face_view, measure_light, sharpness
from mien.render.shot import Shot
from rendered_heads import head

PEOPLE = (3, 5, 6, 8, 11)
OF_MESH = {"yaw", "pitch", "eyes_open", "mouth_open", "mask", "glasses"}
SQUARE = Square((50.0, 50.0), (80.0, 0.0))


@pytest.fixture(scope="module")
def finder():
    missing = [name for name in needed_artefacts("mesh") if artefacts.artefact_path(name) is None]
    if missing:
        pytest.skip(f"not in the cache: {', '.join(missing)} (run `mien artefacts fetch face-mesh`)")
    return open_finder("mesh")


@pytest.fixture(scope="module")
def plain():
    return {person: head(person) for person in PEOPLE}


def measured(finder, image):
    faces = finder.find(image)
    return measure(
        Picture(image, image.shape[1], image.shape[0], "PNG"), faces[0], SQUARE, num_faces=len(faces)
    )


def outside(values):
    """The measurements beyond their suggested bounds."""
    bounds = SUGGESTED.items()
    too_low = [name for name, (low, _) in bounds if low is not None and values[name] < low]
    return too_low + [name for name, (_, high) in bounds if high is not None and values[name] > high]


def resized(image, factor):
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=how)


def ladder(finder, image, *, noise=0.0):
    """Sharpness of ever stronger blurs, all measured where the sharp picture's face is."""
    face = finder.find(image)[0]
    rng = np.random.default_rng(0)
    values = []
    for sigma in (0, 0.7, 1.4, 2.1, 2.8):
        soft = cv2.GaussianBlur(image, (0, 0), sigma) if sigma else image
        grainy = np.clip(soft + rng.normal(0, noise, image.shape) + 0.5, 0, 255).astype(np.uint8)
        values.append(sharpness(face_view(grainy, face)))
    return values


@pytest.mark.slow
def test_every_measurement_has_its_name_and_range(finder, plain):
    values = measured(finder, plain[3])
    assert set(SUGGESTED) <= set(values)
    assert not OF_MESH - set(values)
    assert list(values) == sorted(values)
    shares = set(values) - {"yaw", "pitch", "roll", "face_size", "crop_side", "num_faces"}
    assert all(0 <= values[name] <= 1 for name in shares)
    assert not outside(values)


def test_what_needs_the_mesh_is_absent_without_it(finder, plain):
    face = replace(finder.find(plain[3])[0], points=None, activations=None)
    values = measure(Picture(plain[3], 160, 160, "PNG"), face, SQUARE, num_faces=1)
    assert not OF_MESH & set(values)
    assert {"sharpness", "exposure", "contrast", "colour", "tint", "roll", "coverage", "padding"} <= set(
        values
    )


def test_lengths_are_those_of_the_file(finder, plain):
    face = finder.find(plain[3])[0]
    values = measure(Picture(plain[3], 640, 640, "JPEG"), face, SQUARE, num_faces=2)
    assert values["face_size"] == pytest.approx(4 * face.size, abs=0.01)
    assert values["crop_side"] == 320
    assert values["coverage"] == pytest.approx(face.size**2 / 160**2, abs=1e-4)
    assert values["num_faces"] == 2


@pytest.mark.parametrize("noise", [0.0, 6.0])
def test_blur_lowers_sharpness_step_by_step(finder, plain, noise):
    for image in plain.values():
        values = ladder(finder, image, noise=noise)
        told_apart = 3 if noise else 5  # noise hides the last shades of blur
        assert (np.diff(values[:told_apart]) < 0).all()
        assert values[0] > 1.7 * values[-1]


def test_noise_is_not_sharpness(finder, plain):
    for image in plain.values():
        face = finder.find(image)[0]
        soft = cv2.GaussianBlur(image, (0, 0), 2.5)
        grainy = soft + np.random.default_rng(1).normal(0, 8, image.shape)
        with_noise = sharpness(face_view(np.clip(grainy, 0, 255).astype(np.uint8), face))
        assert with_noise < 0.6 * sharpness(face_view(image, face))


def test_sharpness_hardly_depends_on_size_or_contrast(finder):
    image = head(5)
    whole = measured(finder, image)["sharpness"]
    assert measured(finder, resized(image, 0.75))["sharpness"] == pytest.approx(whole, rel=0.25)
    dull = np.asarray(100 + 0.4 * (image.astype(float) - 100), np.uint8)
    assert sharpness(face_view(dull, finder.find(image)[0])) == pytest.approx(whole, rel=0.15)


def test_enlarging_does_not_sharpen(finder, plain):
    for image in plain.values():
        small = resized(image, 0.35)
        assert (
            measured(finder, resized(small, 1 / 0.35))["sharpness"]
            < 0.7 * measured(finder, image)["sharpness"]
        )


def test_light_of_plain_views():
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    assert set(measure_light(black).values()) == {0}
    light = measure_light(white)
    assert light["exposure"] == light["shadows"] == light["highlights"] == pytest.approx(1)
    halves = black.copy()
    halves[:, 32:] = 255
    light = measure_light(halves)
    assert (light["contrast"], light["shadows"], light["highlights"]) == (1, 0, 1)
    assert light["exposure"] == pytest.approx(0.5, abs=0.02)


def test_pale_and_dark_faces_are_kept_while_they_show(finder, plain):
    image, face = plain[5], finder.find(plain[5])[0]
    lights = {
        (share, base): measure_light(face_view(np.asarray(base + share * image, np.uint8), face))
        for share, base in ((0.4, 150), (0.08, 234), (0.3, 0), (0.06, 0))
    }
    most, least = SUGGESTED["shadows"][1], SUGGESTED["highlights"][0]
    pale, lost, dark, night = lights.values()
    assert pale["shadows"] < most < lost["shadows"]
    assert dark["highlights"] > least > night["highlights"]
    assert pale["exposure"] > 0.65
    assert dark["exposure"] < 0.2


def tinted(image, ink):
    """The picture printed in one ink on toned paper: each luma has its own chroma."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., np.newaxis] / 255
    return np.asarray(
        np.clip(np.array(ink) + (np.array((250, 240, 215)) - ink) * gray**0.8, 0, 255), np.uint8
    )


@pytest.mark.slow
@pytest.mark.parametrize("ink", [(60, 30, 10), (20, 40, 110), (40, 60, 30), (90, 50, 0)])
def test_tinted_monochrome_is_no_colour(finder, plain, ink):
    for image in plain.values():
        values = measured(finder, tinted(image, ink))
        assert values["colour"] < GRAY < measured(finder, image)["colour"]
        assert values["tint"] > 0.03


def test_gray_pictures_have_neither_colour_nor_tint_though_stored_as_rgb(finder, plain):
    for image in plain.values():
        gray = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., np.newaxis], 3, axis=2)
        values = measured(finder, gray)
        assert (values["colour"], values["tint"]) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("glasses", ["none", "wide"])
def test_shut_eyes_show(finder, glasses):
    values = []
    for person in PEOPLE:
        shots = [Shot(seed=person, glasses=glasses, action_units=units) for units in ({}, {43: 5.0})]
        values.append([measured(finder, head(person, shot))["eyes_open"] for shot in shots])
    opened, shut = np.array(values).T
    assert (opened > shut).all()
    assert np.median(shut) < SUGGESTED["eyes_open"][0] < 0.6 < opened.min()


@pytest.mark.slow
def test_open_mouths_show(finder, plain):
    for person, image in plain.items():
        wide = head(person, Shot(seed=person, action_units={25: 3.5, 26: 4.0}))
        assert measured(finder, wide)["mouth_open"] > measured(finder, image)["mouth_open"] + 0.08


@pytest.mark.slow
def test_glasses_raise_the_guess(finder, plain):
    for person, image in plain.items():
        worn = head(person, Shot(seed=person, glasses="square"))
        assert measured(finder, worn)["glasses"] > measured(finder, image)["glasses"]


def covered(finder, image, colour):
    """A flat mask over nose, mouth and chin."""
    points = finder.find(image)[0].points
    outline = points[[234, 117, 118, 195, 347, 346, 454, 288, 365, 152, 136, 58], :2]
    painted = image.copy()
    cv2.fillPoly(painted, [np.round(outline * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)
    return painted


@pytest.mark.slow
@pytest.mark.parametrize(
    "colour", [(235, 235, 235), (30, 30, 30), (120, 170, 200), (150, 40, 50), (200, 160, 130)]
)
def test_masks_are_told_from_bare_faces(finder, plain, colour):
    values = []
    for image in plain.values():
        painted = covered(finder, image, colour)
        assert measured(finder, image)["mask"] < SUGGESTED["mask"][1]
        if finder.find(painted):  # else it is dropped anyway
            values.append(measured(finder, painted)["mask"])
    assert len(values) >= 3
    assert min(values) > SUGGESTED["mask"][1]


def test_veils_are_no_masks(finder, plain):
    for image in plain.values():
        down, along = np.mgrid[: len(image), : len(image)]
        net = (((along + down) % 12 < 1) | ((along - down) % 12 < 1))[..., np.newaxis]
        gauze = 0.75 * image + 0.25 * 40
        for veiled in (gauze, np.where(net, 0.6 * gauze, gauze)):
            assert measured(finder, np.asarray(veiled, np.uint8))["mask"] < SUGGESTED["mask"][1]


@pytest.mark.slow
@pytest.mark.parametrize("beard", ["mustache", "goatee", "full"])
def test_beards_are_no_masks(finder, beard):
    values = [measured(finder, head(person, beard=beard))["mask"] for person in PEOPLE]
    assert max(values) < SUGGESTED["mask"][1]


@pytest.mark.parametrize("shade", [20, 90, 160])
def test_hats_down_to_the_brows_are_no_masks(finder, plain, shade):
    for image in plain.values():
        points = finder.find(image)[0].points[:, :2]
        low = points[[127, 71, 68, 104, 69, 108, 151, 337, 299, 333, 298, 301, 356]]
        hat = np.concatenate([low, low[::-1] - (0, 80)])
        worn = cv2.fillPoly(image.copy(), [np.round(hat * 16).astype(np.int32)], (shade,) * 3, cv2.LINE_AA, 4)
        assert measured(finder, worn)["mask"] < SUGGESTED["mask"][1]


def test_shaded_and_faded_eyes_are_open(finder, plain):
    for image in plain.values():
        face = finder.find(image)[0]
        rows = np.arange(len(image))[:, np.newaxis, np.newaxis]
        brow = (face.eye_left[1] + face.eye_right[1]) / 2
        shaded = image * (1 - 0.6 * np.exp(-(((rows - brow) / (0.12 * face.size)) ** 2)))
        for worse in (shaded, 110 + 0.35 * (image.astype(float) - 110)):
            assert measured(finder, np.asarray(worse, np.uint8))["eyes_open"] > SUGGESTED["eyes_open"][0]


def test_suggested_bounds_keep_real_portraits(finder, shared_data):
    dropped = count = 0
    for path in list_pictures(shared_data / "photos")[::20]:
        picture = decode(path)
        for face in finder.find(picture.pixels)[:1]:
            values = measure(picture, face, SQUARE, num_faces=1)
            count += 1
            dropped += bool(outside(values))
    assert count > 40
    assert dropped <= 1
