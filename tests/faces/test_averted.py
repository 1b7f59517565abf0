"""Heads that the mesh denies: profiles of computer-generated heads, and what is no head."""

import cv2
import numpy as np
import pytest

from mien.core.packed import encode_png
from mien.core.picture import Picture
from mien.faces.crop import Square
from mien.faces.measure import measure
from mien.prepare.extract import CropConfig, extract
from mien.prepare.judge import Rules, judge
from mien.prepare.sources import Input
from mien.render.shot import Shot
from rendered_heads import head

PEOPLE = (1, 2, 3, 5)
DRAWN = (1, 60.0)  # person and turn of a drawn head


def profile(person, yaw):
    return head(person, Shot(seed=person, yaw=yaw))


def measured(image, face):
    picture = Picture(image, image.shape[1], image.shape[0], "PNG")
    return measure(picture, face, Square((80.0, 80.0), (120.0, 0.0)), num_faces=1)


@pytest.mark.slow
@pytest.mark.parametrize("yaw", [-85.0, 85.0])
def test_profiles_are_found_with_their_turn(mesh_finder, yaw):
    """Most of them the mesh denies."""
    images = [profile(person, yaw) for person in PEOPLE]
    assert sum(bool(mesh_finder.find(image)) for image in images) <= 1
    found = [mesh_finder.find_averted(image) for image in images]
    assert [len(faces) for faces in found] == [1] * len(PEOPLE)
    for (face,), image in zip(found, images, strict=True):
        own = measured(image, face)
        assert own["yaw"] == pytest.approx(yaw, abs=15)
        assert {"mask", "eyes_open", "pitch"}.isdisjoint(own)
        assert 40 < face.size < 110
        assert face.eye_left[1] < face.nose[1] < face.mouth[1]


def test_what_is_no_head_is_not_found(mesh_finder):
    rng = np.random.default_rng(4)
    noise = [rng.integers(0, 256, (160, 160, 3), np.uint8) for _ in range(4)]
    plain = [np.full((160, 90, 3), value, np.uint8) for value in (0, 128, 255)]
    assert [mesh_finder.find_averted(image) for image in (*noise, *plain)] == [[]] * 7


def test_a_profile_is_dropped_as_turned_and_not_as_faceless(mesh_finder):
    class Memory:
        def read(self, file):
            return encode_png(profile(1, 85.0))

    found = extract(Input("a.png", "a.png", "k"), Memory(), mesh_finder, CropConfig((32,)))
    assert judge(found.record["faces"][0]["measurements"], Rules()).reason == "turned"
    assert judge(found.record["faces"][0]["measurements"], Rules(max_yaw=90)) is None
    assert set(found.crops) == {(0, 32, "")}


@pytest.mark.slow
@pytest.mark.parametrize(("yaw", "asked"), [(0.0, True), (-20.0, True), (50.0, False), (-60.0, False)])
def test_a_mask_is_asked_for_only_where_the_mouth_shows(mesh_finder, yaw, asked):
    for person in PEOPLE:
        (face,) = mesh_finder.find(profile(person, yaw))
        assert ("mask" in measured(profile(person, yaw), face)) == asked


def hatched(person, yaw):
    """A head as an engraver draws it: lines that are thicker where it is darker, on white paper."""
    gray = cv2.cvtColor(profile(person, yaw), cv2.COLOR_RGB2GRAY)
    large = cv2.resize(gray, (480, 480), interpolation=cv2.INTER_LINEAR).astype(float) / 255
    down, across = np.mgrid[:480, :480]
    lines = (np.sin((down + 0.6 * across) * 2 * np.pi / 8) + 1) / 2
    return np.repeat(np.where(lines > large * 1.1, 25, 240).astype(np.uint8)[..., np.newaxis], 3, axis=2)


class Drawer:
    """A source whose one file is a drawing."""

    def read(self, file):
        return encode_png(hatched(*DRAWN))


def test_a_drawing_that_no_look_confirms_is_a_guess(mesh_finder):
    image = hatched(*DRAWN)
    assert mesh_finder.find(image) == mesh_finder.find_averted(image) == []
    (face,) = mesh_finder.guess(image)
    assert 0.25 < face.score < 0.5
    x, y, width, height = face.box
    assert x < 240 < x + width
    assert y < 240 < y + height


def test_a_guess_is_dropped_as_unsure_and_can_be_kept(mesh_finder):
    found = extract(Input("a.png", "a.png", "k"), Drawer(), mesh_finder, CropConfig((32,)))
    assert set(found.crops) == {(0, 32, "")}
    measurements = found.record["faces"][0]["measurements"]
    drop = judge(measurements, Rules())
    assert drop.reason == "unsure"
    assert "averted, drawn or shaded" in drop.detail
    assert judge(measurements, Rules(min_score=0, max_yaw=90, min_sharpness=0)) is None


def test_nothing_is_guessed_where_nothing_is(mesh_finder):
    rng = np.random.default_rng(4)
    noise = [rng.integers(0, 256, (160, 160, 3), np.uint8) for _ in range(2)]
    plain = [np.full((160, 90, 3), value, np.uint8) for value in (0, 255)]
    ramp = np.repeat(np.linspace(0, 255, 200).astype(np.uint8)[np.newaxis], 150, axis=0)
    page = np.full((300, 260, 3), 250, np.uint8)
    for row in range(20, 300, 18):
        cv2.putText(page, "what is written here", (8, row), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 20), 1)
    pictures = (*noise, *plain, np.stack([ramp] * 3, axis=-1), page)
    assert [mesh_finder.guess(image) for image in pictures] == [[]] * len(pictures)


def test_points_of_a_mirrored_look_change_sides(mesh_finder):
    image = profile(2, 0.0)
    seen = mesh_finder.guess(image)[0]
    mirrored = mesh_finder.guess(np.ascontiguousarray(image[:, ::-1]))[0]
    for face in (seen, mirrored):
        assert face.eye_left[0] < face.nose[0] < face.eye_right[0]
    assert mirrored.nose[0] == pytest.approx(image.shape[1] - seen.nose[0], abs=8)
