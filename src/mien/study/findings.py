"""What a study found: figures with intervals, agreement, curves and sentences."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mien.study.intervals import Ends, Figure
from mien.study.krippendorff import Level, alpha_interval, counts_of
from mien.study.psychometric import Curve
from mien.study.records import Vote

AGREEMENT = "agreement"


@dataclass
class Findings:
    """figures: in the order of their tables. curves: shares of right answers by exposure, by name.

    sentences: what the figures say, with a tone each ("good", "plain", "doubt").
    """

    figures: list[Figure] = field(default_factory=list)
    curves: dict[str, tuple[list[Figure], Curve]] = field(default_factory=dict)
    sentences: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, table: str, row: str, column: str, ends: Ends, *, unit: str = "", count: int = 0) -> Figure:
        """Add a figure, but for one that is undefined."""
        value, low, high = ends
        made = Figure(
            table=table, row=row, column=column, value=value, low=low, high=high, unit=unit, count=count
        )
        if np.isfinite(value):
            self.figures.append(made)
        return made


def agree(
    found: Findings, row: str, level: Level, votes: Sequence[Vote], answer: Callable[[Vote], Any]
) -> None:
    """Krippendorff's alpha over what was shown; the two sides of a pair are one unit."""
    ratings: dict[Hashable, list[Any]] = defaultdict(list)
    for vote in votes:
        unit = tuple(sorted(zip(vote.sets, vote.pictures, strict=True)))
        ratings[unit].append(answer(vote))
    counts, values = counts_of(ratings)
    ends = alpha_interval(counts, values, level) if len(counts) else (float("nan"), None, None)
    found.add(AGREEMENT, row, f"alpha ({level})", ends, count=len(counts))


def told(ends: Ends, unit: str = "") -> str:
    """ "231 ms (95 % interval 210 to 255)"."""
    value, low, high = ends
    text = f"{value:.3g}{unit}"
    return text if low is None or high is None else f"{text} (95 % interval {low:.3g} to {high:.3g})"
