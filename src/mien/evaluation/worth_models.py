"""The small models of `mien worth`: their training sets, training, and cached predictions."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from pydantic import AliasChoices, BaseModel, Field, FiniteFloat, ValidationError

from mien.attributes.scores import read
from mien.core.atomic import write_text
from mien.core.errors import InputError, MienError
from mien.core.types import Dataset, Lesson
from mien.core.views import Joined, View
from mien.evaluation.worth_sets import AUGMENTED, BESIDE, REAL, Sets, subset
from mien.labels import encoding
from mien.models import attributes
from mien.models.attributes import PRODUCT, Config, Reader
from mien.training.loop import Budget, Training, train
from mien.training.order import Stream

_PLAIN = {"shift": 0.0, "zoom": 0.0, "brightness": 0.0}  # nothing is disturbed


@dataclass(frozen=True)
class Arm:
    """A training condition of the experiment. synthetic: the name of a set, "" for none.

    augmented: pictures are mirrored, moved, zoomed and lit at random; in all other arms they are as they are.
    """

    name: str
    real: bool
    synthetic: str = ""
    augmented: bool = False


class Result(BaseModel, frozen=True, extra="forbid"):
    """Predictions of one model on the test images, a file of its own. predicted: [images][columns].

    num_real, num_synthetic: pictures that it learnt from. updates: steps of its optimiser.
    """

    key: str
    arm: str
    seed: int
    num_real: int
    num_synthetic: int
    updates: int
    predicted: tuple[tuple[FiniteFloat, ...], ...] = Field(validation_alias=AliasChoices("predicted", "said"))

    @property
    def predictions(self) -> np.ndarray:
        """float32 [pictures, columns]."""
        return np.array(self.predicted, np.float32)


@dataclass(frozen=True)
class Plan:
    """How every model is trained. nimg: images that each sees, in steps of `config.batch_size`."""

    sets: Sets
    config: Config
    nimg: int
    real_count: int | None
    device: torch.device

    @property
    def updates(self) -> int:
        return -(-self.nimg // self.config.batch_size)


def arms_of(sets: Sets) -> tuple[Arm, ...]:
    """Real alone, with augmentation, each synthetic set alone, and real with each."""
    alone = [Arm(name, False, name) for name in sets.synthetic]
    beside = [Arm(BESIDE + name, True, name) for name in sets.synthetic]
    return (Arm(REAL, True), Arm(AUGMENTED, True, augmented=True), *alone, *beside)


class TrainingSet(NamedTuple):
    """A model's training set. num_real: how many of the images are real."""

    lesson: Lesson
    num_real: int


def training_set_of(plan: Plan, arm: Arm, seed: int) -> TrainingSet:
    """The training set of the arm's model of this seed; the real images are the same in all arms."""
    datasets: list[View] = []
    if arm.real:
        datasets.append(subset(plan.sets.train, plan.real_count, seed))
    if arm.synthetic:
        datasets.append(plan.sets.synthetic[arm.synthetic])
    images: Dataset = datasets[0] if len(datasets) == 1 else Joined(*datasets)
    assert images.labels is not None
    if len(np.unique(images.labels, axis=0)) < 2:
        raise InputError(
            f"{arm.name}: its {len(images)} pictures to learn from all have the same label (seed {seed});"
            " give more pictures (--real-count)"
        )
    mirrored_labels = encoding.mirrored(plan.sets.targets, images.labels) if arm.augmented else None
    return TrainingSet(Lesson(images, plan.sets.test, mirrored_labels), len(datasets[0]) if arm.real else 0)


def result_of(
    plan: Plan,
    arm: Arm,
    seed: int,
    folder: Path,
    *,
    tick: Callable[[int], None],
    report: Callable[[str], None],
) -> Result:
    """The cached result of that model, or the result of training it now. tick: counts training images."""
    lesson, num_real = training_set_of(plan, arm, seed)
    config = plan.config if arm.augmented else plan.config.model_copy(update=_PLAIN)
    key = _key(plan, config, lesson, seed)
    path = folder / f"{arm.name.replace(' ', '')}-{seed}-{key[:12]}.json"
    kept = _kept(path, key, len(plan.sets.test), report)
    if kept is not None:
        return kept
    predicted, updates = train_and_predict(plan, config, lesson, seed, mirror=arm.augmented, tick=tick)
    if not np.isfinite(predicted).all():
        raise MienError(f"{arm.name}, seed {seed}: training diverged; lower the rate, --set lr=0.0005")
    result = Result(
        key=key,
        arm=arm.name,
        seed=seed,
        num_real=num_real,
        num_synthetic=len(lesson.train) - num_real,
        updates=updates,
        predicted=tuple(map(tuple, predicted.astype(float).tolist())),
    )
    write_text(path, result.model_dump_json() + "\n")
    return result


def train_and_predict(
    plan: Plan, config: Config, lesson: Lesson, seed: int, *, mirror: bool, tick: Callable[[int], None]
) -> tuple[np.ndarray, int]:
    """Train a new model; its predictions on the test images [N, columns] and the number of updates.

    The same seed gives the same first weights, whatever is learnt from.
    """
    torch.manual_seed(seed)
    trainable = attributes.build(config, lesson.train.spec)
    trainable.meet(lesson.train)
    training = Training(trainable, seed, plan.device)
    stream = Stream(
        lesson.train,
        seed=seed,
        mirror=mirror,
        labels=True,
        device=plan.device,
        mirrored_labels=lesson.mirrored_labels,
    )
    for step in train(training, stream, Budget(plan.nimg)):
        tick(step.nimg)
    test = plan.sets.test
    network = cast(Reader, training.averages.networks[PRODUCT])
    return read(network, test, np.arange(len(test))), training.step


def _kept(path: Path, key: str, count: int, report: Callable[[str], None]) -> Result | None:
    if not path.exists():
        return None
    try:
        result = Result.model_validate_json(path.read_text("utf-8"))
    except (OSError, ValueError, ValidationError):
        report(f"{path}: damaged; that model is trained again")
        return None
    return result if result.key == key and len(result.predicted) == count else None


def _key(plan: Plan, config: Config, lesson: Lesson, seed: int) -> str:
    """A digest of all that a model's predictions depend on: training set, test set and settings."""
    parts = {
        "config": config.model_dump(),
        "spec": asdict(lesson.train.spec),
        "train": _digest(lesson.train),
        "test": _digest(plan.sets.test),
        "turned": "" if lesson.mirrored_labels is None else _hash(lesson.mirrored_labels.tobytes()),
        "nimg": plan.nimg,
        "seed": seed,
    }
    return _hash(json.dumps(parts, sort_keys=True).encode())


def _digest(dataset: Dataset) -> str:
    """A digest of images and labels: labels of a manifest are not in the content's hash."""
    if isinstance(dataset, Joined):
        return _hash(" ".join(map(_digest, dataset.parts)).encode())
    if not isinstance(dataset, View):
        return dataset.content_hash
    labels = b"" if dataset.labels is None else dataset.labels.tobytes()
    return _hash(_digest(dataset.base).encode() + dataset.indexes.tobytes() + labels)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
