"""`mien units train`, `evaluate` and `predict`: facial action units of pictures and of latents."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from mien.core.atomic import write_text
from mien.core.errors import InputError, want_folder
from mien.core.events import Events, job
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.units.action_units import SUPPORT, UnitLabels, UnitScores, cross_validate
from mien.latent.units.features import image_features, latent_features, model_of_latents
from mien.latent.units.gathered import Faces, Place
from mien.latent.units.model import UnitReader, train_units
from mien.latent.units.neutral import Neutral
from mien.latent.units.report import table, write_page
from mien.training.settings import pick_device

Floats = np.ndarray


@job
def train(
    events: Events,
    data: str,
    /,
    *,
    out: Path,
    features: str | None = None,
    latents: Path | None = None,
    source: Path | None = None,
    encoder: Path | None = None,
    steps: int = 0,
    neutral: Neutral = "auto",
    support: int = SUPPORT,
    device: str = "auto",
) -> UnitReader:
    """Train a model that reads action units, after testing it on people who were kept out.

    Presence by logistic regression, both answers weighing alike; intensity by ridge where it is graded.
    Raises InputError.

    Parameters
    ----------
    data
        Pictures with labels AU01, AU02, ...: ckplus:FOLDER, rendered:2000, or a zip or folder of ours.
    out
        The model, a .safetensors file; latents that were found are kept beside it, as .npz.
    features
        What it reads them from: mesh (the face's shape), pixels, or latents; latents by default where they
        are given or can be found, else mesh.
    latents
        latents.npz of `mien project real`, or an .npz with a latent for each picture in the dataset's order.
    source
        Instead of --latents, the generator whose latents are found: a run folder, a file, or packaged.
    encoder
        Its encoder, of `mien encoder`; the packaged generator has one.
    steps
        Steps of optimisation after the encoder's guess.
    neutral
        Whether faces are read against their person's neutral picture ("role" neutral; first frames of CK+):
        auto does where nearly everybody has one, use and ignore say so.
    support
        Pictures with and without a unit that are needed at least; rarer units are named and left out.
    device
        Where latents are found: cpu, cuda, mps or auto.
    """
    place = Place(latents, source, encoder, steps, device)
    kind = features or ("latents" if place.is_known else "mesh")
    faces, labels = _opened(data, place, neutral, support, events)
    rows = faces.features(kind, out.with_suffix(".npz"))
    known = np.flatnonzero(np.isfinite(rows).all(axis=1))
    kept, _ = _supported(labels.at(known), support, data, events)
    generator = place.model() if kind == "latents" else ""
    model = train_units(rows[known], kept, kind, neutral=faces.rows is not None, model=generator)
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
    source: Path | None = None,
    encoder: Path | None = None,
    steps: int = 0,
    neutral: Neutral = "auto",
    support: int = SUPPORT,
    device: str = "auto",
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
        mesh, pixels; may be repeated. Latents are added where they are given or can be found.
    latents
        latents.npz of `mien project real`, or an .npz with a latent for each picture in the dataset's order.
    source
        Instead of --latents, the generator whose latents are found: a run folder, a file, or packaged.
    encoder
        Its encoder, of `mien encoder`; the packaged generator has one.
    steps
        Steps of optimisation after the encoder's guess.
    neutral
        Whether faces are read against their person's neutral picture ("role" neutral; first frames of CK+):
        auto does where nearly everybody has one, use and ignore say so.
    support
        Pictures with and without a unit that are needed at least; rarer units are named and left out.
    device
        Where latents are found: cpu, cuda, mps or auto.
    """
    want_folder(out)
    place = Place(latents, source, encoder, steps, device)
    kinds = list(dict.fromkeys([*(["latents"] if place.is_known else []), *features]))
    faces, labels = _opened(data, place, neutral, support, events)
    several = {kind: faces.features(kind, out / "latents.npz") for kind in kinds}
    known = np.flatnonzero(np.all([np.isfinite(rows).all(1) for rows in several.values()], axis=0))
    kept, left_out = _supported(labels.at(known), support, data, events)
    scores = [
        cross_validate(rows[known], kept, kind, neutral=faces.rows is not None)
        for kind, rows in several.items()
    ]
    for one in scores:
        events.send(table(one))
    write_text(out / "units.json", "[" + ",\n".join(one.model_dump_json(indent=1) for one in scores) + "]\n")
    write_page(out / "units.html", faces.dataset, scores, left_out)
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
    latents: Path | None = None,
    source: Path | None = None,
    encoder: Path | None = None,
    steps: int = 0,
    device: str = "auto",
) -> int:
    """Write the action units of pictures or latents to a CSV: a row each, for each unit yes or no.

    Columns: file, then AU12 (1, 0, empty where no face is found, and for the neutral faces that others are
    read against), AU12_probability (both answers weighing alike) and AU12_intensity where graded. Returns how
    many rows have units. Raises InputError.

    Parameters
    ----------
    model
        A file from `mien units train`.
    data
        Pictures (a zip, a folder, rendered:20, ...), or an .npz of latents, as projections write it.
    out
        The .csv file.
    latents
        The latents of the pictures, where the model reads these; as for `train`.
    source
        The generator that draws the latents of an .npz where the model reads pictures, or that finds those
        of pictures where it reads latents; for the former the one that comes with mien by default.
    encoder
        Its encoder, of `mien encoder`; the packaged generator has one.
    steps
        Steps of optimisation after the encoder's guess.
    device
        Where the generator computes: cpu, cuda, mps or auto.
    """
    place, where = Place(latents, source, encoder, steps, device), pick_device(device)
    _check(place)
    reader = UnitReader.load(model)
    if reader.features == "latents" and not data.endswith(".npz"):
        reader.check(place.model(), f"--latents {latents}" if latents else f"--source {source or 'packaged'}")
    if data.endswith(".npz"):
        names, rows = _of_latents(reader, Path(data), source, where)
    else:
        faces = Faces.open(data, place, "use" if reader.neutral else "ignore", events)
        names, rows = faces.names, faces.features(reader.features)
    present, probability, intensity = reader.read(rows)
    write_text(out, _csv(reader.names, names, present, probability, intensity))
    num_read = int(np.isfinite(present).all(1).sum())
    missing = [name for name, row in zip(names, present, strict=True) if not np.isfinite(row).all()]
    if missing and not reader.neutral:
        events.warn(f"no face was found in {len(missing)} of {len(names)}, first {missing[0][:80]!r}")
    events.wrote(out, f"{len(reader.names)} action units of {num_read} faces")
    return num_read


