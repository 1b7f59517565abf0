"""What an attribute model learns: label columns by name, whatever their kind, and how they stand in a row.

The names of the columns (`Spec.class_names`) say it all: "Smiling" is a yes or no, "hair=black" one of the
values of "hair", "age:number" a number. So a model's file needs nothing else to be read.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mien.core.errors import InputError
from mien.core.types import Dataset
from mien.labels.columns import flatten

_BIN = re.compile(r"<(?P<below>-?[^-+<]+)|(?P<low>-?[^-+<]+)-(?P<high>-?[^+<]+)|(?P<above>-?[^-+<]+)\+")
Kind = Literal["yes-no", "one-of", "number"]
_MOST_VALUES = 64  # more are names or numbers of people, not kinds
NUMBER = ":number"
_ANGLES = ("yaw", "roll")  # their sign changes with the image's sides
_SWAPS = {"left": "right", "Left": "Right", "LEFT": "RIGHT"}
_SWAPS |= {right: left for left, right in _SWAPS.items()}


@dataclass(frozen=True)
class Target:
    """One label. start: its first column. values: of a one-of, a column each; () otherwise."""

    name: str
    kind: Kind
    start: int
    values: tuple[str, ...] = ()

    @property
    def columns(self) -> slice:
        return slice(self.start, self.start + max(len(self.values), 1))

    @property
    def column_names(self) -> tuple[str, ...]:
        if self.kind == "one-of":
            return tuple(f"{self.name}={value}" for value in self.values)
        return (self.name + NUMBER if self.kind == "number" else self.name,)


def parse(column_names: Sequence[str]) -> tuple[Target, ...]:
    """The targets that columns of these names stand for; a lone "a=b" is a yes or no of that name."""
    targets: list[Target] = []
    start = 0
    for name, group in itertools.groupby(column_names, key=lambda name: name.partition("=")[0]):
        members = list(group)
        if len(members) > 1 and "=" in members[0]:
            targets.append(Target(name, "one-of", start, tuple(m.partition("=")[2] for m in members)))
        else:
            for offset, member in enumerate(members):
                kind: Kind = "number" if member.endswith(NUMBER) else "yes-no"
                targets.append(Target(member.removesuffix(NUMBER), kind, start + offset))
        start += len(members)
    return tuple(targets)


def choose(dataset: Dataset, choice: str) -> tuple[Target, ...]:
    """The targets that `choice` ("Smiling,age:20/40/60,hair_colour", "" for every yes-no column) names.

    Raises InputError naming what there is, or why a label cannot be learnt.
    """
    names = [name.strip() for name in choice.split(",") if name.strip()] or _usual(dataset)
    if not names:
        raise InputError(
            f"{dataset.name}: no label is a plain yes or no; say which to learn, --set labels=NAME,...,"
            f" out of: {_known(dataset)}"
        )
    twice = [name for name, count in Counter(name.partition(":")[0] for name in names).items() if count > 1]
    if twice:
        raise InputError(f"labels={choice}: {twice[0]} is named twice; learn it in one way at a time")
    columns: list[str] = []
    for name in names:
        columns += _columns(dataset, name)
    return parse(columns)


def encode(dataset: Dataset, targets: Sequence[Target]) -> np.ndarray:
    """float32 [N, columns]: 1 and 0, or the number; NaN where it is not known. By name, never by place."""
    width = targets[-1].columns.stop
    rows = np.full((len(dataset), width), np.nan, np.float32)
    for target in targets:
        column = _column(dataset, target.name)
        if column is not None and target.kind != "one-of":
            known = np.isfinite(column) if target.kind == "number" else np.isin(column, (0, 1))
            rows[:, target.start] = np.where(known, column, np.nan)
            continue
        for index, value in enumerate(values_of(dataset, target.name)):
            if value is not None:
                rows[index, target.columns] = _row(target, value)
    return rows


def values_of(dataset: Dataset, name: str) -> list[Any]:
    """The label `name` of every picture, None where not known: from the label columns, else the records."""
    column = _column(dataset, name)
    if column is not None:
        return [_known_number(value) for value in column.tolist()]
    names, labels = dataset.spec.column_names, dataset.labels
    values = _one_hot_values(dataset).get(name)
    if labels is not None and values:
        places = [names.index(column) for column in values]
        options = list(values.values())
        return [options[int(row.argmax())] if row.any() else None for row in labels[:, places]]
    return [_look_up(record, name) for record in dataset.records]


def _column(dataset: Dataset, name: str) -> np.ndarray | None:
    """The label column of that very name, if there is one."""
    names = dataset.spec.column_names
    return dataset.labels[:, names.index(name)] if dataset.labels is not None and name in names else None


def _usual(dataset: Dataset) -> list[str]:
    if dataset.labels is not None:
        grouped = _one_hot_values(dataset)
        inside = {column for values in grouped.values() for column in values}
        plain = [name for name in dataset.spec.column_names if name not in inside]
        return [n for n in plain if _kind(values_of(dataset, n)) == "yes-no"] + list(grouped)
    labels = [flatten(record.get("labels")) for record in dataset.records]
    return list(dict.fromkeys(n for flat in labels for n, value in flat.items() if isinstance(value, bool)))


def _columns(dataset: Dataset, choice: str) -> list[str]:
    name, colon, cut = choice.partition(":")
    known = [value for value in values_of(dataset, name) if value is not None]
    if not known:
        raise InputError(f"{dataset.name}: no picture has the label {name!r}; there are: {_known(dataset)}")
    kind = _kind(known)
    if kind is None:
        raise InputError(f"{dataset.name}: label {name!r} is a text here and a number there, or neither")
    if colon and kind == "one-of":
        raise InputError(f"labels={choice}: {name!r} is a text and cannot be cut into bins")
    if colon and cut != "number":
        return [f"{name}={text}" for text in bin_names(np.array(known, float), cut, where=choice)]
    if kind == "number" or colon:
        return [name + NUMBER]
    if kind == "yes-no":
        return [name]
    values = sorted({str(value) for value in known})
    if not 2 <= len(values) <= _MOST_VALUES:
        raise InputError(
            f"{dataset.name}: label {name!r} has {len(values)} values; 2 to {_MOST_VALUES} can be learnt"
        )
    return [f"{name}={value}" for value in values]


def _row(target: Target, value: Any) -> np.ndarray | float:
    """What stands in the target's columns; NaN for a value that it does not know."""
    if target.kind == "one-of":
        place = place_of(target.values, value)
        hot = np.full(len(target.values), np.nan if place is None else 0.0, np.float32)
        if place is not None:
            hot[place] = 1
        return hot
    if isinstance(value, bool | int | float) and (target.kind == "number" or value in (0, 1)):
        return float(value)
    return math.nan


