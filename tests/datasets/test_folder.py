import errno
import io
import json
import os
import shutil
import struct
import tarfile
import threading
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from contracts.dataset_contract import DatasetContract
from mien.core.cache import cache_root
from mien.core.errors import InputError, MienError
from mien.core.packed import PackWriter, encode_png
from mien.datasets.info import inspect
from mien.datasets.layouts import folder
from mien.datasets.opening import open_dataset, open_index
from mien.labels.conditions import conditions
from mien.prepare.sources import list_inputs


def picture(seed, size=8, channels=3):
    return np.random.default_rng(seed).integers(0, 256, (size, size, channels), dtype=np.uint8)


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(path, **options)


def pack(path, *, seeds=range(5), label=lambda i: None, class_names=()):
    with PackWriter(path, class_names=class_names) as writer:
        for i, seed in enumerate(seeds):
            writer.add_png(encode_png(picture(seed)), label(i), {"source": f"{seed}.jpg"})
    return path


class TestPackedZip(DatasetContract):
    def make(self, root):
        return str(pack(root / "faces.zip", label=lambda i: i % 3))

    def make_other(self, root):
        return str(pack(root / "faces.zip", label=lambda i: i % 2))


class TestPackedZipWithVectors(DatasetContract):
    def make(self, root):
        names = ("Male", "Smiling")
        return str(pack(root / "faces.zip", label=lambda i: [i / 2, -1], class_names=names))

    def make_other(self, root):
        return str(pack(root / "faces.zip", seeds=range(1, 6), label=lambda i: [i / 2, -1]))


class TestUnzipped(DatasetContract):
    def make(self, root):
        with zipfile.ZipFile(pack(root / "faces.zip", label=lambda i: i)) as archive:
            archive.extractall(root / "faces")
        return str(root / "faces")

    def make_other(self, root):
        with zipfile.ZipFile(pack(root / "faces.zip", seeds=range(4), label=lambda i: i)) as archive:
            archive.extractall(root / "faces")
        return str(root / "faces")


class TestClassFolders(DatasetContract):
    def make(self, root, last=5):
        for i in [0, 1, 2, 3, 4, last]:
            save(root / "all" / ("cats" if i % 2 else "birds") / f"{i}.png", picture(i))
        return str(root / "all")

    def make_other(self, root):
        return self.make(root, last=6)


class TestFlatFolder(DatasetContract):
    def make(self, root, seed=0):
        for i in range(5):
            save(root / "all" / f"{i}.webp", picture(i + seed), lossless=True)
        return str(root / "all")

    def make_other(self, root):
        return self.make(root, seed=1)


