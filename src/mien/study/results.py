"""The results of a study: which analysis its task has, the page and the files that are written."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from mien.core.atomic import write_text
from mien.core.events import Column, Table
from mien.reports.charts import interval_chart, number
from mien.reports.page import render
from mien.study.analyses import attributes, categorise, hype_infinity, hype_time, prefer, rate
from mien.study.design import (
    Attributes,
    Categorise,
    Design,
    HypeInfinity,
    HypeTime,
    Prefer,
    Rate,
)
from mien.study.findings import AGREEMENT, TARGET, Curve, Figure, Findings
from mien.study.records import Records, Vote, participants_csv, votes_csv

_FEW_RATERS = 10
_LONGEST_NAME = 30  # letters of a row in a chart
_ANALYSES: dict[type, Callable[[Findings, Design, Sequence[Vote]], None]] = {
    Categorise: categorise,
    HypeTime: hype_time,
    HypeInfinity: hype_infinity,
    Rate: rate,
    Prefer: prefer,
    Attributes: attributes,
}
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 470, 250, 46, 14, 12, 40
_TICKS_MS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


def analyse(records: Records) -> Findings:
    """All figures of a study; none where no vote counts."""
    findings = Findings()
    votes = records.kept
    if not votes:
        findings.warnings.append("no answer counts yet")
        return findings
    num_raters = len({vote.participant for vote in votes})
    if num_raters < _FEW_RATERS:
        findings.warnings.append(
            f"{num_raters} raters: intervals say how far other raters may differ; they are rough with fewer"
            f" than {_FEW_RATERS}"
        )
    task = records.design.task
    _ANALYSES[type(task)](findings, records.design, votes)
    return findings


Row = tuple[str, list[Figure | None]]


def tables_of(figures: Sequence[Figure]) -> dict[str, tuple[list[str], list[Row]]]:
    """Figures as tables by name: columns, and rows with a figure or None in each column."""
    tables = {}
    for table in dict.fromkeys(one.table for one in figures):
        mine = [one for one in figures if one.table == table]
        columns = list(dict.fromkeys(one.column for one in mine))
        cells = {(one.row, one.column): one for one in mine}
        names = dict.fromkeys(one.row for one in mine)
        rows = [(name, [cells.get((name, column)) for column in columns]) for name in names]
        tables[table] = (columns, rows)
    return tables


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
    return "\n".join(filter(None, figure.texts))


def as_json(records: Records, findings: Findings) -> dict[str, Any]:
    """Everything that the results say, for programs."""
    return {
        "title": records.design.title,
        "kind": records.design.task.kind,
        "counts": records.counts,
        "votes_left_out": records.left_out,
        "participants_left_out": dict(Counter(o.left_out for o in records.participants if o.left_out)),
        "refused": records.incidents,
        "figures": [figure.model_dump() for figure in findings.figures],
        "sentences": [sentence for _, sentence in findings.sentences],
        "warnings": findings.warnings,
    }


def write_results(records: Records, findings: Findings, folder: Path, *, ids: bool) -> list[Path]:
    """Write results.html, results.json, votes.csv and participants.csv, each whole or not at all."""
    files = {
        "results.html": results_page(records, findings),
        "results.json": json.dumps(as_json(records, findings), indent=1, allow_nan=False) + "\n",
        "votes.csv": votes_csv(records),
        "participants.csv": participants_csv(records, ids=ids),
    }
    for name, text in files.items():
        write_text(folder / name, text)
    return [folder / name for name in files]


class _Place:
    """Places on the drawing: exposure on a logarithmic axis, share of right answers below."""

    def __init__(self, low_ms: float, high_ms: float, least: float) -> None:
        self.low, self.high, self.least = math.log(low_ms), math.log(high_ms), least

    def x(self, exposure_ms: float) -> float:
        share = (math.log(exposure_ms) - self.low) / (self.high - self.low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, percent: float) -> float:
        share = (percent - self.least) / (100 - self.least)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)


def exposure_chart(points: Sequence[Figure], curve: Curve, threshold: Figure | None, *, title: str) -> Markup:
    """points: percent right, their column the exposure in ms. threshold: drawn with its interval."""
    shown = [float(point.column) for point in points]
    least = min([40.0, *(point.interval.low for point in points)])
    low, high = min(shown) / 1.3, max(shown) * 1.3
    place = _Place(low, high, max(0.0, least))
    head = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">')
    parts = [head.format(_WIDTH, _HEIGHT, title), *_axes(place, low, high)]
    if threshold is not None:
        parts += _threshold(place, threshold, low, high)
    xs = np.geomspace(low, high, 100)
    line = "L".join(f"{place.x(x):.1f} {place.y(100 * y):.1f}" for x, y in zip(xs, curve.at(xs), strict=True))
    parts.append(Markup('<path class="s0" d="M{}"/>').format(line))
    for point, exposure in zip(points, shown, strict=True):
        parts += _point(place, point, exposure)
    return Markup("").join([*parts, Markup("</svg>")])


def _axes(place: _Place, low: float, high: float) -> Iterator[Markup]:
    for percent in (0, 25, 50, 75, 100):
        if percent >= place.least:
            y = place.y(percent)
            kind = "zero" if percent == 100 * TARGET else "rule"
            yield Markup('<line class="{}" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
                kind, _LEFT, _WIDTH - _RIGHT, y, y
            )
            yield Markup('<text class="end" x="{}" y="{:.1f}">{} %</text>').format(_LEFT - 6, y + 4, percent)
    for exposure in (tick for tick in _TICKS_MS if low <= tick <= high):
        yield Markup('<text class="mid" x="{:.1f}" y="{}">{}</text>').format(
            place.x(exposure), _HEIGHT - _BOTTOM + 16, number(exposure)
        )
    yield Markup('<text class="end" x="{}" y="{}">exposure in ms</text>').format(_WIDTH - _RIGHT, _HEIGHT - 6)


def _threshold(place: _Place, threshold: Figure, low: float, high: float) -> Iterator[Markup]:
    ends = threshold.interval
    left, right = (place.x(min(max(end, low), high)) for end in (ends.low, ends.high))
    y = place.y(100 * TARGET)
    yield Markup('<line class="span" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(
        left, right, y, y
    )
    if low <= ends.value <= high:
        x = place.x(ends.value)
        yield Markup('<line class="at" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(
            x, x, y - 8, y + 8
        )


def _point(place: _Place, point: Figure, exposure: float) -> Iterator[Markup]:
    x, ends = place.x(exposure), point.interval
    yield Markup('<line class="reach" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(
        x, x, place.y(ends.low), place.y(ends.high)
    )
    yield Markup('<circle class="s1 dot" cx="{:.1f}" cy="{:.1f}" r="3.5"><title>{}</title></circle>').format(
        x, place.y(ends.value), f"{exposure:g} ms: {ends.value:.0f} % of {point.count}"
    )


_ABOUT = {
    "by exposure": "Right answers, d' (0: real and fake look the same) and criterion (above 0: leans to real)"
    " at each exposure.",
    "threshold": "The exposure at which the fitted curve passes 75 % right answers.",
    "HYPE": "Zhou et al. (2019). HYPE-time: the mean over raters of the exposure that the staircase asked for"
    " most often; higher is harder to tell. HYPE-infinity: the share of wrong answers; 50 % is guessing.",
    "right answers": "Right answers, d' (0: real and fake look the same), criterion (above 0: leans real).",
    "ratings": "Mean rating of each set on each scale.",
    "differences": "Mean rating of one set less that of another; no difference is 0.",
    "strengths": "Bradley-Terry strengths: a difference of 1 is preferred in 73 of 100 pairs. Preferred: the"
    " share of its pairs that it won.",
    "side": "How often the left picture was chosen; 50 % is no bias.",
    "seen": "How often raters saw each attribute in the pictures of each set.",
    "as meant": "How often an attribute was seen where the design says that pictures show it, and elsewhere.",
    AGREEMENT: "Krippendorff's alpha over what several raters judged: 1 is perfect agreement, 0 is chance."
    " Its interval is a bootstrap over pictures.",
}
_CHARTED = {"HYPE", "ratings", "differences", "strengths", "seen", "by exposure", "as meant"}


def results_page(records: Records, findings: Findings) -> str:
    """The page, as HTML."""
    design = records.design
    tables = [
        (name, _ABOUT.get(name, ""), columns, rows)
        for name, (columns, rows) in tables_of(findings.figures).items()
    ]
    excluded = [one for one in records.participants if one.left_out]
    context = {
        "title": design.title,
        "kind": design.task.kind,
        "verdict": [*findings.sentences, *(("doubt", warning) for warning in findings.warnings)],
        "facts": [
            *((name.capitalize(), f"{count:,}") for name, count in records.counts.items()),
            *_screens(records),
        ],
        "tables": tables,
        "charts": _charts(findings, getattr(design.task, "points", 0)),
        "left_out": records.left_out,
        "excluded": [(one.code, one.left_out) for one in excluded],
        "refused": records.incidents,
        "settings": _settings(records),
    }
    return render("study_results.html.j2", context)


def _charts(findings: Findings, points: int) -> list[tuple[str, Markup]]:
    """Curves, then figures with their intervals; shares and ratings each over all that they can be."""
    thresholds = {one.row: one for one in findings.figures if one.table == "threshold"}
    charts = []
    for name, (shares, curve) in findings.curves.items():
        title = f"{name}: right answers by exposure"
        chart = exposure_chart(shares, curve, thresholds.get(name), title=title)
        charts.append((f"{name}: right answers by achieved exposure", chart))
    for name, (columns, rows) in tables_of(findings.figures).items():
        for place, column in enumerate(columns if name in _CHARTED else ()):
            cells: list[tuple[str, Figure]] = [(row, c) for row, made in rows if (c := made[place])]
            title = column if name == column else f"{name}: {column}"
            drawn = [(row[:_LONGEST_NAME], cell.interval, ()) for row, cell in cells]
            unit, zero = cells[0][1].unit, name in ("differences", "strengths") and column != "preferred"
            span = (1.0, float(points)) if name == "ratings" else (0.0, 100.0) if unit == " %" else None
            charts.append((title, interval_chart(drawn, title=title, unit=unit, zero=zero, span=span)))
    return charts


def _screens(records: Records) -> list[tuple[str, str]]:
    """Refresh rates, and how far exposures were off."""
    rates = sorted(one.device["refresh_hz"] for one in records.participants if one.device.get("refresh_hz"))
    pairs = [(vote.frames_shown, vote.frames_planned) for vote in records.votes]
    off = [abs(shown - planned) for shown, planned in pairs if planned and shown is not None]
    facts = []
    if rates:
        ends = " to ".join(dict.fromkeys(f"{rate:.0f}" for rate in (rates[0], rates[-1])))
        facts.append(("Refresh rates", f"{ends} Hz, screens: {len(rates)}"))
    if off:
        exact, near = (sum(frames <= most for frames in off) / len(off) for most in (0, 1))
        facts.append(("Exposures in frames", f"{exact:.1%} exact, {near:.1%} within one, of {len(off):,}"))
    return facts


def _settings(records: Records) -> list[tuple[str, str]]:
    design = records.design
    rows = [(f"task.{key}", str(value)) for key, value in design.task.model_dump().items()]
    rows += [(f"exclusion.{key}", str(value)) for key, value in design.exclusion.model_dump().items()]
    rows += [(f"sets.{one.name}", f"{one.path}{' (real)' if one.real else ''}") for one in design.sets]
    return [*rows, ("seed", str(design.seed)), ("too_fast_ms", f"{design.too_fast_ms:g}")]
