"""Heads that the mesh denies: profiles of computer-generated heads, and what is no head."""

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
