"""Reading labels off images with a trained model, and how well it does on people it never saw."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mien.attributes.agreement import (
    Interval,
    Number,
    OneOf,
    Reading,
    YesNo,
    auc,
    mean_auc,
    number,
    one_of,
    yes_no,
)
from mien.core.errors import InputError
from mien.core.events import Column, Event, Notice, Table, Tick
from mien.core.examination import Examination
from mien.core.image import resize, to_float
from mien.core.network import LoadedNetwork, load_network
from mien.core.run import RunFolder
from mien.core.types import Dataset
from mien.core.views import View
from mien.datasets.opening import open_dataset
from mien.labels import encoding
from mien.labels.split import person_of, split_people
from mien.models import attributes
from mien.models.attributes import KIND, Reader

FEWEST = 20  # of either answer, for a label to count in the mean AUC
_BATCH = 128


class AttributeExamination(Examination):
    """How well a model reads the labels of some images.

    absent: labels that the dataset does not have. readings: label by label.
    """

    metric = "attributes"

    num_pictures: int
    num_people: int
    absent: tuple[str, ...] = ()
    readings: tuple[Reading, ...]

    @property
    def mean_auc(self) -> tuple[float | None, int]:
        """Over yes-no labels with at least 20 of either answer, and how many those are."""
        return mean_auc(self.readings, fewest=FEWEST)

    def tables(self) -> list[Event]:
        """A row a yes-no label, the weakest last, and a line for each other; what is undefined is a dash."""
        yes_nos = strongest_first(self)
        others = [f"{one.name}: {summary(one)}" for one in self.readings if not isinstance(one, YesNo)]
        absent = [f"not in this dataset: {', '.join(self.absent)}"] if self.absent else []
        events: list[Event] = [
            Notice(
                f"{self.model_id} on {self.num_pictures:,} pictures of {self.num_people:,} people"
                f" ({self.dataset_name}), {self.how}"
            )
        ]
        events += [_yes_no_table(yes_nos)] if yes_nos else []
        lines = [*others, *absent, f"in brackets: 95 % intervals over people{_mean_sentence(self)}"]
        return events + [Notice(line) for line in lines]


def load(source: Path, device: torch.device | None = None) -> LoadedNetwork[Reader]:
    """Load a run's newest attribute model, or a file of one. Raises InputError."""
    return load_network(source, KIND, device)


def read(
    network: Reader, dataset: Dataset, indexes: np.ndarray, *, progress: Tick | None = None
) -> np.ndarray:
    """float32 [len(indexes), columns] as `Reader.read`; pictures of another size are resized first."""
    _check_channels(network, dataset)
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
    """Examine a model on `data`; in a run folder the result is appended to `metric-attributes.jsonl`.

    On the pictures that it was trained on, only those of people who were kept out count. Raises InputError.
    """
    loaded = load(source, device)
    dataset = open_dataset(data, progress=progress)
    side, kept_out, how = test_side(loaded, dataset)
    found = examine(
        loaded.network, side, loaded.model, loaded.header.nimg, kept_out=kept_out, how=how, progress=progress
    )
    if source.is_dir():
        found.append(RunFolder.open(source))
    return found


def test_side(loaded: LoadedNetwork[Reader], dataset: Dataset) -> tuple[Dataset, bool, str]:
    """The pictures to examine the model on, whether it is known never to have seen them, and in words."""
    header, network = loaded.header, loaded.network
    labels = encoding.encode(dataset, network.targets)
    if header.dataset is not None and header.dataset.content_hash == dataset.content_hash:
        config = attributes.Config.model_validate(header.config)
        split = split_people(dataset.records, share=config.held_out)
        side = View(
            dataset, split.held_out, labels=labels[split.held_out], class_names=network.spec.class_names
        )
        return side, True, f"kept out of training {split.how}"
    everything = View(dataset, np.arange(len(dataset)), labels=labels, class_names=network.spec.class_names)
    return everything, False, "not what was trained on; whether the model saw the same people is not known"


def examine(
    network: Reader,
    side: Dataset,
    model: str,
    nimg: int,
    *,
    kept_out: bool,
    how: str,
    progress: Tick | None = None,
) -> AttributeExamination:
    """Compare what the network reads with the labels of `side` (NaN where not known: those do not count)."""
    assert side.labels is not None
    predicted = read(network, side, np.arange(len(side)), progress=progress)
    people = [person_of(record) or str(index) for index, record in enumerate(side.records)]
    readings, absent = compare(network.targets, side.labels, predicted, people)
    if not readings:
        raise InputError(f"{side.name}: it has none of the labels that the model reads ({', '.join(absent)})")
    return AttributeExamination(
        model_id=model,
        nimg=nimg,
        dataset_name=side.name,
        dataset_hash=side.content_hash,
        num_pictures=len(side),
        num_people=len(set(people)),
        kept_out=kept_out,
        how=how,
        absent=absent,
        readings=readings,
    )


