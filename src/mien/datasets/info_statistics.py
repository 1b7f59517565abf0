"""Figures about a dataset's labels, people and splits."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from mien.datasets.columns import label_names
from mien.datasets.index import Entry

_MOST_VALUES = 6  # a label of more whole numbers than this is told by its range alone


@dataclass(frozen=True)
class LabelStats:
    """One label.

    known: pictures that have it. values: how often each value is taken, the most frequent first ("yes" before
    "no"); empty for numbers of one or of many values. low, middle, high: minimum, median, maximum of numbers.
    """

    name: str
    kind: Literal["yes or no", "number", "text"]
    known: int
    values: dict[str, int]
    low: float | None = None
    middle: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class SplitStats:
    """One side of a split. people: None where nobody is known."""

    pictures: int
    people: int | None


def label_stats(entries: Sequence[Entry]) -> tuple[LabelStats, ...]:
    """Every label that any entry has."""
    found = {name: [e.labels[name] for e in entries if name in e.labels] for name in label_names(entries)}
    return tuple(_stats(name, values) for name, values in found.items())


def split_stats(entries: Sequence[Entry]) -> dict[str, SplitStats]:
    """The sides of the dataset's own split; {} if it has none."""
    sides = Counter(entry.split for entry in entries)
    if set(sides) == {""}:
        return {}
    people = {side: {entry.person for entry in entries if entry.split == side} - {""} for side in sides}
    return {
        side or "none": SplitStats(sides[side], len(people[side]) or None)
        for side in sorted(sides, key=lambda side: ("train", "val", "test", "").index(side))
    }


def on_two_sides(entries: Sequence[Entry]) -> tuple[str, ...]:
    """People (pairs, where no people are known) with pictures on more than one side of the split."""
    sides: dict[str, set[str]] = {}
    for entry in entries:
        name = entry.person or entry.group
        if name and entry.split:
            sides.setdefault(name, set()).add(entry.split)
    return tuple(sorted(name for name, found in sides.items() if len(found) > 1))


def _stats(name: str, values: list[Any]) -> LabelStats:
    if all(isinstance(value, bool) for value in values):
        return LabelStats(
            name, "yes or no", len(values), _count("yes" if value else "no" for value in values)
        )
    if any(isinstance(value, str) for value in values):
        return LabelStats(name, "text", len(values), _count(map(str, values)))
    numbers = [float(value) for value in values]
    few = 2 <= len(set(numbers)) <= _MOST_VALUES and all(number.is_integer() for number in numbers)
    counted = _count(f"{number:g}" for number in numbers) if few else {}
    return LabelStats(
        name, "number", len(values), counted, min(numbers), float(median(numbers)), max(numbers)
    )


def _count(values: Any) -> dict[str, int]:
    return dict(Counter(values).most_common())
