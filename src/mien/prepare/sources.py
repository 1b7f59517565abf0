"""What there is to prepare: the files of a folder, the members of a zip or tar, with their labels."""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from mien.core.archive import is_tar
from mien.core.crawl import read_crawls
from mien.core.errors import InputError
from mien.core.labels import Label, parse_labels
from mien.core.manifest import CONTINUED
from mien.core.packed import PackReader, dataset_folder
from mien.core.path_labels import classes_of, read_paths
from mien.core.picture import PICTURE_SUFFIXES, list_files, read_bytes, walk_files
from mien.core.text import decode_text
from mien.datasets.index import Index, name_of
from mien.prepare.archive import Archive, TarArchive, is_safe

MANIFEST = "manifest.jsonl"
# Fields of a packed dataset's manifest that are of the picture, not of how it was prepared.
_CARRIED = (
    "person",
    "role",
    "group",
    "pair",
    "split",
    "licence",
    "source_url",
    "record",
    "page",
    "site",
    "labels",
)
# Tables beside the pictures, which are no pictures themselves; at the top of a source only.
_TABLES = frozenset({"dataset.json", MANIFEST, CONTINUED, "labels.csv", "metadata.csv", "metadata.jsonl"})


@dataclass(frozen=True)
class Input:
    """One file to look at. name: relative, with "/". at: its number in the zip or tar (0 in a folder).

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

    Labels come from `dataset.json` if there is one, else from class sub-folders in alphabetical order;
    folders called train, test or the like are splits. A folder filled by `mien collect` is what its manifest
    says, with fields, licences and addresses. What mien wrote there itself (zips, sheets, reports, runs) is
    left out. Raises InputError if there is no such source, it is no zip, or holds no file at all.
    """
    files = list_all(source, without=without)
    with Reader(source) as reader:
        members = {file.name: file for file in files}
        folder, passed = dataset_folder(list(members))
        document = members.get(f"{folder}/dataset.json".lstrip("/")) if folder is not None else None
        text = None if document is None else decode_text(reader.read(document), "replace")
        pictures = [name for name in members if _is_picture(name)]
        extra, placeholders = read_crawls(list(members), pictures, lambda name: reader.read(members[name]))
    files = [file for file in files if file.name not in _TABLES and file is not document]
    own: frozenset[str] = frozenset()
    if source.is_dir():
        own, passed = _own_products([file.name for file in files]), [*passed, *walk_files(source)[1]]
    files = [file for file in files if file.name not in own]
    if not files:
        raise InputError(f"{source}: no pictures in it")
    notes = (*passed, *([f"left out what mien wrote: {_first(sorted(own))}"] if own else []))
    if placeholders:
        notes = (*notes, f"left out as placeholders, which too many records share: {_first(placeholders)}")
    if extra and text is None:
        return _listed(source, files, extra, notes)
    inputs = _labelled(source, tuple(files), text, notes, folder or "")
    return inputs if text is None else _with_manifest(inputs, folder or "")


def list_all(source: Path, *, without: Sequence[Path] = ()) -> list[Input]:
    """Every visible file of a folder, zip or tar, sorted by name."""
    if source.is_dir():
        own = {path.resolve() for path in without}
        paths = [path for path in list_files(source) if not own & {path.resolve(), path.parent.resolve()}]
        return [_on_disk(path, path.relative_to(source).as_posix()) for path in paths]
    if source.is_file():
        return _list_tar(source) if is_tar(source) else _list_zip(source)
    raise InputError(f"{source}: no such folder, zip or tar")


class Reader:
    """Reads inputs by name: from a folder (rows of parquet files in it, too), a zip or a tar."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._archive: Archive | TarArchive | None = None
        if not source.is_dir():
            self._archive = TarArchive(source) if is_tar(source) else Archive(source)

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        if self._archive is not None:
            self._archive.close()

    def read(self, file: Input) -> bytes:
        """The bytes of one input. Raises BadPicture; see `Archive.read` for the reasons of zips."""
        if self._archive is not None:
            return self._archive.read(file.at)
        path, mark, row = file.name.rpartition("#")
        if mark and path.endswith(".parquet"):
            from mien.datasets.layouts import parquet  # brings torch, which workers do without otherwise

            return parquet.read_bytes(self._source / path, int(row), where=file.name)
        return read_bytes(self._source / file.name, where=file.name)


def readable(name: str) -> str:
    """`name` as valid Unicode: bytes that are no UTF-8 become question marks."""
    return os.fsencode(name).decode("utf-8", "replace")


def _on_disk(path: Path, name: str) -> Input:
    try:
        status = path.stat()
        return Input(name, key=_key(name, status.st_size, status.st_mtime_ns))
    except OSError:  # gone meanwhile; reading it will say so
        return Input(name, key=_key(name, 0, 0))


def _list_zip(source: Path) -> list[Input]:
    archive = Archive(source)
    files = [
        Input(name, at, _key(name, member.file_size, member.CRC, at))
        for at, (name, member) in enumerate(archive.members)
        if not member.filename.endswith(("/", "\\")) and not _hidden(name)
    ]
    archive.close()
    return sorted(files, key=lambda file: (file.name, file.at))


def _list_tar(source: Path) -> list[Input]:
    archive, changed = TarArchive(source), source.stat().st_mtime_ns
    files = [
        Input(name, at, _key(name, info.size, changed, at))
        for at, (name, info) in enumerate(archive.members)
        if not _hidden(name)
    ]
    archive.close()
    return sorted(files, key=lambda file: (file.name, file.at))


def list_rows(index: Index) -> tuple[Input, ...]:
    """The rows of a parquet layout's files."""
    changed = {
        file: (index.root / file).stat().st_mtime_ns for file in {entry.file for entry in index.entries}
    }
    names = [(name_of(entry), changed[entry.file]) for entry in index.entries]
    return tuple(Input(name, key=_key(name, state)) for name, state in names)


