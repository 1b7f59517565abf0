"""Atomic file writes: temporary file, fsync, rename, fsync of the folder; locks; checksums of files."""

import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mien.core.errors import MienError

_PREFIX = ".tmp-mien-"
_NO_PLACE = {errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST}
_NO_PLACE |= {errno.ENOENT, errno.EISDIR, errno.ENAMETOOLONG}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it onto `path` when the block ends well.

    The block may open and write the temporary path as it likes. If it raises, the temporary file is
    removed and `path` is untouched. Raises MienError when the disk is full or the folder not writable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise explain(error, path) from error
    os.close(handle)
    umask = os.umask(0)  # which can only be read by being set
    os.umask(umask)
    os.chmod(name, 0o666 & ~umask)
    temporary = Path(name)
    try:
        yield temporary
        fsync(temporary)
        os.replace(temporary, path)
        fsync(path.parent)
    except OSError as error:
        raise explain(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def open_replacing(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Like `replacing`, giving an open file (`mode` "w" for UTF-8 text or "wb")."""
    encoding = None if "b" in mode else "utf-8"
    with replacing(path) as temporary, open(temporary, mode, encoding=encoding) as file:
        yield file


@contextmanager
def locked(path: Path, busy: Callable[[str], MienError] | None = None) -> Iterator[None]:
    """Hold a file against other processes; the system frees it however this one ends.

    busy: the error where another process holds it, given that one's number; without, it is waited for. The
    file stays, since removing it would let two processes lock two files of one name.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise MienError(f"{path.parent}: cannot write there ({error.strerror})") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError as error:
            assert busy is not None
            owner = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            raise busy(owner or "unknown") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with open_replacing(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path` atomically; what UTF-8 cannot say (of file names) as JSON does."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def move(path: Path, to: Path) -> None:
    """Move a file that is whole onto `to`, on the same disk, for good when this returns."""
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, to)
        fsync(to.parent)
    except OSError as error:
        raise explain(error, to) from error


def sweep_temporaries(folder: Path) -> int:
    """Remove temporary files of killed writers from `folder`; return their number.

    Call it only while holding the folder's lock: it would remove a live writer's file too.
    """
    stale = list(folder.glob(_PREFIX + "*"))
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def drop_cut_line(descriptor: int) -> None:
    """Cut a file, open for reading and writing, back to its last whole line."""
    end = size = os.fstat(descriptor).st_size
    while end and os.pread(descriptor, 1, end - 1) != b"\n":
        end -= 1
    if end != size:
        os.ftruncate(descriptor, end)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync(path: Path) -> None:
    """Have the disk hold a file or folder as it is now."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def explain(error: OSError, path: Path) -> Exception:
    """The error of writing `path` in words, or `error` itself where there is nothing to add."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return MienError(f"{path}: no space left on disk; the file is as it was, free some and run again")
    if error.errno in _NO_PLACE:
        return MienError(f"{path}: cannot write there ({error.strerror})")
    return error
