import errno
import gzip
import io
import json
import os
import random
import tarfile
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from mien.core import archive as archive_module
from mien.core.errors import InputError, MienError
from mien.core.packed import PackReader, PackWriter, encode_png


def png(value, size=4):
    return encode_png(np.full((size, size, 3), value, np.uint8))


def write(path, *, count=5, label=lambda i: None, class_names=()):
    with PackWriter(path, class_names=class_names) as pack:
        for i in range(count):
            pack.add_png(png(i), label(i), {"source": f"in/{i}.jpg"})
        pack.add_record({"source": "in/bad.jpg", "reason": "empty"})
    return path


@given(arrays(np.uint8, st.sampled_from([(5, 5, 3), (5, 5, 1), (5, 5)])))
def test_png_gives_back_every_pixel(image):
    decoded = np.asarray(Image.open(io.BytesIO(encode_png(image)), formats=["PNG"]))
    np.testing.assert_array_equal(decoded, image.reshape(decoded.shape))
    assert (decoded.ndim == 2) == (image.ndim == 2 or image.shape[2] == 1)


def test_png_takes_uint8_only():
    with pytest.raises(TypeError, match="float32"):
        encode_png(np.zeros((4, 4, 3), np.float32))


def test_layout_is_the_one_of_nvlabs(tmp_path):
    path = write(tmp_path / "a.zip", label=lambda i: i % 2, class_names=("x", "y"))
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        assert names[:2] == ["00000/img00000000.png", "00000/img00000001.png"]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        document = json.loads(archive.read("dataset.json"))
        lines = archive.read("manifest.jsonl").decode().splitlines()
    assert document["labels"][1] == ["00000/img00000001.png", 1]
    assert len(lines) == 6
    assert json.loads(lines[5]) == {
        "file": None,
        "reason": "empty",
        "source": "in/bad.jpg",
        "verdict": "dropped",
    }


def test_folders_hold_a_thousand_pictures_each(tmp_path):
    with PackWriter(tmp_path / "a.zip") as pack:
        names = [pack.add_png(b"x") for _ in range(1001)]
    assert names[999] == "00000/img00000999.png"
    assert names[1000] == "00001/img00001000.png"


def test_the_same_calls_write_the_same_bytes(tmp_path):
    first, second = (write(tmp_path / name, label=float_label).read_bytes() for name in ("a.zip", "b.zip"))
    assert first == second


def float_label(i):
    return [i / 3, -1.0]


@pytest.mark.parametrize("label", [lambda i: None, lambda i: i, float_label])
def test_reader_gives_back_what_was_written(tmp_path, label):
    with PackReaderOf(write(tmp_path / "a.zip", label=label)) as pack:
        assert len(pack) == 5
        assert pack.packed
        assert [pack.read(i) for i in range(5)] == [png(i) for i in range(5)]
        expected = (
            None if label(0) is None else [label(i) if label(0) == 0 else tuple(label(i)) for i in range(5)]
        )
        assert pack.labels == expected
        assert [record["source"] for record in pack.records] == [f"in/{i}.jpg" for i in range(5)]
        assert [record["verdict"] for record in pack.all_records] == ["kept"] * 5 + ["dropped"]


class PackReaderOf(PackReader):
    """A reader in a `with` block, so that a leak of its descriptor would show."""

    def __enter__(self):
        return self

    def __exit__(self, *args):
        descriptor = self._store._descriptor
        del self._store
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


def test_unzipped_reads_the_same_down_to_its_hash(tmp_path):
    packed = PackReader(write(tmp_path / "a.zip", label=lambda i: i))
    with zipfile.ZipFile(packed.path) as archive:
        archive.extractall(tmp_path / "deep" / "u")
    unzipped = PackReader(tmp_path / "deep" / "u")
    assert unzipped.names == packed.names
    assert unzipped.labels == packed.labels
    assert unzipped.records == packed.records
    assert unzipped.content_hash == packed.content_hash
    assert [unzipped.read(i) for i in range(5)] == [packed.read(i) for i in range(5)]


def test_hash_changes_with_a_pixel_and_with_a_label_but_not_with_the_path(tmp_path):
    original = PackReader(write(tmp_path / "a.zip", label=lambda i: i)).content_hash
    assert PackReader(write(tmp_path / "b.zip", label=lambda i: i)).content_hash == original
    assert PackReader(write(tmp_path / "c.zip", label=lambda i: 0)).content_hash != original
    with PackWriter(tmp_path / "d.zip") as pack:
        for i in range(5):
            pack.add_png(png(i if i else 9), i)
    assert PackReader(tmp_path / "d.zip").content_hash != original


