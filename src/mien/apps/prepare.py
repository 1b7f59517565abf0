"""`mien prepare`: the run with its bar, and what came of it in words."""

from pathlib import Path

from rich.console import Console

from mien.apps.bars import bar
from mien.prepare.run import PrepareResult
from mien.prepare.run import prepare as run

_NAMED = 20  # dropped files named on the terminal; the manifest has all


def prepare(
    source: Path,
    out: Path,
    *,
    size: int,
    finder: str,
    align: str,
    min_coverage: float,
    max_coverage: float,
    min_face: float | None,
    workers: int | None,
    console: Console,
) -> PrepareResult:
    """Run `mien.prepare.run.prepare` with a bar; print counts, reasons and the first dropped files."""
    sheet = out.with_name(out.stem + "-sheet.jpg")
    with bar(console, "finding faces") as progress:
        result = run(
            source,
            out,
            size=size,
            finder=finder,
            align=align,
            min_coverage=min_coverage,
            max_coverage=max_coverage,
            min_face=min_face,
            workers=workers,
            sheet=sheet,
            progress=progress,
            announce=console.print,
        )
    _tell(result, console)
    console.print(f"wrote {out} and {sheet}", soft_wrap=True)
    return result


def _tell(result: PrepareResult, console: Console) -> None:
    speed = result.total / max(result.seconds, 1e-9)
    console.print(f"kept {result.kept:,} of {result.total:,} ({speed:.0f} a second)")
    for note in result.notes:
        console.print(note, soft_wrap=True)
    for reason, count in result.dropped.items():
        console.print(f"  dropped {count:,}: {reason}")
    for record in result.drops[:_NAMED]:
        console.print(f"    {record.get('source')}: {record.get('detail')}", soft_wrap=True)
    more = sum(result.dropped.values()) - _NAMED
    if more > 0:
        console.print(f"    and {more:,} more, each named in manifest.jsonl inside the zip")
