import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contracts.dataset_contract import DatasetContract
from mien.core.errors import InputError
from mien.datasets.layouts import celeba
from mien.datasets.opening import open_dataset, open_index, recognise
from miniatures_celeba import HEIGHT, NAMES, WIDTH, attribute_line, celeba_rows, write_celeba


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    return write_celeba(tmp_path / "CelebA", celeba_rows())


class TestCelebA(DatasetContract):
    def make(self, root):
        return f"celeba:{write_celeba(root, celeba_rows())}"

    def make_other(self, root):
        return f"celeba:{write_celeba(root, celeba_rows()[:-1])}"


class TestCelebAWithOptions(DatasetContract):
    def make(self, root):
        options = "size=32&channels=1&labels=Male,Smiling&fold=1/2&split=test"
        return f"celeba:{write_celeba(root, celeba_rows())}?{options}"

    def make_other(self, root):
        return self.make(root).replace("Smiling", "Young")


def test_the_miniature_comes_back_whole(root):
    index = celeba.index(root)
    assert not index.problems
    assert not index.notes
    for entry, row in zip(index.entries, celeba_rows(), strict=True):
        assert entry.file == f"img_align_celeba/{row.file}"
        assert entry.labels == row.attributes
        assert all(type(value) is bool for value in entry.labels.values())
        assert entry.person == row.person
        assert entry.split == ("train", "val", "test")[row.split]
    assert index.counts == {
        "pictures": 8,
        "attributes": 40,
        "pictures with attributes": 8,
        "people": 4,
        "train": 4,
        "val": 2,
        "test": 2,
    }
    assert recognise(root) == "celeba"


def test_pictures_are_the_middle_square_with_height_and_width_in_place(root):
    dataset = open_dataset(f"celeba:{root}?size={WIDTH}")
    top = (HEIGHT - WIDTH) // 2
    for image, row in zip(dataset.images(np.arange(len(celeba_rows()))), celeba_rows(), strict=True):
        wanted = row.pixels[top : top + WIDTH].transpose(2, 0, 1)
        assert np.abs(image.astype(int) - wanted).mean() < 2  # JPEG


def test_a_slope_across_and_a_slope_down_stay_what_they_are(root):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    slope = np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.uint8)
    Image.fromarray(slope).save(root / "img_align_celeba" / celeba_rows()[0].file, quality=100, subsampling=0)
    image = open_dataset(f"celeba:{root}?size=89").images(np.array([0]))[0].astype(float)
    at = np.arange(89) * 2 + 0.5  # of each pair of pixels
    assert np.abs(image[0] - at[None, :]).max() < 4
    assert np.abs(image[1] - (at[:, None] + 20)).max() < 4


def test_labels_are_the_forty_by_name_as_0_and_1(root):
    dataset = open_dataset(f"celeba:{root}")
    assert dataset.spec.class_names == NAMES
    wanted = [[row.attributes[name] for name in NAMES] for row in celeba_rows()]
    np.testing.assert_array_equal(dataset.labels, np.array(wanted, np.float32))
    chosen = open_dataset(f"celeba:{root}?labels=Young,Male")
    np.testing.assert_array_equal(
        chosen.labels, dataset.labels[:, [NAMES.index("Young"), NAMES.index("Male")]]
    )
    assert dataset.records[3]["labels"] == celeba_rows()[3].attributes
    assert dataset.records[3]["person"] == celeba_rows()[3].person
    assert dataset.records[3]["split"] == "train"
    assert "agreement" in dataset.records[3]["licence"]


def test_an_attribute_is_found_by_its_name_and_not_its_place(root):
    before = open_dataset(f"celeba:{root}?labels=Smiling,Male").labels
    order = [NAMES[place] for place in np.random.default_rng(0).permutation(40)]
    lines = [row.file + "".join(f" {1 if row.attributes[n] else -1}" for n in order) for row in celeba_rows()]
    text = "\n".join([str(len(celeba_rows())), " ".join(order), *reversed(lines)])
    (root / "list_attr_celeba.txt").write_text(text)
    index = celeba.index(root)
    assert not index.problems
    assert [entry.labels for entry in index.entries] == [row.attributes for row in celeba_rows()]
    np.testing.assert_array_equal(open_dataset(f"celeba:{root}?labels=Smiling,Male").labels, before)


