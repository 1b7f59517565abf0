"""Read access by name to the members of a zip, tar or folder, without unpacking next to it."""

import bz2
import gzip
import hashlib
import lzma
import os
import re
import shlex
import struct
import tarfile
import weakref
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from mien.core.atomic import open_replacing
from mien.core.cache import cache_root
from mien.core.errors import InputError
from mien.core.picture import PICTURE_SUFFIXES, walk_files

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_WEIGHTS = (".pt", ".pth", ".pkl", ".ckpt", ".onnx", ".safetensors")  # those of torch are zips, too
_LARGEST_MEMBER = 1 << 30
_BOMB_BYTES, _BOMB_RATIO = 4 << 30, 200  # a compressed tar that unpacks to so much and so many times its size
_NAMED = 5  # members that a note names
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_END = struct.Struct("<10xH10x")
_LOCAL_HEADER = struct.Struct("<4s22xHH")


class Store:
    """Members by name. members: of all, with "/". notes: on what is not among them."""

    members: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def checksum(self, name: str) -> str:
        """Of a member's content, the same for a zip and for its unpacked folder."""
        data = self.read(name)
        return f"{zlib.crc32(data):08x} {len(data)}"

    def read(self, name: str) -> bytes:
        """The bytes of a member. Raises InputError."""
        raise NotImplementedError


def open_store(path: Path) -> Store:
    """The members of a folder or archive. Raises InputError where it is neither, damaged or hostile."""
    if path.is_dir():
        return _FolderStore(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder")
    if path.suffix.lower() in _WEIGHTS:
        raise InputError(
            f"{path}: weights of a network, no pictures; for one of another program: mien import"
            f" {shlex.quote(str(path))}"
        )
    return _TarStore(path) if is_tar(path) else _ZipStore(path)


@dataclass(frozen=True, slots=True)
class _Member:
    offset: int
    size: int
    stored: int
    crc: int
    deflated: bool
    unusual: zipfile.ZipInfo | None = None  # of one that is neither stored nor deflated


class _ZipStore(Store):
    """Random access to a zip: the central directory is read once, members through `os.pread`."""

    members: Mapping[str, _Member]

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with zipfile.ZipFile(path) as archive:
                _check_count(archive, path)
                self.members, self.notes = _members(archive, path)
            self._descriptor = os.open(path, os.O_RDONLY)
        # zipfile raises nearly anything for damaged directories
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
            why = another_archive(path)
            why = why or f"not a zip that can be read ({error}): cut off, or not a zip; get it again"
            raise InputError(f"{path}: {why}") from error
        weakref.finalize(self, os.close, self._descriptor)

    def checksum(self, name: str) -> str:
        member = self.members[name]
        return f"{member.crc:08x} {member.size}"

    def read(self, name: str) -> bytes:
        member = self.members[name]
        header = os.pread(self._descriptor, _LOCAL_HEADER.size, member.offset)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
            raise self._damaged(name)
        _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        start = member.offset + _LOCAL_HEADER.size + name_length + extra_length
        try:
            if member.unusual is not None:
                with open(self._path, "rb") as file:
                    file.seek(start)
                    data = zipfile.ZipExtFile(file, "r", member.unusual).read(member.size + 1)
            else:
                data = os.pread(self._descriptor, member.stored, start)
            if member.deflated:
                data = zlib.decompressobj(-15).decompress(data, member.size + 1)
        except (zlib.error, lzma.LZMAError, zipfile.BadZipFile, OSError, EOFError, struct.error) as error:
            raise self._damaged(name) from error
        if len(data) != member.size or zlib.crc32(data) != member.crc:
            raise self._damaged(name)
        return data

    def _damaged(self, name: str) -> InputError:
        return InputError(f"{self._path}: {name} in it is damaged; copy or pack it again")


class _FolderStore(Store):
    """Access to the files of a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        files, self.notes = walk_files(root)
        self.members = dict.fromkeys(path.relative_to(root).as_posix() for path in files)

    def read(self, name: str) -> bytes:
        try:
            return (self._root / name).read_bytes()
        except OSError as error:
            raise InputError(f"{self._root / name}: cannot be read ({error.strerror})") from error


class _TarStore(Store):
    """Random access to a tar; a compressed one is decompressed once into the cache, as one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            plain = plain_tar(path)
            with tarfile.open(plain, "r:") as archive:
                self.members = dict(_tar_members(archive, path))
                check_end(archive, path)
            self._descriptor = os.open(plain, os.O_RDONLY)
        except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error, lzma.LZMAError) as error:
            raise InputError(f"{path}: not a tar that can be read ({error})") from error
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, name: str) -> bytes:
        offset, size = self.members[name]
        data = os.pread(self._descriptor, size, offset)
        if len(data) != size:
            raise InputError(f"{self._path}: {name} in it is damaged; copy or pack it again")
        return data


def is_tar(path: Path) -> bool:
    """Whether a file is a tar, compressed or not."""
    if zipfile.is_zipfile(path):
        return False
    try:
        return path.name.lower().endswith(ARCHIVE_SUFFIXES[1:]) or tarfile.is_tarfile(path)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError):
        return False


def plain_tar(path: Path) -> Path:
    """The tar itself, or its unpacked copy in the cache. Raises InputError for a bomb."""
    try:
        with tarfile.open(path, "r:"):
            return path
    except tarfile.ReadError:
        pass
    state = path.stat()
    key = hashlib.sha256(f"{path.resolve()}\0{state.st_size}\0{state.st_mtime_ns}".encode()).hexdigest()
    copy = cache_root() / "archives" / f"{key[:32]}.tar"
    if not copy.exists():
        most = max(_BOMB_BYTES, _BOMB_RATIO * state.st_size)
        with _open_compressed(path) as packed, open_replacing(copy) as out:
            while chunk := packed.read(1 << 20):
                out.write(chunk)
                if out.tell() > most:
                    raise InputError(f"{path}: it would unpack to more than {_BOMB_RATIO} times its size")
    return copy