class TestGrayZipWithoutLabels(DatasetContract):
    def make(self, root, first=0):
        root.mkdir(parents=True)
        with zipfile.ZipFile(root / "gray.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for i in range(4):
                archive.writestr(f"x/{i}.png", encode_png(picture(i or first, channels=1)))
        return str(root / "gray.zip")

    def make_other(self, root):
        return self.make(root, first=9)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


def everything(dataset):
    return dataset.images(np.arange(len(dataset)))


def nchw(seeds, **options):
    return np.stack([picture(seed, **options).transpose(2, 0, 1) for seed in seeds])


def test_every_pixel_comes_back_in_the_order_of_names(tmp_path):
    dataset = folder.open(pack(tmp_path / "faces.zip"))
    np.testing.assert_array_equal(everything(dataset), nchw(range(5)))
    assert [record["source"] for record in dataset.records] == [f"{i}.jpg" for i in range(5)]
    assert dataset.name == "faces"
    assert dataset.labels is None


def test_classes_are_one_hot_as_wide_as_the_largest_or_the_names(tmp_path):
    labels = [0, 3, 1, 0, 3]
    dataset = folder.open(pack(tmp_path / "a.zip", label=labels.__getitem__))
    np.testing.assert_array_equal(dataset.labels, np.eye(4, dtype=np.float32)[labels])
    names = tuple("abcdef")
    dataset = folder.open(pack(tmp_path / "b.zip", label=labels.__getitem__, class_names=names))
    np.testing.assert_array_equal(dataset.labels, np.eye(6, dtype=np.float32)[labels])
    assert dataset.spec.class_names == names


def test_sub_folders_are_classes_in_the_order_of_their_names(tmp_path):
    for i, name in enumerate(["b/x", "a/y", "b/z/deep", "c/w"]):
        save(tmp_path / "in" / f"{name}.png", picture(i))
    dataset = folder.open(tmp_path / "in")
    assert dataset.spec.class_names == ("a", "b", "c")
    assert dataset.labels.argmax(1).tolist() == [0, 1, 1, 2]
    np.testing.assert_array_equal(everything(dataset), nchw([1, 0, 2, 3]))


@pytest.mark.parametrize("names", [["a/1", "a/2"], ["1", "2"], ["00000/img00000000", "00001/img00001000"]])
def test_one_folder_no_folders_and_packed_folders_are_no_classes(tmp_path, names):
    for i, name in enumerate(names):
        save(tmp_path / "in" / f"{name}.png", picture(i))
    dataset = folder.open(tmp_path / "in")
    assert dataset.labels is None
    assert (dataset.spec.label_dim, dataset.spec.class_names) == (0, ())


def test_a_picture_beside_class_folders_costs_the_labels_and_is_named(tmp_path):
    for i, name in enumerate(["a/1.png", "b/1.png", "stray.png"]):
        save(tmp_path / "in" / name, picture(i))
    dataset = folder.open(tmp_path / "in")
    assert dataset.labels is None
    assert len(dataset) == 3
    assert "1 image lies beside 2 class folders" in dataset.label_problem
    assert "stray.png" in dataset.label_problem
    assert dataset.label_problem in dataset.notes
    # Who asks for the labels by name learns from the others.
    lesson = conditions(dataset, "class", mirror=True)
    assert lesson.train.labels.tolist() == [[1, 0], [0, 1]]
    assert "1 left out" in lesson.notes[0]


@pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz"])
def test_classes_and_splits_of_folders_are_read_alike_wherever_they_lie(tmp_path, kind):
    names = ["data/train/a/1.png", "data/train/b/2.png", "data/validation/a/3.png", "data/test/b/4.png"]
    for i, name in enumerate(names):
        save(tmp_path / "in" / name, picture(i))
    source = tmp_path / "in"
    if kind == "zip":
        with zipfile.ZipFile(source := tmp_path / "in.zip", "w") as archive:
            for name in names:
                archive.write(tmp_path / "in" / name, name)
    elif kind == "tar.gz":
        with tarfile.open(source := tmp_path / "in.tar.gz", "w:gz") as archive:
            archive.add(tmp_path / "in", "in")
    dataset = open_dataset(str(source))
    assert dataset.name == "in"
    assert dataset.spec.class_names == ("a", "b")
    by_split = {
        record["split"]: row.tolist() for record, row in zip(dataset.records, dataset.labels, strict=True)
    }
    assert by_split["val"] == [1, 0]
    assert by_split["test"] == [0, 1]
    info = inspect(str(source))
    assert info.labels[0].values == {"a": 2, "b": 2}
    assert {name: side.pictures for name, side in info.splits.items()} == {"train": 2, "val": 1, "test": 1}
    resized = open_dataset(f"folder:{source}?size=4&split=train")
    assert (resized.spec.resolution, resized.spec.class_names, len(resized)) == (4, ("a", "b"), 2)
    assert resized.labels.tolist() == [[1, 0], [0, 1]]


def test_gray_alone_has_one_channel_and_mixed_has_three(tmp_path):
    for i in range(3):
        save(tmp_path / "in" / f"{i}.png", picture(i, channels=1))
    np.testing.assert_array_equal(everything(folder.open(tmp_path / "in")), nchw(range(3), channels=1))
    save(tmp_path / "in" / "3.png", picture(3))
    mixed = folder.open(tmp_path / "in")
    assert mixed.spec.channels == 3
    np.testing.assert_array_equal(mixed.images(np.array([3])), nchw([3]))
    np.testing.assert_array_equal(mixed.images(np.array([1])), nchw([1], channels=1).repeat(3, 1))


@pytest.mark.parametrize("size", [7, 8, 12])
def test_any_square_size_is_taken(tmp_path, size):
    save(tmp_path / "in" / "a.png", picture(0, size))
    assert folder.open(tmp_path / "in").spec.resolution == size


def test_pictures_of_two_sizes_are_named_with_their_sizes(tmp_path):
    for i, size in enumerate([8, 8, 16]):
        save(tmp_path / "in" / f"{i}.png", picture(i, size))
    with pytest.raises(InputError, match=r"0\.png is 8x8, 2\.png is 16x16.*mien prepare"):
        folder.open(tmp_path / "in")


def test_a_picture_that_is_not_square_is_named(tmp_path):
    save(tmp_path / "in" / "a.png", picture(0, 16)[:8])
    with pytest.raises(InputError, match=r"a\.png is 16x8.*mien prepare"):
        folder.open(tmp_path / "in")


def bomb():
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def truncated():
    data = encode_png(picture(0))
    return data[: len(data) // 2]


@pytest.mark.parametrize("content", [b"", b"<html></html>", truncated(), bomb()])
def test_a_broken_picture_is_named_and_nothing_is_cached(tmp_path, content):
    save(tmp_path / "in" / "a.png", picture(0))
    (tmp_path / "in" / "b.png").write_bytes(content)
    with pytest.raises(InputError, match=r"in: b\.png.*mien prepare") as caught:
        folder.open(tmp_path / "in")
    assert "\n" not in str(caught.value)
    assert [path for path in cache_root().rglob("*") if path.is_file()] == []


def relabel(path, labels):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("dataset.json", json.dumps({"labels": labels}))
    return path


def plain_zip(path, count=2):
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(count):
            archive.writestr(f"{i}.png", encode_png(picture(i)))
    return path


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([["0.png", 0]], "no label for 1 of 2 images (first 1.png)"),
        ([["0.png", 0], ["1.png", [1.0]]], "two kinds"),
    ],
)
def test_labels_that_do_not_match_are_named_and_stop_nothing(tmp_path, labels, words):
    dataset = folder.open(relabel(plain_zip(tmp_path / "a.zip"), labels))
    assert dataset.labels is None
    assert words in dataset.label_problem


