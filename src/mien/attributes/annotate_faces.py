"""`mien annotate --read`: age, sex and expression by published networks, and how accurate each is."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from mien.attributes.predictions import BY, CHUNK, chunks, given, others, pictures_of
from mien.core import artefacts
from mien.core.events import Tick
from mien.core.manifest import append_records
from mien.datasets.layout import plain_path
from mien.faces.age_sex import AgeSexNetworks
from mien.faces.expressions import EXPRESSIONS, ExpressionNetwork

Reading = Literal["age", "sex", "expressions"]
LABEL: dict[str, str] = {"age": "age", "sex": "sex", "expressions": "expression"}  # the name in predictions
_NEEDS: dict[str, tuple[str, ...]] = {
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
) -> tuple[int, int]:
    """Append the predictions `readings` for every image of `dataset`, faces aligned as "ffhq".

    In `predictions`: "age" in years; "sex" ("female", "male") and "expression" (one of EXPRESSIONS), each
    with the probability of every value ("sex=female"). "predicted_by" names the network by its file's hash.
    again: also pictures that were read before. Files that are missing are fetched. Returns how many pictures
    were read, the most of any reading, and how many there are. Raises InputError, or MienError without the
    files.
    """
    most, total = 0, 0
    for reading in dict.fromkeys(readings):
        for artefact in _NEEDS[reading]:
            artefacts.obtain(artefact, announce=announce)
        done, total = _read(dataset, reading, again, device, progress)
        most = max(most, done)
    return most, total


def _read(
    dataset: Path, reading: Reading, again: bool, device: torch.device | None, progress: Tick | None
) -> tuple[int, int]:
    names, records, pictures = pictures_of(dataset, progress)
    model, label = f"{reading}-{str(artefacts.artefact_sha256(reading))[:12]}", LABEL[reading]
    pending = [index for index, record in enumerate(records) if again or label not in given(record, model)]
    read = _reader(reading, device)
    for done, chunk in enumerate(chunks(pending)):
        predictions = read(torch.from_numpy(np.ascontiguousarray(pictures.images(np.array(chunk)))))
        new_records = []
        for index, values in zip(chunk, predictions, strict=True):
            by = {**others(records[index], model, [label]), model: [label]}
            new_records.append({"file": names[index], "predictions": {**values, BY: by}})
        append_records(plain_path(dataset), new_records)
        if progress:
            progress(done * CHUNK + len(chunk), len(pending))
    return len(pending), len(names)


def _reader(reading: Reading, device: torch.device | None) -> Callable[[torch.Tensor], Predictions]:
    if reading == "expressions":
        network = ExpressionNetwork.load(device or "cpu")
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
