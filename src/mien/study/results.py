"""The results of a study: which analysis its task has, and the files that are written."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mien.core.atomic import write_text
from mien.core.events import Column, Table
from mien.study.design import (
    Attributes,
    Categorise,
    Design,
    HypeInfinity,
    HypeTime,
    Prefer,
    Rate,
)
from mien.study.findings import Findings
from mien.study.intervals import Figure
from mien.study.opinions import attributes, prefer, rate
from mien.study.real_or_fake import categorise, hype_infinity, hype_time
from mien.study.records import Records, Vote, participants_csv, votes_csv

_FEW_RATERS = 10
_ANALYSES: dict[type, Callable[[Findings, Design, Sequence[Vote]], None]] = {
    Categorise: categorise,
    HypeTime: hype_time,
    HypeInfinity: hype_infinity,
    Rate: rate,
    Prefer: prefer,
    Attributes: attributes,
}


def analyse(records: Records) -> Findings:
    """All figures of a study; none where no vote counts."""
    found = Findings()
    votes = records.kept
    if not votes:
        found.warnings.append("no answer counts yet")
        return found
    num_raters = len({vote.participant for vote in votes})
    if num_raters < _FEW_RATERS:
        found.warnings.append(
            f"{num_raters} raters: intervals say how far other raters may differ; they are rough with fewer"
            f" than {_FEW_RATERS}"
        )
    task = records.design.task
    _ANALYSES[type(task)](found, records.design, votes)
    return found


Row = tuple[str, list[Figure | None]]


def tables_of(figures: Sequence[Figure]) -> dict[str, tuple[list[str], list[Row]]]:
    """Figures as tables by name: columns, and rows with a figure or None in each column."""
    found = {}
    for table in dict.fromkeys(one.table for one in figures):
        mine = [one for one in figures if one.table == table]
        columns = list(dict.fromkeys(one.column for one in mine))
        cells = {(one.row, one.column): one for one in mine}
        names = dict.fromkeys(one.row for one in mine)
        rows = [(name, [cells.get((name, column)) for column in columns]) for name in names]
        found[table] = (columns, rows)
    return found


def shown(figures: Sequence[Figure]) -> list[Table]:
    """Figures as tables for a terminal, the interval under each."""
    return [
        Table(
            (Column(""), *(Column(column, numbers=True) for column in columns)),
            tuple((row, *(cell_text(cell) for cell in cells)) for row, cells in rows),
            title=name,
        )
        for name, (columns, rows) in tables_of(figures).items()
    ]


def cell_text(figure: Figure | None) -> str:
    """A figure and, in a second line, its interval."""
    if figure is None:
        return ""
    value = f"{figure.value:.3g}{figure.unit}"
    if figure.low is None or figure.high is None:
        return value
    return f"{value}\n{figure.low:.3g} to {figure.high:.3g}"


def as_json(records: Records, found: Findings) -> dict[str, Any]:
    """Everything that the results say, for programs."""
    return {
        "title": records.design.title,
        "kind": records.design.task.kind,
        "counts": records.counts,
        "votes_left_out": records.left_out,
        "participants_left_out": dict(Counter(o.left_out for o in records.participants if o.left_out)),
        "refused": records.incidents,
        "figures": [figure.model_dump() for figure in found.figures],
        "sentences": [sentence for _, sentence in found.sentences],
        "warnings": found.warnings,
    }


def write_results(records: Records, found: Findings, folder: Path, *, ids: bool) -> list[Path]:
    """Write results.html, results.json, votes.csv and participants.csv, each whole or not at all."""
    from mien.study.results_page import results_page  # which imports this

    files = {
        "results.html": results_page(records, found),
        "results.json": json.dumps(as_json(records, found), indent=1, allow_nan=False) + "\n",
        "votes.csv": votes_csv(records),
        "participants.csv": participants_csv(records, ids=ids),
    }
    for name, text in files.items():
        write_text(folder / name, text)
    return [folder / name for name in files]
