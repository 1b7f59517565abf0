"""Pairs are made by name, whatever the order of a listing; whatever does not fit is named."""

import numpy as np
import pytest
from PIL import ExifTags, Image

from contracts.dataset_contract import DatasetContract
from layouts import halves, head, paired_folders, save
from mien.core.errors import InputError
from mien.datasets.info import inspect
from mien.datasets.layouts import pairs
from mien.datasets.opening import open_dataset, open_index
from mien.datasets.paired import open_pairs, pair_up
from mien.render.render import render
from miniatures_sd18 import write_sd18


class TestPairedFolders(DatasetContract):
    def make(self, root):
        return f"pairs:{paired_folders(root)}?size=32"

    def make_other(self, root):
        paired_folders(root)
        save(root / "profile" / "002.png", head(7))
        return f"pairs:{root}?size=32"


class TestHalves(DatasetContract):
    def make(self, root):
        return f"pairs:{halves(root)}?size=32"

    def make_other(self, root):
        return f"pairs:{halves(root, 5)}?size=32"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


def assert_negatives(inputs, targets):
    """The miniatures' targets are their inputs in negative, resizing aside."""
    assert np.abs(inputs.astype(int) + targets - 255).max() <= 2


@pytest.mark.parametrize("make", [paired_folders, halves])
def test_inputs_and_targets_are_aligned(tmp_path, make):
    found = open_pairs(str(make(tmp_path / "p")))
    inputs, targets = found.images(np.array([3, 1, 1]))
    assert inputs.shape == targets.shape == (3, 3, 64, 64)
    assert_negatives(inputs, targets)
    assert (inputs[0] != inputs[1]).any()
    np.testing.assert_array_equal(inputs[1], inputs[2])


def test_pairs_do_not_depend_on_the_order_of_a_listing(tmp_path, monkeypatch):
    """Defect 8: fronts and profiles were paired by unsorted listings."""
    root = paired_folders(tmp_path / "p")
    expected = open_pairs(str(root))
    listed = pairs.list_pictures
    monkeypatch.setattr(
        pairs, "list_pictures", lambda folder: listed(folder)[:: 1 - 2 * (folder.name == "front")]
    )
    found = open_pairs(str(root))
    assert found.names == expected.names == ("000", "001", "002", "003")
    assert_negatives(*found.images(np.arange(4)))


def test_a_direction_turns_the_pairs_round(tmp_path):
    root = paired_folders(tmp_path / "p")
    there, back = open_pairs(str(root)), open_pairs(str(root), direction="profile-front")
    assert (there.roles, back.roles) == (("front", "profile"), ("profile", "front"))
    for one, two in zip(there.images(np.arange(4)), reversed(back.images(np.arange(4))), strict=True):
        np.testing.assert_array_equal(one, two)
    assert there.content_hash != back.content_hash
    with pytest.raises(InputError, match="choose front-profile or profile-front"):
        open_pairs(str(root), direction="left-right")


def test_a_subset_keeps_its_pairs(tmp_path):
    found = open_pairs(str(paired_folders(tmp_path / "p")))
    some = found.subset([2, 0])
    assert some.names == ("002", "000")
    np.testing.assert_array_equal(some.images(np.array([1]))[1], found.images(np.array([0]))[1])
    assert some.content_hash != found.content_hash


def test_what_is_given_may_be_flipped_in_place(tmp_path):
    found = open_pairs(str(paired_folders(tmp_path / "p")))
    for side in found.images(np.arange(4)):
        side[:] = side[..., ::-1].copy()
    assert_negatives(*found.images(np.arange(4)))


def test_pictures_without_partner_are_listed_on_both_sides(tmp_path):
    root = paired_folders(tmp_path / "p")
    for file in ("front/x.png", "profile/y.png", "profile/z.png"):
        save(root / file, head(0))
    with pytest.raises(InputError, match=r"front/x\.png.*profile/; profile/y\.png, profile/z\.png.*front/"):
        open_pairs(str(root))
    index = open_index(f"pairs:{root}")
    assert {problem.where for problem in index.problems} == {"front/x.png", "profile/y.png", "profile/z.png"}
    assert len(open_dataset(f"pairs:{root}")) == 8  # the others are not lost


