"""Zips and tars as sources: read member by member, whatever is hostile refused by name."""

import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from mien.core.archive import another_archive, check_end, plain_name, plain_tar
from mien.core.errors import InputError
from mien.core.picture import MAX_BYTES, BadPicture

MOST_MEMBERS = 1_000_000
_BOMB_BYTES, _BOMB_RATIO = 64 << 20, 100  # a member that unpacks to so much, and so many times its size
_END, _END64, _LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"


class _Members:
    """What zips and tars have in common: only the first member of a name is read, and none that leads out."""

    def __init__(self, names: Iterable[str], kind: str) -> None:
        self._kind = kind
        self._first: dict[str, int] = {}
        for at, name in enumerate(names):
            self._first.setdefault(name, at)

    def _check(self, at: int, name: str, *, is_file: bool) -> None:
        """Raise BadPicture for a member that is not even opened."""
        if not is_safe(name):
            raise BadPicture(name, "unsafe-name", f"its name leads out of the {self._kind}; it was not read")
        if self._first[name] != at:
            twice = f"the {self._kind} holds this name more than once; only the first was read"
            raise BadPicture(name, "name-twice", twice)
        if not is_file:
            raise BadPicture(name, "no-file", "it is a link or a device, not a file; it was not followed")


class Archive(_Members):
    """An open zip. members: name and ZipInfo, in its own order. Raises InputError if it is none."""

    def __init__(self, path: Path) -> None:
        try:
            count = _promised(path)
            if count <= MOST_MEMBERS:
                self._zip = zipfile.ZipFile(path)
                count = len(self._zip.infolist())
        except Exception as error:  # zipfile raises nearly anything for a damaged directory
            why = another_archive(path) or f"neither a folder nor a zip that can be read ({error})"
            raise InputError(f"{path}: {why}") from error
        if count > MOST_MEMBERS:
            raise InputError(f"{path}: more than {MOST_MEMBERS:,} members; split it, or unpack it yourself")
        self.members = [(_within(info.filename), info) for info in self._zip.infolist()]
        super().__init__((name for name, _ in self.members), "zip")

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def read(self, at: int) -> bytes:
        """The bytes of one member.

        Raises BadPicture; beside those of `decode` its reason may be "unsafe-name", "name-twice", "no-file"
        (a link or a device), "encrypted" or "bomb".
        """
        name, member = self.members[at]
        self._check(at, name, is_file=stat.S_IFMT(member.external_attr >> 16) in (0, stat.S_IFREG))
        ratio = member.file_size // max(member.compress_size, 1)
        if member.flag_bits & 1:
            raise BadPicture(name, "encrypted", "it is encrypted; unpack the zip with its password first")
        if member.file_size > MAX_BYTES:
            too_large = f"it unpacks to more than {MAX_BYTES >> 20} MiB; it was not read"
            raise BadPicture(name, "too-large", too_large)
        if member.file_size > _BOMB_BYTES and ratio > _BOMB_RATIO:
            raise BadPicture(name, "bomb", f"it would unpack to {ratio} times its size; it was not read")
        try:
            with self._zip.open(member) as stream:
                return stream.read(MAX_BYTES)
        except Exception as error:  # of a damaged member, too
            detail = f"the zip's member cannot be read ({' '.join(str(error).split())[:120]})"
            raise BadPicture(name, "unreadable", detail) from error


class TarArchive(_Members):
    """An open tar, compressed or not. members: name and TarInfo, in its order, but for folders.

    Raises InputError if it is none. `read` refuses as `Archive.read` does.
    """

    def __init__(self, path: Path) -> None:
        try:
            plain = plain_tar(path)
            with tarfile.open(plain, "r:") as listed:
                self.members = [(_within(info.name), info) for info in listed if not info.isdir()]
                check_end(listed, path)
            self._file = tarfile.open(plain, "r:")  # noqa: SIM115
        except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error, lzma.LZMAError) as error:
            raise InputError(f"{path}: not a tar that can be read ({error})") from error
        if len(self.members) > MOST_MEMBERS:
            raise InputError(f"{path}: more than {MOST_MEMBERS:,} members; split it, or unpack it yourself")
        super().__init__((name for name, _ in self.members), "tar")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, at: int) -> bytes:
        """The bytes of one member. Raises BadPicture."""
        name, info = self.members[at]
        self._check(at, name, is_file=info.isreg() and not info.issparse())
        if info.size > MAX_BYTES:
            raise BadPicture(name, "too-large", f"it is larger than {MAX_BYTES >> 20} MiB; it was not read")
        try:
            stream = self._file.extractfile(info)
            return stream.read() if stream else b""
        except (tarfile.TarError, OSError) as error:
            raise BadPicture(name, "unreadable", f"the tar's member cannot be read ({error})") from error


def _within(name: str) -> str:
    """A member's name as the other commands read it; one that leads out stays as it is."""
    return plain_name(name) or name


def is_safe(name: str) -> bool:
    """Whether a member's name stays inside the zip on every system."""
    return plain_name(name) is not None


def _promised(path: Path) -> int:
    """How many members the end record promises, 0 if it cannot be found: told before all are listed."""
    with open(path, "rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(-min(length, 22 + 0xFFFF + 20), os.SEEK_END)
        tail = file.read()
        place = tail.rfind(_END)
        if place < 0 or len(tail) < place + 22:
            return 0
        (count,) = struct.unpack_from("<H", tail, place + 10)
        if count == 0xFFFF and place >= 20 and tail[place - 20 :].startswith(_LOCATOR):
            (offset,) = struct.unpack_from("<Q", tail, place - 20 + 8)
            file.seek(min(offset, length))
            record = file.read(56)
            if record.startswith(_END64) and len(record) == 56:
                (count,) = struct.unpack_from("<Q", record, 32)
        return int(count)
