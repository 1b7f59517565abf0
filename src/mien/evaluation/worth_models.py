"""The small models of `mien worth`: what each learns from, training one, and keeping what it says."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from mien.attributes.scores import read
from mien.core.atomic import write_text
from mien.core.errors import InputError, MienError
from mien.core.types import Dataset, Lesson
from mien.core.views import Joined, View
from mien.evaluation.worth_sets import AUGMENTED, BESIDE, REAL, Sets, subset
from mien.labels import mirror
from mien.models import attributes
from mien.models.attributes import PRODUCT, Config, Reader
from mien.training.loop import Budget, Training, train
from mien.training.order import Stream

_PLAIN = {"shift": 0.0, "zoom": 0.0, "brightness": 0.0}  # nothing is disturbed


@dataclass(frozen=True)
class Arm:
    """What a kind of models learns from. synthetic: the name of a set, "" for none.

    augmented: pictures are mirrored, moved, zoomed and lit at random; in all other arms they are as they are.
    """

    name: str
    real: bool
    synthetic: str = ""
    augmented: bool = False


class Result(BaseModel):
    """What one model says of the test pictures: a file of its own. predicted: [pictures][columns].

    num_real, num_synthetic: pictures that it learnt from. updates: steps of its optimiser.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    """How every model is trained. nimg: pictures that each sees, in steps of `config.batch_size`."""

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


class Learnt(NamedTuple):
    """What a model learns from. num_real: how many of the pictures are real."""

    lesson: Lesson
    num_real: int


def learnt_of(plan: Plan, arm: Arm, seed: int) -> Learnt:
    """What the arm's model of this seed learns from; the real pictures are the same in all arms."""
    parts: list[View] = []
    if arm.real:
        parts.append(subset(plan.sets.train, plan.real_count, seed))
    if arm.synthetic:
        parts.append(plan.sets.synthetic[arm.synthetic])
    pictures: Dataset = parts[0] if len(parts) == 1 else Joined(*parts)
    assert pictures.labels is not None
    if len(np.unique(pictures.labels, axis=0)) < 2:
        raise InputError(
            f"{arm.name}: its {len(pictures)} pictures to learn from all have the same label (seed {seed});"
            " give more pictures (--real-count)"
        )
    turned = mirror.mirrored(plan.sets.targets, pictures.labels) if arm.augmented else None
    return Learnt(Lesson(pictures, plan.sets.test, turned), len(parts[0]) if arm.real else 0)


def result_of(
    plan: Plan,
    arm: Arm,
    seed: int,
    folder: Path,
    *,
    tick: Callable[[int], None],
    report: Callable[[str], None],
) -> Result:
    """The kept result of that very model, or that of training it now, kept. tick: told of images seen."""
    lesson, num_real = learnt_of(plan, arm, seed)
    config = plan.config if arm.augmented else plan.config.model_copy(update=_PLAIN)
    key = _key(plan, config, lesson, seed)
    path = folder / f"{arm.name.replace(' ', '')}-{seed}-{key[:12]}.json"
    kept = _kept(path, key, len(plan.sets.test), report)
    if kept is not None:
        return kept
    predicted, updates = answers(plan, config, lesson, seed, mirror=arm.augmented, tick=tick)
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


def answers(
    plan: Plan, config: Config, lesson: Lesson, seed: int, *, mirror: bool, tick: Callable[[int], None]
) -> tuple[np.ndarray, int]:
    """What a new model says of the test pictures once trained, [N, columns], and how many updates it had.

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
        found = Result.model_validate_json(path.read_text("utf-8"))
    except (OSError, ValueError, ValidationError):
        report(f"{path}: damaged; that model is trained again")
        return None
    return found if found.key == key and len(found.predicted) == count else None


def _key(plan: Plan, config: Config, lesson: Lesson, seed: int) -> str:
    """What makes two models the same: all that one learns from and is tested on, and how."""
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
    """Of which pictures these are, and of their labels: those of a manifest are not in the content's hash."""
    if isinstance(dataset, Joined):
        return _hash(" ".join(map(_digest, dataset.parts)).encode())
    if not isinstance(dataset, View):
        return dataset.content_hash
    labels = b"" if dataset.labels is None else dataset.labels.tobytes()
    return _hash(_digest(dataset.base).encode() + dataset.indexes.tobytes() + labels)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