def _key(name: str, *state: int) -> str:
    text = os.fsencode(name) + repr(state).encode()
    return hashlib.sha256(text).hexdigest()[:32]


def _hidden(name: str) -> bool:
    parts = [part for part in name.replace("\\", "/").split("/") if part not in (".", "..")]
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES and is_safe(name)


def _listed(
    source: Path, files: Sequence[Input], extra: Mapping[str, Mapping[str, Any]], notes: tuple[str, ...]
) -> Inputs:
    """The files that a crawl's manifest names; whatever else lies there is the crawl's own."""
    listed = tuple(file for file in files if file.name in extra)
    if not listed:
        raise InputError(f"{source}: {MANIFEST} names none of the {len(files)} files in it")
    gone = len(extra) - len(listed)
    if gone:
        notes = (*notes, f"{gone} files that {MANIFEST} names are missing")
    return Inputs(source, listed, notes=notes, extra=extra)


def _labelled(
    root: Path, files: tuple[Input, ...], document: str | None, notes: tuple[str, ...], folder: str
) -> Inputs:
    """Class numbers or vectors by name, and the split that folders name, as every command reads them."""
    names = [file.name for file in files if is_safe(file.name)]
    pictures = [name for name in names if _is_picture(name)]
    placed = read_paths(names)
    extra = {name: {"split": path.split} for name, path in zip(names, placed, strict=True) if path.split}
    if document is not None:
        parsed = parse_labels(document, pictures, folder=folder)
        notes = (*notes, *parsed.notes, *([f"no labels: {parsed.problem}"] if parsed.problem else []))
        labels = None if parsed.labels is None else dict(zip(pictures, parsed.labels, strict=True))
        return Inputs(root, files, labels, parsed.class_names, notes, extra)
    of_picture = dict(zip(names, placed, strict=True))
    classes = classes_of(pictures, [of_picture[name] for name in pictures])
    class_names = sorted({name for name in classes if name is not None})
    loose = [name for name, its in zip(pictures, classes, strict=True) if its is None]
    if not class_names or loose:
        if class_names:
            note = (
                f"no labels: {len(loose)} pictures lie beside the class folders, first {readable(loose[0])}"
            )
            notes = (*notes, note)
        return Inputs(root, files, notes=notes, extra=extra)
    numbers = {name: class_names.index(str(its)) for name, its in zip(pictures, classes, strict=True)}
    for name, path in of_picture.items():  # a file may turn out to be a picture in spite of its name
        own = [class_names.index(folder) for folder in path.folders if folder in class_names]
        if own and name not in numbers:
            numbers[name] = own[0]
    return Inputs(root, files, numbers, tuple(readable(name) for name in class_names), notes, extra)


def _with_manifest(inputs: Inputs, folder: str) -> Inputs:
    """Of a packed dataset: what its manifest says of each picture, without those that were tossed."""
    try:
        pack = PackReader(inputs.root)
    except InputError:  # with members that it refuses, and `prepare` leaves out
        return inputs
    there = {file.name for file in inputs.files}
    full = {
        name: path
        for name in (*pack.names, *pack.tossed)
        if (path := f"{folder}/{name}".lstrip("/")) in there
    }
    known = {
        full[name]: {field: record[field] for field in _CARRIED if record.get(field)}
        for name, record in zip(pack.names, map(dict, pack.records), strict=True)
        if name in full
    }
    tossed = {full[name] for name in pack.tossed if name in full}
    note = (f"left out as tossed in curate: {_first(sorted(tossed))}",) if tossed else ()
    return replace(
        inputs,
        files=tuple(file for file in inputs.files if file.name not in tossed),
        notes=(*inputs.notes, *note),
        extra={name: {**inputs.extra.get(name, {}), **known.get(name, {})} for name in there - tossed},
    )


def _own_products(names: Sequence[str]) -> frozenset[str]:
    """The files among `names` that mien wrote: what `prepare` leaves beside its zips, and runs."""
    there = set(names)
    runs = {name.removesuffix("config.json") for name in names if PurePosixPath(name).name == "config.json"}
    runs = {run for run in runs if f"{run}log.jsonl" in there and run}
    own = set()
    for name in names:
        path = PurePosixPath(name)
        if any(part.endswith(".work") for part in path.parts[:-1]) or any(
            name.startswith(run) for run in runs
        ):
            own.add(name)
        stem = re.sub(r"(-sheet\.jpg|-report\.html|\.manifest\.jsonl|\.zip)$", "", name)
        packed = f"{stem}.zip" in there or f"{stem}-report.html" in there
        if stem != name and (not name.endswith(".zip") or f"{stem}-report.html" in there) and packed:
            own.add(name)
    return frozenset(own)


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
    return readable(names[0]) + more
