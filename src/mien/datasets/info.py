"""`mien data info`: what a dataset is, what its labels hold, and what is missing or broken, file by file.

Any source is looked at as one list of entries, read as every other command reads it.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from mien.core.errors import InputError
from mien.core.events import Column, Events, Table, Tick, job
from mien.core.picture import decode
from mien.core.text import one_line
from mien.datasets.header import Header, read_header
from mien.datasets.index import Entry, Index, Problem, name_of
from mien.datasets.layout import of_split, parse_options, read_index
from mien.datasets.opening import Source, recognise, resolve
from mien.datasets.stored import in_threads
from mien.labels.columns import single_labels, text_of
from mien.labels.statistics import LabelStats, SplitStats, label_stats, on_two_sides, split_stats

_NAMED = 50  # problems and people that are listed; --json names all
_MOST_SIZES = 6
_MOST_VALUES = 6


Look = Callable[[bool], Header]  # a picture's header; not quick: after decoding all of it. Raises InputError


@dataclass(frozen=True)
class Info:
    """What `inspect` reads of a dataset.

    sizes: "512x512 RGB" -> pictures, the most frequent first. problems: of lists and missing files.
    broken: pictures that cannot be decoded. decoded: whether all of each picture was tried.
    """

    source: str
    layout: str
    opened_as: str
    pictures: int
    counts: dict[str, int]
    sizes: dict[str, int]
    labels: tuple[LabelStats, ...]
    splits: dict[str, SplitStats]
    on_two_sides: tuple[str, ...]
    problems: tuple[Problem, ...]
    broken: tuple[Problem, ...]
    notes: tuple[str, ...]
    licence: str
    citation: str
    decoded: bool

    def as_json(self) -> str:
        """Everything, as one indented object."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)


@job
def info(events: Events, source: str, /, *, quick: bool = False, json: bool = False) -> Info:
    """Say what a dataset is: layout, counts, label balance, splits, and every missing or broken file.

    Parameters
    ----------
    source
        A folder or zip of whatever layout, "NAME:FOLDER?options", or "rendered:2000".
    quick
        Read the pictures' headers only; broken pictures may go unseen.
    json
        One JSON object instead of tables.
    """
    progress = None if json else events.progress("looking at pictures")
    dataset = inspect(source, quick=quick, progress=progress)
    if json:
        events.note(dataset.as_json())
        return dataset
    for table in _tables(dataset):
        events.send(table)
    events.note("\n".join(map(one_line, _lines(dataset))))
    return dataset


def inspect(source: str, *, quick: bool = False, progress: Tick | None = None) -> Info:
    """Look at a dataset without changing anything.

    quick: read the pictures' headers only. progress: called with (done, total) pictures. Raises InputError
    where nothing can be recognised.
    """
    opened = resolve(source)
    known = recognise(opened.path) if opened == ("folder", source) else None
    if known is not None:
        opened = Source(known, source)
    if hasattr(opened.module, "index"):
        opened_as = source if known is None else f"{known}:{source}"
        index, looks = _read(opened, opened_as, bare=known is not None)
    else:
        opened_as = f"{opened.layout}:{opened.where}"
        index, looks = _of_rendered(opened, progress)
    headers, broken = _look(looks, quick, progress)
    sizes = Counter(f"{header} {header.mode}" for header in headers)
    records = index.records
    return Info(
        source,
        index.kind or index.layout,
        opened_as,
        len(index.entries),
        dict(index.counts),
        dict(sizes.most_common()),
        label_stats(records),
        split_stats(records),
        on_two_sides(records),
        index.problems,
        broken,
        (*index.notes, *_hints(source, index, headers)),
        index.licence or opened.module.LICENCE,
        opened.module.CITATION,
        not quick,
    )


def _hints(source: str, index: Index, headers: Sequence[Header]) -> Iterator[str]:
    layout = index.kind or index.layout
    if layout == "pairs" and not source.startswith("pairs:") and not any(e.part for e in index.entries):
        yield f"the same names in both folders: taken as pairs; as classes, open folder:{source}"
    if layout == "folder" and _may_be_pairs(index.entries):
        plain = source.removeprefix("folder:").partition("?")[0]
        yield f"the same names in both folders: taken as classes; as pairs, open pairs:{plain}"
    if layout not in ("folder", "packed", "zip", "tar") or "size" in parse_options(source)[1]:
        return  # these are made square and of one size when they are opened
    several = len({header.size for header in headers}) > 1
    if several or (headers and headers[0].width != headers[0].height):
        what = "of several sizes" if several else "not square"
        cut = f"mien prepare {source} OUT.zip --size 64 cuts out the faces"
        yield f"pictures are {what}: {cut}, with --finder none the middle squares"


def _may_be_pairs(entries: Sequence[Entry]) -> bool:
    """Two class folders with pictures of the same names."""
    names: dict[str, set[str]] = {}
    for entry in entries:
        path = PurePosixPath(entry.file)
        names.setdefault(str(entry.labels.get("class")), set()).add(f"{entry.split}/{path.stem}")
    sides = list(names.values())
    return len(sides) == 2 and sides[0] == sides[1]


def _look(
    looks: Mapping[str, Look], quick: bool, progress: Tick | None
) -> tuple[list[Header], tuple[Problem, ...]]:
    def one(where: str) -> Header | Problem:
        try:
            return looks[where](quick)
        except InputError as error:
            return Problem(where, str(error).removeprefix(f"{where}: "))

    headers: list[Header] = []
    broken: list[Problem] = []
    for done, header in enumerate(in_threads(one, looks), 1):
        if isinstance(header, Problem):
            broken.append(header)
        else:
            headers.append(header)
        if progress:
            progress(done, len(looks))
    return headers, tuple(broken)