def check_end(archive: tarfile.TarFile, path: Path) -> None:
    """Raise InputError where a damaged header ended the list of a tar, which tarfile takes for its end."""
    count = len(archive.getmembers())
    archive.fileobj.seek(archive.offset)
    if any(archive.fileobj.read(tarfile.BLOCKSIZE)):
        raise InputError(f"{path}: damaged after {count:,} members; copy or pack it again")


def _tar_members(archive: tarfile.TarFile, path: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Name -> place and size of the regular files; links and devices are not followed."""
    names: set[str] = set()
    for info in archive:
        if not info.isreg() or info.issparse():
            continue
        name = _plain_name(info.name, names, path)
        if info.size > _LARGEST_MEMBER:
            raise InputError(f"{path}: {name} in it is larger than 1 GiB")
        yield name, (info.offset_data, info.size)


def _open_compressed(path: Path) -> IO[bytes]:
    """A gzip, bzip2 or xz file, by its first bytes."""
    with open(path, "rb") as file:
        start = file.read(6)
    opener = gzip.open if start[:2] == b"\x1f\x8b" else bz2.open if start[:3] == b"BZh" else lzma.open
    return cast(IO[bytes], opener(path, "rb"))


def another_archive(path: Path) -> str:
    """What a file that is no whole zip is, and what to do; "" where that is not known."""
    with open(path, "rb") as file:
        begins = file.read(6)
    name = path.name.lower()
    parts = [path.with_suffix(".z01"), path.with_suffix(".zip.001")]
    if re.search(r"\.(z?\d\d|zip\.\d{3})$", name) or any(part.is_file() for part in parts):
        return "a part of a zip that was split; put the parts together (zip -s 0 IN.zip --out OUT.zip)"
    if begins == b"7z\xbc\xaf'\x1c" or begins.startswith(b"Rar!"):
        return f"a {'7z' if begins[:2] == b'7z' else 'rar'} archive, which mien does not read; unpack it"
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return "a picture, and a dataset is wanted: name the folder that pictures are in, or a zip of them"
    return ""


def _check_count(archive: zipfile.ZipFile, path: Path) -> None:
    """Check the directory against the end record: zipfile misses entries lost in a damaged one."""
    with open(path, "rb") as file:
        file.seek(-min(path.stat().st_size, _END.size + 0xFFFF), os.SEEK_END)
        tail = file.read()
    position = tail.rfind(b"PK\x05\x06", 0, len(tail) - _END.size + 4)
    (promised,) = _END.unpack_from(tail, position)
    listed = len(archive.infolist())
    if promised not in (listed, 0xFFFF):  # the latter stands for "see the zip64 record"
        raise InputError(f"{path}: damaged, its directory lists {listed} files of {promised}; copy it again")


def _members(archive: zipfile.ZipFile, path: Path) -> tuple[dict[str, _Member], tuple[str, ...]]:
    """The members that can be read, and a note on each of the others."""
    names: set[str] = set()
    members: dict[str, _Member] = {}
    notes = []
    length = path.stat().st_size
    for info in archive.infolist():
        if info.filename.endswith(("/", "\\")):
            continue
        name = _plain_name(info.filename, names, path)
        if (problem := _unreadable(info)) is not None:
            notes.append(f"{name} in it is left out: {problem}")
            continue
        if not 0 <= info.header_offset <= length - info.compress_size:
            why = another_archive(path) or f"its directory places {name} outside of the file; copy it again"
            raise InputError(f"{path}: {why}")
        deflated = info.compress_type == zipfile.ZIP_DEFLATED
        unusual = None if deflated or info.compress_type == zipfile.ZIP_STORED else info
        members[name] = _Member(
            *(info.header_offset, info.file_size, info.compress_size, info.CRC, deflated), unusual=unusual
        )
    more = [f"and {len(notes) - _NAMED:,} more members"] if len(notes) > _NAMED else []
    return members, (*notes[:_NAMED], *more)


def _unreadable(info: zipfile.ZipInfo) -> str | None:
    """Why a member cannot be read, which costs that member alone."""
    if info.flag_bits & 1:
        return "it is encrypted; unpack the zip with its password first"
    if info.compress_type not in _METHODS:
        return f"it is compressed by method {info.compress_type}, which is not known here; pack it again"
    if max(info.file_size, info.compress_size) > _LARGEST_MEMBER:
        return "it is larger than 1 GiB"
    return None


def plain_name(name: str) -> str | None:
    """A member's name with "/" and no "./"; None for one that leads out of the archive on some system."""
    parts = [part for part in name.replace("\\", "/").split("/") if part != "."]
    if parts[:1] in ([], [""]) or ".." in parts or "\0" in name or parts[0][1:2] == ":":
        return None
    return "/".join(part for part in parts if part)


def _plain_name(name: str, names: set[str], path: Path) -> str:
    """`plain_name`. Raises InputError for one that leads out or is there twice."""
    plain = plain_name(name)
    if plain is None:
        raise InputError(
            f"{path}: it holds {name!r} which leads out of the archive or is no plain name;"
            " mien prepare reads the others"
        )
    if plain in names:
        raise InputError(f"{path}: it holds {name!r} twice")
    names.add(plain)
    return plain
