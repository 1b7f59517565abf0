"""What `mien data info` looks at: any layout, packed dataset or folder as one list of entries."""

import io
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from mien.core.discover import load
from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.packed import PackReader
from mien.core.picture import BadPicture, decode, read_bytes
from mien.datasets.header import FORMATS, Header
from mien.datasets.index import Entry, Index, Problem
from mien.datasets.layouts import folder
from mien.datasets.opening import layouts, open_dataset, open_index, recognise

_PACKAGE = "mien.datasets.layouts"
_NOT_LABELS = frozenset({"person", "pair", "role", "shot", "hidden"})  # of a record's labels


@dataclass(frozen=True)
class Look:
    """One picture to look at. do: its header, after decoding all of it unless told to be quick; raises
    InputError (BadPicture) where that fails.
    """

    where: str
    do: Callable[[bool], Header]


@dataclass(frozen=True)
class Source:
    """opened_as: what to write where DATA is taken."""

    layout: str
    opened_as: str
    entries: tuple[Entry, ...]
    looks: tuple[Look, ...]
    counts: Mapping[str, int]
    licence: str
    citation: str
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def find_source(given: str, *, progress: Tick | None = None) -> Source:
    """Recognise `given`: "NAME:FOLDER?options", "rendered:...", a zip, a folder of whatever layout.

    Raises InputError where there is nothing like that, or no picture in it.
    """
    path = Path(given)
    if not given or not path.exists():
        name, _, where = given.partition(":")
        if name == "folder" and Path(where).exists():
            return _from_pack(Path(where))
        return _from_index(given) if name in layouts() else _from_rendered(given, progress)
    if path.is_dir() and not (path / "dataset.json").exists():
        layout = recognise(path)
        if layout is not None:
            return _from_index(f"{layout}:{given}")
    return _from_pack(path)


def _from_index(source: str) -> Source:
    index = open_index(source)
    module = load(_PACKAGE, index.layout)
    if not index.entries and not index.problems:
        raise InputError(f"{index.root}: {index.layout}: there are no pictures in it")
    return Source(
        index.layout,
        source,
        index.entries,
        _looks(index, getattr(module, "as_stored", None)),
        index.counts,
        index.licence or module.LICENCE,
        module.CITATION,
        index.problems,
        index.notes,
    )


def _looks(index: Index, as_stored: Callable[[Path, Entry], Any] | None) -> tuple[Look, ...]:
    """One for each file, or for each picture in files that are no pictures themselves."""

    def look_inside(entry: Entry, quick: bool) -> Header:
        assert as_stored is not None
        pixels = as_stored(index.root, entry)
        return Header(pixels.shape[1], pixels.shape[0], "L" if pixels.ndim == 2 else "RGB")

    def look_at(file: str, quick: bool) -> Header:
        return _header(read_bytes(index.root / file, where=file), file, quick)

    looks: dict[str, Look] = {}
    for entry in index.entries:
        inside = bool(entry.part) and as_stored is not None
        where = f"{entry.file}#{entry.part}" if inside else entry.file
        do = partial(look_inside, entry) if inside else partial(look_at, entry.file)
        looks.setdefault(where, Look(where, do))
    return tuple(looks.values())


def _header(data: bytes, where: str, quick: bool) -> Header:
    """Size (upright) and mode; all of the picture is decoded unless `quick`."""
    picture = None if quick and data else decode(data, where=where)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            size = opened.size if picture is None else (picture.width, picture.height)
            return Header(*size, opened.mode)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        decode(data, where=where)  # says better what is wrong
        raise BadPicture(where, "unreadable", "its header cannot be read") from error


def _from_pack(path: Path) -> Source:
    pack = PackReader(path)

    def look(at: int, quick: bool) -> Header:
        return _header(pack.read(at), pack.names[at], quick)

    looks = tuple(Look(name, partial(look, at)) for at, name in enumerate(pack.names))
    licences = Counter(str(record["licence"]) for record in pack.records if record.get("licence"))
    return Source(
        "packed" if pack.packed else "folder" if path.is_dir() else "zip",
        str(path),
        tuple(_packed_entries(pack)),
        looks,
        _pack_counts(pack),
        ", ".join(f"{name} ({count:,})" for name, count in licences.most_common()) or folder.LICENCE,
        folder.CITATION,
        notes=_dropped(pack),
    )


def _packed_entries(pack: PackReader) -> list[Entry]:
    named = _class_labels(pack)
    out = []
    for name, label, record in zip(pack.names, named, pack.records, strict=True):
        known = record.get("labels") or {}
        labels = label | {k: v for k, v in known.items() if k not in _NOT_LABELS and _is_single(v)}
        person = _text(record, known, "person")
        group = _text(record, known, "group") or _text(record, known, "pair")
        split = _text(record, {}, "split")
        role = _text(record, known, "role")
        out.append(Entry(name, labels, person=person, role=role, split=split, group=group))
    return out


def _class_labels(pack: PackReader) -> list[dict[str, Any]]:
    if pack.labels is None:
        parts = [PurePosixPath(name).parts[:-1] for name in pack.names]
        classed = not pack.packed and all(parts) and len({part[0] for part in parts}) > 1
        return [{"class": part[0]} if classed else {} for part in parts]
    names = dict(enumerate(pack.class_names))
    return [
        {"class": names.get(label, str(label))}
        if isinstance(label, int)
        else {names.get(at, f"label {at}"): value for at, value in enumerate(label)}
        for label in pack.labels
    ]


def _text(record: Mapping[str, Any], labels: Mapping[str, Any], name: str) -> str:
    value = record.get(name, labels.get(name))
    return "" if value is None else str(value)


def _is_single(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)


def _pack_counts(pack: PackReader) -> dict[str, int]:
    dropped = sum(record.get("file") is None for record in pack.all_records)
    people = {_text(record, record.get("labels") or {}, "person") for record in pack.records} - {""}
    counts = {"pictures": len(pack), "people": len(people), "tossed": len(pack.tossed), "dropped": dropped}
    return {name: count for name, count in counts.items() if count or name == "pictures"}


def _dropped(pack: PackReader) -> tuple[str, ...]:
    reasons = Counter(str(r.get("reason")) for r in pack.all_records if r.get("file") is None)
    return tuple(f"dropped when it was prepared: {count:,} {name}" for name, count in reasons.most_common())


def _from_rendered(given: str, progress: Tick | None) -> Source:
    dataset = open_dataset(given, progress=progress)
    module = load(_PACKAGE, given.partition(":")[0])
    channels, size = dataset.spec.channels, dataset.spec.resolution
    entries = []
    for at, record in enumerate(dataset.records):
        known = record.get("labels") or {}
        labels = {k: v for k, v in known.items() if k not in _NOT_LABELS and _is_single(v)}
        labels |= known.get("attributes") or {}
        entries.append(Entry(str(at), labels, person=_text(record, known, "person")))
    header = Header(size, size, "L" if channels == 1 else "RGB")
    looks = tuple(Look(entry.file, lambda quick: header) for entry in entries)
    people = len({entry.person for entry in entries})
    counts = {"pictures": len(dataset), "people": people}
    return Source(
        given.partition(":")[0], given, tuple(entries), looks, counts, module.LICENCE, module.CITATION
    )
