"""What there is to prepare: the files of a folder or the members of a zip, with their labels."""

import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mien.core.errors import InputError
from mien.core.labels import Label, parse_labels
from mien.core.picture import MAX_BYTES, PICTURE_SUFFIXES, BadPicture, list_files, read_bytes

_BESIDE = frozenset({"dataset.json", "manifest.jsonl"})
_MOST_MEMBERS = 1_000_000


@dataclass(frozen=True)
class Input:
    """One file to look at. name: relative, with "/". at: its number in the zip (0 in a folder)."""

    name: str
    at: int = 0


@dataclass(frozen=True)
class Inputs:
    """Everything in a source, sorted by name.

    labels: by name; None for an unlabelled source. class_names: what class numbers mean, perhaps ().
    notes: lines for the user about how the source was understood.
    """

    files: tuple[Input, ...]
    labels: Mapping[str, Label] | None = None
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def list_inputs(source: Path, *, without: Sequence[Path] = ()) -> Inputs:
    """List folder or zip `source`, leaving out the files `without` (our own output).

    Labels come from `dataset.json` if there is one, else from class sub-folders in alphabetical order.
    Raises InputError if there is no such source, it is no zip, or holds no file at all.
    """
    if source.is_dir():
        own = {path.resolve() for path in without}
        paths = [path for path in list_files(source) if path.resolve() not in own]
        files = [Input(path.relative_to(source).as_posix()) for path in paths]
    elif source.is_file():
        files = _list_zip(source)
    else:
        raise InputError(f"{source}: no such folder or zip")
    with Reader(source) as reader:
        packed = next((file for file in files if file.name == "dataset.json"), None)
        document = None if packed is None else reader.read(packed).decode("utf-8", "replace")
    if document is not None:
        files = [file for file in files if file.name not in _BESIDE]
    if not files:
        raise InputError(f"{source}: no pictures in it")
    pictures = [file.name for file in files if _is_picture(file.name)]
    if document is None:
        return _folder_labels(tuple(files), pictures)
    labels, class_names = parse_labels(document, pictures, str(source))
    by_name = None if labels is None else dict(zip(pictures, labels, strict=True))
    return Inputs(tuple(files), by_name, class_names)


class Reader:
    """Reads inputs by name: from a folder, or from a zip without ever unpacking it to disk."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._zip = None if source.is_dir() else zipfile.ZipFile(source)
        self._members = [] if self._zip is None else self._zip.infolist()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        if self._zip is not None:
            self._zip.close()

    def read(self, file: Input) -> bytes:
        """The bytes of one input. Raises BadPicture, whose reason may also be "unsafe-name"."""
        if self._zip is None:
            return read_bytes(self._source / file.name, where=file.name)
        if not _is_safe(file.name):
            raise BadPicture(file.name, "unsafe-name", "its name leads out of the zip; it was not read")
        member = self._members[file.at]
        if member.file_size > MAX_BYTES:
            limit = f"{MAX_BYTES >> 20} MiB"
            raise BadPicture(file.name, "too-large", f"it unpacks to more than {limit}; it was not read")
        try:
            with self._zip.open(member) as stream:
                return stream.read(MAX_BYTES)
        except Exception as error:  # zipfile raises nearly anything for a damaged or encrypted member
            detail = f"the zip's member cannot be read ({' '.join(str(error).split())[:120]})"
            raise BadPicture(file.name, "unreadable", detail) from error


def readable(name: str) -> str:
    """`name` as valid Unicode: bytes that are no UTF-8 become question marks."""
    return os.fsencode(name).decode("utf-8", "replace")


def _list_zip(source: Path) -> list[Input]:
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
    except Exception as error:  # zipfile raises nearly anything for a damaged directory
        raise InputError(f"{source}: neither a folder nor a zip that can be read ({error})") from error
    if len(members) > _MOST_MEMBERS:
        raise InputError(f"{source}: more than {_MOST_MEMBERS:,} members; split it, or unpack it yourself")
    files = [Input(member.filename, at) for at, member in enumerate(members) if not member.is_dir()]
    shown = [file for file in files if not _hidden(file.name)]
    return sorted(shown, key=lambda file: (file.name, file.at))


def _hidden(name: str) -> bool:
    parts = [part for part in name.split("/") if part not in (".", "..")]
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _is_safe(name: str) -> bool:
    return not (name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/"))


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES and _is_safe(name)


def _folder_labels(files: tuple[Input, ...], pictures: list[str]) -> Inputs:
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
            return Inputs(files, numbers, tuple(readable(name) for name in found))
        depth += 1
    loose = [name for name, parts in folders.items() if len(parts) <= depth]
    if loose and len(loose) < len(folders):
        note = f"no labels: {len(loose)} pictures lie beside the class folders, first {readable(loose[0])}"
        return Inputs(files, notes=(note,))
    return Inputs(files)


def _class_of(name: str, depth: int, classes: list[str]) -> int | None:
    """The class of a file that may turn out to be a picture in spite of its name."""
    parts = PurePosixPath(name).parts[:-1]
    return classes.index(parts[depth]) if len(parts) > depth and parts[depth] in classes else None
