"""How well action units are read: a table, and a page beside guessing."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mien.core.events import Column, Table
from mien.core.score import value_and_interval, with_interval
from mien.core.types import Dataset
from mien.latent.units.action_units import UnitScore, UnitScores
from mien.reports.page import write_html

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
            with_interval(one.reading.f1, ".2f"),
            f"{one.guess:.2f}",
            f"{one.always:.2f}",
            with_interval(one.reading.auc, ".2f"),
            "-"
            if one.intensity is None
            else f"{one.intensity.mae.value:.2f} ({one.intensity.mae_of_median:.2f})",
        )
        for one in sorted(scores.units, key=lambda one: -(one.reading.f1.value if one.reading.f1 else 0))
    )
    f1, gain = (with_interval(mean, ".2f") for mean in (scores.mean_f1, scores.mean_gain))
    caption = (
        f"{scores.pictures:,} pictures of {scores.people:,} people, {scores.folds} folds by person; mean F1"
        f" {f1}, over guessing by prevalence {gain}; MAE of the"
        " intensity, in brackets of always saying the median"
    )
    how = ", against each person's neutral face" if scores.neutral else ""
    return Table(columns, rows, title=f"Action units from {scores.features}{how}", caption=caption)


def write_page(
    path: Path, dataset: Dataset, scores: Sequence[UnitScores], left_out: Mapping[str, str]
) -> None:
    """Write the page, whole or not at all."""
    first = scores[0]
    context = {
        "data": dataset.name,
        "lead": f"{first.pictures:,} pictures of {first.people:,} people, {first.folds} folds by person"
        + (", each read against the neutral face of its person." if first.neutral else "."),
        "verdict": [_verdict(one) for one in scores],
        "kinds": [one.features for one in scores],
        "rows": [_row(name, scores) for name in (unit.name for unit in first.units)],
        "left_out": sorted(left_out.items()),
    }
    write_html(path, "units.html.j2", context)


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
    scores_of_unit = [next(unit for unit in one.units if unit.name == name) for one in scores]
    return {
        "name": name,
        "what": _NAMES.get(int(name[2:]), ""),
        "yes": f"{scores_of_unit[0].reading.yes:,}",
        "guess": f"{scores_of_unit[0].guess:.2f}",
        "always": f"{scores_of_unit[0].always:.2f}",
        "cells": [cell for unit in scores_of_unit for cell in _cells(unit)],
    }


def _cells(unit: UnitScore) -> list[tuple[str, str]]:
    grade = unit.intensity
    mae = ("-", "") if grade is None else (f"{grade.mae.value:.2f}", f"median {grade.mae_of_median:.2f}")
    return [*(value_and_interval(each, ".2f") for each in (unit.reading.f1, unit.reading.auc)), mae]
