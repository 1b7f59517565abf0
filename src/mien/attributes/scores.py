"""Evaluation of a trained attribute model on people it was not trained on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from mien.attributes.agreement import Number, OneOf, Reading, YesNo, auc, mean_auc, number, one_of, yes_no
from mien.core.errors import InputError
from mien.core.events import Column, Event, Notice, Table, Tick
from mien.core.image import evenly_spaced, resize, to_float
from mien.core.network import LoadedNetwork, load_network
from mien.core.run import RunFolder
from mien.core.score import Examination, with_interval
from mien.core.types import Dataset
from mien.core.views import View
from mien.datasets.opening import open_dataset
from mien.labels import encoding
from mien.labels.split import person_of, split_people
from mien.models import attributes
from mien.models.attributes import KIND, Reader

FEWEST = 20  # of either answer, for a label to count in the mean AUC
_BATCH = 128
_COLOURS = {1: "gray", 3: "coloured"}  # by channels


class AttributeExamination(Examination):
    """Scores of an attribute model on a dataset.

    absent: labels that the dataset does not have. readings: label by label.
    """

    metric = "attributes"

    num_pictures: int
    num_people: int
    absent: tuple[str, ...] = ()
    readings: tuple[Reading, ...]

    @property
    def mean_auc(self) -> tuple[float | None, int]:
        """The mean AUC over binary labels with at least 20 images of either class, and their number."""
        return mean_auc(self.readings, fewest=FEWEST)

    def tables(self) -> list[Event]:
        """A row for each binary label by falling AUC, a line for each other; undefined scores are a dash."""
        yes_nos, (mean, count) = strongest_first(self), self.mean_auc
        whom = f"{self.num_pictures:,} pictures of {self.num_people:,} people ({self.dataset_name})"
        events: list[Event] = [Notice(f"{self.model_id} on {whom}, {self.how}")]
        events += [_yes_no_table(yes_nos)] if yes_nos else []
        lines = [f"{one.name}: {summary(one)}" for one in self.readings if not isinstance(one, YesNo)]
        lines += [f"not in this dataset: {', '.join(self.absent)}"] if self.absent else []
        labels = f"{count} labels with {FEWEST} or more of either answer"
        mean_text = "" if mean is None else f"; mean AUC {mean:.3f} over {labels}"
        lines.append(f"in brackets: 95 % intervals over people{mean_text}")
        return events + [Notice(line) for line in lines]


def load(source: Path, device: torch.device | None = None) -> LoadedNetwork[Reader]:
    """Load a run's newest attribute model, or a file of one. Raises InputError."""
    return load_network(source, KIND, device)


def read(
    network: Reader, dataset: Dataset, indexes: np.ndarray, *, progress: Tick | None = None
) -> np.ndarray:
    """Predictions float32 [len(indexes), columns] as of `Reader.read`; images are resized where need be."""
    if network.spec.channels != dataset.spec.channels:
        has, reads = (_COLOURS.get(one, one) for one in (dataset.spec.channels, network.spec.channels))
        raise InputError(f"{dataset.name} is {has}, the model reads {reads} pictures")
    device = network.centre.device
    rows = [np.zeros((0, network.spec.label_dim), np.float32)]
    for start in range(0, len(indexes), _BATCH):
        pixels = _sized(dataset.images(indexes[start : start + _BATCH]), network.spec.resolution)
        images = to_float(torch.from_numpy(pixels).to(device))
        rows.append(network.read(images.contiguous(memory_format=torch.channels_last)).cpu().numpy())
        if progress:
            progress(min(start + _BATCH, len(indexes)), len(indexes))
    return np.concatenate(rows)


def evaluate(
    source: Path, data: str, *, device: torch.device, progress: Tick | None = None
) -> AttributeExamination:
    """Evaluate a model on `data`; in a run folder the result is appended to `metric-attributes.jsonl`.

    Of the dataset that it was trained on, only held-out people count. Raises InputError.
    """
    loaded = load(source, device)
    dataset = open_dataset(data, progress=progress)
    images, kept_out, how = evaluation_set(loaded, dataset)
    examination = examine(
        loaded.network,
        images,
        loaded.model,
        loaded.header.nimg,
        kept_out=kept_out,
        how=how,
        progress=progress,
    )
    if source.is_dir():
        examination.append(RunFolder.open(source))
    return examination


def evaluation_set(loaded: LoadedNetwork[Reader], dataset: Dataset) -> tuple[Dataset, bool, str]:
    """The images to evaluate on, whether they are known to be held out, and which they are, in words."""
    header, network = loaded.header, loaded.network
    labels, chosen, kept_out = encoding.encode(dataset, network.targets), np.arange(len(dataset)), False
    how = "not what was trained on; whether the model saw the same people is not known"
    if header.dataset is not None and header.dataset.content_hash == dataset.content_hash:
        config = attributes.Config.model_validate(header.config)
        split = split_people(dataset.records, share=config.held_out)
        chosen, kept_out, how = split.held_out, True, f"kept out of training {split.how}"
    images = View(dataset, chosen, labels=labels[chosen], class_names=network.spec.class_names)
    return images, kept_out, how


