"""`mien annotate`: what a model reads off pictures, and what the mesh measures, into their manifest.

Lines are only appended, some hundred pictures at a time, so a stop at any moment costs at most those; what is
annotated already is passed over.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mien import TOOL
from mien.attributes.attributes import load, read
from mien.core import artefacts
from mien.core.errors import InputError
from mien.core.manifest import append_records
from mien.core.network import LoadedNetwork
from mien.core.packed import PackReader
from mien.core.picture import decode
from mien.core.types import Dataset
from mien.datasets.opening import open_dataset
from mien.faces.crop import Square
from mien.faces.finder import needed_artefacts, open_finder
from mien.faces.measure import measure as measure_face
from mien.labels.encoding import Target
from mien.models.attributes import Reader

Tick = Callable[[int, int], None]
BY = "predicted_by"  # in predictions: model -> the labels it gave
CHUNK = 256
# These tell of the photo that a crop was cut from, which is no longer there.
_OF_THE_PHOTO = frozenset({"coverage", "crop_side", "face_size", "num_faces"})


def annotate(
    dataset: Path,
    source: Path,
    *,
    again: bool = False,
    device: torch.device | None = None,
    progress: Tick | None = None,
) -> tuple[int, int]:
    """Append what the attribute model of `source` (a run or a file) reads off every picture of `dataset`.

    A record's `predictions` get a probability for each yes-no label, the most probable value of a one-of
    and the probability of each of its values ("hair=black"), a number for a number, and under
    "predicted_by" the model's name and which labels it gave. again: also pictures that this model has read
    before. Returns how many were annotated and how many there are. Raises InputError.
    """
    loaded = load(source, device)
    names, records, pictures = pictures_of(dataset, progress)
    mine = frozenset(target.name for target in loaded.network.targets)
    todo = [index for index, record in enumerate(records) if again or not mine <= given(record, loaded.model)]
    for done, chunk in enumerate(chunks(todo)):
        rows = read(loaded.network, pictures, np.array(chunk))
        append_records(
            dataset,
            [
                {"file": names[index], "predictions": _predictions(loaded, row, records[index])}
                for index, row in zip(chunk, rows, strict=True)
            ],
        )
        if progress:
            progress(done * CHUNK + len(chunk), len(todo))
    return len(todo), len(names)


def measure(dataset: Path, *, again: bool = False, progress: Tick | None = None) -> tuple[int, int]:
    """Append the face mesh's measurements of every picture of `dataset` that has not been measured so.

    What a record knows already stays; again: is measured anew, but for what tells of the photo that the
    picture was cut from (coverage, sizes, number of faces). No face: a score of 0. Returns how many were
    measured and how many there are.
    """
    pack = _pack(dataset)
    for name in needed_artefacts("mesh"):
        artefacts.obtain(name, announce=lambda line: None)
    finder = open_finder("mesh")
    todo = [index for index, record in enumerate(pack.records) if again or not record.get("measured_by")]
    for done, chunk in enumerate(chunks(todo)):
        lines = []
        for index in chunk:
            picture = decode(pack.read(index), where=f"{dataset}: {pack.names[index]}")
            faces = finder.find(picture.pixels)
            height, width = picture.pixels.shape[:2]
            square = Square((width / 2, height / 2), (float(width), 0.0))
            found = measure_face(picture, faces[0], square, num_faces=len(faces)) if faces else {"score": 0.0}
            known = dict(pack.records[index].get("measurements") or {})
            new = {key: value for key, value in found.items() if key not in _kept(known, again)}
            lines.append({"file": pack.names[index], "measurements": new, "measured_by": TOOL})
        append_records(dataset, lines)
        if progress:
            progress(done * CHUNK + len(chunk), len(todo))
    return len(todo), len(pack)


def _kept(known: Mapping[str, float], again: bool) -> frozenset[str]:
    """The measurements that are not to be written."""
    return frozenset(known) if not again else _OF_THE_PHOTO & frozenset(known)


def _pack(dataset: Path) -> PackReader:
    if not dataset.exists():
        raise InputError(f"{dataset}: there is no such zip or folder; annotate writes into its manifest")
    return PackReader(dataset)


def pictures_of(
    dataset: Path, progress: Tick | None
) -> tuple[list[str], Sequence[Mapping[str, Any]], Dataset]:
    """Names of the members of a zip or folder, their records and pictures, in one order."""
    pack = _pack(dataset)
    pictures = open_dataset(str(dataset), progress=progress)
    if len(pictures) != len(pack):
        raise InputError(f"{dataset}: it changed while it was opened; run again")
    return pack.names, pack.records, pictures


def given(record: Mapping[str, Any], model: str) -> frozenset[str]:
    """The labels that `model` gave a picture and no other has given since."""
    by = (record.get("predictions") or {}).get(BY)
    return frozenset(by.get(model, ())) if isinstance(by, Mapping) else frozenset()


def _predictions(loaded: LoadedNetwork[Reader], row: np.ndarray, record: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for target in loaded.network.targets:
        values |= _values(target, row[target.columns])
    mine = [target.name for target in loaded.network.targets]
    return values | {BY: {**others(record, loaded.model, mine), loaded.model: mine}}


def others(record: Mapping[str, Any], model: str, mine: Sequence[str]) -> dict[str, list[str]]:
    """What models but `model` are on record for, less the labels `mine`, which it gives from now on."""
    old = (record.get("predictions") or {}).get(BY)
    return {
        name: left
        for name, labels in (old.items() if isinstance(old, Mapping) else ())
        if name != model and (left := [label for label in labels if label not in mine])
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
