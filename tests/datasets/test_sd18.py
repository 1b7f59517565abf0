from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from contracts.dataset_contract import DatasetContract
from mien.core.errors import InputError
from mien.datasets.index import record_fields
from mien.datasets.layouts import sd18
from mien.datasets.layouts.sd18 import Record, count_records, parse_text
from mien.datasets.opening import open_dataset, open_index, recognise
from miniatures_sd18 import CASES, Case, mugshot, write_sd18

ADULTS = [
    ("00001", 1, "F"),
    ("00001", 1, "R"),
    ("00002", 1, "F"),
    ("00002", 1, "L"),
    ("00003", 1, "F"),
    ("00003", 1, "R"),
    ("00003", 2, "F"),
    ("00003", 2, "L"),
    ("00004", 1, "F"),
    ("00004", 2, "F"),
    ("00004", 2, "R"),
    ("00005", 1, "L"),
    ("00006", 1, "F"),
    ("00009", 2, "F"),
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    return write_sd18(tmp_path / "nist")


class TestSD18(DatasetContract):
    def make(self, root):
        return f"sd18:{write_sd18(root)}?labels=sex&size=32"

    def make_other(self, root):
        return f"sd18:{write_sd18(root, CASES[1:])}?labels=sex&size=32"


class TestSD18Profiles(DatasetContract):
    def make(self, root):
        return f"sd18:{write_sd18(root)}?role=profile&mirror=left&size=32"

    def make_other(self, root):
        return self.make(root).replace("=left", "=right")


def views(index):
    return [(e.person, int(e.group.partition("_")[2]), e.file[-5]) for e in index.entries]


def test_adults_come_back_by_person_sitting_and_view(root):
    index = sd18.index(root)
    assert not index.problems
    assert views(index) == ADULTS
    cases = {case.person: case for case in CASES}
    for entry, (person, sitting, view) in zip(index.entries, ADULTS, strict=True):
        ages = {(s, v): age for s, v, age in cases[person].views}
        assert entry.labels["age"] == ages[sitting, view]
        assert entry.labels["sex"] == ("male" if cases[person].sex == "M" else "female")
        assert entry.role == ("front" if view == "F" else "profile")
        assert entry.labels.get("side") == {"F": None, "L": "left", "R": "right"}[view]
    assert recognise(root) == recognise(root / "sd18") == "sd18"
    assert sd18.index(root / "sd18").entries[0].file == "single/f1_p1/png/00001/00001_1_F.png"


def test_the_table_counts_what_the_miniature_is_known_to_hold(root):
    assert sd18.index(root).counts == {
        "pictures": 19,
        "people": 9,
        "people, male": 7,
        "people, female": 2,
        "cases with two or more fronts": 3,  # 3, 4, 9
        "cases with one front": 5,  # 1, 2, 6, 7, 8
        "cases with two or more profiles": 1,  # 3
        "cases with one profile": 6,  # 1, 2, 4, 5, 7, 8
        "cases with two or more fronts and two or more profiles": 1,  # 3
        "cases with two or more fronts and one profile": 1,  # 4
        "cases with one front and one profile": 4,  # 1, 2, 7, 8
        "pictures of people under 18, left out": 3,  # both of 7, the first of 9
        "pictures with no age, left out": 2,  # both of 8
        "profiles with no front": 1,  # 5
    }


def test_the_definitions_give_the_table_of_the_real_database():
    """NIST's numbers leave 15 people with fronts alone, 201 with one front, 24 with one profile alone."""
    groups = [(89, 2, 2), (27, 2, 1), (1217, 1, 1), (15, 2, 0), (201, 1, 0), (24, 0, 1)]
    shapes = [[fronts, profiles] for people, fronts, profiles in groups for _ in range(people)]
    more = 3248 - sum(map(sum, shapes))
    assert more > 0
    shapes[0][0] += more  # whoever has many may have more; the real ones have up to a few dozen
    records = []
    for number, (fronts, profiles) in enumerate(shapes):
        sex = "male" if number < 1495 else "female"
        for k in range(fronts):
            records.append(Record(f"{number}_{k}_F", f"{number:05d}", k, "front", "", 30, sex))
        for k in range(profiles):
            records.append(Record(f"{number}_{k}_L", f"{number:05d}", k, "profile", "left", 30, sex))
    assert list(count_records(records, []).values()) == [
        3248,
        1573,
        1495,
        78,
        131,
        1418,
        89,
        1268,
        89,
        27,
        1217,
    ]


def test_minors_are_dropped_always_and_it_says_how_many(root):
    for options in ({}, {"unknown_age": "keep"}, {"role": "profile", "mirror": "left"}):
        index = sd18.index(root, **options)
        assert not [view for view in views(index) if view[0] == "00007" or view[:2] == ("00009", 1)]
        assert "3 of 19 pictures left out: age under 18" in index.notes
        assert all(entry.labels.get("age", 18) >= 18 for entry in index.entries)
    prepared = record_fields(sd18.index(root, unknown_age="keep"))
    assert len(prepared) == 16
    assert not any("00007" in file for file in prepared)


def test_no_age_is_dropped_unless_asked_and_it_says_how_many(root):
    assert any("2 of 19 pictures give no age: left out" in note for note in sd18.index(root).notes)
    index = sd18.index(root, unknown_age="keep")
    assert sorted(set(views(index)) - set(ADULTS)) == [("00008", 1, "F"), ("00008", 1, "R")]
    assert "age" not in next(e for e in index.entries if e.person == "00008").labels
    assert any("2 of 19 pictures give no age: kept" in note for note in index.notes)
    assert "pictures with no age, kept" in index.counts


@pytest.mark.parametrize(
    ("lines", "age"),
    [
        ("AGE:35", 35),
        ("age = 35 years", 35),
        ("  Age\t 35", 35),
        ("Age: 17", None),
        ("Age: unknown", None),
        ("Age: 0", None),
        ("Age: 350", None),
        ("Age:", None),
        ("Ages: 35", None),
        ("35", None),
    ],
)
def test_ages_are_read_leniently_but_never_guessed(tmp_path, lines, age):
    root = write_sd18(tmp_path / "nist", CASES[:1])
    (root / "sd18/single/f1_p1/png/00001/00001_1_F.txt").write_bytes(
        f"SEX:male\r\n\xff\n{lines}\r\n".encode("latin-1")
    )
    entries = sd18.index(root, unknown_age="drop").entries
    fronts = [entry for entry in entries if entry.role == "front"]
    assert [entry.labels["age"] for entry in fronts] == ([] if age is None else [age])


@pytest.mark.parametrize("age", ["0", "unknown", "350", ""])
def test_an_age_that_is_none_is_no_minors(tmp_path, age):
    root = write_sd18(tmp_path / "nist", CASES[5:6])
    (root / "sd18/single/f1_p0/png/00006/00006_1_F.txt").write_text(f"Age: {age}\n")
    (entry,) = sd18.index(root, unknown_age="keep").entries
    assert not entry.labels


def test_a_view_goes_with_a_minor_of_its_sitting(tmp_path):
    views = ((1, "F", 17), (1, "R", None), (1, "L", 30), (2, "F", None), (3, "F", 40))
    root = write_sd18(tmp_path / "nist", (Case("00010", "M", views),))
    assert [entry.group for entry in sd18.index(root, unknown_age="keep").entries] == ["00010_3"]


def test_keys_and_values_of_all_sorts():
    assert parse_text("Gender : M\nAge:\t30\nnonsense\nHeight = 5'10\"\n\nNote: a: b\nage: 31") == {
        "gender": "M",
        "age": "30",
        "height": "5'10\"",
        "note": "a: b",
    }


def test_fronts_and_profiles_pair_by_person_never_by_place(root, monkeypatch):
    expected = [
        ("00001_1_F", "00001_1_R"),
        ("00002_1_F", "00002_1_L"),
        ("00003_1_F", "00003_1_R"),
        ("00003_2_F", "00003_2_L"),
        ("00004_2_F", "00004_2_R"),
    ]

    def names():
        return [tuple(e.file.rpartition("/")[2][:-4] for e in pair) for pair in sd18.pairs(sd18.index(root))]

    assert names() == expected
    listed = sd18.list_files
    monkeypatch.setattr(sd18, "list_files", lambda folder: listed(folder)[::-1])
    assert names() == expected


def test_a_profile_without_its_sittings_front_takes_the_persons_first(tmp_path):
    views = ((2, "F", 30), (3, "F", 31), (4, "L", 32))
    root = write_sd18(tmp_path / "nist", (Case("00011", "M", views),))
    ((front, profile),) = sd18.pairs(sd18.index(root))
    assert (front.group, profile.group) == ("00011_2", "00011_4")


def test_a_profile_with_no_front_is_kept_and_in_no_pair(root):
    index = sd18.index(root)
    assert ("00005", 1, "L") in views(index)
    assert "00005" not in {pair.profile.person for pair in sd18.pairs(index)}
    assert any("no front" in note and note.endswith("1") for note in index.notes)
    assert [view[0] for view in views(sd18.index(root, role="front"))].count("00005") == 0


def test_profiles_are_mirrored_to_one_side(root):
    plain = open_dataset(f"sd18:{root}?role=profile")
    left = open_dataset(f"sd18:{root}?role=profile&mirror=left")
    sides = [record["labels"]["side"] for record in plain.records]
    assert set(sides) == {"left", "right"}
    assert {record["labels"]["side"] for record in left.records} == {"left"}
    for number, side in enumerate(sides):
        image, turned = (data.images(np.array([number]))[0] for data in (plain, left))
        np.testing.assert_array_equal(turned, image if side == "left" else image[..., ::-1])
        assert left.records[number].get("mirrored", False) == (side == "right")
    with pytest.raises(InputError, match="mirror"):
        record_fields(sd18.index(root, mirror="left"))


def test_pictures_are_gray_with_height_and_width_in_place(root):
    for number, (person, sitting, view) in list(enumerate(ADULTS))[:4]:
        pixels = mugshot(person, sitting, view)
        height, width = pixels.shape
        assert height > width
        dataset = open_dataset(f"sd18:{root}?size={width}")
        assert dataset.spec.channels == 1
        top = (height - width) // 2
        image = dataset.images(np.array([number]))[0, 0]
        np.testing.assert_array_equal(image, pixels[top : top + width])


def test_a_wide_picture_keeps_its_slope_across(root):
    path = root / "sd18/single/f1_p1/png/00001/00001_1_F.png"
    Image.fromarray(np.tile(np.arange(140, dtype=np.uint8), (90, 1))).save(path)
    image = open_dataset(f"sd18:{root}?size=90").images(np.array([0]))[0, 0]
    np.testing.assert_array_equal(image, np.tile(np.arange(25, 115, dtype=np.uint8), (90, 1)))


def test_what_is_amiss_is_named(root):
    folder = root / "sd18/single/f1_p1/png"
    (folder / "00001/00001_1_F.png").unlink()
    (folder / "00002/00002_1_F.txt").unlink()
    mark = folder / "00002/face.png"
    Image.fromarray(mugshot("00002", 1, "F")).save(mark)
    copy = root / "sd18/multiple/f1_p1/00002_1_L.PNG"
    copy.parent.mkdir(parents=True)
    copy.write_bytes((folder / "00002/00002_1_L.png").read_bytes())
    found = {problem.where.rpartition("/")[2]: problem.text for problem in sd18.index(root).problems}
    assert "its picture is missing" in found["00001_1_F.txt"]
    assert "no .txt beside it" in found["00002_1_F.png"]
    assert "not named" in found["face.png"]
    assert "the same view as" in found["00002_1_L.png"]
    assert ("00002", 1, "F") not in views(sd18.index(root))  # no text, no age


def test_two_sexes_of_one_person_are_counted_as_not_known():
    records = [Record("a", "1", 1, "front", "", 30, "male"), Record("b", "1", 2, "front", "", 30, "female")]
    problems = []
    counts = count_records(records, problems)
    assert counts["people, sex not known"] == 1
    assert counts["people, male"] == counts["people, female"] == 0
    assert "two sexes" in problems[0].text


def test_a_person_stays_on_one_side_whatever_is_asked(root):
    sides = {}
    for options in ("", "&role=front", "&role=profile", "&unknown_age=keep", "&mirror=left"):
        for fold in (1, 2):
            for entry in open_index(f"sd18:{root}?fold={fold}/2&split=test{options}").entries:
                assert sides.setdefault(entry.person, fold) == fold
    assert set(sides.values()) == {1, 2}


def test_labels_and_records(root):
    dataset = open_dataset(f"sd18:{root}?labels=role,age")
    assert dataset.spec.class_names == ("role=front", "role=profile", "age")
    assert dataset.labels[1].tolist() == [0, 1, 30]
    record = dataset.records[1]
    assert record["person"] == "00001"
    assert record["role"] == "profile"
    assert record["group"] == "00001_1"
    assert "NIST" in record["licence"]
    fields = record_fields(sd18.index(root))[record["source"]]
    assert fields == {key: record[key] for key in ("person", "role", "group", "licence", "labels")}


def test_what_is_missing_is_said_with_where_to_get_it(root, tmp_path):
    (root / "sd18/multiple").rename(tmp_path / "away")
    index = sd18.index(root)
    assert "multiple/: the folder is missing; get Special Database 18 from NIST" in str(index.problems[0])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"single/ and .*multiple/ are missing; get .* from NIST"):
        open_dataset(f"sd18:{tmp_path / 'empty'}")
    with pytest.raises(InputError, match="no such folder"):
        open_dataset(f"sd18:{tmp_path / 'nowhere'}")
    assert replace(index, root=tmp_path) != index