def test_pairs_of_different_sizes_are_named(tmp_path):
    root = paired_folders(tmp_path / "p")
    save(root / "profile" / "001.png", head(1, size=40))
    with pytest.raises(InputError, match=r"front/001\.png: .* 48x48, profile/001\.png is 40x40"):
        open_pairs(str(root))
    assert open_index(f"pairs:{root}").counts["pairs"] == 3


def test_one_side_gray_is_named_unless_all_is_made_gray(tmp_path):
    root = paired_folders(tmp_path / "p")
    save(root / "front" / "002.png", head(2, gray=True))
    with pytest.raises(InputError, match=r"front/002\.png: it is gray, profile/002\.png is in colour"):
        open_pairs(str(root))
    found = open_pairs(f"pairs:{root}?channels=1")
    assert found.images(np.array([2]))[0].shape == (1, 1, 64, 64)


def test_all_gray_pairs_are_opened_gray(tmp_path):
    for side in ("a", "b"):
        for number in range(2):
            save(tmp_path / "p" / side / f"{number}.png", head(number, gray=True))
    assert open_pairs(str(tmp_path / "p")).spec.channels == 1


def test_an_empty_second_folder_is_named(tmp_path):
    root = paired_folders(tmp_path / "p")
    for path in (root / "profile").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="profile: there are no pictures in it"):
        open_pairs(str(root))


