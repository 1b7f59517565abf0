"""Training and test data of image-to-image models: aligned pairs, or unpaired images of two domains."""

from typing import Generic, NamedTuple, TypeVar

import numpy as np
from pydantic import BaseModel

from mien.core.checkpoint import NetworkHeader
from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.family import Sides
from mien.core.types import Dataset, Lesson
from mien.core.views import View
from mien.datasets.opening import open_dataset
from mien.datasets.paired import PairedDataset, open_pairs
from mien.labels.split import Split, split_people
from mien.training.command import TrainOptions

_HELD_OUT = 0.2  # where a family does not say
OTHER_DATA = "not what was trained on; whether the model saw the same people is not known"
_COLOURS = {1: "gray", 3: "in colour"}
Targets = TypeVar("Targets", bound=Dataset | None, covariant=True)


def open_training_data(
    sides: Sides, data: str, options: TrainOptions, config: BaseModel, *, progress: Tick | None
) -> tuple[Dataset, Lesson]:
    """Open inputs and targets; the dataset returned stands for both in the run. Raises InputError."""
    if options.cond or options.labels:
        raise InputError(f"{options.model} learns from pictures alone: leave out --cond and --labels")
    if sides == "pairs":
        if options.real is not None:
            raise InputError(f"--real is for refiners; {options.model} learns from pairs")
        paired = open_pairs(data, direction=options.direction, progress=progress)
        return paired.inputs, pair_lesson(paired, config)
    if options.real is None:
        raise InputError(f"{options.model}: say with --real DATASET what its pictures are to look like")
    rendered, real = (open_dataset(source, progress=progress) for source in (data, options.real))
    return rendered, domain_lesson(rendered, real)


def pair_lesson(paired: PairedDataset, config: BaseModel) -> Lesson:
    """Training pairs and held-out pairs; nobody is in both."""
    split = split_pairs(paired, config)
    inputs, targets = (
        [_part(dataset, indexes) for indexes in split[:2]] for dataset in (paired.inputs, paired.targets)
    )
    one, two = paired.roles
    note = (
        f"learns {one} to {two} from {len(split.train):,} pairs; {len(split.held_out):,} kept out {split.how}"
    )
    return Lesson(
        inputs[0],
        inputs[1],
        how=split.how,
        notes=(note,),
        others=targets[0],
        held_out_others=targets[1],
        aligned=True,
        roles=paired.roles,
    )


def domain_lesson(rendered: Dataset, real: Dataset) -> Lesson:
    """All images of both domains, without labels. Raises InputError where they do not fit together."""
    check_alike(rendered, real)
    note = (
        f"learns to make {len(rendered):,} pictures of {rendered.name} look like {len(real):,} of {real.name}"
    )
    views = [_part(dataset, np.arange(len(dataset))) for dataset in (rendered, real)]
    return Lesson(views[0], others=views[1], notes=(note,))


def check_alike(one: Dataset, two: Dataset) -> None:
    """Raise InputError unless both hold images of one size, both in colour or both gray."""
    if one.spec.resolution != two.spec.resolution:
        sizes = f"{one.spec.resolution} px, {two.name} of {two.spec.resolution} px"
        raise InputError(f"{one.name} has pictures of {sizes}; both must have one size")
    if one.spec.channels != two.spec.channels:
        kinds = f"{_COLOURS[one.spec.channels]}, {two.name} is {_COLOURS[two.spec.channels]}"
        raise InputError(f"{one.name} is {kinds}; both must be gray or both in colour")


class EvaluationData(NamedTuple, Generic[Targets]):
    """Images to evaluate a model on; targets: the second of each pair, None without pairs.

    kept_out: whether its people are known to be held out of training; how, or why that is not known.
    """

    inputs: Dataset
    targets: Targets
    kept_out: bool
    how: str


def evaluation_pairs(
    header: NetworkHeader, config: BaseModel, data: str, *, progress: Tick | None
) -> EvaluationData[Dataset]:
    """The held-out pairs of a model's training data; all pairs of any other data. Raises InputError."""
    paired = open_pairs(data, direction="-".join(header.roles), progress=progress)
    if header.dataset is not None and header.dataset.content_hash == paired.content_hash:
        split = split_pairs(paired, config)
        inputs, targets = (_part(dataset, split.held_out) for dataset in (paired.inputs, paired.targets))
        return EvaluationData(inputs, targets, True, f"kept out of training {split.how}")
    return EvaluationData(paired.inputs, paired.targets, False, OTHER_DATA)


def split_pairs(paired: PairedDataset, config: BaseModel) -> Split:
    """Split pairs into training and held-out ones (`held_out` of the configuration), by person."""
    records = [
        {**({"person": person} if person else {"pair": name}), "split": record.get("split", "")}
        for person, name, record in zip(paired.people, paired.names, paired.inputs.records, strict=True)
    ]
    return split_people(records, share=float(getattr(config, "held_out", _HELD_OUT)))


def _part(dataset: Dataset, indexes: np.ndarray) -> Dataset:
    return View(dataset, indexes, labels=None, class_names=())
