"""`mien annotate --read`: age, sex and expression by published networks, and how accurate each is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from mien.attributes.predictions import Read, given, merged, pictures_of, read_each, write_each
from mien.core import artefacts
from mien.core.cluster import Cluster
from mien.core.events import Tick
from mien.datasets.opening import open_dataset
from mien.faces.age_sex import AgeSexNetworks
from mien.faces.expressions import EXPRESSIONS, ExpressionNetwork

Reading = Literal["age", "sex", "expressions"]
LABEL: dict[str, str] = {"age": "age", "sex": "sex", "expressions": "expression"}  # the name in predictions
NEEDS: dict[str, tuple[str, ...]] = {
    "age": ("age", "sex"),
    "sex": ("age", "sex"),
    "expressions": ("expressions",),
}
# Measured at 64 px, layout "ffhq"; in brackets 95 % intervals, of the smile over people.
LIMITS: dict[str, str] = {
    "age": (
        "a guess by looks, with no truth at hand to measure it by. One person's neutral and smiling pictures"
        " differ by 3.1 years on average (102 people); of 3,979 faces nine in ten were put"
        " between 24 and 38, so the scale is squeezed."
        " Never a filter for minors: a child may be given any of these ages"
    ),
    "sex": (
        "as a face looks, not what a person is. Of 3,979 synthetic faces labelled by their makers 96.8 %"
        " agreed (96.2-97.3; AUC .996), from 90.8 % to 99.2 % by group: lowest for men"
        " labelled Asian and women labelled Asian (94.2 %)"
    ),
    "expressions": (
        "smiling against neutral, 102 people of each: AUC .946 (.916-.975); 64 of the 102 smiles were read as"
        " happy, none of the neutral faces was. The other five were not measured: take them as a hint"
    ),
}

Predictions = list[dict[str, Any]]


def read_faces(
    dataset: Path,
    readings: Sequence[Reading],
    *,
    again: bool = False,
    device: torch.device | None = None,
    progress: Tick | None = None,
    announce: Callable[[str], None] | None = None,
    pool: Cluster | None = None,
) -> tuple[int, int]:
    """Append the predictions `readings` for every image of `dataset`, faces aligned as "ffhq".

    In `predictions`: "age" in years; "sex" ("female", "male") and "expression" (one of EXPRESSIONS), each
    with the probability of every value ("sex=female"). "predicted_by" names the network by its file's hash.
    again: also pictures that were read before. pool: lets a cluster read. Files that are missing are fetched.
    Returns how many pictures were read, the most of any reading, and how many there are. Raises InputError,
    or MienError without the files.
    """
    most, total = 0, 0
    for reading in dict.fromkeys(readings):
        for artefact in NEEDS[reading]:
            artefacts.obtain(artefact, announce=announce)
        done, total = _read(dataset, reading, again, device, progress, pool)
        most = max(most, done)
    return most, total


def _read(
    dataset: Path,
    reading: Reading,
    again: bool,
    device: torch.device | None,
    progress: Tick | None,
    pool: Cluster | None,
) -> tuple[int, int]:
    names, records = pictures_of(dataset, progress)
    model, label = f"{reading}-{str(artefacts.artefact_sha256(reading))[:12]}", LABEL[reading]
    pending = [index for index, record in enumerate(records) if again or label not in given(record, model)]

    def record(index: int, values: Mapping[str, Any]) -> dict[str, Any]:
        return {"file": names[index], "predictions": merged(values, records[index], model, [label])}

    answers = read_each(open_faces, dataset, pending, reading, device=device, pool=pool)
    write_each(dataset, pending, answers, record, progress)
    return len(pending), len(names)


def open_faces(dataset: str, reading: str, device: str) -> Read:
    """A reader of age, sex or expressions."""
    pictures, read = open_dataset(dataset), _reader(reading, device)
    return lambda indexes: read(torch.from_numpy(np.ascontiguousarray(pictures.images(np.array(indexes)))))


def _reader(reading: str, device: str) -> Callable[[torch.Tensor], Predictions]:
    if reading == "expressions":
        network = ExpressionNetwork.load(device)
        return lambda images: list(_one_of("expression", EXPRESSIONS, network.probabilities(images)))
    both = AgeSexNetworks.load()
    if reading == "age":
        return lambda images: [{"age": round(float(years), 1)} for years in both.guess(images).years]

    def sex(images: torch.Tensor) -> Predictions:
        female = both.guess(images).female
        return list(_one_of("sex", ("female", "male"), np.stack([female, 1 - female], 1)))

    return sex


def _one_of(label: str, values: Sequence[str], rows: np.ndarray) -> Iterator[dict[str, Any]]:
    """The most probable value of each row, and each value's probability."""
    for row in rows:
        probabilities = {
            f"{label}={value}": round(float(probability), 4)
            for value, probability in zip(values, row, strict=True)
        }
        yield {label: values[int(row.argmax())], **probabilities}
