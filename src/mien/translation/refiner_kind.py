"""The kind "refiner": how real refined images look to fresh classifiers, and what its runs leave behind."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel
from scipy import stats

from mien.core.errors import InputError
from mien.core.events import Column, Event, Notice, Table, Tick
from mien.core.image import evenly_spaced, to_float
from mien.core.network import LoadedNetwork, load_network
from mien.core.run import RunFolder
from mien.core.score import Examination, Interval
from mien.core.types import Dataset
from mien.datasets.opening import open_dataset
from mien.models import simgan
from mien.training.kinds import Kind
from mien.training.outputs import Snapshot
from mien.training.paired_data import check_alike
from mien.translation.fresh_classifier import UPDATES, Sight, accuracies, split
from mien.translation.outputs import ChangeOutputs, apply_network
from mien.translation.report import write_report

SEEDS = 3
_FEWEST = 10  # pictures of either kind, to train a classifier on
_FAR = 2.0  # pixels that a pupil may move
_WINDOW = 0.08  # of the picture's side: most of an iris' radius in pictures of `mien render --eyes`
_SURE = 1.0  # pixels: a pupil that is measured farther from its known place is not measured well
_DARKEST = 0.25  # share of the window's pixels that count as pupil and iris
_MOST_REALS = 5000  # among which the nearest is looked for
_REDUCED = 16  # pixels a side at which images are compared: what counts is the whole, not the grain


class Moved(BaseModel, frozen=True):
    """How far refining moved pupils. count: of pupils. median, p95: in pixels. near: share within 2 px."""

    count: int
    median: float
    p95: float
    near: float


class ClassifierAccuracy(BaseModel, frozen=True):
    """How well a fresh classifier tells real pictures from others after so many updates.

    sight: whether it sees whole "pictures" or one of "patches" at a time. raw, refined: balanced accuracy of
    each seed, on pictures it did not learn from. fall: what the second has less than the first.
    """

    sight: Sight
    updates: int
    raw: tuple[float, ...]
    refined: tuple[float, ...]
    fall: Interval


class RefinerExamination(Examination):
    """How well a refiner does.

    classifiers: how well they tell real from raw and from refined pictures. l1: mean change of a value, in
    shares of its whole range. pupils: None where no place of a pupil is known. learnt_from: are these the
    pictures that it learnt from?
    """

    metric = "refiner"

    num_pictures: int
    real_name: str
    real_hash: str
    num_reals: int
    learnt_from: bool
    classifiers: tuple[ClassifierAccuracy, ...]
    l1: float
    pupils: Moved | None

    def tables(self) -> list[Event]:
        """How well classifiers tell reals from raw and refined pictures, and what was left alone."""
        whose = "which it learnt from" if self.learnt_from else "which it did not learn from"
        headings = ("updates", "raw", "refined", "points less")
        columns = (Column("classifier of"), *(Column(heading, numbers=True) for heading in headings))
        rows = []
        for one in self.classifiers:
            means = [f"{np.mean(values):.1%}" for values in (one.raw, one.refined)]
            value, low, high = (100 * end for end in (one.fall.value, one.fall.low, one.fall.high))
            fall = f"{value:.1f} ({low:.1f} to {high:.1f})"
            rows.append((_SEES[one.sight], str(one.updates), *means, fall))
        events: list[Event] = [
            Notice(
                f"{self.model_id} on {self.num_pictures:,} pictures of {self.dataset_name}, {whose};"
                f" {self.num_reals:,} reals of {self.real_name}"
            ),
            Table(columns, tuple(rows)),
            Notice(
                "balanced accuracy of fresh classifiers, real against raw and against refined, on pictures"
                f" kept from them (50 %: a coin's); mean of {len(self.classifiers[0].raw)} seeds, 95 %"
                " interval of the difference"
            ),
            Notice(f"pictures change by {self.l1:.1%} of the range on average"),
        ]
        if self.pupils is not None:
            events.append(
                Notice(
                    f"{self.pupils.count:,} pupils whose place is known move by {self.pupils.median:.2f} px"
                    f" (median), {self.pupils.p95:.2f} px (95 %);"
                    f" {self.pupils.near:.1%} by {_FAR:g} px at most"
                )
            )
        return events


def evaluate(
    source: Path, data: str, *, device: torch.device, progress: Tick | None = None
) -> RefinerExamination:
    """Examine a run's refiner on `data`, against the real pictures that the run was told of.

    The result is appended to the run's `metric-refiner.jsonl`. Raises InputError.
    """
    if not source.is_dir():
        raise InputError(f"{source}: give the run's folder, which says which pictures were the real ones")
    run = RunFolder.open(source)
    loaded = load_network(source, simgan.KIND, device)
    real = run.read_config().get("options", {}).get("real")
    if not isinstance(real, str):
        raise InputError(f"{source}/config.json: does not say which pictures were the real ones")
    try:
        reals = open_dataset(real)
    except InputError as error:
        raise InputError(f"the real pictures that {source} was trained with: {error}") from error
    examination = examine(loaded, open_dataset(data), reals, seeds=SEEDS, progress=progress)
    examination.append(run)
    return examination


def examine(
    loaded: LoadedNetwork[Any], dataset: Dataset, real: Dataset, *, seeds: int, progress: Tick | None = None
) -> RefinerExamination:
    """Compare `dataset`, raw and refined, with `real`. Raises InputError where they do not fit together."""
    check_alike(dataset, real)
    if dataset.spec.channels != loaded.header.spec.channels:
        raise InputError(f"{dataset.name}: {loaded.model} refines pictures of other colours (gray or not)")
    if min(len(dataset), len(real)) < _FEWEST:
        raise InputError(f"{dataset.name}, {real.name}: a classifier needs {_FEWEST} pictures of each")
    raw = dataset.images(np.arange(len(dataset)))
    refined = apply_network(loaded.network, raw)
    classifiers = _classifiers(dataset, real, (raw, refined), seeds, progress)
    where, places = known_pupils(dataset)
    far = moved(raw[where], refined[where], places)
    pupils = None
    if len(far):
        median, p95 = float(np.median(far)), float(np.quantile(far, 0.95))
        pupils = Moved(count=len(far), median=median, p95=p95, near=float((far <= _FAR).mean()))
    header = loaded.header
    return RefinerExamination(
        model_id=loaded.model,
        nimg=header.nimg,
        dataset_name=dataset.name,
        dataset_hash=dataset.content_hash,
        num_pictures=len(dataset),
        real_name=real.name,
        real_hash=real.content_hash,
        num_reals=len(real),
        learnt_from=header.dataset is not None and header.dataset.content_hash == dataset.content_hash,
        classifiers=classifiers,
        l1=float(np.abs(raw.astype(np.int16) - refined).mean() / 255),
        pupils=pupils,
    )


def _classifiers(
    dataset: Dataset, real: Dataset, kinds: tuple[np.ndarray, np.ndarray], seeds: int, progress: Tick | None
) -> tuple[ClassifierAccuracy, ...]:
    """Classifiers of either sight, trained on reals and either of `kinds` (raw, refined), with every seed."""
    reals = real.images(np.arange(len(real)))
    sights: tuple[Sight, ...] = ("pictures", "patches")
    shares = np.zeros((len(sights), seeds, len(kinds), len(UPDATES)))
    for done, (sight, seed, kind) in enumerate(np.ndindex(shares.shape[:3]), 1):
        ours, theirs = split(dataset, seed), split(real, seed)
        pictures = kinds[kind]
        shares[sight, seed, kind] = accuracies(
            pictures[ours.train],
            reals[theirs.train],
            (pictures[ours.held_out], reals[theirs.held_out]),
            sight=sights[sight],
            seed=seed,
        )
        if progress:
            progress(done, shares[..., 0].size)
    return tuple(
        ClassifierAccuracy(
            sight=sights[sight],
            updates=UPDATES[at],
            raw=tuple(shares[sight, :, 0, at]),
            refined=tuple(shares[sight, :, 1, at]),
            fall=over_seeds(shares[sight, :, 0, at] - shares[sight, :, 1, at]),
        )
        for sight, at in np.ndindex(len(sights), len(UPDATES))
    )


def over_seeds(values: np.ndarray) -> Interval:
    """The mean and its 95 % interval by Student's t over the seeds; of one value, no more than that."""
    mean, count = float(np.mean(values)), len(values)
    error = float(np.std(values, ddof=1)) / math.sqrt(count) if count > 1 else 0.0
    half = float(stats.t.ppf(0.975, count - 1)) * error if count > 1 else 0.0
    return Interval(value=mean, low=mean - half, high=mean + half)