def test_a_stale_entry_is_noted_and_the_labels_stay(tmp_path):
    labels = [["0.png", "0"], ["1.png", 1.0], ["gone.png", 2]]
    dataset = folder.open(relabel(plain_zip(tmp_path / "a.zip"), labels))
    assert dataset.labels.tolist() == [[1, 0], [0, 1]]
    assert dataset.label_problem == ""
    assert any("gone.png" in note for note in dataset.notes)


def test_a_corrupt_zip_and_an_empty_folder_are_named(tmp_path):
    data = pack(tmp_path / "a.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty").mkdir()
    for name in ("cut.zip", "empty", "absent"):
        with pytest.raises(InputError, match=name):
            folder.open(tmp_path / name)


def test_the_order_of_members_does_not_matter(tmp_path):
    for name, order in (("a.zip", [0, 1, 2]), ("b.zip", [2, 0, 1])):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for i in order:
                archive.writestr(f"{i}.png", encode_png(picture(i)))
    first, second = folder.open(tmp_path / "a.zip"), folder.open(tmp_path / "b.zip")
    assert first.content_hash == second.content_hash
    np.testing.assert_array_equal(everything(first), everything(second))


def cached():
    return list((cache_root() / "decoded").iterdir())


def test_the_second_time_nothing_is_decoded(tmp_path, monkeypatch):
    path = pack(tmp_path / "a.zip")
    first = everything(folder.open(path))
    monkeypatch.setattr(folder, "decode", None)
    moved = path.rename(tmp_path / "moved.zip")
    np.testing.assert_array_equal(everything(folder.open(moved)), first)
    assert len(cached()) == 1