def test_any_number_of_spaces_and_any_line_ends_are_read(root):
    path = root / "list_attr_celeba.txt"
    path.write_bytes(
        b"\xef\xbb\xbf" + re.sub(" +", "  \t ", path.read_text()).replace("\n", " \r\n\r\n").encode()
    )
    index = celeba.index(root)
    assert not index.problems
    assert [entry.labels for entry in index.entries] == [row.attributes for row in celeba_rows()]


def rewrite(root, change):
    path = root / "list_attr_celeba.txt"
    lines = path.read_text().splitlines()
    change(lines)
    path.write_text("\n".join(lines))


def test_a_truncated_list_is_said_with_its_line_and_the_rest_is_kept(root):
    def cut(lines):
        lines[0] = "202599"
        del lines[8:]
        lines[-1] = lines[-1][: len(lines[-1]) // 2]

    rewrite(root, cut)
    index = celeba.index(root)
    told = [str(problem) for problem in index.problems]
    assert re.search(r"list_attr_celeba\.txt:1: it promises 202599 rows, but there are 6.* line 8", told[0])
    assert re.search(r"list_attr_celeba\.txt:8: \d+ values where line 2 names 40", told[1])
    assert [p.where for p in index.problems[2:]] == [
        f"img_align_celeba/{row.file}" for row in celeba_rows()[5:]
    ]
    assert [dict(e.labels) for e in index.entries] == [row.attributes for row in celeba_rows()[:5]] + [{}] * 3
    dataset = open_dataset(f"celeba:{root}")
    assert len(dataset) == 5
    assert any("3 of 8 pictures have no 5_o_Clock_Shadow" in note for note in dataset.notes)
    assert any("202599" in note for note in dataset.notes)
    assert len(open_dataset(f"celeba:{root}?labels=none")) == 8


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (attribute_line(celeba_rows()[1])[:-3], "39 values"),
        (attribute_line(celeba_rows()[1]) + " 1", "41 values"),
        (attribute_line(celeba_rows()[1])[:-2] + "-", "'-' is neither"),
        (attribute_line(celeba_rows()[1])[:-2] + "0", "'0' is neither"),
        (attribute_line(celeba_rows()[0]), "earlier line"),
    ],
)
def test_a_wrong_row_costs_that_row_alone(root, line, words):
    rewrite(root, lambda lines: lines.__setitem__(3, line))
    index = celeba.index(root)
    (row, picture) = index.problems
    assert row.where == "list_attr_celeba.txt:4"
    assert words in row.text
    assert picture.where == f"img_align_celeba/{celeba_rows()[1].file}"
    assert [dict(e.labels) for e in index.entries] == [
        {} if row is celeba_rows()[1] else row.attributes for row in celeba_rows()
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: lines.pop(0), "line 1"),
        (lambda lines: lines.pop(1), "line 2"),
        (lambda lines: lines.__setitem__(1, lines[1] + " Male"), "line 2"),
        (lambda lines: lines.__setitem__(1, lines[1].replace("Male", "")), r"none of its 8 rows.*40 values"),
        (lambda lines: lines.clear(), "line 1"),
    ],
)
def test_a_header_that_would_shift_labels_is_refused(root, change, words):
    rewrite(root, change)
    with pytest.raises(InputError, match=rf"list_attr_celeba\.txt.*{words}"):
        celeba.index(root)


def test_missing_and_broken_pictures_are_named(root):
    (root / "img_align_celeba" / celeba_rows()[2].file).unlink()
    (root / "img_align_celeba" / celeba_rows()[4].file).write_bytes(b"<html>")
    index = celeba.index(root)
    assert [p.where for p in index.problems] == [f"img_align_celeba/{celeba_rows()[2].file}"]
    for dataset in (open_dataset(f"celeba:{root}"), open_dataset(f"celeba:{root}")):  # the second is cached
        files = [record["source"].rpartition("/")[2] for record in dataset.records]
        assert files == [row.file for row in celeba_rows() if row not in (celeba_rows()[2], celeba_rows()[4])]
        assert any(celeba_rows()[4].file in note and "HTML" in note for note in dataset.notes)
        wanted = [[row.attributes[name] for name in NAMES] for row in celeba_rows() if row.file in files]
        np.testing.assert_array_equal(dataset.labels, np.array(wanted, np.float32))
        means = dataset.images(np.arange(len(dataset))).mean((2, 3))
        truth = [row.pixels[20:198].mean((0, 1)) for row in celeba_rows() if row.file in files]
        np.testing.assert_allclose(means, truth, atol=2)


