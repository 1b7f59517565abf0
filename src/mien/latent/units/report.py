"""Scores of action units as a table for the terminal, and as the page of `mien units evaluate`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from mien import TOOL
from mien.attributes.agreement import Interval
from mien.core.atomic import write_text
from mien.core.events import Column, Table
from mien.core.types import Dataset
from mien.latent.units.action_units import UnitScore, UnitScores
from mien.reports.page import render

_NAMES = {
    1: "inner brow raiser", 2: "outer brow raiser", 4: "brow lowerer", 5: "upper lid raiser",
    6: "cheek raiser", 7: "lid tightener", 9: "nose wrinkler", 10: "upper lip raiser",
    11: "nasolabial deepener", 12: "lip corner puller", 13: "cheek puffer", 14: "dimpler",
    15: "lip corner depressor", 16: "lower lip depressor", 17: "chin raiser", 18: "lip puckerer",
    20: "lip stretcher", 22: "lip funneler", 23: "lip tightener", 24: "lip pressor", 25: "lips part",
    26: "jaw drop", 27: "mouth stretch", 28: "lip suck", 43: "eyes closed", 45: "blink",
}  # fmt: skip
_ENOUGH = 0.2  # gain in F1 over guessing that is called good


def table(scores: UnitScores) -> Table:
    """A row for each unit, the best read first."""
    columns = (
        Column("unit"),
        *(Column(name, numbers=True) for name in ("with", "F1", "guess", "always", "AUC", "MAE")),
    )
    rows = tuple(
        (
            one.name,
            str(one.reading.yes),
            interval(one.reading.f1),
            f"{one.guess:.2f}",
            f"{one.always:.2f}",
            interval(one.reading.auc),
            "-"
            if one.intensity is None
            else f"{one.intensity.mae.value:.2f} ({one.intensity.mae_of_median:.2f})",
        )
        for one in sorted(scores.units, key=lambda one: -(one.reading.f1.value if one.reading.f1 else 0))
    )
    caption = (
        f"{scores.pictures:,} pictures of {scores.people:,} people, {scores.folds} folds by person; mean F1"
        f" {interval(scores.mean_f1)}, over guessing by prevalence {interval(scores.mean_gain)}; MAE of the"
        " intensity, in brackets of always saying the median"
    )
    return Table(columns, rows, title=f"Action units from {scores.features}", caption=caption)


def interval(figure: Interval | None) -> str:
    """ "0.71 (0.65-0.77)"."""
    return "-" if figure is None else f"{figure.value:.2f} ({figure.low:.2f}-{figure.high:.2f})"


def write_page(
    path: Path, dataset: Dataset, scores: Sequence[UnitScores], left_out: Mapping[str, str]
) -> None:
    """Write the page, whole or not at all."""
    first = scores[0]
    context = {
        "data": dataset.name,
        "lead": f"{first.pictures:,} pictures of {first.people:,} people, {first.folds} folds by person.",
        "verdict": [_verdict(one) for one in scores],
        "kinds": [one.features for one in scores],
        "rows": [_row(name, scores) for name in (unit.name for unit in first.units)],
        "left_out": sorted(left_out.items()),
        "tool": TOOL,
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    write_text(path, render("units.html.j2", context))


def _verdict(scores: UnitScores) -> tuple[str, str]:
    gain, f1 = scores.mean_gain, scores.mean_f1
    always = sum(unit.always for unit in scores.units) / len(scores.units)
    beats_both = gain.low > 0 and f1.low > always  # always saying yes beats guessing without looking
    tone = "doubt" if not beats_both else "good" if gain.low >= _ENOUGH else "plain"
    return tone, (
        f"from {scores.features}: mean F1 {f1.value:.2f} ({f1.low:.2f} to {f1.high:.2f}), {gain.value:+.2f}"
        f" ({gain.low:+.2f} to {gain.high:+.2f}) against guessing by prevalence;"
        f" always saying yes reaches {always:.2f}"
    )


def _row(name: str, scores: Sequence[UnitScores]) -> dict[str, object]:
    found = [next(unit for unit in one.units if unit.name == name) for one in scores]
    return {
        "name": name,
        "what": _NAMES.get(int(name[2:]), ""),
        "yes": f"{found[0].reading.yes:,}",
        "guess": f"{found[0].guess:.2f}",
        "always": f"{found[0].always:.2f}",
        "cells": [cell for unit in found for cell in _cells(unit)],
    }


def _cells(unit: UnitScore) -> list[tuple[str, str]]:
    grade = unit.intensity
    mae = ("-", "") if grade is None else (f"{grade.mae.value:.2f}", f"median {grade.mae_of_median:.2f}")
    return [_cell(unit.reading.f1), _cell(unit.reading.auc), mae]


def _cell(figure: Interval | None) -> tuple[str, str]:
    return ("-", "") if figure is None else (f"{figure.value:.2f}", f"{figure.low:.2f} to {figure.high:.2f}")
