"""What there is to prepare: the files of a folder or the members of a zip, with their labels."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mien.core.errors import InputError
from mien.core.labels import Label, parse_labels
from mien.core.manifest import CONTINUED
from mien.core.picture import PICTURE_SUFFIXES, list_files, read_bytes
from mien.prepare.archive import Archive, is_safe

MANIFEST = "manifest.jsonl"
# Tables beside the pictures, which are no pictures themselves; at the top of a source only.
_TABLES = frozenset({"dataset.json", MANIFEST, CONTINUED, "labels.csv", "metadata.csv", "metadata.jsonl"})


@dataclass(frozen=True)
class Input:
    """One file to look at. name: relative, with "/". at: its number in the zip (0 in a folder).

    key: changes when name, length or time (in a zip: checksum) do.
    """

    name: str
    at: int = 0
    key: str = ""


@dataclass(frozen=True)
class Inputs:
    """Everything in a source, sorted by name.

    root: the folder or zip. labels: by name; None for an unlabelled source. class_names: what class numbers
    mean, perhaps (). extra: by name, what else the source knows for the records. notes: lines for the user
    about how the source was understood.
    """

    root: Path
    files: tuple[Input, ...]
    labels: Mapping[str, Label] | None = None
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    extra: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def list_inputs(source: Path, *, without: Sequence[Path] = ()) -> Inputs:
    """List folder or zip `source`, leaving out the files and folders `without` (our own output).

    Labels come from `dataset.json` if there is one, else from class sub-folders in alphabetical order. A
    folder filled by `mien collect` is what its manifest says, with fields, licences and addresses.
    Raises InputError if there is no such source, it is no zip, or holds no file at all.
    """
    files = list_all(source, without=without)
    with Reader(source) as reader:
        beside = {file.name: file for file in files if file.name in _TABLES}
        texts = {
            name: reader.read(file).decode("utf-8", "replace")
            for name, file in beside.items()
            if name in ("dataset.json", MANIFEST)
        }
    files = [file for file in files if file.name not in _TABLES]
    if not files:
        raise InputError(f"{source}: no pictures in it")
    if "dataset.json" in texts:
        pictures = [file.name for file in files if _is_picture(file.name)]
        labels, class_names = parse_labels(texts["dataset.json"], pictures, str(source))
        by_name = None if labels is None else dict(zip(pictures, labels, strict=True))
        return Inputs(source, tuple(files), by_name, class_names)
    extra = _collected(texts.get(MANIFEST, ""))
    if extra:
        return _listed(source, files, extra)
    return _folder_labels(source, tuple(files), [file.name for file in files if _is_picture(file.name)])


def list_all(source: Path, *, without: Sequence[Path] = ()) -> list[Input]:
    """Every visible file of a folder or zip, sorted by name."""
    if source.is_dir():
        own = {path.resolve() for path in without}
        paths = [path for path in list_files(source) if not own & {path.resolve(), path.parent.resolve()}]
        return [_on_disk(path, path.relative_to(source).as_posix()) for path in paths]
    if source.is_file():
        return _list_zip(source)
    raise InputError(f"{source}: no such folder or zip")


class Reader:
    """Reads inputs by name: from a folder, or from a zip without ever unpacking it to disk."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._archive = None if source.is_dir() else Archive(source)

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        if self._archive is not None:
            self._archive.close()

    def read(self, file: Input) -> bytes:
        """The bytes of one input. Raises BadPicture; see `Archive.read` for the reasons of zips."""
        if self._archive is not None:
            return self._archive.read(file.at)
        return read_bytes(self._source / file.name, where=file.name)


def readable(name: str) -> str:
    """`name` as valid Unicode: bytes that are no UTF-8 become question marks."""
    return os.fsencode(name).decode("utf-8", "replace")


def _on_disk(path: Path, name: str) -> Input:
    try:
        found = path.stat()
        return Input(name, key=_key(name, found.st_size, found.st_mtime_ns))
    except OSError:  # gone meanwhile; reading it will say so
        return Input(name, key=_key(name, 0, 0))


def _list_zip(source: Path) -> list[Input]:
    archive = Archive(source)
    files = [
        Input(member.filename, at, _key(member.filename, member.file_size, member.CRC, at))
        for at, member in enumerate(archive.members)
        if not member.is_dir() and not _hidden(member.filename)
    ]
    archive.close()
    return sorted(files, key=lambda file: (file.name, file.at))


def _key(name: str, *state: int) -> str:
    text = os.fsencode(name) + repr(state).encode()
    return hashlib.sha256(text).hexdigest()[:32]


def _hidden(name: str) -> bool:
    parts = [part for part in name.replace("\\", "/").split("/") if part not in (".", "..")]
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES and is_safe(name)


def _collected(manifest: str) -> dict[str, Mapping[str, Any]]:
    """What the manifest of `mien collect` says of each file (first line first); {} if it is another's."""
    extra: dict[str, Mapping[str, Any]] = {}
    for line in manifest.split("\n"):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):  # a crawl that was killed leaves half a line
            continue
        if isinstance(entry, dict) and isinstance(entry.get("file"), str) and "page" in entry:
            fields, url, licence = entry.get("fields"), entry.get("source"), entry.get("licence")
            labels = fields if isinstance(fields, dict) else {}
            known = {"licence": licence, "source_url": url, "labels": labels}
            extra.setdefault(entry["file"], known)
    return extra


def _listed(source: Path, files: Sequence[Input], extra: Mapping[str, Mapping[str, Any]]) -> Inputs:
    """The files that a crawl's manifest names; whatever else lies there is the crawl's own."""
    listed = tuple(file for file in files if file.name in extra)
    if not listed:
        raise InputError(f"{source}: {MANIFEST} names none of the {len(files)} files in it")
    gone = len(extra) - len(listed)
    notes = (f"{gone} files that {MANIFEST} names are missing",) if gone else ()
    return Inputs(source, listed, notes=notes, extra=extra)


def _folder_labels(root: Path, files: tuple[Input, ...], pictures: list[str]) -> Inputs:
    """Class numbers from the first folder in which the pictures differ."""
    folders = {name: PurePosixPath(name).parts[:-1] for name in pictures}
    depth = 0
    while folders and all(len(parts) > depth for parts in folders.values()):
        found = sorted({parts[depth] for parts in folders.values()})
        if len(found) > 1:
            numbers = {name: found.index(parts[depth]) for name, parts in folders.items()}
            others = {
                file.name: _class_of(file.name, depth, found) for file in files if file.name not in numbers
            }
            numbers |= {name: number for name, number in others.items() if number is not None}
            return Inputs(root, files, numbers, tuple(readable(name) for name in found))
        depth += 1
    loose = [name for name, parts in folders.items() if len(parts) <= depth]
    if loose and len(loose) < len(folders):
        note = f"no labels: {len(loose)} pictures lie beside the class folders, first {readable(loose[0])}"
        return Inputs(root, files, notes=(note,))
    return Inputs(root, files)


def _class_of(name: str, depth: int, classes: list[str]) -> int | None:
    """The class of a file that may turn out to be a picture in spite of its name."""
    parts = PurePosixPath(name).parts[:-1]
    return classes.index(parts[depth]) if len(parts) > depth and parts[depth] in classes else None
