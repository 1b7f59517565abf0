"""What a model learns from that has two sides: pairs, or pictures of two domains."""

from typing import Any, NamedTuple

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
from mien.training.options import TrainOptions

_HELD_OUT = 0.2  # where a family does not say
_WORDS = {1: "gray", 3: "in colour"}


def learn_from(
    sides: Sides, data: str, options: TrainOptions, config: BaseModel, *, progress: Tick | None
) -> tuple[Dataset, Lesson]:
    """Open both sides; the dataset returned stands for them in the run. Raises InputError."""
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
    """Pairs to learn from and pairs kept out, nobody on both sides."""
    split = split_pairs(paired, config)
    inputs, targets = ([_part(side, at) for at in split[:2]] for side in (paired.inputs, paired.targets))
    one, two = paired.roles
    told = (
        f"learns {one} to {two} from {len(split.train):,} pairs; {len(split.held_out):,} kept out {split.how}"
    )
    return Lesson(
        inputs[0],
        inputs[1],
        how=split.how,
        notes=(told,),
        others=targets[0],
        held_out_others=targets[1],
        aligned=True,
        roles=paired.roles,
    )


def domain_lesson(rendered: Dataset, real: Dataset) -> Lesson:
    """All pictures of both, without labels. Raises InputError where they do not fit together."""
    check_alike(rendered, real)
    told = (
        f"learns to make {len(rendered):,} pictures of {rendered.name} look like {len(real):,} of {real.name}"
    )
    views = [_part(dataset, np.arange(len(dataset))) for dataset in (rendered, real)]
    return Lesson(views[0], others=views[1], notes=(told,))


def check_alike(one: Dataset, two: Dataset) -> None:
    """Raise InputError unless both hold pictures of one size, both in colour or both gray."""
    if one.spec.resolution != two.spec.resolution:
        sizes = f"{one.spec.resolution} px, {two.name} of {two.spec.resolution} px"
        raise InputError(f"{one.name} has pictures of {sizes}; both must have one size")
    if one.spec.channels != two.spec.channels:
        kinds = f"{_WORDS[one.spec.channels]}, {two.name} is {_WORDS[two.spec.channels]}"
        raise InputError(f"{one.name} is {kinds}; both must be gray or both in colour")


class ToExamine(NamedTuple):
    """Pairs to examine a model on. kept_out: is it known that it did not learn from these people?"""

    inputs: Dataset
    targets: Dataset
    kept_out: bool
    how: str


def pairs_to_examine(
    header: NetworkHeader, config: BaseModel, data: str, *, progress: Tick | None
) -> ToExamine:
    """Of the pairs that a model learnt from, those kept out; of any others, all. Raises InputError."""
    paired = open_pairs(data, direction="-".join(header.roles), progress=progress)
    if header.dataset is not None and header.dataset.content_hash == paired.content_hash:
        split = split_pairs(paired, config)
        inputs, targets = (_part(side, split.held_out) for side in (paired.inputs, paired.targets))
        return ToExamine(inputs, targets, True, f"kept out of training {split.how}")
    how = "not what was trained on; whether the model saw the same people is not known"
    return ToExamine(paired.inputs, paired.targets, False, how)


def split_pairs(paired: PairedDataset, config: BaseModel) -> Split:
    """Which pairs are learnt from and which are kept out (`held_out` of the configuration), by person."""
    records = [
        _who(person, name, record)
        for person, name, record in zip(paired.people, paired.names, paired.inputs.records, strict=True)
    ]
    return split_people(records, share=float(getattr(config, "held_out", _HELD_OUT)))


def _who(person: str, name: str, record: Any) -> dict[str, Any]:
    who = {"person": person} if person else {"pair": name}
    return {**who, "split": record.get("split", "")}


def _part(side: Dataset, at: np.ndarray) -> Dataset:
    return View(side, at, labels=None, class_names=())
