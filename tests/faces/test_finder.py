"""Finders against computer-generated heads, whose landmarks are known, and against real photos."""

import math

import cv2
import numpy as np
import pytest

from mien.core.errors import InputError, MienError
from mien.core.picture import list_pictures, read_picture
from mien.faces import detector
from mien.faces.finder import open_finder
from rendered_heads import heads


def errors(face, truth):
    """Distance of each named point from the truth, in eye distances."""
    unit = math.dist(truth["eye_left"], truth["eye_right"])
    return [math.dist(face.landmarks[name], place) / unit for name, place in truth.items()]


def turned(image, truth, degrees, size=240):
    """The picture turned about its middle on a larger gray canvas, and where the points then are."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    matrix[:, 2] += (size - width) / 2, (size - height) / 2
    picture = cv2.warpAffine(image, matrix, (size, size), borderValue=(128, 128, 128))
    return picture, {name: tuple(matrix @ [*place, 1]) for name, place in truth.items()}


def test_mesh_places_the_points_of_rendered_heads(mesh_finder):
    found = [(mesh_finder.find(image), truth) for image, truth in zip(*heads(), strict=True)]
    assert sum(len(faces) == 1 for faces, _ in found) >= len(found) - 1
    distances = np.array([errors(faces[0], truth) for faces, truth in found if faces])
    assert np.median(distances) < 0.1
    assert np.median(distances.max(axis=1)) < 0.25


@pytest.mark.parametrize("degrees", [30, 75, 90, 135, 180, 225, 300])
def test_mesh_finds_rolled_heads_the_right_way_up(mesh_finder, degrees):
    straight = wrong = 0
    for image, truth in zip(*heads(), strict=True):
        upright = mesh_finder.find(image)
        if not upright or max(errors(upright[0], truth)) > 0.4:
            continue
        straight += 1
        picture, places = turned(image, truth, degrees)
        faces = mesh_finder.find(picture)
        wrong += not faces or max(errors(faces[0], places)) > 0.5
    assert straight >= 5
    assert wrong <= 1


def test_mesh_finds_a_distant_face_by_tiles(mesh_finder):
    small = cv2.resize(heads()[0][0], (150, 150), interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(0)
    canvas = cv2.GaussianBlur(rng.integers(60, 160, (1000, 1400, 3), np.uint8), (0, 0), 5)
    canvas[700:850, 1000:1150] = small
    (face, *_) = mesh_finder.find(canvas)
    x, y = heads()[1][0]["nose"]
    assert math.dist(face.nose, (1000 + x * 150 / 160, 700 + y * 150 / 160)) < 8


def test_largest_face_comes_first(mesh_finder):
    images, truths = heads()
    canvas = np.full((160, 400, 3), 128, np.uint8)
    canvas[30:126, 20:116] = cv2.resize(images[1], (96, 96), interpolation=cv2.INTER_AREA)
    canvas[:, 200:360] = images[0]
    faces = mesh_finder.find(canvas)
    assert len(faces) == 2
    assert math.dist(faces[0].nose, np.add(truths[0]["nose"], (200, 0))) < 15
    assert faces[0].size > faces[1].size
    assert len(mesh_finder.find(canvas, most=1)) == 1


def test_size_does_not_depend_on_roll_and_box_holds_the_points(mesh_finder):
    image, truth = heads()[0][0], heads()[1][0]
    upright = mesh_finder.find(image)[0]
    x, _, width, height = upright.box
    assert x <= upright.points[:, 0].min() <= upright.points[:, 0].max() <= x + width + 1e-3
    assert upright.size == pytest.approx(math.sqrt(width * height), rel=0.06)
    rolled = mesh_finder.find(turned(image, truth, 40)[0])[0]
    assert rolled.size == pytest.approx(upright.size, rel=0.06)


@pytest.mark.parametrize("name", ["mesh", "haar"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (128, 128), (700, 500)])
def test_no_face_in_plain_pictures(name, shape, request):
    finder = request.getfixturevalue(f"{name}_finder")
    assert finder.find(np.full((*shape, 3), 90, np.uint8)) == []


def test_no_face_in_noise(mesh_finder):
    rng = np.random.default_rng(0)
    assert [mesh_finder.find(rng.integers(0, 255, (200, 200, 3), np.uint8)) for _ in range(5)] == [[]] * 5


def test_haar_places_the_eyes_of_rendered_heads(haar_finder):
    found = [(haar_finder.find(image), truth) for image, truth in zip(*heads(), strict=True)]
    distances = np.array([errors(faces[0], truth) for faces, truth in found if faces])
    assert len(distances) >= len(found) / 2
    assert np.median(distances[:, :2]) < 0.15
    assert np.median(distances) < 0.3


@pytest.mark.parametrize("name", ["mesh", "haar"])
def test_finders_agree_on_real_photos(shared_data, mesh_finder, haar_finder, name):
    finder = mesh_finder if name == "mesh" else haar_finder
    paths = list_pictures(shared_data / "photos")[::45]
    found = [finder.find(read_picture(path)) for path in paths]
    assert sum(map(bool, found)) >= 0.9 * len(paths)
    others = [mesh_finder.find(read_picture(path)) for path in paths]
    both = [(one[0], two[0]) for one, two in zip(found, others, strict=True) if one and two]
    assert np.median([errors(one, two.landmarks)[:2] for one, two in both]) < 0.1
    assert np.median([one.size / two.size for one, two in both]) == pytest.approx(1, abs=0.12)


def test_merging_averages_one_face_and_keeps_two_apart():
    one, near, far = np.zeros((3, 9), np.float32)
    one[:5], near[:5], far[:5] = (
        (0.9, 0.5, 0.5, 0.2, 0.2),
        (0.6, 0.52, 0.5, 0.2, 0.2),
        (0.7, 0.1, 0.1, 0.2, 0.2),
    )
    merged = detector.merge(np.stack([near, far, one]))
    assert merged[:, 0].tolist() == pytest.approx([0.9, 0.7])
    assert merged[0, 1] == pytest.approx((0.9 * 0.5 + 0.6 * 0.52) / 1.5)
    kept = detector.distinct(np.stack([near, far, one]))
    assert kept[:, 1].tolist() == pytest.approx([0.5, 0.1])


def test_unknown_finder_and_missing_artefact(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="mesh, haar"):
        open_finder("dlib")
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    with pytest.raises(MienError, match="mien artefacts fetch"):
        open_finder("mesh")