def test_splits_are_those_of_the_partition(root):
    for number, side in enumerate(("train", "val", "test")):
        dataset = open_dataset(f"celeba:{root}?split={side}")
        files = [record["source"].rpartition("/")[2] for record in dataset.records]
        assert files == [row.file for row in celeba_rows() if row.split == number]
        assert open_index(f"celeba:{root}?split={side}").entries[0].file.endswith(files[0])


def test_nobody_is_on_two_sides_whatever_the_partition_says(root):
    path = root / "list_eval_partition.txt"
    path.write_text(path.read_text().replace(f"{celeba_rows()[1].file} 1", f"{celeba_rows()[1].file} 2"))
    index = open_index(f"celeba:{root}")
    assert [entry.split for entry in index.entries if entry.person == celeba_rows()[1].person] == [
        "train",
        "train",
    ]
    assert (
        f"people on several sides of its split go to train: 1 (first {celeba_rows()[1].person})"
        in index.notes
    )


def test_without_the_partition_the_split_goes_by_person(root):
    (root / "list_eval_partition.txt").unlink()
    sides = {}
    for side in ("train", "val", "test"):
        try:
            records = open_dataset(f"celeba:{root}?split={side}").records
        except InputError:
            continue  # four people do not fill three sides
        for record in records:
            assert sides.setdefault(record["person"], side) == side
    assert len(sides) == 4
    assert "list_eval_partition.txt" in celeba.index(root).notes[0]


def test_lines_of_the_other_lists_that_are_wrong_are_named(root):
    for name, bad in (("list_eval_partition.txt", "000001.jpg 7"), ("identity_CelebA.txt", "000001.jpg")):
        path = root / name
        path.write_text("\n".join([bad, *path.read_text().splitlines()[1:]]))
    index = celeba.index(root)
    assert [p.where for p in index.problems] == ["list_eval_partition.txt:1", "identity_CelebA.txt:1"]
    assert (index.entries[0].person, index.entries[0].split) == ("", "")
    assert index.entries[1].person == celeba_rows()[1].person


@pytest.mark.parametrize("name", ["img_align_celeba", "list_attr_celeba.txt"])
def test_what_is_missing_is_said_with_where_to_get_it(root, name):
    (root / name).rename(root.parent / "elsewhere")
    with pytest.raises(InputError, match=rf"{name}.* is missing; get it from mmlab.*terms"):
        open_dataset(f"celeba:{root}")


def test_the_folders_of_the_download_are_found(root):
    for folder, name in (
        ("Anno", "list_attr_celeba.txt"),
        ("Anno", "identity_CelebA.txt"),
        ("Eval", "list_eval_partition.txt"),
        ("Img", "img_align_celeba"),
    ):
        (root / folder).mkdir(exist_ok=True)
        (root / name).rename(root / folder / name)
    index = celeba.index(root)
    assert not index.problems
    assert not index.notes
    assert index.entries[0].file == "Img/img_align_celeba/000001.jpg"
    assert recognise(root) == "celeba"


def as_kaggle_has_it(root):
    """The same with lists of commas, without identities, the pictures in a folder of that name twice."""
    for name in ("list_attr_celeba", "list_eval_partition"):
        lines = (root / f"{name}.txt").read_text().splitlines()
        header = f"image_id,{','.join(NAMES)}" if "attr" in name else "image_id,partition"
        body = lines[2:] if "attr" in name else lines
        rows = [",".join(line.split()) for line in body]
        (root / f"{name}.csv").write_text("\r\n".join([header, *rows]) + "\r\n")
        (root / f"{name}.txt").unlink()
    (root / "identity_CelebA.txt").unlink()
    (root / "img_align_celeba").rename(root / "moved")
    (root / "img_align_celeba").mkdir()
    (root / "moved").rename(root / "img_align_celeba" / "img_align_celeba")
    return root


