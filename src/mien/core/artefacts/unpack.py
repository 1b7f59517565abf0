"""Unpack published archives: read pinned members by name, convert them, and write the cached file.

Nothing is ever extracted to a path that an archive names, and nothing of a package runs.
"""

import hashlib
import importlib
import json
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.core.artefacts.cached import file_sha256, folder
from mien.core.artefacts.table import Artefact, Member, Package, Source
from mien.core.atomic import write_bytes
from mien.core.errors import MienError

_TYPES = {"float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "uint8": "U8"}


def check_archive(archive: Path, package: Package) -> None:
    """Raise MienError unless `archive` is the pinned one."""
    if archive.stat().st_size == package.size and file_sha256(archive) == package.sha256:
        return
    start = archive.read_bytes()[:200].lstrip().lower() if archive.stat().st_size < 1 << 20 else b""
    page = " (a web page came instead: is a proxy or a login in the way?)" if start.startswith(b"<") else ""
    raise MienError(
        f"{archive.name}: its SHA-256 is not the pinned one of {package.spec}{page}; nothing was kept, "
        "try again"
    )


def read_members(archive: Path, members: Sequence[Member]) -> list[bytes]:
    """The bytes of `members`, each of its pinned size and hash. Raises MienError.

    An archive in which any name leaves it (absolute, or with `..`) is refused whole.
    """
    try:
        read = _from_zip if zipfile.is_zipfile(archive) else _from_tar
        contents = read(archive, {member.path: member.size for member in members})
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError) as error:
        raise MienError(f"{archive.name}: not a whole archive ({error}); nothing was kept") from error
    for member in members:
        data = contents.get(member.path)
        if data is None:
            raise MienError(f"{archive.name}: {member.path} is missing in it; nothing was kept")
        if hashlib.sha256(data).hexdigest() != member.sha256:
            raise MienError(f"{archive.name}: {member.path} has the wrong SHA-256; it was not kept")
    return [contents[member.path] for member in members]


def keep(artefact: Artefact, source: Source, members: Sequence[bytes]) -> Path:
    """Convert the members (already checked) and write the cached file whole; return its path."""
    data = members[0] if source.convert is None else safetensors_bytes(_converted(source.convert, members))
    if hashlib.sha256(data).hexdigest() != source.sha256:
        raise MienError(f"artefact {artefact.name}: its conversion gave other bytes than the pinned ones")
    path = folder() / artefact.file
    write_bytes(path, data)
    return path


def safetensors_bytes(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """Named arrays as a safetensors file whose bytes depend on nothing else, so that they can be pinned."""
    header: dict[str, dict[str, object]] = {}
    parts: list[bytes] = []
    end = 0
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        part = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        kind = _TYPES[array.dtype.name]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [end, end + len(part)]}
        parts.append(part)
        end += len(part)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(parts)


def _converted(convert: str, members: Sequence[bytes]) -> dict[str, NDArray[Any]]:
    module, _, function = convert.partition(":")
    result: dict[str, NDArray[Any]] = getattr(importlib.import_module(module), function)(*members)
    return result


def _from_zip(archive: Path, sizes: Mapping[str, int]) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            _refuse_leaving(archive, info.filename)
            if sizes.get(info.filename) == info.file_size:
                contents[info.filename] = file.read(info)
    return contents


def _from_tar(archive: Path, sizes: Mapping[str, int]) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    with tarfile.open(archive, "r:*") as file:
        for info in file:
            _refuse_leaving(archive, info.name)
            if info.isreg() and sizes.get(info.name) == info.size:
                part = file.extractfile(info)
                assert part is not None  # a regular file
                contents[info.name] = part.read()
    return contents


def _refuse_leaving(archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[:1]:
        raise MienError(f"{archive.name}: its member {name[:80]!r} leaves the archive; nothing was kept")
