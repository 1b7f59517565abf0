"""Finders against computer-generated heads, whose landmarks are known, and against real photos."""

import math

import cv2
import numpy as np
import pytest

from mien.core.errors import InputError, MienError
from mien.core.picture import decode, list_pictures, read_picture
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


@pytest.mark.slow
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


def pasted(image, truth, side, degrees, place, size):
    """A rendered head `side` pixels large, turned, on a large patterned scene; and where its points are."""
    width, height = size
    scene = np.empty((height, width, 3), np.uint8)
    scene[..., 0] = 110 + 40 * np.sin(np.arange(width) / 90)
    scene[..., 1] = np.linspace(90, 150, height)[:, np.newaxis]
    scene[..., 2] = (120 + 30 * np.cos(np.arange(height) / 25))[:, np.newaxis]
    head = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), degrees, 1)
    matrix[:, 2] += np.array(place) - side / 2
    cv2.warpAffine(head, matrix, size, dst=scene, borderMode=cv2.BORDER_TRANSPARENT)
    scale = side / image.shape[0]
    return scene, {name: tuple(matrix @ [scale * u, scale * v, 1]) for name, (u, v) in truth.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "size", "degrees"),
    [(70, (2000, 1500), 0), (110, (2000, 1500), -25), (160, (1200, 1600), 20), (320, (2000, 1500), 10),
     (60, (1500, 1000), -15)],
)  # fmt: skip
def test_small_heads_in_large_scenes_are_upright(mesh_finder, side, size, degrees):
    found = wrong = 0
    for number, (image, truth) in enumerate(zip(*heads(), strict=True)):
        if number % 2:
            continue
        place = (size[0] * (0.2 + 0.08 * number), size[1] * (0.75 - 0.07 * number))
        scene, places = pasted(image, truth, side, degrees, place, size)
        faces = mesh_finder.find(scene)
        found += bool(faces)
        wrong += bool(faces) and max(errors(faces[0], places)) > 0.6
    assert found >= 3
    assert wrong == 0


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_whole_scenes_turned_by_quarters_keep_their_roll(mesh_finder, turns):
    image, truth = heads()[0][0], heads()[1][0]
    scene, places = pasted(image, truth, 260, 0, (600, 500), (1400, 1000))
    turned_scene = np.ascontiguousarray(np.rot90(scene, turns))
    for _ in range(turns):
        width = 1400 if _ % 2 == 0 else 1000
        places = {name: (y, width - x) for name, (x, y) in places.items()}
    (face, *_) = mesh_finder.find(turned_scene)
    assert max(errors(face, places)) < 0.5


def test_upright_faces_in_the_reported_photos(mesh_finder, shared_data):
    folder = shared_data.parent / "cases" / "upside-down" / "pics"
    if not folder.is_dir():
        pytest.skip("no folder of reported cases beside the data")
    for path in list_pictures(folder):
        (face, *_) = mesh_finder.find(decode(path, near=640).pixels)
        (x0, y0), (x1, y1) = face.eye_left, face.eye_right
        assert abs(math.degrees(math.atan2(y1 - y0, x1 - x0))) < 15, path.name


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


@pytest.mark.slow
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
