"""Hostile zips: refused or passed over member by member, nothing written anywhere."""

import io
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from mien.core.errors import InputError
from mien.core.picture import BadPicture, decode
from mien.prepare.archive import Archive
from mien.prepare.sources import Reader, list_inputs


def reasons(source: Path) -> dict[str, str]:
    """What comes of each member: its reason, or the text in it."""
    found = {}
    with Reader(source) as reader:
        for file in list_inputs(source).files:
            try:
                found[f"{file.name}#{file.at}"] = reader.read(file).decode()
            except BadPicture as error:
                found[f"{file.name}#{file.at}"] = error.reason if "\n" not in str(error) else "two lines"
    return found


def member(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def test_names_that_lead_out_links_and_devices(tmp_path):
    source = tmp_path / "in" / "photos.zip"
    source.parent.mkdir()
    with zipfile.ZipFile(source, "w") as archive:
        for name in ("good.jpg", "deep/er/good.jpg", "../../evil.jpg", "/etc/evil.jpg", "a/../../evil.jpg"):
            archive.writestr(name, "x")
        for name in ("C:/evil.jpg", "..\\evil.jpg"):
            archive.writestr(name, "x")
        archive.writestr(member("link.jpg", stat.S_IFLNK | 0o777), "/etc/passwd")
        archive.writestr(member("device.jpg", stat.S_IFCHR | 0o666), "")
        archive.writestr(member("plain.jpg", stat.S_IFREG | 0o644), "x")
        archive.writestr(member("folder/", stat.S_IFDIR | 0o755), "")
    found = reasons(source)
    bad = {name.partition("#")[0]: text for name, text in found.items() if text != "x"}
    good = {name.partition("#")[0] for name, text in found.items() if text == "x"}
    assert good == {"good.jpg", "deep/er/good.jpg", "plain.jpg"}
    assert bad.pop("link.jpg") == bad.pop("device.jpg") == "no-file"
    assert len(bad) == 5
    assert set(bad.values()) == {"unsafe-name"}
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "photos.zip"]


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_a_hostile_member_of_a_tar_costs_itself_only(tmp_path, monkeypatch, suffix):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    source = tmp_path / f"photos.{suffix}"
    names = [
        "./good.jpg",
        "deep/er/good.jpg",
        "twice.jpg",
        "../evil.jpg",
        "/etc/evil.jpg",
        "C:\\e.jpg",
        "twice.jpg",
    ]
    with tarfile.open(source, "w:gz" if suffix == "tar.gz" else "w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))
        for name, kind in (
            ("link.jpg", tarfile.SYMTYPE),
            ("hard.jpg", tarfile.LNKTYPE),
            ("pipe", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    assert reasons(source) == {
        **{"good.jpg#0": "x", "deep/er/good.jpg#1": "x", "twice.jpg#2": "x"},
        **{"../evil.jpg#3": "unsafe-name", "/etc/evil.jpg#4": "unsafe-name", "C:\\e.jpg#5": "unsafe-name"},
        **{
            "twice.jpg#6": "name-twice",
            "link.jpg#7": "no-file",
            "hard.jpg#8": "no-file",
            "pipe#9": "no-file",
        },
    }


@pytest.mark.parametrize("place", [1024 + 20, 1024 + 512 + 3])
def test_a_tar_that_is_damaged_within_does_not_pass_for_a_shorter_one(tmp_path, place):
    source = tmp_path / "photos.tar"
    with tarfile.open(source, "w") as archive:
        for name in "abc":
            info = tarfile.TarInfo(f"{name}.jpg")
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))
    data = bytearray(source.read_bytes())
    data[place] ^= 0x55
    source.write_bytes(data)
    if place < 1024 + 512:  # a header
        with pytest.raises(InputError, match="damaged after 1 member"):
            reasons(source)
        return
    assert len(reasons(source)) == 3
    source.write_bytes(data[: 1024 + 512])
    with pytest.raises(InputError, match=r"photos\.tar: not a tar"):
        reasons(source)


def test_of_a_name_that_comes_twice_the_first_counts(tmp_path):
    source = tmp_path / "photos.zip"
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("a.jpg", "first")
        archive.writestr("b.jpg", "b")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.jpg", "second")
    assert reasons(source) == {"a.jpg#0": "first", "a.jpg#2": "name-twice", "b.jpg#1": "b"}


def test_encrypted_members_are_named(tmp_path):
    source = tmp_path / "photos.zip"
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("a.jpg", "a")
        archive.writestr("b.jpg", "b")
    data = bytearray(source.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag in the directory's first entry
    data[6] |= 1
    source.write_bytes(data)
    assert reasons(source) == {"a.jpg#0": "encrypted", "b.jpg#1": "b"}


def test_a_bomb_is_not_unpacked_and_its_neighbour_is(tmp_path):
    source = tmp_path / "photos.zip"
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.bmp", bytes(80 << 20))
        archive.writestr("good.jpg", "x")
    assert source.stat().st_size < 1 << 20
    assert reasons(source) == {"bomb.bmp#0": "bomb", "good.jpg#1": "x"}


def test_a_member_that_lies_about_its_length_is_read_no_further_than_it_says(tmp_path):
    source = tmp_path / "photos.zip"
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", bytes(10 << 20))
        archive.writestr("b.jpg", "b")
    data = bytearray(source.read_bytes())
    for signature, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.index(signature) + at, 1000)
    source.write_bytes(data)
    assert reasons(source) == {"a.jpg#0": "unreadable", "b.jpg#1": "b"}


def test_members_that_share_their_bytes_cost_only_themselves(tmp_path):
    """As in zips of little size that unpack to terabytes: many entries of the directory, one body."""
    source = tmp_path / "photos.zip"
    body = b"x"
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 0, zlib.crc32(body), 1, 1, 5, 0)
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, zlib.crc32(body), 1, 1, 5,
                        0, 0, 0, 0, 0, 0)  # fmt: skip
    names = [b"%d.jpg" % number for number in range(9)]
    directory = b"".join(entry + name for name in names)
    start = local + names[0] + body
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 9, 9, len(directory), len(start), 0)
    source.write_bytes(start + directory + end)
    found = reasons(source)
    assert found.pop("0.jpg#0") in ("x", "unreadable")  # Python refuses entries that overlap
    assert len(found) == 8
    assert set(found.values()) == {"unreadable"}


