"""Predicted labels of a dataset's images, stored in its manifest as `predictions`.

Lines are only appended, some hundred images at a time, so a stop at any moment costs at most those; what is
annotated already is passed over.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mien.attributes.scores import load, read
from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.manifest import append_records
from mien.core.network import LoadedNetwork
from mien.core.packed import PackReader
from mien.core.types import Dataset
from mien.datasets.layout import plain_path
from mien.datasets.opening import open_dataset
from mien.labels.encoding import Target
from mien.models.attributes import Reader

BY = "predicted_by"  # in predictions: model -> the labels it gave
CHUNK = 256


def read_labels(
    dataset: Path,
    source: Path,
    *,
    again: bool = False,
    device: torch.device | None = None,
    progress: Tick | None = None,
) -> tuple[int, int]:
    """Append the labels that the attribute model of `source` (a run or a file) predicts for `dataset`.

    A record's `predictions` get a probability for each yes-no label, the most probable value of a one-of
    and the probability of each of its values ("hair=black"), a number for a number, and under
    "predicted_by" the model's name and which labels it gave. again: also pictures that this model has read
    before. Returns how many were annotated and how many there are. Raises InputError.
    """
    loaded = load(source, device)
    names, records, pictures = pictures_of(dataset, progress)
    predicted = frozenset(target.name for target in loaded.network.targets)
    pending = [
        index for index, record in enumerate(records) if again or not predicted <= given(record, loaded.model)
    ]
    for done, chunk in enumerate(chunks(pending)):
        rows = read(loaded.network, pictures, np.array(chunk))
        append_records(
            plain_path(dataset),
            [
                {"file": names[index], "predictions": _predictions(loaded, row, records[index])}
                for index, row in zip(chunk, rows, strict=True)
            ],
        )
        if progress:
            progress(done * CHUNK + len(chunk), len(pending))
    return len(pending), len(names)


def open_pack(dataset: Path) -> PackReader:
    path = plain_path(dataset)
    if not path.exists():
        raise InputError(f"{dataset}: there is no such zip or folder; annotate writes into its manifest")
    return PackReader(path)


def pictures_of(
    dataset: Path, progress: Tick | None
) -> tuple[list[str], Sequence[Mapping[str, Any]], Dataset]:
    """Member names, records and images of a zip or folder, in one order."""
    pack = open_pack(dataset)
    pictures = open_dataset(str(dataset), progress=progress)
    if len(pictures) != len(pack):
        raise InputError(f"{dataset}: it changed while it was opened; run again")
    return pack.names, pack.records, pictures


def given(record: Mapping[str, Any], model: str) -> frozenset[str]:
    """The labels that `model` was the last to predict for an image."""
    by = (record.get("predictions") or {}).get(BY)
    return frozenset(by.get(model, ())) if isinstance(by, Mapping) else frozenset()


def _predictions(loaded: LoadedNetwork[Reader], row: np.ndarray, record: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for target in loaded.network.targets:
        values |= _values(target, row[target.columns])
    predicted = [target.name for target in loaded.network.targets]
    return values | {BY: {**others(record, loaded.model, predicted), loaded.model: predicted}}


def others(record: Mapping[str, Any], model: str, names: Sequence[str]) -> dict[str, list[str]]:
    """Labels by the other model that predicted them, without `names`, which `model` predicts from now on."""
    old = (record.get("predictions") or {}).get(BY)
    return {
        name: remaining
        for name, labels in (old.items() if isinstance(old, Mapping) else ())
        if name != model and (remaining := [label for label in labels if label not in names])
    }


def _values(target: Target, row: np.ndarray) -> dict[str, Any]:
    if target.kind == "one-of":
        each = {name: round(float(v), 4) for name, v in zip(target.column_names, row, strict=True)}
        return {target.name: target.values[int(row.argmax())], **each}
    # Six digits: a number may be large, and a probability small.
    return {target.name: float(f"{row[0]:.6g}") if target.kind == "number" else round(float(row[0]), 4)}


def chunks(indexes: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(indexes), CHUNK):
        yield indexes[start : start + CHUNK]
