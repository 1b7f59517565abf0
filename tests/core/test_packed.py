import errno
import io
import json
import os
import random
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

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


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "a/../../x.png", "a\\x.png"])
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
        return [pack.read(i) for i in range(len(pack))]
    except InputError as error:
        return str(error)


def test_damage_is_found_wherever_it_is(tmp_path):
    """Any byte flipped: either everything still reads as it was, or an InputError names the zip."""
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
