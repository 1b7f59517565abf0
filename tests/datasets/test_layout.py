import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from mien.core.cache import cache_root
from mien.core.errors import InputError
from mien.datasets import decoded
from mien.datasets.decoded import around, middle, to_square
from mien.datasets.index import Entry, Index, Problem, record_fields
from mien.datasets.layout import open_layout
from mien.datasets.opening import open_dataset, open_index, recognise
from mien.labels.columns import choose_columns
from miniatures_sd18 import write_sd18


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


def noise(seed, height=20, width=30):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "some?folder"
    folder.mkdir()
    for number in range(6):
        Image.fromarray(noise(number)).save(folder / f"{number}.png")
    return folder


LABELS = [{"male": n % 2 == 0, "mood": "glad" if n < 3 else "sad", "age": 20 + n} for n in range(6)]


def index(root: Path, *, mode: Literal["plain", "boxed"] = "plain", skip: int = 0) -> Index:
    box = (3, 2, 8, 8) if mode == "boxed" else None
    entries = tuple(Entry(f"{n}.png", LABELS[n], person=f"p{n}", box=box) for n in range(skip, 6))
    return Index("test", root, entries, licence="CC0", label_names=("male",))


def opened(root, options="", **more):
    return open_layout("test", index, f"{root}?{options}" if options else str(root), **more)


def test_options_are_parsed_and_those_of_the_layout_passed_on(root):
    dataset = opened(root, "size=8&mode=boxed&skip=2&labels=age")
    assert dataset.spec.resolution == 8
    assert dataset.labels.tolist() == [[22], [23], [24], [25]]
    for number, image in enumerate(dataset.images(np.arange(4)), 2):
        np.testing.assert_array_equal(image, noise(number)[2:10, 3:11].transpose(2, 0, 1))
    assert opened(root).spec.resolution == 64  # the folder's own question mark is none of an option's


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("size=none", "option size=none.*whole number"),
        ("size=0", "option size=0"),
        ("split=middle", "option split=middle.*'train'"),
        ("mode=odd", "option mode=odd.*'plain' or 'boxed'"),
        ("colour=no", "no option 'colour'; there are: size, .*labels, .*mode, skip"),
        ("root=here", "root"),
        ("size", "name=value"),
        ("size=8&size=9", "'size=9' is given twice"),
        ("fold=0/5", "fold"),
        ("fold=1-5", "fold=3/10"),
        ("fold=1/3&split=val", "fold=3/10"),
        ("labels=beard", "no picture has the label 'beard'; there are: male, mood, age"),
        ("skip=6", "nothing to open"),
    ],
)
def test_options_that_are_wrong_are_named(root, options, words):
    with pytest.raises(InputError, match=words):
        opened(root, options)


def test_labels_of_texts_become_one_column_each():
    records = [{"labels": label, "role": "input"} for label in LABELS]
    mood = choose_columns(records, ["mood"], where="x")
    assert mood.class_names == ("glad", "sad")
    assert mood.array(records[2:4]).tolist() == [[1, 0], [0, 1]]
    several = choose_columns(records, ["m*", "role"], where="x")
    assert several.class_names == ("male", "mood=glad", "mood=sad", "role=input")
    assert several.array(records[:1]).tolist() == [[1, 1, 0, 1]]
    assert several.array([]).shape == (0, 4)
    with pytest.raises(InputError, match="text here and a number there"):
        choose_columns([{"labels": {"x": "1"}}, {"labels": {"x": 1}}], ["x"], where="x")


def test_both_sides_of_a_split_have_the_same_columns(root):
    sides = [opened(root, f"labels=mood&fold=1/6&split={side}") for side in ("train", "test")]
    assert [len(dataset) for dataset in sides] == [5, 1]
    assert {dataset.spec.class_names for dataset in sides} == {("glad", "sad")}


def test_a_recorded_split_of_one_side_is_passed_over_with_a_note(root):
    def all_for_training(root: Path) -> Index:
        entries = tuple(Entry(f"{n}.png", person=f"p{n}", split="train") for n in range(6))
        return Index("test", root, entries)

    parts = [open_layout("test", all_for_training, f"{root}?split={split}") for split in ("train", "test")]
    people = [{record["person"] for record in part.records} for part in parts]
    assert not people[0] & people[1]
    assert all("train alone and is passed over" in part.notes[0] for part in parts)
    assert len(open_layout("test", all_for_training, str(root))) == 6


def test_a_side_that_a_recorded_split_lacks_is_said(root):
    def two(root: Path) -> Index:
        return Index("test", root, tuple(Entry(f"{n}.png", split=("train", "test")[n % 2]) for n in range(6)))

    with pytest.raises(InputError, match="its split has train, test, no val"):
        open_layout("test", two, f"{root}?split=val")