def compare(
    targets: Sequence[encoding.Target], truth: np.ndarray, predicted: np.ndarray, people: Sequence[str]
) -> tuple[tuple[Reading, ...], tuple[str, ...]]:
    """One reading for each target of which any truth is known; the names of the others."""
    readings: list[Reading] = []
    absent: list[str] = []
    for target in targets:
        known = np.flatnonzero(~np.isnan(truth[:, target.columns]).any(axis=1))
        if not len(known):
            absent.append(target.name)
            continue
        mine, theirs = truth[known][:, target.columns], predicted[known][:, target.columns]
        names = [people[index] for index in known.tolist()]
        if target.kind == "yes-no":
            readings.append(yes_no(target.name, mine[:, 0], theirs[:, 0], names))
        elif target.kind == "number":
            readings.append(number(target.name, mine[:, 0], theirs[:, 0], names))
        else:
            readings.append(one_of(target.name, target.values, mine.argmax(axis=1), theirs, names))
    return tuple(readings), tuple(absent)


def _yes_no_table(yes_nos: Sequence[YesNo]) -> Table:
    headings = ("known", "yes", "AUC", "prec.", "recall", "F1", "ECE")
    rows = []
    for one in yes_nos:
        counts = (str(one.count), f"{one.base_rate:.0%}", with_interval(one.auc))
        scores = [_short(figure) for figure in (one.precision, one.recall, one.f1)]
        rows.append((one.name, *counts, *scores, f"{one.ece:.3f}"))
    columns = (Column("label", wraps=True), *(Column(heading, numbers=True) for heading in headings))
    return Table(columns, tuple(rows))


def strongest_first(found: AttributeExamination) -> list[YesNo]:
    """The yes-no labels by falling AUC; those without one last."""
    yes_nos = [reading for reading in found.readings if isinstance(reading, YesNo)]
    return sorted(yes_nos, key=lambda one: -(one.auc.value if one.auc else -1.0))


def summary(reading: OneOf | Number) -> str:
    """The main figures of a label that is no yes or no, beside what must be beaten."""
    if isinstance(reading, Number):
        r2 = "" if reading.r2 is None else f", R² {reading.r2:.2f}"
        beaten = f"the median alone: MAE {reading.mae_of_median:.3g}"
        return f"MAE {with_interval(reading.mae)}, RMSE {with_interval(reading.rmse)}{r2} ({beaten})"
    return (
        f"accuracy {with_interval(reading.accuracy)} (the most common value alone: {reading.most_common:.3f})"
    )


def with_interval(figure: Interval | None) -> str:
    """ "0.953 (0.940-0.964)"."""
    value, ends = value_and_interval(figure)
    return f"{value} ({ends})" if ends else value


def value_and_interval(figure: Interval | None) -> tuple[str, str]:
    """ "0.953" and "0.940-0.964"."""
    if figure is None:
        return "-", ""
    digits = 3 if abs(figure.value) < 10 else 1
    return f"{figure.value:.{digits}f}", f"{figure.low:.{digits}f}-{figure.high:.{digits}f}"


def glance(network: Reader, side: Dataset, most: int) -> dict[str, float]:
    """A few scalars for a log, quickly: from at most `most` pictures of `side`, without intervals."""
    assert side.labels is not None
    where = np.linspace(0, len(side) - 1, min(most, len(side))).astype(int)
    predicted, truth = read(network, side, where), side.labels[where]
    values: dict[str, float] = {}
    aucs: list[float] = []
    for target in network.targets:
        known = ~np.isnan(truth[:, target.columns]).any(axis=1)
        mine, theirs = truth[known][:, target.columns], predicted[known][:, target.columns]
        if target.kind == "yes-no" and 0 < mine.sum() < len(mine):
            aucs.append(auc(mine[:, 0], theirs[:, 0]))
        elif target.kind == "number" and len(mine):
            values[f"Eval/mae/{target.name}"] = float(np.abs(mine - theirs).mean())
        elif target.kind == "one-of" and len(mine):
            right = mine.argmax(axis=1) == theirs.argmax(axis=1)
            values[f"Eval/accuracy/{target.name}"] = float(right.mean())
    return ({"Eval/auc": sum(aucs) / len(aucs)} if aucs else {}) | values


def _mean_sentence(found: AttributeExamination) -> str:
    mean, count = found.mean_auc
    return (
        ""
        if mean is None
        else f"; mean AUC {mean:.3f} over {count} labels with {FEWEST} or more of either answer"
    )


def _short(figure: Interval | None) -> str:
    return "-" if figure is None else f"{figure.value:.3f}"


def _check_channels(network: Reader, dataset: Dataset) -> None:
    ours, theirs = network.spec.channels, dataset.spec.channels
    if ours != theirs:
        words = {1: "gray", 3: "coloured"}
        raise InputError(
            f"{dataset.name} is {words.get(theirs, theirs)}, the model reads {words.get(ours, ours)} pictures"
        )


def _sized(pixels: np.ndarray, size: int) -> np.ndarray:
    """uint8 [N, C, S, S] as [N, C, size, size]."""
    if pixels.shape[-1] == size:
        return pixels
    resized: list[Any] = [resize(picture.transpose(1, 2, 0), size).transpose(2, 0, 1) for picture in pixels]
    return np.ascontiguousarray(np.stack(resized))