def test_a_zip_in_a_zip_is_not_opened(tmp_path):
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.jpg", "a")
    source = tmp_path / "photos.zip"
    with zipfile.ZipFile(source, "w") as archive:
        archive.write(inner, "inner.zip")
    inputs = list_inputs(source)
    assert [file.name for file in inputs.files] == ["inner.zip"]
    with Reader(source) as reader, pytest.raises(BadPicture, match=r"an archive.*unpack it, or give it as"):
        decode(reader.read(inputs.files[0]))


@pytest.mark.parametrize("zip64", [False, True])
def test_too_many_members_are_refused_before_any_is_listed(tmp_path, monkeypatch, zip64):
    source = tmp_path / "photos.zip"
    with zipfile.ZipFile(source, "w") as archive:
        for number in range(5):
            archive.writestr(f"{number}.jpg", "x")
    if zip64:  # the end record says "look elsewhere", as it does from 65,535 members on
        data = source.read_bytes()
        at = data.rindex(b"PK\x05\x06")
        size, offset = struct.unpack_from("<II", data, at + 12)
        large = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 5, 5, size, offset)
        locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, at, 1)
        end = bytearray(data[at:])
        struct.pack_into("<HH", end, 8, 0xFFFF, 0xFFFF)
        source.write_bytes(data[:at] + large + locator + end)
    assert len(list_inputs(source).files) == 5
    monkeypatch.setattr("mien.prepare.archive.MOST_MEMBERS", 4)
    monkeypatch.setattr("mien.prepare.archive.zipfile.ZipFile", None)  # asking it would fail
    with pytest.raises(InputError, match="more than 4 members"):
        Archive(source)


def test_the_directory_itself_is_counted_too(tmp_path, monkeypatch):
    """The end record may promise fewer than there are."""
    source = tmp_path / "photos.zip"
    with zipfile.ZipFile(source, "w") as archive:
        for number in range(5):
            archive.writestr(f"{number}.jpg", "x")
    data = bytearray(source.read_bytes())
    at = data.rindex(b"PK\x05\x06")
    struct.pack_into("<HH", data, at + 8, 1, 1)
    source.write_bytes(data)
    monkeypatch.setattr("mien.prepare.archive.MOST_MEMBERS", 4)
    with pytest.raises(InputError, match="more than 4 members"):
        Archive(source)