def test_labels_change_the_hash_but_nothing_is_decoded_again(root, monkeypatch):
    first = opened(root)
    monkeypatch.setattr(decoded, "decode", None)
    second = opened(root, "labels=mood")
    assert first.content_hash != second.content_hash
    np.testing.assert_array_equal(first.images(np.arange(6)), second.images(np.arange(6)))
    assert len(list((cache_root() / "decoded").glob("*.npy"))) == 1


@pytest.mark.parametrize("options", ["size=32", "channels=1", "mode=boxed"])
def test_other_pixels_have_another_hash(root, options):
    assert opened(root).content_hash != opened(root, options).content_hash


@pytest.mark.parametrize("damage", ["cut pixels", "no pixels", "cut notes", "no notes", "wrong notes"])
def test_a_damaged_cache_is_made_anew(root, damage):
    (root / "3.png").write_bytes(b"nothing")
    before = opened(root)
    images = before.images(np.arange(5))
    (pixels,), (notes,) = ((cache_root() / "decoded").glob(kind) for kind in ("*.npy", "*.json"))
    path = pixels if "pixels" in damage else notes
    if damage.startswith("cut"):
        path.write_bytes(path.read_bytes()[:-9])
    elif damage.startswith("no "):
        path.unlink()
    else:
        path.write_text(json.dumps({"broken": []}))
    after = opened(root)
    np.testing.assert_array_equal(after.images(np.arange(5)), images)
    assert after.notes == before.notes
    assert "1 of 6 pictures cannot be read and are left out: 3.png" in after.notes[-1]
    assert [record["source"] for record in after.records] == [f"{n}.png" for n in (0, 1, 2, 4, 5)]
    assert after.labels[:, 0].tolist() == [1, 0, 1, 1, 0]


def test_a_file_that_goes_away_costs_itself_alone(root):
    (root / "0.png").unlink()
    assert len(opened(root)) == 5


def test_nothing_readable_is_an_error_that_names_the_first(root):
    for path in root.iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"none of its 6 pictures can be read; first 0\.png"):
        opened(root)
    assert list((cache_root() / "decoded").iterdir()) == []


def test_pictures_that_are_no_files_come_through_read(root):
    def parts(root: Path) -> Index:
        return Index("test", root, tuple(Entry("0.png", part=str(n)) for n in range(4)), channels=1)

    def read(root: Path, entry: Entry) -> np.ndarray:
        return np.full((36, 60), 10 * int(entry.part), np.uint8)

    dataset = open_layout("test", parts, f"{root}?size=16", read=read)
    assert dataset.images(np.arange(4))[:, 0, 5, 5].tolist() == [0, 10, 20, 30]
    assert dataset.records[2]["source"] == "0.png#2"
    with pytest.raises(InputError, match="many pictures"):
        record_fields(parts(root))


def test_problems_are_named_up_to_three_and_then_counted(root):
    def amiss(root: Path) -> Index:
        problems = tuple(Problem(f"list:{n}", "is wrong") for n in range(5))
        return Index("test", root, (Entry("0.png"),), problems, ("a note",))

    notes = open_layout("test", amiss, str(root)).notes
    assert notes[:4] == ("a note", "list:0: is wrong", "list:1: is wrong", "list:2: is wrong")
    assert "2 more problems" in notes[4]


def test_squares_lie_in_the_picture():
    assert middle(30, 20) == (5, 0, 20, 20)
    assert middle(20, 31) == (0, 5, 20, 20)
    assert around((2, 2, 4, 8), grow=1.5, width=30, height=20) == (0, 0, 12, 12)
    assert around((24, 14, 4, 4), grow=2, width=30, height=20) == (22, 12, 8, 8)
    assert around((0, 0, 50, 50), grow=1, width=30, height=20) == (10, 0, 20, 20)


def test_making_smaller_is_antialiased():
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    small = to_square(stripes, 16, channels=1)
    assert small.shape == (1, 16, 16)
    assert np.abs(small[:, 2:-2, 2:-2] - 127.5).max() < 8  # picking pixels would give 0 or 255


def test_mirrored_is_left_to_right():
    image = noise(0, 12, 12)
    turned = to_square(image, 12, channels=3, mirror=True)
    np.testing.assert_array_equal(turned, image.transpose(2, 0, 1)[:, :, ::-1])


def test_an_index_can_be_asked_for_by_name(tmp_path):
    with pytest.raises(InputError, match=r"NAME:FOLDER with one of .*celeba.*ckplus.*folder.*sd18"):
        open_index("rendered:5")
    for source in (str(tmp_path), f"folder:{tmp_path}"):
        with pytest.raises(InputError, match="no pictures in it"):
            open_index(source)
    assert recognise(tmp_path) is None


def test_a_folder_of_a_known_layout_is_told_how_to_be_opened(tmp_path):
    root = write_sd18(tmp_path / "nist")
    with pytest.raises(InputError, match=f"looks like sd18: try sd18:{root}"):
        open_dataset(str(root))