def test_a_broken_picture_costs_its_pair_a_name(tmp_path):
    root = paired_folders(tmp_path / "p")
    whole = (root / "profile" / "001.png").read_bytes()
    (root / "profile" / "001.png").write_bytes(whole[: len(whole) // 2])  # the header is whole
    with pytest.raises(InputError, match=r"001 has no profile.*cut off"):
        open_pairs(str(root))
    (root / "profile" / "001.png").write_bytes(b"hello")
    with pytest.raises(InputError, match=r"profile/001\.png.*no picture"):
        open_pairs(str(root))


def test_names_that_differ_after_a_sign_are_paired_on_request(tmp_path):
    for number in range(3):
        save(tmp_path / "p" / "neutral" / f"{number:03d}_03.png", head(number))
        save(tmp_path / "p" / "smiling" / f"{number:03d}_08.png", 255 - head(number))
    with pytest.raises(InputError, match="until=_"):
        open_pairs(str(tmp_path / "p"))
    found = open_pairs(f"pairs:{tmp_path / 'p'}?until=_")
    assert found.names == ("000", "001", "002")
    assert_negatives(*found.images(np.arange(3)))


def test_two_pictures_of_one_name_on_a_side_are_named(tmp_path):
    root = paired_folders(tmp_path / "p")
    save(root / "front" / "001.jpg", head(5))
    with pytest.raises(InputError, match=r"front/001\.png: left out: front/001\.jpg has the same name"):
        open_pairs(str(root))


def test_halves_take_their_split_from_the_folder(tmp_path):
    root = halves(tmp_path / "p")
    assert open_pairs(f"pairs:{root}?split=val").names == ("val/0",)
    assert len(open_pairs(f"pairs:{root}?split=train")) == 3
    save(root / "train" / "odd.png", head(0))
    with pytest.raises(InputError, match=r"train/odd\.png: .*not twice as wide"):
        open_pairs(str(root))


def two_sides(root, files, **options):
    """Pairs of files: the second in negative."""
    for number, (one, two) in enumerate(files):
        save(root / one, head(number % 8, **options))
        save(root / two, 255 - head(number % 8, **options))
    return root


LAYOUTS = {
    "cyclegan": [
        (f"{split}A/{n}.png", f"{split}B/{n}.png") for split, n in (("train", 0), ("train", 1), ("test", 2))
    ],
    "splits below": [
        (f"A/{s}/{n}.png", f"B/{s}/{n}.png") for s, n in (("train", 0), ("train", 1), ("test", 2))
    ],
    "splits above": [
        (f"{s}/A/{n}.png", f"{s}/B/{n}.png") for s, n in (("train", 0), ("train", 1), ("test", 2))
    ],
    "names": [(f"{s}/{n}_A.png", f"{s}/{n}_B.png") for s, n in (("train", 0), ("train", 1), ("test", 2))],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sides_and_splits_in_whatever_order(tmp_path, layout):
    root = two_sides(tmp_path / "p", LAYOUTS[layout])
    assert pairs.recognise(root)
    found = open_pairs(str(root))
    assert (found.roles, len(found)) == (("A", "B"), 3)
    assert_negatives(*found.images(np.arange(3)))
    assert [len(open_pairs(f"pairs:{root}?split={split}")) for split in ("train", "test")] == [2, 1]


def test_names_alone_in_one_folder_tell_the_sides(tmp_path):
    root = two_sides(tmp_path / "p", [(f"x{n}-front.png", f"x{n}-profile.png") for n in range(3)])
    found = open_pairs(str(root))
    assert (found.roles, found.names) == (("front", "profile"), ("x0", "x1", "x2"))
    save(root / "odd.png", head(0))
    with pytest.raises(InputError, match="no pairs"):
        open_pairs(f"pairs:{root}")


def test_a_third_folder_of_both_sides_is_passed_over_with_a_note(tmp_path):
    root = two_sides(tmp_path / "p", [(f"A/train/{n}.png", f"B/train/{n}.png") for n in range(3)])
    save(root / "AB" / "train" / "0.png", np.hstack([head(0), 255 - head(0)]))
    index = open_index(f"pairs:{root}")
    assert index.counts["pairs"] == 3
    assert index.notes == ("AB/ shows both sides again and is passed over",)
    assert pairs.recognise(root)


def test_halves_of_any_shape_are_cut_in_the_middle(tmp_path):
    for number in range(3):
        upright = head(number)[:, 4:40]  # 36x48, so that both are 72x48
        save(tmp_path / "p" / f"{number}.png", np.hstack([upright, 255 - upright]))
    index = open_index(f"pairs:{tmp_path / 'p'}")
    assert index.counts["pairs"] == 3
    assert "72x48" in index.notes[0]
    assert_negatives(*open_pairs(f"pairs:{tmp_path / 'p'}?size=36").images(np.arange(3)))
    save(tmp_path / "p" / "wide.png", np.zeros((20, 80, 3), np.uint8))
    (problem,) = open_index(f"pairs:{tmp_path / 'p'}").problems
    assert (problem.where, "not 1.5 times" in problem.text) == ("wide.png", True)


def test_halves_that_are_not_wider_than_high_are_cut_on_request(tmp_path):
    narrow = head(0)[:, :20]
    save(tmp_path / "p" / "0.png", np.hstack([narrow, 255 - narrow]))  # 40x48
    with pytest.raises(InputError, match="halves=yes"):
        open_pairs(f"pairs:{tmp_path / 'p'}")
    assert_negatives(*open_pairs(f"pairs:{tmp_path / 'p'}?halves=yes&size=20").images(np.arange(1)))


def test_sides_that_exif_turns_are_compared_as_seen(tmp_path):
    lying = Image.Exif()
    lying[ExifTags.Base.Orientation] = 6
    for number in range(2):
        upright = Image.fromarray(head(number)[:, 4:40])  # 36x48
        upright.rotate(90, expand=True).save(mkdir(tmp_path / "p" / "a") / f"{number}.jpg", exif=lying)
        upright.save(mkdir(tmp_path / "p" / "b") / f"{number}.jpg")
    found = open_pairs(str(tmp_path / "p"))
    one, two = found.images(np.arange(2))
    assert np.abs(one.astype(int) - two).mean() < 8  # JPEG apart the same
    assert inspect(str(tmp_path / "p"), quick=True).sizes == {"36x48 RGB": 4}


def mkdir(path):
    path.mkdir(parents=True, exist_ok=True)
    return path


def test_a_pair_is_never_on_both_sides_of_a_split(tmp_path):
    root = paired_folders(tmp_path / "p", count=8)
    sides = [open_pairs(f"pairs:{root}?fold=1/2&split={side}").names for side in ("train", "test")]
    assert set(sides[0]) | set(sides[1]) == {f"{n:03d}" for n in range(8)}
    assert not set(sides[0]) & set(sides[1])


def test_rendered_pairs_are_paired_by_person(tmp_path):
    render(tmp_path / "people.zip", count=3, size=16, seed=0, pairs="front-profile").run()
    found = open_pairs(str(tmp_path / "people.zip"))
    assert found.roles == ("front", "profile")
    assert len(found) == len(set(found.people)) == 3
    for first, second in zip(found.first, found.second, strict=True):
        one, two = (found.both.records[at]["labels"] for at in (first, second))
        assert (one["role"], two["role"]) == ("front", "profile")
        assert one["person"] == two["person"]


@pytest.mark.slow
def test_mugshots_are_paired_by_person_and_sitting(tmp_path):
    found = open_pairs(f"sd18:{write_sd18(tmp_path / 'nist')}?size=32")
    names = [record["source"] for record in found.both.records]
    views = [(names[one][-13:], names[two][-13:]) for one, two in zip(found.first, found.second, strict=True)]
    assert views == [
        ("00001_1_F.png", "00001_1_R.png"),
        ("00002_1_F.png", "00002_1_L.png"),
        ("00003_1_F.png", "00003_1_R.png"),
        ("00003_2_F.png", "00003_2_L.png"),
        ("00004_2_F.png", "00004_2_R.png"),
    ]
    assert found.people == ("00001", "00002", "00003", "00003", "00004")


def test_a_dataset_without_pairs_is_refused(tmp_path):
    save(tmp_path / "p" / "a.png", head(0))
    with pytest.raises(InputError, match="no pair and role"):
        pair_up(open_dataset(str(tmp_path / "p")), where="p")


def test_only_what_looks_like_pairs_is_taken_for_pairs(tmp_path):
    assert pairs.recognise(paired_folders(tmp_path / "pairs"))
    assert pairs.recognise(halves(tmp_path / "halves"))
    for number in range(4):
        save(tmp_path / "classes" / "cats" / f"cat{number}.png", head(0))
        save(tmp_path / "classes" / "dogs" / f"dog{number}.png", head(0))
        save(tmp_path / "plain" / f"{number}.png", head(0))
    assert not pairs.recognise(tmp_path / "classes")
    assert not pairs.recognise(tmp_path / "plain")


def test_real_expressions_pair_by_person(shared_data):
    found = open_index(f"pairs:{shared_data / 'expressions'}?until=_")
    assert found.problems == ()
    assert found.counts["pairs"] == 102


@pytest.mark.parametrize(
    "layout",
    [
        "{side}/{side}{n}.png",
        "{side}/0{n}_{side}.png",
        "photos/{side}/deep/{n}.png",
        "Train{side}/{n}.png",
    ],
)
def test_names_and_folders_of_others_are_paired(tmp_path, layout):
    for side in "AB":
        for n in range(3):
            name = f"IMG_{n}" if side == "A" else f"img_{n}"
            path = tmp_path / layout.replace("{side}{n}", name).format(side=side, n=n)
            path.parent.mkdir(parents=True, exist_ok=True)
            save(path, head(n))
    index = open_index(f"pairs:{tmp_path}")
    assert index.problems == ()
    assert [entry.role for entry in index.entries] == ["A", "B"] * 3
    assert len({entry.group for entry in index.entries}) == 3
    assert {entry.split for entry in index.entries} == ({"train"} if "Train" in layout else {""})
