"""All faces of a photo: tiles find the small ones, each once; the photo is named; none is parted from it."""

import numpy as np
import pytest
from PIL import Image

from mien.core import artefacts
from mien.core.errors import InputError
from mien.core.packed import PackReader
from mien.faces.face import Face
from mien.faces.finder import needed_artefacts
from mien.labels.split import split_people
from mien.prepare.all_faces import choose_faces, distinct_faces, find_faces
from mien.prepare.prepare import prepare
from rendered_heads import heads

SEEN = 0.1  # of the view's longer side


class Spots:
    """Finds red squares of a tenth of its view or more, whole ones only, and says how often it was asked."""

    name = "spots"

    def __init__(self):
        self.asked = 0

    def find(self, image, *, most=8):
        self.asked += 1
        from scipy import ndimage

        labelled, _ = ndimage.label(image[..., 0] > 128)
        faces = []
        for rows, columns in ndimage.find_objects(labelled):
            x, y = columns.start, rows.start
            width, height = columns.stop - x, rows.stop - y
            if min(width, height) >= SEEN * max(image.shape[:2]):
                faces.append(face(x, y, width, height))
        return sorted(faces, key=lambda one: -one.size)[:most]


def face(x, y, width, height, score=0.9):
    places = [
        (x + width * a, y + height * b)
        for a, b in ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.3, 0.8), (0.7, 0.8))
    ]
    return Face((x, y, width, height), (width * height) ** 0.5, score, *places)


def picture(spots, width=1200, height=900):
    image = np.zeros((height, width, 3), np.uint8)
    for x, y, side in spots:
        image[y : y + side, x : x + side, 0] = 255
    return image


def boxes(faces):
    return sorted((round(face.box[0]), round(face.box[1]), round(face.box[2])) for face in faces)


GRID = [(60 + 130 * column, 50 + 140 * row, 60) for row in range(6) for column in range(8)]


def test_forty_eight_small_faces_are_each_found_once_where_the_whole_view_shows_one():
    spots = [*GRID[1:], (30, 20, 125)]
    assert len(Spots().find(picture(spots), most=200)) == 1
    assert boxes(find_faces(Spots(), picture(spots), thorough=True)) == sorted(spots)


def test_smaller_and_smaller_ones_are_followed():
    spots = [(100, 100, 130), (500, 300, 62), (900, 600, 32)]
    found = find_faces(Spots(), picture(spots), thorough=True)
    assert boxes(found) == sorted(spots)
    assert [round(face.size) for face in found] == [130, 62, 32]


def test_one_large_face_costs_no_second_look():
    finder = Spots()
    assert len(find_faces(finder, picture([(300, 200, 400)]), thorough=False)) == 1
    assert finder.asked == 1


def test_no_face_costs_no_second_look():
    finder = Spots()
    assert find_faces(finder, picture([]), thorough=True) == []
    assert finder.asked == 1


def test_points_move_with_their_face():
    found = find_faces(Spots(), picture([(30, 20, 130), (1000, 700, 60)]), thorough=True)
    small = min(found, key=lambda face: face.size)
    assert small.eye_left == pytest.approx((1000 + 18, 700 + 24), abs=1.5)
    assert small.mouth_right == pytest.approx((1000 + 42, 700 + 48), abs=1.5)


def test_of_overlapping_faces_the_surest_stays():
    kept = distinct_faces([face(0, 0, 100, 100, 0.8), face(10, 5, 100, 100, 0.95), face(300, 0, 50, 50, 0.5)])
    assert sorted(one.score for one in kept) == [0.5, 0.95]


def test_largest_central_and_all():
    found = [face(0, 0, 300, 300), face(520, 380, 150, 150), face(598, 448, 10, 10)]
    assert choose_faces(found, "largest", 1200, 900) == found[:1]
    assert choose_faces(found, "central", 1200, 900) == found[1:2]  # a speck in the middle is no choice
    assert choose_faces(found, "all", 1200, 900) == found


# ---- with heads


@pytest.fixture(scope="module")
def finder():
    cached = all(artefacts.artefact_path(name) for name in needed_artefacts("mesh"))
    return "mesh" if cached else "haar"


def group(people, columns):
    """A photo of people side by side on gray."""
    tiles = [np.pad(person, ((20, 20), (20, 20), (0, 0)), constant_values=128) for person in people]
    rows = [np.concatenate(tiles[at : at + columns], axis=1) for at in range(0, len(tiles), columns)]
    return Image.fromarray(np.concatenate(rows))


@pytest.fixture(scope="module")
def photos(tmp_path_factory, finder):
    folder = tmp_path_factory.mktemp("groups")
    people = heads(8)[0]
    group(people[:4], 2).save(folder / "four.png")
    group(people[4:6], 2).save(folder / "two.png")
    Image.fromarray(people[6]).save(folder / "alone.png")
    return folder


@pytest.mark.slow
def test_every_face_of_every_photo_is_a_picture_that_names_its_photo(photos, tmp_path, finder):
    prepare(photos, tmp_path / "all.zip", finder=finder, faces="all").run()
    records = PackReader(tmp_path / "all.zip").records
    assert sorted((record["source"], record.get("face")) for record in records) == [
        ("alone.png", None),
        *(("four.png", number) for number in (1, 2, 3, 4)),
        *(("two.png", number) for number in (1, 2)),
    ]
    assert {record["measurements"]["num_faces"] for record in records if record["source"] == "four.png"} == {
        4
    }
    sides = [record["measurements"]["face_size"] for record in records if record["source"] == "four.png"]
    assert sides == sorted(sides, reverse=True)
    assert len({record["hash"] for record in records}) == 7
    for share in (0.2, 0.4, 0.6):
        split = split_people(records, share=share)
        sides = [{records[at]["source"] for at in side} for side in (split.train, split.held_out)]
        assert not sides[0] & sides[1], "the faces of one photo stay together"


@pytest.mark.slow
def test_a_single_photo_can_still_be_split(photos, tmp_path, finder):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "four.png").write_bytes((photos / "four.png").read_bytes())
    prepare(tmp_path / "one", tmp_path / "all.zip", finder=finder, faces="all").run()
    split = split_people(PackReader(tmp_path / "all.zip").records, share=0.3)
    assert len(split.train) + len(split.held_out) == 4


@pytest.mark.slow
def test_the_largest_alone_by_default_and_all_with_the_same_work_folder_elsewhere(photos, tmp_path, finder):
    assert prepare(photos, tmp_path / "one.zip", finder=finder).run().kept == 3
    assert prepare(photos, tmp_path / "one.zip", finder=finder, faces="central").run().kept == 3
    with pytest.raises(InputError, match="'most'"):
        prepare(photos, tmp_path / "one.zip", finder=finder, faces="most").run()