def _kind(values: Sequence[Any]) -> Kind | None:
    known = [value for value in values if value is not None]
    if all(isinstance(value, str) for value in known):
        return "one-of"
    if not all(isinstance(value, bool | int | float) for value in known):
        return None
    return "yes-no" if set(known) <= {0, 1} else "number"


def _one_hot_values(dataset: Dataset) -> dict[str, dict[str, str]]:
    """Groups of columns of which one is 1: label -> column -> value. Columns without "=" are of a "class"."""
    if dataset.labels is None:
        return {}
    names = dataset.spec.column_names
    groups: dict[str, dict[str, str]] = {}
    for name in names:
        label, equals, value = name.partition("=")
        if equals:
            groups.setdefault(label, {})[name] = value
    if not groups and (dataset.labels.sum(axis=1) == 1).all():
        groups = {"class": {name: name for name in names}}
    exclusive = {}
    for label, group in groups.items():
        rows = dataset.labels[:, [names.index(name) for name in group]]
        if len(group) > 1 and np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) <= 1).all() and rows.any():
            exclusive[label] = group
    return exclusive


def _look_up(record: Mapping[str, Any], name: str) -> Any:
    for place in ("labels", "measurements"):
        value = flatten(record.get(place)).get(name)
        if isinstance(value, bool | int | float):
            return _known_number(value)
        if isinstance(value, str) and value:
            return value
    return None


