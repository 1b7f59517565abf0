"""`mien data info`: what a dataset is, what its labels hold, and what is amiss, file by file."""

import json
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from mien.core.errors import InputError
from mien.datasets.header import Header
from mien.datasets.index import Problem
from mien.datasets.info_sources import Look, Source, find_source
from mien.datasets.info_statistics import LabelStats, SplitStats, label_stats, on_two_sides, split_stats
from mien.datasets.stored import Report

_NAMED = 50  # problems and people that are named on the terminal; --json names all
_MOST_SIZES = 6
_MOST_VALUES = 6


@dataclass(frozen=True)
class Info:
    """sizes: "512x512 RGB" -> pictures, the most frequent first. problems: of lists and missing files.
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


def inspect(source: str, *, quick: bool = False, progress: Report | None = None) -> Info:
    """Look at a dataset without changing anything.

    quick: read the pictures' headers only. progress: called with (done, total) pictures. Raises InputError
    where nothing can be recognised.
    """
    found = find_source(source, progress=progress)
    headers, broken = _look(found.looks, quick, progress)
    sizes = Counter(f"{header} {header.mode}" for header in headers)
    notes = found.notes + tuple(_hints(source, found, headers))
    return Info(
        source,
        found.layout,
        found.opened_as,
        len(found.entries),
        dict(found.counts),
        dict(sizes.most_common()),
        label_stats(found.entries),
        split_stats(found.entries),
        on_two_sides(found.entries),
        found.problems,
        broken,
        notes,
        found.licence,
        found.citation,
        not quick,
    )


def _hints(source: str, found: Source, headers: Sequence[Header]) -> Iterator[str]:
    named = source.startswith("pairs:") or any(entry.part for entry in found.entries)
    if found.layout == "pairs" and not named:
        yield f"the same names in both folders: taken as pairs; as classes, open folder:{source}"
    if found.layout not in ("folder", "packed", "zip"):
        return  # these are made square and of one size when they are opened
    if len({header.size for header in headers}) > 1:
        yield "pictures are of several sizes: mien prepare makes one of them"
    elif headers and headers[0].width != headers[0].height:
        yield "pictures are not square: mien prepare cuts them"


def _look(
    looks: Sequence[Look], quick: bool, progress: Report | None
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


def show(info: Info, console: Console) -> None:
    """Print `info` as tables for people."""
    _print(console, _overview(info))
    if info.labels:
        _print(console, _labels(info))
    if info.splits:
        _print(console, _splits(info))
        _tell_sides(info, console)
    for note in info.notes:
        console.print(f"note: {note}", markup=False)
    tried = "cannot be decoded" if info.decoded else "have no readable header"
    _list(console, f"{len(info.broken):,} pictures {tried}", info.broken)
    _list(console, f"{len(info.problems):,} problems", info.problems)
    if not info.broken and not info.problems:
        console.print("nothing is missing or broken" + ("" if info.decoded else " (headers only)"))


def _print(console: Console, table: Table) -> None:
    console.print(table, soft_wrap=False)
    console.print()


def _grid(*headers: str) -> Table:
    table = Table(*headers, box=None, pad_edge=False, show_header=bool(headers), header_style="bold")
    return table


def _overview(info: Info) -> Table:
    table = _grid()
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("layout", f"{info.layout} (open it as {info.opened_as})")
    for name, count in info.counts.items():
        table.add_row(name, f"{count:,}")
    table.add_row("sizes", _most(info.sizes, _MOST_SIZES))
    table.add_row("licence", info.licence)
    table.add_row("cite", info.citation)
    return table


def _most(counts: dict[str, int], most: int) -> str:
    """ "512x512 RGB 204, 64x64 L 3, others 9" """
    shown = [f"{name} {count:,}" for name, count in list(counts.items())[:most]]
    rest = list(counts.values())[most:]
    return ", ".join(shown + ([f"others {sum(rest):,}"] if rest else [])) or "none"


def _labels(info: Info) -> Table:
    table = _grid("label", "kind", "known", "values")
    table.columns[2].justify = "right"
    table.columns[3].overflow = "fold"
    for label in info.labels:
        table.add_row(label.name, label.kind, f"{label.known / max(info.pictures, 1):.0%}", _values(label))
    return table


def _values(label: LabelStats) -> str:
    parts = []
    if label.kind == "number":
        parts.append(f"{label.low:.6g} to {label.high:.6g}, median {label.middle:.6g}")
    shown = list(label.values.items())[:_MOST_VALUES]
    if shown:
        parts.append(", ".join(f"{value} {count / label.known:.1%}" for value, count in shown))
    rest = len(label.values) - len(shown)
    return "; ".join(parts) + (f", {rest:,} others" if rest else "")


def _splits(info: Info) -> Table:
    table = _grid("split", "pictures", "people")
    for name, side in info.splits.items():
        table.add_row(name, f"{side.pictures:,}", "not known" if side.people is None else f"{side.people:,}")
    return table


def _tell_sides(info: Info, console: Console) -> None:
    both = info.on_two_sides
    if both:
        more = f" and {len(both) - _NAMED:,} more" if len(both) > _NAMED else ""
        told = f"{len(both):,} people are on two sides of the split: {', '.join(both[:_NAMED])}{more}"
        console.print(told, markup=False)
    elif any(side.people for side in info.splits.values()):
        console.print("nobody is on two sides of the split")
    else:
        console.print("who is shown is not known: whether a person is on two sides cannot be checked")


def _list(console: Console, title: str, problems: tuple[Problem, ...]) -> None:
    if not problems:
        return
    console.print(f"{title}:")
    for problem in problems[:_NAMED]:
        console.print(f"  {problem}", markup=False)
    if len(problems) > _NAMED:
        console.print(f"  and {len(problems) - _NAMED:,} more; --json names all")