def test_a_changed_picture_of_the_same_name_is_seen(tmp_path):
    save(tmp_path / "in" / "a.png", picture(0))
    folder.open(tmp_path / "in")
    save(tmp_path / "in" / "a.png", picture(1))
    np.testing.assert_array_equal(everything(folder.open(tmp_path / "in")), nchw([1]))


@pytest.mark.parametrize("damage", ["truncated", "longer", "empty", "text", "pickle", "shape"])
def test_a_damaged_cache_is_made_anew(tmp_path, damage):
    path = pack(tmp_path / "a.zip")
    folder.open(path)
    (cache,) = cached()
    whole = cache.read_bytes()
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}]) if damage == "pickle" else np.zeros((4, 3, 8, 8), np.uint8))
    contents = {"truncated": whole[:-1], "longer": whole + b"x", "empty": b"", "text": b"hello" * 50}
    cache.write_bytes(contents.get(damage, buffer.getvalue()))
    np.testing.assert_array_equal(everything(folder.open(path)), nchw(range(5)))
    assert cache.read_bytes() == whole


def test_many_at_once_all_get_the_pictures(tmp_path):
    path = pack(tmp_path / "a.zip", seeds=range(40))
    found = []
    threads = [threading.Thread(target=lambda: found.append(everything(folder.open(path)))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    for images in found:
        np.testing.assert_array_equal(images, nchw(range(40)))
    assert len(cached()) == 1


def test_a_full_disk_is_said_and_leaves_no_half_cache(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = pack(tmp_path / "a.zip")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MienError, match="no space left"):
        folder.open(path)
    assert cached() == []


@pytest.mark.slow
def test_real_folders_have_their_classes(shared_data):
    names = sorted(path.name for path in (shared_data / "expressions").iterdir())
    with pytest.raises(InputError, match="mien prepare"):
        folder.open(shared_data / "photos")
    dataset = open_dataset(str(shared_data / "expressions"))
    assert dataset.spec.resolution == 512
    assert list(dataset.spec.class_names) == names
    assert dataset.labels.sum(0).tolist() == [102, 102]


def test_pictures_of_any_size_become_squares_of_the_size_asked_for(tmp_path):
    for index, (width, height) in enumerate([(40, 24), (24, 40), (32, 32)]):
        image = np.zeros((height, width, 3), np.uint8)
        image[height // 2 - 12 : height // 2 + 12, width // 2 - 12 : width // 2 + 12] = 60 * (index + 1)
        save(tmp_path / "eyes" / f"{index}.png", image)
    with pytest.raises(InputError, match=r"folder:FOLDER\?size=64"):
        open_dataset(str(tmp_path / "eyes"))
    dataset = open_dataset(f"folder:{tmp_path / 'eyes'}?size=16")
    assert (dataset.name, dataset.spec.resolution, dataset.labels) == ("eyes", 16, None)
    middles = dataset.images(np.arange(3))[:, 0, 4:12, 4:12].astype(int)
    assert np.abs(middles - np.array([60, 120, 180])[:, None, None]).max() <= 3  # Lanczos rings a little
    assert [record["source"] for record in dataset.records] == ["0.png", "1.png", "2.png"]


def test_sub_folders_are_classes_when_resized_too(tmp_path):
    for name in ("real", "drawn"):
        save(tmp_path / name / "1.png", picture(0, size=12))
    dataset = open_dataset(f"folder:{tmp_path}?size=8&channels=1")
    assert dataset.spec.class_names == ("drawn", "real")
    assert dataset.labels.tolist() == [[1, 0], [0, 1]]
    assert dataset.spec.channels == 1


@pytest.mark.parametrize(
    ("where", "told"), [("?size=x", "size=x"), ("?size=16&sise=8", "sise"), ("?size=16", "no pictures")]
)
def test_a_resized_folder_that_cannot_be(tmp_path, where, told):
    with pytest.raises(InputError, match=told):
        open_dataset(f"folder:{tmp_path}{where}")


def test_a_folder_with_a_table_says_how_to_read_its_labels(tmp_path):
    save(tmp_path / "in" / "a.png", picture(0))
    (tmp_path / "in" / "labels.csv").write_text("file,age\na.png,3\n")
    (note,) = open_dataset(str(tmp_path / "in")).notes
    assert f"table:{tmp_path / 'in'}" in note
    assert open_dataset(f"table:{tmp_path / 'in'}?size=8").labels.tolist() == [[3]]


def test_pictures_with_damage_outside_their_pixels_train_as_others_do(tmp_path):
    for number in range(3):
        image = Image.fromarray(np.full((16, 16, 3), 40 * number, np.uint8))
        notes = PngImagePlugin.PngInfo()
        notes.add_text("large", "x" * (3 << 20), zip=number == 1)
        image.save(tmp_path / f"{number}.png", pnginfo=notes if number else None)
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:-12])  # no end marker, too
    assert len(open_dataset(str(tmp_path))) == 3


def write_crawl(folder):
    """What `mien collect` leaves: eight pictures of five people, and one that its manifest does not name."""
    lines = []
    for number in range(8):
        file = f"pictures/{number % 4:02x}/{number}.png"
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(encode_png(picture(number)))
        record = f"r{number // 2}" if number else None
        line = {
            "file": file,
            "page": f"p{number}",
            "site": "s",
            "record": record,
            "fields": {"height": number},
        }
        lines.append(json.dumps(line))
    (folder / "pictures" / "blank.png").write_bytes(encode_png(picture(0)))
    (folder / "manifest.jsonl").write_text("\n".join([*lines, '{"file": "pic']))  # killed


def test_a_collected_folder_has_its_people_and_fields_and_no_classes(tmp_path):
    write_crawl(tmp_path)
    dataset = open_dataset(str(tmp_path))
    assert (len(dataset), dataset.labels, dataset.notes) == (8, None, ())
    people = sorted(record.get("person") or "" for record in dataset.records)
    assert people == ["", "s/r0", "s/r1", "s/r1", "s/r2", "s/r2", "s/r3", "s/r3"]
    sides = [open_index(f"folder:{tmp_path}?split={split}").entries for split in ("train", "val", "test")]
    shown = [{entry.person for entry in side} - {""} for side in sides]
    assert sum(map(len, sides)) == 8
    assert len(sides[0]) < 8
    assert sum(map(len, shown)) == 4, "nobody on two sides"


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_collected_folders_inside_a_source_are_read_alike(tmp_path, form):
    source = tmp_path / "all"
    for site in ("a", "b/deep"):
        write_crawl(source / site)
    if form != "folder":
        source = Path(shutil.make_archive(str(tmp_path / "packed"), form, tmp_path, "all"))
    dataset = open_dataset(str(source))
    assert (len(dataset), dataset.labels) == (16, None)
    assert {record.get("person") or "" for record in dataset.records} == {"", *(f"s/r{n}" for n in range(4))}
    inputs = list_inputs(source)
    assert len(inputs.files) == 16
    assert inputs.labels is None
    assert sum("person" in known for known in inputs.extra.values()) == 14


def test_a_picture_beside_collected_folders_is_no_less_read(tmp_path):
    write_crawl(tmp_path / "crawl")
    (tmp_path / "own.png").write_bytes(encode_png(picture(50)))
    assert len(open_dataset(str(tmp_path))) == 10
    assert sum(file.name.endswith(".png") for file in list_inputs(tmp_path).files) == 10