def _known_number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _known(dataset: Dataset) -> str:
    names = dict.fromkeys([*_one_hot_values(dataset), *dataset.spec.column_names])
    for record in dataset.records[:200]:
        for place in ("labels", "measurements"):
            flat = flatten(record.get(place))
            names |= dict.fromkeys(n for n, v in flat.items() if isinstance(v, bool | int | float | str))
    return ", ".join(names) or "none"


def bin_names(values: np.ndarray, edges_text: str, *, where: str) -> list[str]:
    """Names of the bins between the edges given, or quartiles for "bins"."""
    try:
        edges = (
            np.quantile(values, (0.25, 0.5, 0.75)).round(6)
            if edges_text == "bins"
            else np.array([float(edge) for edge in edges_text.split("/")])
        )
    except ValueError as error:
        raise InputError(
            f"labels={where}: after the colon write number, bins (quartiles), or edges like 20/40/60"
        ) from error
    if not np.all(np.diff(edges) > 0) or not np.isfinite(edges).all():
        raise InputError(f"labels={where}: edges must rise")
    texts = [f"{edge:g}" for edge in edges]
    return [f"<{texts[0]}", *(f"{a}-{b}" for a, b in itertools.pairwise(texts)), f"{texts[-1]}+"]


def place_of(values: Sequence[str], value: Any) -> int | None:
    """Which of a one-of's values that is, a number by its bin; None if it is none of them."""
    if str(value) in values:
        return values.index(str(value))
    if not isinstance(value, int | float):
        return None
    for place, text in enumerate(values):
        bounds = bounds_of(text)
        if bounds and bounds[0] <= value < bounds[1]:
            return place
    return None


def bounds_of(text: str) -> tuple[float, float] | None:
    """From (inclusive) and to of the bin that a value's name stands for; None if it is none."""
    match = _BIN.fullmatch(text)
    if match is None:
        return None
    parts = match.groupdict()
    low, high = parts["low"] or parts["above"], parts["high"] or parts["below"]
    try:
        return (-math.inf if low is None else float(low), math.inf if high is None else float(high))
    except ValueError:  # a value's name that only looks like a bin
        return None


def mirrored(targets: Sequence[Target], rows: np.ndarray) -> np.ndarray:
    """The labels of the same pictures turned left to right: turned angles, left for right."""
    turned = rows.copy()
    names = [name for target in targets for name in target.column_names]
    for target in targets:
        if target.kind == "one-of" and _is_angle(target.name):
            turned[:, target.columns] = _mirrored_bins(target, rows[:, target.columns])
    for place, name in enumerate(names):
        if _is_angle(name) and name.endswith(NUMBER):
            turned[:, place] = -rows[:, place]
        elif (other := re.sub("|".join(_SWAPS), lambda match: _SWAPS[match[0]], name)) != name:
            # Without a partner it is not known what the mirrored picture shows.
            turned[:, place] = rows[:, names.index(other)] if other in names else np.nan
    return turned


def _is_angle(name: str) -> bool:
    return any(part in _ANGLES for part in re.split(r"[^a-z]+", name.lower()))


def _mirrored_bins(target: Target, rows: np.ndarray) -> np.ndarray:
    """Bins of an angle that changes sign; a row whose bin has no counterpart is not known."""
    bounds = [bounds_of(value) for value in target.values]
    out = np.full_like(rows, np.nan)
    for place, bound in enumerate(bounds):
        other = None if bound is None else (-bound[1], -bound[0])
        if other in bounds:
            hot = rows[:, place] == 1
            out[hot] = 0
            out[hot, bounds.index(other)] = 1
    return out
