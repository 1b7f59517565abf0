"""The resolved plan of a training run (dataset, family, config, initial weights), and its identity."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel

from mien.core import discover, ranks
from mien.core.errors import InputError
from mien.core.family import (
    ada_kimg_of,
    augmentation_of,
    better_from_nothing,
    build,
    identity_of,
    lesson_of,
    preset_for,
    sides_of,
)
from mien.core.types import Dataset, Lesson, Spec, Trainable
from mien.core.views import View
from mien.datasets.opening import open_dataset
from mien.labels import conditions
from mien.training import packaged_start
from mien.training.command import AUTO, DEFAULT_MINUTES, TrainOptions
from mien.training.paired_data import open_training_data
from mien.training.settings import pick_device, resolve_config
from mien.training.start import Initialisation, Start, check_family, check_frozen, initialise, start_of
from mien.training.transfer import first_layers

MODELS = "mien.models"
IDENTITY_OPTIONS = {  # options that make another run
    *("seed", "mirror", "cond", "labels", "freeze_d", "lr_scale", "warmup_kimg", "precision", "micro_batch"),
    *("augment", "augment_pipe", "augment_p", "augment_target", "augment_kimg"),
}
_LOOKED_AT = 64  # images, to see whether they differ
_BOTH_WAYS = {"front", "profile"}  # mirrored, a front would have two profiles


class Built(NamedTuple):
    """A new model. frozen: its parameters that are not trained. initialisation: its initial weights."""

    trainable: Trainable
    frozen: tuple[torch.nn.Parameter, ...]
    initialisation: Initialisation


@dataclass(frozen=True)
class Plan:
    """The model, data and options of a run, resolved.

    lesson: the data as the family prepares them. start: the weights to begin with; a resumed run
    no longer needs them, and start_digest alone says which they were ("" without). note: a line about that.
    """

    family: ModuleType
    family_name: str
    config: BaseModel
    dataset: Dataset
    source: str
    spec: Spec
    options: TrainOptions
    device: torch.device
    lesson: Lesson | None = None
    start: Start | None = None
    start_digest: str = ""
    note: str = ""

    @property
    def training_data(self) -> Dataset:
        return self.dataset if self.lesson is None else self.lesson.train

    def build(self) -> Built:
        """Build a new model. Raises InputError where the family cannot be built with these options."""
        trainable = build(self.family, self.config, self.spec, self.lesson)
        initialisation = Initialisation((), None)
        if self.start is not None:
            initialisation = initialise(trainable, self.start, self.family, self.spec)
        count = self.options.freeze_d
        frozen = first_layers(trainable.networks["d"], count) if count else ()
        return Built(trainable, frozen, initialisation)

    def identity(self) -> str:
        """A digest of all that makes two commands the same run: not budget, folder, intervals or display."""
        parts = {
            "family": self.family_name,
            "config": identity_of(self.config),
            "spec": asdict(self.spec),
            "dataset": self.dataset.content_hash,
            "options": self.options.model_dump(include=IDENTITY_OPTIONS, exclude_none=True),
        }
        if self.lesson is not None:
            # Labels may come from the manifest, which the dataset's hash does not cover.
            data = self.lesson.train
            labels = b"" if data.labels is None else data.labels.tobytes()
            chosen = data.indexes.tobytes() if isinstance(data, View) else b""
            parts["labels"] = hashlib.sha256(labels + chosen).hexdigest()
            if self.lesson.others is not None:
                parts["others"] = self.lesson.others.content_hash
        if self.start_digest:
            parts["start"] = self.start_digest
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def make_plan(
    data: str, options: TrainOptions, *, progress: Callable[[int, int], None] | None = None
) -> Plan:
    """Open the dataset and resolve the family's configuration. Raises InputError."""
    start, start_digest = start_of(options)
    if start is not None and "model" not in options.model_fields_set:
        options = options.model_copy(update={"model": start.header.family})
    family = discover.load(MODELS, options.model)
    if start is not None:
        check_family(start, family, options.model)
    config = _config(family, options, options.preset, {} if start is None else start.numbers)
    dataset, lesson = _opened(family, config, data, options, progress)
    data_spec = dataset.spec if lesson is None else lesson.train.spec
    spec = data_spec if options.cond or lesson is not None else data_spec.unlabelled()
    note = ""
    if packaged_start.is_automatic(options):
        config_of = partial(_config, family, options, options.preset)
        start, begun, note = packaged_start.offer(family, options, config_of, spec)
        start_digest = "" if start is None else start.digest
        config = config if begun is None else begun
    check_frozen(start, options)
    device = pick_device(options.device)
    minutes = core_minutes(options, device)
    if options.preset == AUTO and options.resume is None and start is None:
        config = _config(family, options, preset_for(family, minutes))
    if start is not None and start.packaged and better_from_nothing(family, minutes):
        note = (
            f"in {minutes:g} minutes of a core --from none draws nearer faces than its weights do"
            " (docs/experiments.md)"
        )
    decided = _decided(options, family, dataset, lesson)
    return Plan(
        *(family, options.model, config, dataset, data, spec, decided, device),
        lesson=lesson,
        start=start,
        start_digest=start_digest,
        note=note,
    )