def _opened(
    data: str, place: Place, neutral: Neutral, support: int, events: Events
) -> tuple[Faces, UnitLabels]:
    if support < 1:
        raise InputError(f"--support {support}: 1 or more")
    _check(place)
    faces = Faces.open(data, place, neutral, events)
    return faces, faces.labels(data)


def _check(place: Place) -> None:
    """Raise InputError for options that contradict one another."""
    if place.steps < 0:
        raise InputError(f"--steps {place.steps}: 0 or more")
    finds = place.source is not None or place.encoder is not None
    if finds and place.latents is not None:
        raise InputError("--latents are known already; leave out --source and --encoder, which find some")
    if place.steps and not finds:
        raise InputError(f"--steps {place.steps}: --source RUN or packaged says of which generator")


def _supported(
    labels: UnitLabels, support: int, data: str, events: Events
) -> tuple[UnitLabels, dict[str, str]]:
    """The units with enough pictures, and why not the others, which are named. Raises InputError for none."""
    kept, left_out = labels.supported(support)
    for name, reason in left_out.items():
        events.warn(f"{name} is left out: {reason}")
    if not kept.names:
        raise InputError(
            f"{data}: no action unit has {support} pictures with and without it; see --support, and --neutral"
            " ignore where neutral faces should count"
        )
    return kept, left_out


def _of_latents(
    reader: UnitReader, path: Path, source: Path | None, place: torch.device
) -> tuple[list[str], Floats]:
    if reader.neutral:
        raise InputError(
            f"{path}: this model reads faces against each person's neutral one; give it the pictures, and"
            " these as --latents"
        )
    if reader.features == "latents":
        reader.check(model_of_latents(path), str(path))
        rows = latent_features(path)
    else:
        drawing = Drawing.of(source, trunc=1.0, label=(), device=place)
        rows = image_features(reader.features, Codes.read(path, drawing).draw(drawing))
    return [f"latent{index:04d}" for index in range(len(rows))], rows


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