def test_random_access_equals_zipfile_for_stored_and_deflated_members(tmp_path):
    path = tmp_path / "a.zip"
    generator = random.Random(0)
    contents = {
        f"{generator.random()}.png": generator.randbytes(generator.randrange(3000)) for _ in range(60)
    }
    with zipfile.ZipFile(path, "w") as archive:
        for i, (name, data) in enumerate(contents.items()):
            archive.writestr(name, data, zipfile.ZIP_DEFLATED if i % 2 else zipfile.ZIP_STORED)
    pack = PackReader(path)
    assert pack.names == sorted(contents)
    indexes = [generator.randrange(60) for _ in range(400)]
    with ThreadPoolExecutor(4) as pool, zipfile.ZipFile(path) as archive:
        assert list(pool.map(pack.read, indexes)) == [archive.read(pack.names[i]) for i in indexes]


def test_a_zip_with_bytes_before_it_reads_the_same(tmp_path):
    plain = write(tmp_path / "a.zip")
    shifted = tmp_path / "b.zip"
    shifted.write_bytes(b"#!/bin/sh\n" + plain.read_bytes())
    assert PackReader(shifted).read(3) == PackReader(plain).read(3)


def test_hidden_files_and_other_files_are_no_pictures(tmp_path):
    for name in ("a.png", "b/c.JPG", ".hidden.png", ".git/d.png", "__MACOSX/e.png", "notes.txt"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    assert PackReader(tmp_path / "in").names == ["a.png", "b/c.JPG"]


def write_half(path):
    with PackWriter(path) as pack:
        pack.add_png(png(0))
        raise RuntimeError("midway")


def write_labels(path, labels):
    with PackWriter(path) as pack:
        for label in labels:
            pack.add_png(png(0), label)


def test_nothing_is_left_when_the_block_raises(tmp_path):
    with pytest.raises(RuntimeError, match="midway"):
        write_half(tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


def test_an_older_zip_stays_when_the_block_raises(tmp_path):
    before = write(tmp_path / "a.zip").read_bytes()
    with pytest.raises(RuntimeError, match="midway"):
        write_half(tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == before


@pytest.mark.parametrize("when", ["fsync", "write"])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, monkeypatch, when):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    if when == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(MienError, match="no space left"):
        write(tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("labels", [(0, None), (None, 1), (0, [1.0]), ([1.0], [1.0, 2.0])])
def test_labels_of_two_kinds_are_refused_and_nothing_is_written(tmp_path, labels):
    with pytest.raises(InputError, match="label"):
        write_labels(tmp_path / "a.zip", labels)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "a/../../x.png", "..\\x.png", "C:\\x.png"])
def test_members_that_lead_out_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("ok.png", b"x")
        archive.writestr(name, b"x")
    with pytest.raises(InputError, match="leads out"):
        PackReader(tmp_path / "a.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", b"x")
        archive.writestr("a.png", b"y")
    with pytest.raises(InputError, match="twice"):
        PackReader(tmp_path / "a.zip")


def test_a_member_that_says_it_is_larger_than_it_is_stays_within_bounds(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(50_000_000))
    data = bytearray((tmp_path / "a.zip").read_bytes())
    directory = data.rindex(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = (1000).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        PackReader(tmp_path / "a.zip").read(0)


def read_all(path):
    try:
        pack = PackReader(path)
        images = [pack.read(i) for i in range(len(pack))]
        return f"{path}: {pack.notes[0]}" if pack.notes else images
    except InputError as error:
        return str(error)


def test_damage_is_found_wherever_it_is(tmp_path):
    """Any byte flipped: everything still reads as it was, or an InputError or a note says what does not."""
    path = write(tmp_path / "a.zip", label=lambda i: i)
    whole = path.read_bytes()
    expected = [png(i) for i in range(5)]
    refused = 0
    for position in range(0, len(whole), 13):
        data = bytearray(whole)
        data[position] ^= 0x55
        path.write_bytes(data)
        outcome = read_all(path)
        if isinstance(outcome, str):
            assert "a.zip" in outcome
            assert "\n" not in outcome
            refused += 1
        else:
            assert outcome == expected
    assert refused > len(whole) / 13 * 0.5


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_read_and_their_damage_found(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("a.png", png(1), zipfile.ZIP_STORED)
        archive.writestr("b.png", png(2))
    pack = PackReader(tmp_path / "a.zip")
    assert [pack.read(0), pack.read(1)] == [png(1), png(2)]
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[data.index(b"PK\x01\x02") - 25] ^= 0x55
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.zip: b\.png in it is damaged"):
        PackReader(tmp_path / "a.zip").read(1)


@pytest.mark.parametrize(("at", "value", "word"), [(8, 1, "encrypted"), (10, 93, "method 93")])
def test_a_member_that_cannot_be_read_costs_itself_and_is_named(tmp_path, at, value, word):
    """at, value: of the flags or the method in the directory's entry of the second member."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("x/a.png", "x/b.png", "y/c.png"):
            archive.writestr(name, png(len(name)))
    data = bytearray((tmp_path / "a.zip").read_bytes())
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    data[second + at] = value
    (tmp_path / "a.zip").write_bytes(data)
    pack = PackReader(tmp_path / "a.zip")
    assert (pack.names, pack.labels) == (["x/a.png", "y/c.png"], [0, 1])
    assert [note for note in pack.notes if "x/b.png" in note and word in note]


@pytest.mark.parametrize("content", [b"", b"PK", b"hello" * 100, None])
def test_what_is_no_zip_is_named(tmp_path, content):
    path = tmp_path / "a.zip"
    if content is None:
        whole = write(path).read_bytes()
        content = whole[: len(whole) // 2]
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.zip"):
        PackReader(path)


def test_nothing_there_and_no_pictures_are_said(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        PackReader(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures"):
        PackReader(tmp_path / "empty")


def test_a_tossed_picture_is_left_out_until_it_is_restored(tmp_path):
    from mien.core.manifest import append_records

    path = tmp_path / "faces.zip"
    with PackWriter(path) as pack:
        names = [pack.add_png(encode_png(np.full((8, 8, 3), k, np.uint8)), k) for k in range(3)]
    whole = PackReader(path)
    append_records(path, [{"file": names[1], "verdict": "dropped", "reason": "curated"}])
    left = PackReader(path)
    assert left.names == [names[0], names[2]]
    assert left.labels == [0, 2]
    assert left.tossed == (names[1],)
    assert left.content_hash != whole.content_hash
    assert PackReader(path, with_tossed=True).names == names
    append_records(path, [{"file": names[1], "verdict": "kept", "reason": None}])
    assert PackReader(path).content_hash == whole.content_hash


LABELS = {"labels": [[f"00000/{i}.png", i % 2] for i in range(4)]}


def zip_of(path, *, prefix="", labels=LABELS, extra=()):
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(4):
            archive.writestr(f"{prefix}00000/{i}.png", png(i))
        if labels is not None:
            archive.writestr(f"{prefix}dataset.json", json.dumps(labels))
        for name, data in extra:
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("prefix", ["./", "faces/", "a/b/", ".\\"])
def test_a_zip_of_a_folder_is_the_same_dataset(tmp_path, prefix):
    plain, inside = (zip_of(tmp_path / f"{n}.zip", prefix=p) for n, p in ((0, ""), (1, prefix)))
    one, two = PackReader(plain), PackReader(inside)
    assert (two.names, two.labels, two.notes) == (one.names, [0, 1, 0, 1], ())
    assert two.content_hash == one.content_hash
    assert two.read(3) == png(3)


def test_members_with_backslashes_are_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a\\1.png", png(1))
        archive.writestr("b\\2.png", png(2))
    pack = PackReader(tmp_path / "a.zip")
    assert (pack.names, pack.class_names) == (["a/1.png", "b/2.png"], ("a", "b"))


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz", "dat"])
def test_a_tar_reads_as_the_zip_does(tmp_path, suffix, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    one = PackReader(zip_of(tmp_path / "a.zip"))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(tmp_path / "in")
    mode = {"tar.bz2": "w:bz2", "tar.xz": "w:xz", "tgz": "w:gz", "tar.gz": "w:gz"}.get(suffix, "w")
    with tarfile.open(tmp_path / f"a.{suffix}", mode) as archive:
        archive.add(tmp_path / "in", ".")
    two = PackReader(tmp_path / f"a.{suffix}")
    assert (two.names, two.labels, two.content_hash) == (one.names, one.labels, one.content_hash)
    assert [two.read(i) for i in range(4)] == [png(i) for i in range(4)]


def test_a_hostile_or_damaged_tar_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "0.png").write_bytes(png(0))
    with tarfile.open(tmp_path / "out.tar", "w") as archive:
        archive.add(tmp_path / "0.png", "../0.png")
    with pytest.raises(InputError, match=r"out\.tar.*leads out"):
        PackReader(tmp_path / "out.tar")
    link = tarfile.TarInfo("link.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "link.tar", "w") as archive:
        archive.addfile(link)
        archive.add(tmp_path / "0.png", "0.png")
    assert PackReader(tmp_path / "link.tar").names == ["0.png"]  # links are not followed
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "0.png", "0.png")
    data = (tmp_path / "a.tar.gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"cut\.tar\.gz"):
        PackReader(tmp_path / "cut.tar.gz")
    assert not list((tmp_path / "cache").rglob("*.tar"))


def test_a_tar_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(archive_module, "_BOMB_BYTES", 1 << 20)
    with tarfile.open(tmp_path / "bomb.tar.gz", "w:gz") as archive:
        archive.addfile(_tar_info("0.png", 8 << 20), io.BytesIO(bytes(8 << 20)))
    with pytest.raises(InputError, match=r"bomb\.tar\.gz: it would unpack to more than 200 times"):
        PackReader(tmp_path / "bomb.tar.gz")
    assert not list((tmp_path / "cache").rglob("*.tar"))


def test_a_member_of_a_tar_beyond_all_measure_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "large.tar"
    size = (1 << 30) + 1
    with open(path, "wb") as file:
        file.write(_tar_info("0.png", size).tobuf())
        file.truncate(512 + size + 511 + 1024)  # a hole, which takes no place
    with pytest.raises(InputError, match=r"large\.tar: 0\.png in it is larger than 1 GiB"):
        PackReader(path)


def test_what_goes_while_it_is_read_is_named(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("0.png", "1.png"):
            archive.addfile(_tar_info(name, len(png(7))), io.BytesIO(png(7)))
    tar = archive_module.open_store(tmp_path / "a.tar")
    os.truncate(tmp_path / "a.tar", 3 * 512 + 40)
    assert tar.read("0.png") == png(7)
    with pytest.raises(InputError, match=r"a\.tar: 1\.png in it is damaged"):
        tar.read("1.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "0.png").write_bytes(png(7))
    folder = archive_module.open_store(tmp_path / "in")
    assert folder.checksum("0.png") == f"{zlib.crc32(png(7)):08x} {len(png(7))}"
    (tmp_path / "in" / "0.png").unlink()
    with pytest.raises(InputError, match=r"0\.png: cannot be read \(No such file"):
        folder.read("0.png")


def test_a_packed_file_that_is_cut_off_within_its_first_block_is_no_tar(tmp_path):
    noise = np.random.default_rng(0).bytes(3000)
    (tmp_path / "a.gz").write_bytes(gzip.compress(noise)[:300])
    assert not archive_module.is_tar(tmp_path / "a.gz")
    assert not archive_module.is_tar(tmp_path)
    with pytest.raises(InputError, match=r"a\.gz: not a zip that can be read"):
        archive_module.open_store(tmp_path / "a.gz")


def _tar_info(name, size):
    info = tarfile.TarInfo(name)
    info.size = size
    return info


def test_what_is_not_read_is_named(tmp_path):
    path = zip_of(
        tmp_path / "a.zip",
        labels=None,
        extra=[("labels.csv", "file,age\n"), ("more.zip", b"PK"), (".x.csv", "")],
    )
    notes = PackReader(path).notes
    assert [note.partition(" ")[0] for note in notes] == ["more.zip", "labels.csv"]
    assert "unpack" in notes[0]
    assert "table:" in notes[1]
    two = zip_of(tmp_path / "b.zip", extra=[("a/dataset.json", "{}")])
    assert PackReader(two).notes == ("a/dataset.json is passed over: dataset.json is read",)


def test_only_an_archive_in_a_folder_says_what_to_do(tmp_path):
    zip_of(tmp_path / "faces.zip")
    with pytest.raises(
        InputError, match=r"no pictures.*faces\.zip lies in it: unpack it, or give it as the source"
    ):
        PackReader(tmp_path)


def test_incomplete_labels_stand_in_the_records(tmp_path):
    some = {"labels": [*LABELS["labels"][:3], ["gone.png", 1]], "class_names": ["dull", "bright"]}
    pack = PackReader(zip_of(tmp_path / "a.zip", labels=some))
    assert pack.labels is None
    assert "no label for 1 of 4 images" in pack.label_problem
    assert [record.get("labels") for record in pack.records] == [
        {"class": "dull"},
        {"class": "bright"},
        {"class": "dull"},
        None,
    ]
    assert any("gone.png" in note for note in pack.notes)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.7z", b"7z\xbc\xaf'\x1c" + bytes(50), "a 7z archive, which mien does not read; unpack it"),
        ("a.rar", b"Rar!\x1a\x07" + bytes(50), "a rar archive"),
        ("a.JPG", b"\xff\xd8\xff" + bytes(50), "a picture, and a dataset is wanted: name the folder"),
        ("a.z01", b"PK\x03\x04" + bytes(50), "a part of a zip that was split; put the parts together"),
        ("a.zip.001", b"PK\x03\x04" + bytes(50), "a part of a zip that was split"),
        ("a.zip", b"PK\x03\x04" + bytes(50), "cut off, or not a zip"),
    ],
)
def test_other_archives_are_named_with_what_to_do(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        PackReader(tmp_path / name)


def test_a_zip_with_a_password_says_so(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", b"x")
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[6] |= 1
    data[data.find(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(InputError, match="it is encrypted; unpack the zip with its password first"):
        PackReader(tmp_path / "a.zip")