def doubts(dataset: Dataset) -> list[str]:
    """Lines for the user on data from which little can be learnt: too few, all alike, classes of one."""
    chosen = np.unique(np.linspace(0, len(dataset) - 1, _LOOKED_AT).astype(np.int64))
    images = dataset.images(chosen)
    notes = []
    if len(dataset) == 1:
        notes.append("one picture is all there is to learn from: nothing else can be drawn")
    elif (images == images[:1]).all():
        notes.append(f"its pictures are all the same ({len(chosen)} looked at): nothing else can be drawn")
    if (images == images[:, :, :1, :1]).all():
        notes.append(f"its pictures show one colour each ({len(chosen)} looked at): are they the right ones?")
    labels, names = dataset.labels, dataset.spec.class_names
    if labels is not None and np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all():
        counts = labels.sum(axis=0)
        for count, what in ((1, "a single picture"), (0, "no picture")):
            few = [names[k] if names else f"class {k}" for k in np.flatnonzero(counts == count)]
            if few:
                notes.append(f"classes of {what}: {', '.join(few[:5])}{', ...' if len(few) > 5 else ''}")
    return notes


def _decided(
    options: TrainOptions, family: ModuleType, dataset: Dataset, lesson: Lesson | None
) -> TrainOptions:
    """The options with "auto" values resolved by the family and its data."""
    changes: dict[str, Any] = {}
    if options.mirror is None:
        changes["mirror"] = lesson is None or set(lesson.roles) != _BOTH_WAYS
    mode = augmentation_of(family, len(dataset)) if options.augment == "auto" else options.augment
    kimg = options.augment_kimg or ada_kimg_of(family, mode)
    changes |= {"augment": mode, "augment_kimg": kimg}
    return options.model_copy(update=changes)


def with_preset(plan: Plan, preset: str) -> Plan:
    """The same plan with the numbers of another preset of its family."""
    numbers = {} if plan.start is None else plan.start.numbers
    return replace(plan, config=_config(plan.family, plan.options, preset, numbers))


def core_minutes(options: TrainOptions, device: torch.device) -> float:
    """The budget in CPU core minutes; infinite on a GPU and for a budget in images."""
    if device.type != "cpu" or (options.minutes is None and options.kimg is not None):
        return math.inf
    return (options.minutes or DEFAULT_MINUTES) * torch.get_num_threads() * ranks.count()


def _config(
    family: ModuleType, options: TrainOptions, preset: str, numbers: Mapping[str, Any] | None = None
) -> BaseModel:
    preset = "default" if preset == AUTO else preset
    return resolve_config(family, options.model, preset, options.set, numbers)


def _opened(
    family: ModuleType,
    config: BaseModel,
    data: str,
    options: TrainOptions,
    progress: Callable[[int, int], None] | None,
) -> tuple[Dataset, Lesson | None]:
    """The data, and as the family or --labels prepares them; None for the dataset as it is."""
    sides = sides_of(family, config)
    if sides != "one":
        return open_training_data(sides, data, options, config, progress=progress)
    if options.real is not None or options.direction:
        raise InputError(
            f"--real and --direction are for models that turn pictures into others, not {options.model}"
        )
    dataset = open_dataset(data, progress=progress)
    lesson = lesson_of(family, config, dataset)
    if options.labels and lesson is not None:
        raise InputError(f"--labels is for generators; {options.model} takes --set labels=...")
    if options.labels:
        lesson = conditions.conditions(dataset, options.labels, mirror=options.mirror is not False)
    elif options.cond and not dataset.spec.label_dim:
        reason = getattr(dataset, "label_problem", "") or "this dataset has none"
        raise InputError(
            f"{dataset.name}: --cond needs label columns: {reason};"
            " --labels takes labels of its manifest by name"
        )
    return dataset, lesson