def _tables(dataset: Info) -> Iterator[Table]:
    rows = (
        ("layout", f"{dataset.layout} (open it as {dataset.opened_as})"),
        *((name, f"{count:,}") for name, count in dataset.counts.items()),
        ("sizes", _most(dataset.sizes, _MOST_SIZES)),
        ("licence", dataset.licence),
        ("cite", dataset.citation),
    )
    yield Table((Column("dataset"), Column(dataset.source, wraps=True)), rows)
    kinds = (Column("label"), Column("kind"), Column("known", numbers=True), Column("values", wraps=True))
    count = max(dataset.pictures, 1)
    labels = [(each.name, each.kind, f"{each.known / count:.0%}", _values(each)) for each in dataset.labels]
    sides = [
        (name, f"{side.pictures:,}", "not known" if side.people is None else f"{side.people:,}")
        for name, side in dataset.splits.items()
    ]
    if labels:
        yield Table(kinds, tuple(labels))
    if sides:
        columns = (Column("split"), Column("pictures", numbers=True), Column("people", numbers=True))
        yield Table(columns, tuple(sides))


def _most(counts: dict[str, int], most: int) -> str:
    """ "512x512 RGB 204, 64x64 L 3, others 9" """
    shown = [f"{name} {count:,}" for name, count in list(counts.items())[:most]]
    rest = list(counts.values())[most:]
    return ", ".join(shown + ([f"others {sum(rest):,}"] if rest else [])) or "none"


def _values(label: LabelStats) -> str:
    parts = []
    if label.kind == "number":
        parts.append(f"{label.low:.6g} to {label.high:.6g}, median {label.middle:.6g}")
    shown = list(label.values.items())[:_MOST_VALUES]
    if shown:
        parts.append(", ".join(f"{value} {count / label.known:.1%}" for value, count in shown))
    rest = len(label.values) - len(shown)
    return "; ".join(parts) + (f", {rest:,} others" if rest else "")


def _lines(dataset: Info) -> Iterator[str]:
    """What the tables do not say: notes, people in both parts of a split, and what is missing or broken."""
    if dataset.splits:
        yield _split_people(dataset)
    for note in dataset.notes:
        yield f"note: {note}"
    tried = "cannot be decoded" if dataset.decoded else "have no readable header"
    yield from _listed(f"{len(dataset.broken):,} pictures {tried}", dataset.broken)
    yield from _listed(f"{len(dataset.problems):,} problems", dataset.problems)
    if not dataset.broken and not dataset.problems:
        yield "nothing is missing or broken" + ("" if dataset.decoded else " (headers only)")


def _split_people(dataset: Info) -> str:
    both = dataset.on_two_sides
    if both:
        more = f" and {len(both) - _NAMED:,} more" if len(both) > _NAMED else ""
        return f"{len(both):,} people are on two sides of the split: {', '.join(both[:_NAMED])}{more}"
    if any(side.people for side in dataset.splits.values()):
        return "nobody is on two sides of the split"
    return "who is shown is not known: whether a person is on two sides cannot be checked"


def _listed(title: str, problems: tuple[Problem, ...]) -> Iterator[str]:
    if not problems:
        return
    yield f"{title}:"
    for problem in problems[:_NAMED]:
        yield f"  {problem}"
    if len(problems) > _NAMED:
        yield f"  and {len(problems) - _NAMED:,} more; --json names all"


def _read(source: Source, opened_as: str, *, bare: bool) -> tuple[Index, dict[str, Look]]:
    """What a source of files holds, of the split that is asked for. bare: it was not named by its layout."""
    index, options = read_index(source.layout, source.module.index, source.where)
    if not index.entries and not index.problems:
        raise InputError(f"{index.root}: {index.layout}: there are no pictures in it")
    looks = _looks_at(index, getattr(source.module, "as_stored", None))
    hint = f"write {opened_as} wherever DATA is taken; {source.where} alone is read as plain pictures"
    notes = (*index.notes, hint) if bare else index.notes
    return replace(index, entries=of_split(index.entries, options.split), notes=notes), looks


def _looks_at(index: Index, as_stored: Callable[[Path, Entry], Any] | None) -> dict[str, Look]:
    """One for each file, or for each picture in files that are no pictures themselves."""

    def look_inside(entry: Entry, quick: bool) -> Header:
        assert as_stored is not None
        pixels = as_stored(index.root, entry)
        return Header(pixels.shape[1], pixels.shape[0], "L" if pixels.ndim == 2 else "RGB")

    def look_at(file: str, quick: bool) -> Header:
        data = index.read(file)
        if not quick:
            decode(data, where=file)
        return read_header(data, where=file)

    looks: dict[str, Look] = {}
    for entry in index.entries:
        inside = bool(entry.part) and as_stored is not None
        where = name_of(entry) if inside else entry.file
        looks.setdefault(where, partial(look_inside, entry) if inside else partial(look_at, entry.file))
    return looks


def _of_rendered(source: Source, progress: Tick | None) -> tuple[Index, dict[str, Look]]:
    dataset = source.module.open(source.where, progress=progress)
    channels, size = dataset.spec.channels, dataset.spec.resolution
    entries = tuple(
        Entry(str(at), single_labels(record), text_of(record, "person"))
        for at, record in enumerate(dataset.records)
    )
    header = Header(size, size, "L" if channels == 1 else "RGB")
    counts = {"pictures": len(dataset), "people": len({entry.person for entry in entries})}
    index = Index(source.layout, source.path, entries, counts=counts)
    return index, {entry.file: lambda quick: header for entry in entries}