def examine(
    network: Reader,
    images: Dataset,
    model: str,
    nimg: int,
    *,
    kept_out: bool,
    how: str,
    progress: Tick | None = None,
) -> AttributeExamination:
    """Compare predictions with the labels of `images` (NaN where not known: those do not count)."""
    assert images.labels is not None
    predicted = read(network, images, np.arange(len(images)), progress=progress)
    people = [person_of(record) or str(index) for index, record in enumerate(images.records)]
    readings, absent = compare(network.targets, images.labels, predicted, people)
    if not readings:
        raise InputError(
            f"{images.name}: it has none of the labels that the model reads ({', '.join(absent)})"
        )
    return AttributeExamination(
        model_id=model,
        nimg=nimg,
        dataset_name=images.name,
        dataset_hash=images.content_hash,
        num_pictures=len(images),
        num_people=len(set(people)),
        kept_out=kept_out,
        how=how,
        absent=absent,
        readings=readings,
    )


def compare(
    targets: Sequence[encoding.Target], truth: np.ndarray, predicted: np.ndarray, people: Sequence[str]
) -> tuple[tuple[Reading, ...], tuple[str, ...]]:
    """Scores of each label that is known for any image, and the names of the others."""
    readings: list[Reading] = []
    absent: list[str] = []
    for target in targets:
        known = np.flatnonzero(~np.isnan(truth[:, target.columns]).any(axis=1))
        if not len(known):
            absent.append(target.name)
            continue
        true, guesses = truth[known][:, target.columns], predicted[known][:, target.columns]
        names = [people[index] for index in known.tolist()]
        if target.kind == "yes-no":
            readings.append(yes_no(target.name, true[:, 0], guesses[:, 0], names))
        elif target.kind == "number":
            readings.append(number(target.name, true[:, 0], guesses[:, 0], names))
        else:
            readings.append(one_of(target.name, target.values, true.argmax(axis=1), guesses, names))
    return tuple(readings), tuple(absent)


def _yes_no_table(yes_nos: Sequence[YesNo]) -> Table:
    headings = ("known", "yes", "AUC", "prec.", "recall", "F1", "ECE")
    rows = []
    for label in yes_nos:
        counts = (str(label.count), f"{label.base_rate:.0%}", with_interval(label.auc))
        three = (label.precision, label.recall, label.f1)
        scores = ["-" if score is None else f"{score.value:.3f}" for score in three]
        rows.append((label.name, *counts, *scores, f"{label.ece:.3f}"))
    columns = (Column("label", wraps=True), *(Column(heading, numbers=True) for heading in headings))
    return Table(columns, tuple(rows))


def strongest_first(examination: AttributeExamination) -> list[YesNo]:
    """The binary labels by falling AUC; those without one last."""
    yes_nos = [reading for reading in examination.readings if isinstance(reading, YesNo)]
    return sorted(yes_nos, key=lambda label: -(label.auc.value if label.auc else -1.0))


def summary(reading: OneOf | Number) -> str:
    """The main scores of a categorical or numeric label, beside the trivial baseline."""
    if isinstance(reading, Number):
        r2 = "" if reading.r2 is None else f", R² {reading.r2:.2f}"
        baseline = f"the median alone: MAE {reading.mae_of_median:.3g}"
        return f"MAE {with_interval(reading.mae)}, RMSE {with_interval(reading.rmse)}{r2} ({baseline})"
    return (
        f"accuracy {with_interval(reading.accuracy)} (the most common value alone: {reading.most_common:.3f})"
    )


def quick_scores(network: Reader, images: Dataset, most: int) -> dict[str, float]:
    """A few scalars for the log, from at most `most` of the images, without intervals."""
    assert images.labels is not None
    indexes = evenly_spaced(images, most)
    predicted, truth = read(network, images, indexes), images.labels[indexes]
    values: dict[str, float] = {}
    aucs: list[float] = []
    for target in network.targets:
        known = ~np.isnan(truth[:, target.columns]).any(axis=1)
        true, guesses = truth[known][:, target.columns], predicted[known][:, target.columns]
        if target.kind == "yes-no" and 0 < true.sum() < len(true):
            aucs.append(auc(true[:, 0], guesses[:, 0]))
        elif target.kind == "number" and len(true):
            values[f"Eval/mae/{target.name}"] = float(np.abs(true - guesses).mean())
        elif target.kind == "one-of" and len(true):
            correct = true.argmax(axis=1) == guesses.argmax(axis=1)
            values[f"Eval/accuracy/{target.name}"] = float(correct.mean())
    return ({"Eval/auc": sum(aucs) / len(aucs)} if aucs else {}) | values


def _sized(pixels: np.ndarray, size: int) -> np.ndarray:
    """uint8 [N, C, S, S] as [N, C, size, size]."""
    if pixels.shape[-1] == size:
        return pixels
    return np.stack([resize(image.transpose(1, 2, 0), size).transpose(2, 0, 1) for image in pixels])