def test_kaggles_copy_reads_the_same(root):
    before = open_dataset(f"celeba:{root}")
    as_kaggle_has_it(root)
    assert recognise(root) == "celeba"
    index = open_index(f"celeba:{root}")
    assert index.problems == ()
    assert [entry.labels for entry in index.entries] == [row.attributes for row in celeba_rows()]
    assert [entry.split for entry in index.entries] == [
        ("train", "val", "test")[row.split] for row in celeba_rows()
    ]
    dataset = open_dataset(f"celeba:{root}")
    np.testing.assert_array_equal(dataset.images(np.arange(8)), before.images(np.arange(8)))
    np.testing.assert_array_equal(dataset.labels, before.labels)


def test_a_wrong_line_of_kaggles_lists_is_named(root):
    path = as_kaggle_has_it(root) / "list_attr_celeba.csv"
    lines = path.read_text().splitlines()
    lines[2] += ",1"
    path.write_text("\n".join(lines))
    found = {problem.where: problem.text for problem in celeba.index(root).problems}
    assert "41 values where line 1 names 40 attributes" in found["list_attr_celeba.csv:3"]


@pytest.mark.parametrize(
    "name", ["img_align_celeba.zip", "img_align_celeba_png.7z.001", "img_align_celeba.tar.gz"]
)
def test_what_lies_there_still_packed_is_named_with_what_to_do(root, name):
    shutil.rmtree(root / "img_align_celeba")
    (root / name).write_bytes(b"PK")
    with pytest.raises(
        InputError, match=f"img_align_celeba/ is missing; {name} lies there still packed: unpack it"
    ):
        open_index(f"celeba:{root}")


def as_browsers_save_it(root):
    (root / "list_attr_celeba.csv").rename(root / "list_attr_celeba (1).CSV")


def unpacked_into_a_folder(root):
    (root / "archive").mkdir()
    for name in ("img_align_celeba", "list_attr_celeba.csv", "list_eval_partition.csv"):
        (root / name).rename(root / "archive" / name)


def as_pngs(root):
    folder = root / "img_align_celeba" / "img_align_celeba"
    for path in folder.iterdir():
        path.rename(path.with_suffix(".png"))
    folder.rename(root / "img_align_celeba_png")
    (root / "img_align_celeba").rmdir()


def in_a_folder_of_images(root):
    folder = root / "img_align_celeba"
    (folder / "img_align_celeba").rename(root / "images")
    folder.rmdir()
    Image.new("RGB", (8, 8)).save(root / "preview.png")


def beside_the_list(root):
    in_a_folder_of_images(root)
    for path in (root / "images").iterdir():
        path.rename(root / path.name)


def in_folders_of_its_splits(root):
    """Without the partition, which the folders then say."""
    in_a_folder_of_images(root)
    (root / "list_eval_partition.csv").unlink()
    for row in celeba_rows():
        folder = root / ("train", "valid", "test")[row.split]
        folder.mkdir(exist_ok=True)
        (root / "images" / row.file).rename(folder / row.file)


def with_the_list_of_hq(root):
    in_a_folder_of_images(root)
    lines = [line.split(",") for line in (root / "list_attr_celeba.csv").read_text().splitlines()]
    text = "\n".join([str(len(lines) - 1), " ".join(lines[0][1:]), *map(" ".join, lines[1:])])
    (root / "CelebAMask-HQ-attribute-anno.txt").write_text(text)
    (root / "list_attr_celeba.csv").unlink()


@pytest.mark.parametrize(
    "change",
    [
        as_browsers_save_it,
        unpacked_into_a_folder,
        as_pngs,
        in_a_folder_of_images,
        beside_the_list,
        in_folders_of_its_splits,
        with_the_list_of_hq,
    ],
)
def test_copies_under_other_names_read_the_same(root, change):
    change(as_kaggle_has_it(root))
    assert recognise(root) == "celeba"
    index = open_index(f"celeba:{root}")
    assert [problem.where for problem in index.problems] == [path.name for path in root.glob("preview.png")]
    rows = {Path(row.file).stem: row for row in celeba_rows()}
    assert {Path(entry.file).stem for entry in index.entries} == rows.keys()
    for entry in index.entries:
        row = rows[Path(entry.file).stem]
        assert entry.labels == row.attributes
        assert entry.split == ("train", "val", "test")[row.split]
    assert all((root / entry.file).is_file() for entry in index.entries)
