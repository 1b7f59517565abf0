"""`mien prepare`: the run with its bar and its report pages, and what came of it in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from mien.bars import bar
from mien.core.labels import Label
from mien.core.packed import PackReader
from mien.datasets.opening import open_inputs
from mien.prepare.dedupe import DEFAULT_THRESHOLD
from mien.prepare.judge import Rules
from mien.prepare.pack import Packed
from mien.prepare.report import write_prepare_report
from mien.prepare.run import PrepareResult
from mien.prepare.run import prepare as run
from mien.prepare.store import size_of, work_folder

_NAMED = 20  # dropped files named on the terminal; the manifest has all


def prepare(
    source: str,
    out: Path,
    *,
    size: Sequence[int] | None,
    layout: str | None,
    finder: str,
    rules: Rules,
    where: str | None,
    duplicates: int | None,
    duplicates_by: str,
    keep_duplicates: bool,
    guess_person: bool,
    workers: int | None,
    keep_work: bool,
    console: Console,
) -> PrepareResult:
    """Run `mien.prepare.run.prepare` with a bar; print counts, reasons and the first dropped files.

    duplicates: None for the default threshold. Writes a contact sheet and a report page beside each zip.
    """
    threshold = None if keep_duplicates else DEFAULT_THRESHOLD if duplicates is None else duplicates
    with bar(console, "finding faces") as progress:
        heap = _heap(source)
        result = run(
            heap.root,
            out,
            files=heap.files,
            labels=heap.labels,
            class_names=heap.class_names,
            extra=heap.extra,
            size=size,
            layout=layout,
            finder=finder,
            rules=rules,
            where=where,
            duplicates=threshold,
            duplicates_by=duplicates_by,
            guess_person=guess_person,
            workers=workers,
            keep_work=keep_work,
            sheet=True,
            progress=progress,
            announce=lambda line: console.print(line, soft_wrap=True),
            report=lambda packed: _report(packed, heap.root),
        )
    for note in heap.notes:
        console.print(note, soft_wrap=True)
    _tell(result, console)
    work = work_folder(out)
    if work.exists():
        megabytes = size_of(out) / 1e6
        console.print(
            f"{work} ({megabytes:,.0f} MB) holds every face that was found: the same command with other rules"
            " takes seconds; delete it when you are content",
            soft_wrap=True,
        )
    return result


@dataclass(frozen=True)
class _Heap:
    """What to prepare. files, labels, extra: None where the folder or zip says it all by itself."""

    root: Path
    files: tuple[str, ...] | None = None
    labels: Mapping[str, Label] | None = None
    class_names: tuple[str, ...] = ()
    extra: Mapping[str, Mapping[str, Any]] | None = None
    notes: tuple[str, ...] = ()


def _heap(source: str) -> _Heap:
    """A folder, a zip, or "NAME:FOLDER" with NAME one of the layouts of real datasets."""
    if Path(source).exists() or ":" not in source:
        return _Heap(Path(source))
    known = open_inputs(source)
    return _Heap(known.root, known.files, known.labels, known.class_names, known.extra, known.notes)


def _report(packed: Packed, source: Path) -> None:
    records = PackReader(packed.path, with_tossed=True).all_records
    path = packed.path.with_name(packed.path.stem + "-report.html")
    title = f"{source.name} prepared as {packed.path.name}"
    write_prepare_report(path, records=records, bounds=packed.bounds, thumb=packed.thumb, title=title)


def _tell(result: PrepareResult, console: Console) -> None:
    if result.measured:
        speed = result.measured / max(result.seconds, 1e-9)
        console.print(f"looked at {result.measured:,} of {result.total:,} ({speed:.0f} a second)")
    else:
        console.print(f"judged {result.total:,} again; no picture had to be looked at")
    for note in result.notes:
        console.print(note, soft_wrap=True)
    for packed in result.packs:
        _tell_pack(packed, console)
    first = result.packs[0]
    for record in first.drops[:_NAMED]:
        console.print(f"    {record.get('source')}: {record.get('detail')}", soft_wrap=True)
    more = sum(first.dropped.values()) - _NAMED
    if more > 0:
        console.print(f"    and {more:,} more, each named in manifest.jsonl inside the zip")


def _tell_pack(packed: Packed, console: Console) -> None:
    console.print(f"wrote {packed.path}: {packed.kept:,} kept of {packed.total:,}", soft_wrap=True)
    for reason, count in packed.dropped.items():
        console.print(f"  dropped {count:,}: {reason}")
    stem = packed.path.with_suffix("")
    console.print(f"  look at {stem}-report.html and {stem}-sheet.jpg", soft_wrap=True)
