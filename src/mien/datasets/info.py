"""`mien data info`: what a dataset is, what its labels hold, and what is missing or broken, file by file."""

import json
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

from mien.core.errors import InputError, make_squares
from mien.core.events import Column, Events, Table, Tick, job
from mien.core.text import one_line
from mien.datasets.header import Header
from mien.datasets.index import Problem
from mien.datasets.info_sources import Contents, Look, read_contents
from mien.datasets.layout import parse_options
from mien.labels.statistics import LabelStats, SplitStats, label_stats, on_two_sides, split_stats

_NAMED = 50  # problems and people that are listed; --json names all
_MOST_SIZES = 6
_MOST_VALUES = 6


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
    contents = read_contents(source, progress=progress)
    headers, broken = _look(contents.looks, quick, progress)
    sizes = Counter(f"{header} {header.mode}" for header in headers)
    notes = contents.notes + tuple(_hints(source, contents, headers))
    records = [entry.record() for entry in contents.entries]
    return Info(
        source,
        contents.layout,
        contents.opened_as,
        len(contents.entries),
        dict(contents.counts),
        dict(sizes.most_common()),
        label_stats(records),
        split_stats(records),
        on_two_sides(records),
        contents.problems,
        broken,
        notes,
        contents.licence,
        contents.citation,
        not quick,
    )


def _hints(source: str, contents: Contents, headers: Sequence[Header]) -> Iterator[str]:
    named = source.startswith("pairs:") or any(entry.part for entry in contents.entries)
    if contents.layout == "pairs" and not named:
        yield f"the same names in both folders: taken as pairs; as classes, open folder:{source}"
    if _may_be_pairs(contents):
        yield f"the same names in both folders: taken as classes; as pairs, open pairs:{source}"
    sized = "size" in parse_options(source)[1]
    if contents.layout not in ("folder", "packed", "zip", "tar") or sized:
        return  # these are made square and of one size when they are opened
    if len({header.size for header in headers}) > 1:
        yield f"pictures are of several sizes: {make_squares()} makes one of them"
    elif headers and headers[0].width != headers[0].height:
        yield f"pictures are not square: {make_squares()} cuts out the middle"


def _may_be_pairs(contents: Contents) -> bool:
    """Two class folders with pictures of the same names."""
    names: dict[str, set[str]] = {}
    for entry in contents.entries:
        path = PurePosixPath(entry.file)
        names.setdefault(str(entry.labels.get("class")), set()).add(f"{entry.split}/{path.stem}")
    sides = list(names.values())
    return contents.layout == "folder" and len(sides) == 2 and sides[0] == sides[1]


def _look(
    looks: Sequence[Look], quick: bool, progress: Tick | None
) -> tuple[list[Header], tuple[Problem, ...]]:
    def one(look: Look) -> Header | Problem:
        try:
            return look.do(quick)
        except InputError as error:
            return Problem(look.where, str(error).removeprefix(f"{look.where}: "))

    headers: list[Header] = []
    broken: list[Problem] = []
    # Decoding saves and restores warning filters, which threads do out of order: restore them for good here.
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")
        for done, seen in enumerate(pool.map(one, looks), 1):
            if isinstance(seen, Problem):
                broken.append(seen)
            else:
                headers.append(seen)
            if progress:
                progress(done, len(looks))
    return headers, tuple(broken)


def _tables(dataset: Info) -> Iterator[Table]:
    yield _overview(dataset)
    if dataset.labels:
        yield _labels(dataset)
    if dataset.splits:
        yield _splits(dataset)


def _overview(dataset: Info) -> Table:
    rows = (
        ("layout", f"{dataset.layout} (open it as {dataset.opened_as})"),
        *((name, f"{count:,}") for name, count in dataset.counts.items()),
        ("sizes", _most(dataset.sizes, _MOST_SIZES)),
        ("licence", dataset.licence),
        ("cite", dataset.citation),
    )
    return Table((Column("dataset"), Column(dataset.source, wraps=True)), rows)


def _most(counts: dict[str, int], most: int) -> str:
    """ "512x512 RGB 204, 64x64 L 3, others 9" """
    shown = [f"{name} {count:,}" for name, count in list(counts.items())[:most]]
    rest = list(counts.values())[most:]
    return ", ".join(shown + ([f"others {sum(rest):,}"] if rest else [])) or "none"


def _labels(dataset: Info) -> Table:
    columns = (Column("label"), Column("kind"), Column("known", numbers=True), Column("values", wraps=True))
    count = max(dataset.pictures, 1)
    rows = [(each.name, each.kind, f"{each.known / count:.0%}", _values(each)) for each in dataset.labels]
    return Table(columns, tuple(rows))


def _values(label: LabelStats) -> str:
    parts = []
    if label.kind == "number":
        parts.append(f"{label.low:.6g} to {label.high:.6g}, median {label.middle:.6g}")
    shown = list(label.values.items())[:_MOST_VALUES]
    if shown:
        parts.append(", ".join(f"{value} {count / label.known:.1%}" for value, count in shown))
    rest = len(label.values) - len(shown)
    return "; ".join(parts) + (f", {rest:,} others" if rest else "")


def _splits(dataset: Info) -> Table:
    columns = (Column("split"), Column("pictures", numbers=True), Column("people", numbers=True))
    rows = [
        (name, f"{side.pictures:,}", "not known" if side.people is None else f"{side.people:,}")
        for name, side in dataset.splits.items()
    ]
    return Table(columns, tuple(rows))


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