def known_pupils(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Pictures in which a pupil can be seen whose place is known: indexes [M], and places [M, 2] (x, y).

    As `mien render` writes them: `landmarks` of a record, with the names of those not seen in its labels.
    """
    indexes, places = [], []
    for index, record in enumerate(dataset.records):
        hidden = (record.get("labels") or {}).get("hidden", ())
        marks = record.get("landmarks")
        for name, place in marks.items() if isinstance(marks, dict) else ():
            if name.startswith("pupil") and name not in hidden:
                indexes.append(index)
                places.append(place[:2])
    return np.array(indexes, np.int64), np.array(places, np.float64).reshape(-1, 2)


def pupil_centre(picture: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(x, y) of the middle of what is dark around `near`, in a picture uint8 [C, H, W].

    The darkest quarter of a round window weighs by how much darker it is than the rest. A pixel's middle is
    at half a pixel.
    """
    gray = picture.mean(axis=0)
    height, width = gray.shape
    y, x = np.mgrid[:height, :width] + 0.5
    window = np.hypot(x - near[0], y - near[1]) <= _WINDOW * width
    limit = np.quantile(gray[window], _DARKEST)
    weight = np.where(window, np.clip(limit - gray, 0, None), 0)
    total = weight.sum()
    if total == 0:  # all alike: there is nothing to see
        return np.asarray(near, np.float64)
    return np.array([(x * weight).sum() / total, (y * weight).sum() / total])


def moved(before: np.ndarray, after: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Pixels between the pupil's middle in pictures uint8 [M, C, H, W] before and after.

    Only of pupils that are measured within 1 px of their known places before: lids, lashes and bright
    reflections hide others from the measure.
    """
    middles = (
        (pupil_centre(old, place), pupil_centre(new, place), place)
        for old, new, place in zip(before, after, places, strict=True)
    )
    far = [np.hypot(*(old - new)) for old, new, place in middles if np.hypot(*(old - place)) <= _SURE]
    return np.array(far)


_SEES: dict[Sight, str] = {"pictures": "whole pictures", "patches": "patches of 23 px"}


class RefinerOutputs(ChangeOutputs):
    """The outputs of a run of the family `simgan`: rows of input | refined | nearest real.

    The film begins with the first update of the pretraining.
    """

    kind, product = simgan.KIND, simgan.PRODUCT

    def _choose(self) -> None:
        lesson = self._lesson
        assert lesson.others is not None
        self._inputs = lesson.train.images(evenly_spaced(lesson.train))
        self._reals = lesson.others.images(evenly_spaced(lesson.others, _MOST_REALS))

    def show(self) -> Snapshot:
        """A strip of the chosen inputs, and how far they were moved."""
        moved = np.abs(self._draw().astype(np.int16) - self._inputs).mean() / 127.5
        return Snapshot({"Eval/l1": float(moved)})

    def end(self) -> None:
        """The last strip, and all of them in one film."""
        super().end()
        last = self._run.all_fakes()[-1]
        self._events.note(f"input, refined and nearest real side by side: {last}")

    def _draw(self) -> np.ndarray:
        refined = apply_network(self._network, self._inputs)
        self._write_strip(self._inputs, refined, self._reals[nearest(refined, self._reals)])
        return refined


def nearest(pictures: np.ndarray, reals: np.ndarray) -> np.ndarray:
    """For each of `pictures` the index of the nearest real one, by pixels of both reduced to 16 x 16.

    Both are uint8 [N, C, H, W].
    """
    one, two = (
        F.adaptive_avg_pool2d(to_float(torch.from_numpy(images)), _REDUCED).flatten(1)
        for images in (pictures, reals)
    )
    return torch.cdist(one, two).argmin(dim=1).numpy()


KIND = Kind("refiner", write_report, RefinerOutputs, evaluate, RefinerExamination)
