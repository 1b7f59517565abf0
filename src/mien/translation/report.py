"""`mien report` of a run whose model turns pictures into others: one page that stands alone."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mien.core.events import Event, Notice, Table, Tick
from mien.core.run import RunFolder
from mien.reports.charts import number
from mien.reports.inline_images import Shown, show_grid, show_timelapse
from mien.reports.log import Log, read_log
from mien.reports.page import attempt, report_path, run_parts, write_html
from mien.reports.sentences import dig, facts
from mien.training.kinds import kind, kind_at

_GAP = "  "  # between columns of figures
_COLUMNS = {
    "translator": "Each row: what went in, what came out, and what should have come out, of people kept out.",
    "denoiser": "Each row: what went in, what came out, and the clean picture where it is known.",
    "refiner": "Each row: what went in, what came out, and the real picture that is nearest to that.",
}


def write_report(
    run: Path, *, data: str | None = None, out: Path | None = None, progress: Tick | None = None
) -> Path:
    """Write the report of a run folder as one HTML page and return its path; arguments as of `mien report`.

    The figures are the newest that `mien evaluate` left in the run. What is missing or damaged costs its
    part of the page, which says so. Raises InputError.
    """
    folder = RunFolder.open(run)
    path = report_path(folder, out)
    write_html(path, "change.html.j2", _context(folder))
    return path


def _context(run: RunFolder) -> dict[str, Any]:
    name = kind_at(run.path)
    config, config_note = attempt(run.read_config, {})
    log = read_log(run)
    scores, figures_note = attempt(lambda: _scores(run, name), "")
    strips, strips_note = attempt(lambda: _strips(run), [])
    timelapse, timelapse_note = attempt(
        lambda: show_timelapse(run) if run.timelapse.is_file() else None, None
    )
    return {
        "kind": name,
        "lead": _lead(name, config, log),
        "verdict": list(_verdict(log, scores)),
        "facts": facts(config, log),
        "columns": _COLUMNS.get(name, ""),
        "strips": strips,
        "strips_note": strips_note,
        "timelapse": timelapse,
        "timelapse_note": timelapse_note,
        "figures": scores,
        "figures_note": figures_note,
        **run_parts(run, log, config, _products(run, name)),
        "config_note": config_note,
    }


def _scores(run: RunFolder, name: str) -> str:
    """The newest examination as `mien evaluate` shows it; "" where there is none."""
    examination = kind(name).examination
    newest = None if examination is None else examination.newest(run)
    return "" if newest is None else as_text(newest.tables())


def as_text(events: Sequence[Event]) -> str:
    """The notices and tables among `events` as lines of text, an empty line between them."""
    texts = (
        event.text if isinstance(event, Notice) else _table_text(event)
        for event in events
        if isinstance(event, Notice | Table)
    )
    return "\n\n".join(texts)


def _table_text(table: Table) -> str:
    rows = [tuple(column.heading for column in table.columns), *table.rows]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        placed = zip(row, widths, table.columns, strict=True)
        cells = (cell.rjust(wide) if column.numbers else cell.ljust(wide) for cell, wide, column in placed)
        lines.append(_GAP.join(cells).rstrip())
    rule = "-" * (sum(widths) + len(_GAP) * (len(widths) - 1))
    return "\n".join(filter(None, [table.title, lines[0], rule, *lines[1:], table.caption]))


def _strips(run: RunFolder) -> list[Shown]:
    """The newest picture that the run drew, behind it the first."""
    drawn = run.all_fakes()
    chosen = dict.fromkeys([*drawn[-1:], *drawn[:1]])
    return [show_grid(path, f"pictures before and after ({path.name})", generated=True) for path in chosen]


def _lead(kind: str, config: Mapping[str, Any], log: Log) -> str:
    size, name = dig(config, "spec", "resolution"), dig(config, "dataset", "name")
    for_size = f" for pictures of {size} pixels" if size else ""
    minutes = f" for {log.seconds / 60:.1f} minutes" if log.seconds else ""
    return f"A {kind}{for_size}, trained on {name or 'unknown pictures'}{minutes}."


def _verdict(log: Log, scores: str) -> Iterator[tuple[str, str]]:
    """Sentences with a tone: "good", "doubt" or "plain"."""
    if log.diverged or log.count("rescue"):
        yield "doubt", "Training diverged on the way; see the warnings."
    if not scores:
        yield "plain", "How well it does has not been measured yet: mien evaluate RUN does."


def _products(run: RunFolder, kind: str) -> list[tuple[Path, str]]:
    return [(path, f"{kind} at {number(int(path.stem[-6:]))} kimg") for path in run.products(kind)[-1:]]
