"""Labels that a generator is trained on, by name: `mien train DATA --labels Smiling,hair_colour,age:20/40`.

They come from the dataset's label columns, else from the labels, measurements or predictions in its manifest.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mien.core.errors import InputError
from mien.core.types import Dataset, Lesson, Spec
from mien.core.views import View
from mien.labels import encoding
from mien.labels.encoding import Target, mirrored


def conditions(dataset: Dataset, names: str, *, mirror: bool) -> Lesson:
    """The pictures of which all labels in `names` are known, with those labels, and a note on the others.

    mirror: whether pictures are turned left to right while training; their labels turn with them.
    Raises InputError for unknown labels, a number without bins, labels that cannot be mirrored.
    """
    known = with_predictions(dataset)
    targets = encoding.choose(known, names)
    if number := next((target.name for target in targets if target.kind == "number"), None):
        raise InputError(
            f"--labels {number}: it is a number; say how to cut it, {number}:bins (quartiles) or"
            f" with edges, like age:20/40/60"
        )
    rows = encoding.encode(known, targets)
    indexes = np.flatnonzero(~np.isnan(rows).any(axis=1))
    columns = tuple(name for target in targets for name in target.column_names)
    if not len(indexes):
        raise InputError(f"{dataset.name}: of no picture are all these labels known: {names}")
    view = View(dataset, indexes, labels=rows[indexes], class_names=columns)
    turned = _turned(targets, rows[indexes]) if mirror else None
    left_out = len(dataset) - len(view)
    described = (f"{t.name} ({', '.join(t.values)})" if t.values else t.name for t in targets)
    line = f"learns from {len(view):,} pictures with {', '.join(described)}"
    missing = f"; {left_out:,} left out, of which not all of these are known" if left_out else ""
    return Lesson(view, mirrored_labels=turned, notes=(line + missing,))


def rows_for(spec: Spec, dataset: Dataset) -> np.ndarray | None:
    """float32 [M, label_dim]: what `dataset` knows of its pictures in the columns of a generator's `spec`.

    Pictures of which something is not known are left out. None where that leaves none.
    """
    ours = dataset.spec
    same = spec.class_names == ours.class_names or not (spec.class_names and ours.class_names)
    if dataset.labels is not None and ours.label_dim == spec.label_dim and same:
        return np.asarray(dataset.labels, np.float32)
    if not spec.class_names:
        return None
    rows = encoding.encode(with_predictions(dataset), encoding.parse(spec.class_names))
    rows = rows[~np.isnan(rows).any(axis=1)]
    return rows if len(rows) else None


def _turned(targets: tuple[Target, ...], rows: np.ndarray) -> np.ndarray:
    turned = mirrored(targets, rows)
    for target in targets:
        if np.isnan(turned[:, target.columns]).any():
            raise InputError(
                f"--labels {target.name}: what it is in a mirrored picture is not known; name the other"
                " side's label too (of an angle: edges on both sides alike), or train with --no-mirror"
            )
    return turned


def with_predictions(dataset: Dataset) -> Dataset:
    """The same, predictions standing among the labels where neither label nor measurement has that name."""
    if not any(record.get("predictions") for record in dataset.records):
        return dataset
    shares = _probabilities(dataset)
    names = dataset.spec.column_names
    view = View(dataset, np.arange(len(dataset)), labels=dataset.labels, class_names=names)
    view.records = [_joined(record, shares) for record in dataset.records]
    return view


def _probabilities(dataset: Dataset) -> frozenset[str]:
    """The predictions that are probabilities of a yes: numbers of which none lies outside 0 to 1."""
    inside: dict[str, bool] = {}
    for record in dataset.records:
        for name, value in (record.get("predictions") or {}).items():
            share = isinstance(value, int | float) and 0 <= value <= 1
            inside[name] = inside.get(name, True) and share
    return frozenset(name for name, is_share in inside.items() if is_share)


def _joined(record: Mapping[str, Any], shares: frozenset[str]) -> dict[str, Any]:
    measured, labels = record.get("measurements") or {}, record.get("labels") or {}
    guesses = {
        name: bool(value >= 0.5) if name in shares else value
        for name, value in (record.get("predictions") or {}).items()
        if name not in measured and "=" not in name
    }
    return {**record, "labels": {**guesses, **labels}}
