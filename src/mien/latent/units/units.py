"""`mien units train`, `evaluate` and `predict`: facial action units of pictures and of latents."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from mien.core.atomic import write_text
from mien.core.errors import InputError
from mien.core.events import Column, Events, Table, job
from mien.core.score import value_and_interval, with_interval
from mien.core.types import Dataset
from mien.datasets.opening import open_dataset
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.units.action_units import (
    SUPPORT,
    UnitLabels,
    UnitScore,
    UnitScores,
    cross_validate,
    unit_labels,
)
from mien.latent.units.features import KINDS, image_features, latent_features, picture_features
from mien.latent.units.model import UnitReader, train_units
from mien.reports.page import write_html
from mien.training.settings import pick_device

Floats = np.ndarray
_NAMES = {
    1: "inner brow raiser", 2: "outer brow raiser", 4: "brow lowerer", 5: "upper lid raiser",
    6: "cheek raiser", 7: "lid tightener", 9: "nose wrinkler", 10: "upper lip raiser",
    11: "nasolabial deepener", 12: "lip corner puller", 13: "cheek puffer", 14: "dimpler",
    15: "lip corner depressor", 16: "lower lip depressor", 17: "chin raiser", 18: "lip puckerer",
    20: "lip stretcher", 22: "lip funneler", 23: "lip tightener", 24: "lip pressor", 25: "lips part",
    26: "jaw drop", 27: "mouth stretch", 28: "lip suck", 43: "eyes closed", 45: "blink",
}  # fmt: skip
_ENOUGH = 0.2  # gain in F1 over guessing that is called good


@job
def train(
    events: Events,
    data: str,
    /,
    *,
    out: Path,
    features: str | None = None,
    latents: Path | None = None,
    support: int = SUPPORT,
) -> UnitReader:
    """Train a model that reads action units, after testing it on people who were kept out.

    Presence by logistic regression, both answers weighing alike; intensity by ridge where it is graded.
    Raises InputError.

    Parameters
    ----------
    data
        Pictures with labels AU01, AU02, ...: ckplus:FOLDER, rendered:2000, or a zip or folder of ours.
    out
        The model, a .safetensors file.
    features
        What it reads them from: mesh (the face's shape), pixels, or latents; latents by default where they
        are given, else mesh.
    latents
        latents.npz of `mien project real`, or an .npz with a latent for each picture in the dataset's order.
    support
        Pictures with and without a unit that are needed at least; rarer units are named and left out.
    """
    kind = features or ("latents" if latents else "mesh")
    dataset, labels = _opened(data, support, events)
    rows, known = _features(kind, dataset, latents, events)
    kept, _ = _supported(labels.at(known), support, data, events)
    model = train_units(rows[known], kept, kind)
    model.save(out)
    assert model.scores is not None
    events.send(table(model.scores))
    events.wrote(out, f"{len(model.names)} action units from {kind}: {', '.join(model.names)}")
    return model


@job
def evaluate(
    events: Events,
    data: str,
    /,
    *,
    out: Path,
    features: tuple[str, ...] = ("mesh", "pixels"),
    latents: Path | None = None,
    support: int = SUPPORT,
) -> list[UnitScores]:
    """Compare what action units can be read from, on the same people, none of whom is learnt from.

    Five folds by person; F1 and AUC of each unit with 95 % intervals, beside guessing by prevalence. Only
    pictures count of which all kinds of features are known. Writes units.html and units.json. Raises
    InputError.

    Parameters
    ----------
    data
        Pictures with labels AU01, AU02, ...: ckplus:FOLDER, rendered:2000, or a zip or folder of ours.
    out
        Folder for the page and the JSON.
    features
        mesh, pixels; may be repeated. Latents are added where they are given.
    latents
        latents.npz of `mien project real`, or an .npz with a latent for each picture in the dataset's order.
    support
        Pictures with and without a unit that are needed at least; rarer units are named and left out.
    """
    kinds = list(dict.fromkeys([*(["latents"] if latents else []), *features]))
    dataset, labels = _opened(data, support, events)
    several = {kind: _features(kind, dataset, latents, events) for kind in kinds}
    known = np.flatnonzero(np.all([np.isfinite(rows).all(1) for rows, _ in several.values()], axis=0))
    kept, left_out = _supported(labels.at(known), support, data, events)
    scores = [cross_validate(rows[known], kept, kind) for kind, (rows, _) in several.items()]
    for one in scores:
        events.send(table(one))
    write_text(out / "units.json", "[" + ",\n".join(one.model_dump_json(indent=1) for one in scores) + "]\n")
    write_page(out / "units.html", dataset, scores, left_out)
    for name in ("units.json", "units.html"):
        events.wrote(out / name)
    return scores


@job
def predict(
    events: Events,
    model: Path,
    data: str,
    /,
    *,
    out: Path,
    source: Path | None = None,
    device: str = "auto",
) -> int:
    """Write the action units of pictures or latents to a CSV: a row each, for each unit yes or no.

    Columns: file, then AU12 (1, 0, empty where no face is found), AU12_probability (both answers weighing
    alike) and AU12_intensity where graded. Returns how many rows have units. Raises InputError.

    Parameters
    ----------
    model
        A file from `mien units train`.
    data
        Pictures (a zip, a folder, rendered:20, ...), or an .npz of latents, as projections write it.
    out
        The .csv file.
    source
        The generator that draws the latents, where the model reads pictures; the one that comes with mien
        by default.
    device
        Where the generator draws: cpu, cuda, mps or auto.
    """
    place, reader = pick_device(device), UnitReader.load(model)
    if data.endswith(".npz"):
        names, rows = _of_latents(reader, Path(data), source, place)
    else:
        names, rows = _of_pictures(reader, data, events)
    present, probability, intensity = reader.read(rows)
    write_text(out, _csv(reader.names, names, present, probability, intensity))
    num_read = int(np.isfinite(present).all(1).sum())
    missing = [name for name, row in zip(names, present, strict=True) if not np.isfinite(row).all()]
    if missing:
        events.warn(f"no face was found in {len(missing)} of {len(names)}, first {missing[0][:80]!r}")
    events.wrote(out, f"{len(reader.names)} action units of {num_read} faces")
    return num_read


def _opened(data: str, support: int, events: Events) -> tuple[Dataset, UnitLabels]:
    if support < 1:
        raise InputError(f"--support {support}: 1 or more")
    dataset = open_dataset(data, progress=events.progress("opening images"))
    labels = unit_labels(dataset)
    if len(set(labels.people)) < 2:
        raise InputError(f"{data}: pictures of one person; others are needed to test on")
    return dataset, labels


def _features(kind: str, dataset: Dataset, latents: Path | None, events: Events) -> tuple[Floats, np.ndarray]:
    """Features [N, F] and the indexes of the pictures that have any."""
    if kind not in KINDS:
        raise InputError(f"--features {kind}: choose from {', '.join(KINDS)}")
    if kind == "latents":
        if latents is None:
            raise InputError("--features latents: --latents FILE.npz says which")
        rows = latent_features(latents, _names(dataset))
    else:
        rows = picture_features(kind, dataset, events.progress(f"looking at {kind}"))
    known = np.flatnonzero(np.isfinite(rows).all(axis=1))
    if len(known) < len(rows):
        events.note(f"{kind}: nothing to read from in {len(rows) - len(known):,} of {len(rows):,} pictures")
    if not len(known):
        raise InputError(f"{dataset.name}: there is nothing to read units from ({kind}) in any picture")
    return rows, known


def _names(dataset: Dataset) -> list[str]:
    return [str(r.get("file") or r.get("source") or index) for index, r in enumerate(dataset.records)]


def _supported(
    labels: UnitLabels, support: int, data: str, events: Events
) -> tuple[UnitLabels, dict[str, str]]:
    """The units with enough pictures, and why not the others, which are named. Raises InputError for none."""
    kept, left_out = labels.supported(support)
    for name, reason in left_out.items():
        events.warn(f"{name} is left out: {reason}")
    if not kept.names:
        raise InputError(f"{data}: no action unit has {support} pictures with and without it; see --support")
    return kept, left_out


def _of_latents(
    reader: UnitReader, path: Path, source: Path | None, place: torch.device
) -> tuple[list[str], Floats]:
    if reader.features == "latents":
        rows = latent_features(path)
    else:
        drawing = Drawing.of(source, trunc=1.0, label=(), device=place)
        rows = image_features(reader.features, Codes.read(path, drawing).draw(drawing))
    return [f"latent{index:04d}" for index in range(len(rows))], rows


def _of_pictures(reader: UnitReader, data: str, events: Events) -> tuple[list[str], Floats]:
    if reader.features == "latents":
        raise InputError(f"{data}: this model reads latents; mien project gives those of pictures")
    dataset = open_dataset(data, progress=events.progress("opening images"))
    return _names(dataset), picture_features(reader.features, dataset, events.progress("looking at faces"))


def _csv(
    units: Sequence[str], names: Sequence[str], present: Floats, probability: Floats, intensity: Floats
) -> str:
    graded = np.isfinite(intensity).any(0)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    heads = [
        (unit, f"{unit}_probability", *([f"{unit}_intensity"] if graded[column] else []))
        for column, unit in enumerate(units)
    ]
    writer.writerow(["file", *(name for group in heads for name in group)])
    for row, name in enumerate(names):
        cells: list[str] = []
        for column in range(len(units)):
            values = (present[row, column], probability[row, column], intensity[row, column])
            texts = [
                f"{v:.{digits}f}" if np.isfinite(v) else ""
                for v, digits in zip(values, (0, 4, 2), strict=True)
            ]
            cells += texts[: len(heads[column])]
        writer.writerow([name, *cells])
    return buffer.getvalue()


def table(scores: UnitScores) -> Table:
    """A row for each unit, the best read first."""
    columns = (
        Column("unit"),
        *(Column(name, numbers=True) for name in ("with", "F1", "guess", "always", "AUC", "MAE")),
    )
    rows = tuple(
        (
            one.name,
            str(one.reading.yes),
            with_interval(one.reading.f1, ".2f"),
            f"{one.guess:.2f}",
            f"{one.always:.2f}",
            with_interval(one.reading.auc, ".2f"),
            "-"
            if one.intensity is None
            else f"{one.intensity.mae.value:.2f} ({one.intensity.mae_of_median:.2f})",
        )
        for one in sorted(scores.units, key=lambda one: -(one.reading.f1.value if one.reading.f1 else 0))
    )
    f1, gain = (with_interval(mean, ".2f") for mean in (scores.mean_f1, scores.mean_gain))
    caption = (
        f"{scores.pictures:,} pictures of {scores.people:,} people, {scores.folds} folds by person; mean F1"
        f" {f1}, over guessing by prevalence {gain}; MAE of the"
        " intensity, in brackets of always saying the median"
    )
    return Table(columns, rows, title=f"Action units from {scores.features}", caption=caption)


def write_page(
    path: Path, dataset: Dataset, scores: Sequence[UnitScores], left_out: Mapping[str, str]
) -> None:
    """Write the page, whole or not at all."""
    first = scores[0]
    context = {
        "data": dataset.name,
        "lead": f"{first.pictures:,} pictures of {first.people:,} people, {first.folds} folds by person.",
        "verdict": [_verdict(one) for one in scores],
        "kinds": [one.features for one in scores],
        "rows": [_row(name, scores) for name in (unit.name for unit in first.units)],
        "left_out": sorted(left_out.items()),
    }
    write_html(path, "units.html.j2", context)


def _verdict(scores: UnitScores) -> tuple[str, str]:
    gain, f1 = scores.mean_gain, scores.mean_f1
    always = sum(unit.always for unit in scores.units) / len(scores.units)
    beats_both = gain.low > 0 and f1.low > always  # always saying yes beats guessing without looking
    tone = "doubt" if not beats_both else "good" if gain.low >= _ENOUGH else "plain"
    return tone, (
        f"from {scores.features}: mean F1 {f1.value:.2f} ({f1.low:.2f} to {f1.high:.2f}), {gain.value:+.2f}"
        f" ({gain.low:+.2f} to {gain.high:+.2f}) against guessing by prevalence;"
        f" always saying yes reaches {always:.2f}"
    )


def _row(name: str, scores: Sequence[UnitScores]) -> dict[str, object]:
    scores_of_unit = [next(unit for unit in one.units if unit.name == name) for one in scores]
    return {
        "name": name,
        "what": _NAMES.get(int(name[2:]), ""),
        "yes": f"{scores_of_unit[0].reading.yes:,}",
        "guess": f"{scores_of_unit[0].guess:.2f}",
        "always": f"{scores_of_unit[0].always:.2f}",
        "cells": [cell for unit in scores_of_unit for cell in _cells(unit)],
    }


def _cells(unit: UnitScore) -> list[tuple[str, str]]:
    grade = unit.intensity
    mae = ("-", "") if grade is None else (f"{grade.mae.value:.2f}", f"median {grade.mae_of_median:.2f}")
    return [*(value_and_interval(each, ".2f") for each in (unit.reading.f1, unit.reading.auc)), mae]
