"""Predicted labels of a dataset's images, stored in its manifest as `predictions`.

Lines are only appended, some hundred images at a time, so a stop at any moment costs at most those; what is
annotated already is passed over.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import torch

from mien.attributes.scores import load, read
from mien.core.cluster import Cluster, Shard
from mien.core.errors import InputError, MienError
from mien.core.events import Tick
from mien.core.manifest import append_records
from mien.core.packed import PackReader
from mien.core.storage import on_worker, shared
from mien.datasets.layout import plain_path
from mien.datasets.opening import open_dataset
from mien.models.attributes import Reader

BY = "predicted_by"  # in predictions: model -> the labels it gave
CHUNK = 256

Values = Sequence[Mapping[str, Any]]  # what was read off some pictures, each in turn
Read = Callable[[Sequence[int]], Values]


def read_labels(
    dataset: Path,
    source: Path,
    *,
    again: bool = False,
    device: torch.device | None = None,
    progress: Tick | None = None,
    pool: Cluster | None = None,
) -> tuple[int, int]:
    """Append the labels that the attribute model of `source` (a run or a file) predicts for `dataset`.

    A record's `predictions` get a probability for each yes-no label, the most probable value of a one-of
    and the probability of each of its values ("hair=black"), a number for a number, and under
    "predicted_by" the model's name and which labels it gave. again: also pictures that this model has read
    before. pool: lets a cluster read. Returns how many were annotated and how many there are. Raises
    InputError.
    """
    loaded = load(source, device)
    names, records = pictures_of(dataset, progress)
    predicted = [target.name for target in loaded.network.targets]
    pending = [
        index
        for index, record in enumerate(records)
        if again or not given(record, loaded.model).issuperset(predicted)
    ]

    def record(index: int, values: Mapping[str, Any]) -> dict[str, Any]:
        return {"file": names[index], "predictions": merged(values, records[index], loaded.model, predicted)}

    arguments = (*shared(source), loaded.model)
    answers = read_each(open_model, dataset, pending, *arguments, device=device, pool=pool)
    write_each(dataset, pending, answers, record, progress)
    return len(pending), len(names)


def open_model(dataset: str, place: str, version: str, model: str, device: str) -> Read:
    """A reader of the model's labels. Raises MienError where another model is at `place`."""
    loaded, pictures = load(on_worker(place, version), torch.device(device)), open_dataset(dataset)
    if loaded.model != model:
        raise MienError(f"{place}: another model on a worker than here")
    network = loaded.network
    return lambda indexes: [_values(network, row) for row in read(network, pictures, np.array(indexes))]


def read_each(
    opener: Callable[..., Read],
    dataset: Path,
    indexes: Sequence[int],
    *arguments: str,
    device: torch.device | None = None,
    pool: Cluster | None = None,
) -> Iterator[Values]:
    """What `opener(dataset, *arguments, device)` reads off each chunk of pictures, in order.

    With `pool` its workers open it, each once, and read; they need the dataset at the same place.
    """
    path, place = plain_path(dataset), str(device or "cpu")
    if pool is None:
        return map(opener(str(dataset), *arguments, place), chunks(indexes))
    name, content_hash = f"{opener.__module__}:{opener.__qualname__}", open_pack(dataset).content_hash
    before, _, after = str(dataset).partition(str(path))
    setup = [name, content_hash, before, *shared(path), after, *arguments, place]
    return pool.map(read_shard, (Shard((setup, list(chunk))) for chunk in chunks(indexes)))


def read_shard(setup: list[str], indexes: list[int]) -> Values:
    """A chunk of `read_each`. Raises MienError where a worker has other pictures, or none."""
    return _opened(*setup)(indexes)


@lru_cache(maxsize=1)
def _opened(
    opener: str, content_hash: str, before: str, place: str, version: str, after: str, *arguments: str
) -> Read:
    path = on_worker(place, version)
    if PackReader(path).content_hash != content_hash:
        raise MienError(f"{place}: other pictures on a worker than here")
    read: Read = resolve_name(opener)(f"{before}{path}{after}", *arguments)
    return read


def write_each(
    dataset: Path,
    indexes: Sequence[int],
    answers: Iterator[Values],
    record: Callable[[int, Mapping[str, Any]], dict[str, Any]],
    progress: Tick | None,
) -> None:
    """Append what `record` makes of each picture's index and values, a chunk at a time."""
    for done, (chunk, values) in enumerate(zip(chunks(indexes), answers, strict=True)):
        append_records(plain_path(dataset), [record(*each) for each in zip(chunk, values, strict=True)])
        if progress:
            progress(done * CHUNK + len(chunk), len(indexes))


def open_pack(dataset: Path) -> PackReader:
    path = plain_path(dataset)
    if not path.exists():
        raise InputError(f"{dataset}: there is no such zip or folder; annotate writes into its manifest")
    return PackReader(path)


def pictures_of(dataset: Path, progress: Tick | None) -> tuple[list[str], Sequence[Mapping[str, Any]]]:
    """Member names and records of a zip or folder, in the order of its images, which are decoded."""
    pack = open_pack(dataset)
    if len(open_dataset(str(dataset), progress=progress)) != len(pack):
        raise InputError(f"{dataset}: it changed while it was opened; run again")
    return pack.names, pack.records


def given(record: Mapping[str, Any], model: str) -> frozenset[str]:
    """The labels that `model` was the last to predict for an image."""
    by = (record.get("predictions") or {}).get(BY)
    return frozenset(by.get(model, ())) if isinstance(by, Mapping) else frozenset()


def merged(
    values: Mapping[str, Any], record: Mapping[str, Any], model: str, names: list[str]
) -> dict[str, Any]:
    """Predictions by `model` of the labels `names`, and by which other model the record has the rest."""
    old = (record.get("predictions") or {}).get(BY)
    others = {
        name: remaining
        for name, labels in (old.items() if isinstance(old, Mapping) else ())
        if name != model and (remaining := [label for label in labels if label not in names])
    }
    return {**values, BY: {**others, model: names}}


def _values(network: Reader, row: np.ndarray) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for target in network.targets:
        part = row[target.columns]
        if target.kind == "one-of":
            values[target.name] = target.values[int(part.argmax())]
            values |= {name: round(float(v), 4) for name, v in zip(target.column_names, part, strict=True)}
        elif target.kind == "number":  # six digits, since it may be large
            values[target.name] = float(f"{part[0]:.6g}")
        else:
            values[target.name] = round(float(part[0]), 4)
    return values


def chunks(indexes: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(indexes), CHUNK):
        yield indexes[start : start + CHUNK]
