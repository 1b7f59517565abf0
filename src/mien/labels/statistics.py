"""Figures about a dataset's labels, people and splits."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from mien.core.path_labels import SPLITS
from mien.labels.columns import Record, label_names

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


def label_stats(records: Sequence[Record]) -> tuple[LabelStats, ...]:
    """Every label that any record has."""
    names = label_names(records)
    known = {name: [r["labels"][name] for r in records if name in r["labels"]] for name in names}
    return tuple(_stats(name, values) for name, values in known.items())


def split_stats(records: Sequence[Record]) -> dict[str, SplitStats]:
    """The parts of the dataset's own split; {} if it has none."""
    counts = Counter(record.get("split", "") for record in records)
    if set(counts) <= {""}:
        return {}
    people: dict[str, set[str]] = {split: set() for split in counts}
    for record in records:
        people[record.get("split", "")].add(record.get("person", ""))
    return {
        split or "none": SplitStats(counts[split], len(people[split] - {""}) or None)
        for split in (*SPLITS, "")
        if split in counts
    }


def on_two_sides(records: Sequence[Record]) -> tuple[str, ...]:
    """People (groups, where no people are known) with images on more than one side of the split."""
    splits: dict[str, set[str]] = {}
    for record in records:
        name = record.get("person") or record.get("group")
        if name and record.get("split"):
            splits.setdefault(name, set()).add(record["split"])
    return tuple(sorted(name for name, taken in splits.items() if len(taken) > 1))


def _stats(name: str, values: list[Any]) -> LabelStats:
    if all(isinstance(value, bool) for value in values):
        answers = _count("yes" if value else "no" for value in values)
        return LabelStats(name, "yes or no", len(values), answers)
    if any(isinstance(value, str) for value in values):
        return LabelStats(name, "text", len(values), _count(map(str, values)))
    numbers = [float(value) for value in values]
    few = 2 <= len(set(numbers)) <= _MOST_VALUES and all(number.is_integer() for number in numbers)
    counted = _count(f"{number:g}" for number in numbers) if few else {}
    ends = min(numbers), float(median(numbers)), max(numbers)
    return LabelStats(name, "number", len(values), counted, *ends)


def _count(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())
