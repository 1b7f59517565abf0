"""Scores of the small models of `mien worth`, and whether one arm beats another.

The scores of every model come from the same people, so two kinds of models are compared seed by seed and
person by person.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel
from scipy import stats

from mien import TOOL
from mien.attributes.agreement import resampled, weighted_auc
from mien.core.score import Interval
from mien.labels.encoding import Target

Floats = np.ndarray
ScoreFunction = Callable[[Floats], Floats]  # weights of images [B, N] -> [scores, B]
Verdict = Literal["better", "unclear", "worse"]
GAZE = ("gaze_yaw", "gaze_pitch")  # learnt together as the label "gaze"
_BACKWARDS = -0.3  # correlation with the truth that chance does not explain
_DEGREES = ("yaw", "pitch", "roll", "gaze")


@dataclass(frozen=True)
class Scale:
    """The scores of a label. names: of the scores, the main one first. higher: more is better."""

    names: tuple[str, ...]
    higher: bool
    unit: str = ""

    def formatted(self, value: float, *, signed: bool = False) -> str:
        """A score with its unit: "6.21°"."""
        digits = 2 if self.unit or abs(value) >= 10 else 3
        return f"{value:{'+' if signed else ''}.{digits}f}{self.unit}"


@dataclass(frozen=True)
class Scored:
    """Scores of one model. points: [F]. draws: [F, B], of B resamples of the test people."""

    points: Floats
    draws: Floats


class Gain(BaseModel, frozen=True):
    """How much better (positive) or worse an arm's main score is than that of the arm `over`."""

    over: str
    gain: Interval
    verdict: Verdict


class ArmScore(BaseModel, frozen=True):
    """Scores of an arm. figures: by name, mean over seeds with interval. each: the main score by seed."""

    name: str
    num_real: int
    num_synthetic: int
    figures: dict[str, Interval]
    each: tuple[float, ...]
    gains: tuple[Gain, ...]


class Worth(BaseModel, frozen=True):
    """The result: the content of `worth.json`.

    figures: names of the scores, the main one first. higher: more is better. guess: scores of a constant
    prediction.
    updates: of every model. real_count: None is all there were. verdicts: in plain sentences.
    notes: about the pictures. warnings: about labels that are read backwards.
    """

    label: str
    figures: tuple[str, ...]
    higher: bool
    unit: str
    guess: dict[str, float]
    seeds: int
    updates: int
    real: str
    real_hash: str
    real_count: int | None
    num_test: int
    num_people: int
    how: str
    config: dict[str, str | float | int]
    arms: tuple[ArmScore, ...]
    verdicts: tuple[str, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    tool: str = TOOL

    @property
    def scale(self) -> Scale:
        return Scale(self.figures, self.higher, self.unit)


def scale_of(targets: Sequence[Target]) -> Scale:
    """AUC of a yes or no, accuracy of one of several values, error of a number or of a line of sight."""
    kind, name = targets[0].kind, targets[0].name
    if kind == "yes-no":
        return Scale(("AUC",), higher=True)
    if kind == "one-of":
        return Scale(("accuracy",), higher=True)
    unit = "°" if any(part in _DEGREES for part in name.lower().split("_")) else ""
    return Scale(("MAE", "RMSE"), higher=False, unit=unit)


def score(targets: Sequence[Target], truth: Floats, predicted: Floats, people: Sequence[str]) -> Scored:
    """Scores of a model. truth, predicted: float [N, columns]. people: a name for each image."""
    compute = _score_function(targets, truth.astype(float), predicted.astype(float))
    return Scored(compute(np.ones((1, len(truth))))[:, 0], resampled(people, compute))


def guess(targets: Sequence[Target], truth: Floats) -> Floats:
    """The scores [F] of a constant prediction: the median of a number, the most common value."""
    middle = np.median if targets[0].kind == "number" else np.mean
    predicted = np.broadcast_to(middle(truth.astype(float), axis=0), truth.shape)
    return _score_function(targets, truth.astype(float), predicted)(np.ones((1, len(truth))))[:, 0]


def backwards(targets: Sequence[Target], truth: Floats, predicted: Floats) -> bool:
    """Whether predictions of a binary or numeric label are clearly inverted."""
    for target in targets:
        one, other = truth[:, target.start], predicted[:, target.start]
        varies = target.kind != "one-of" and one.std() > 0 and other.std() > 0
        if varies and np.corrcoef(one, other)[0, 1] < _BACKWARDS:
            return True
    return False


def interval(points: Floats, draws: Floats, num_people: int) -> Interval:
    """The mean over seeds and where it lies with 95 % confidence.

    points: [K], of each seed. draws: [K, B], of the same resamples of people for every seed. The variance of
    the mean over seeds and that over people add up; degrees of freedom after Satterthwaite (1946).
    """
    of_seeds = points.var(ddof=1) / len(points)
    together = draws.mean(axis=0)
    together = together[np.isfinite(together)]
    # A bootstrap of few people shows too little of the variance, by this factor.
    of_people = together.var(ddof=1) * num_people / (num_people - 1)
    mean, total = float(points.mean()), float(of_seeds + of_people)
    if total == 0:
        return Interval(value=mean, low=mean, high=mean)
    freedom = total**2 / (of_seeds**2 / (len(points) - 1) + of_people**2 / (num_people - 1))
    half = float(stats.t.ppf(0.975, freedom)) * math.sqrt(total)
    return Interval(value=mean, low=mean - half, high=mean + half)


def mean_score(scored: Sequence[Scored], which: int, num_people: int, *, higher: bool) -> Interval:
    """Score number `which` of an arm's models, one a seed; clipped to its possible range."""
    mean = interval(*_of(scored, which), num_people)
    return Interval(
        value=mean.value, low=max(mean.low, 0.0), high=min(mean.high, 1.0) if higher else mean.high
    )


def gain(scored: Sequence[Scored], others: Sequence[Scored], over: str, people: int, *, higher: bool) -> Gain:
    """How much better `scored` are than `others`, seed by seed: both hold one model a seed, in one order."""
    sign = 1 if higher else -1
    (points, draws), (other_points, other_draws) = _of(scored, 0), _of(others, 0)
    difference = interval(sign * (points - other_points), sign * (draws - other_draws), people)
    verdict: Verdict = "better" if difference.low > 0 else "worse" if difference.high < 0 else "unclear"
    return Gain(over=over, gain=difference, verdict=verdict)


def _of(scored: Sequence[Scored], which: int) -> tuple[Floats, Floats]:
    return np.array([one.points[which] for one in scored]), np.stack([one.draws[which] for one in scored])


def _score_function(targets: Sequence[Target], truth: Floats, predicted: Floats) -> ScoreFunction:
    kind = targets[0].kind
    if kind == "yes-no":
        auc_of = weighted_auc(truth[:, 0].astype(bool), predicted[:, 0])
        return lambda weights: auc_of(weights)[None]
    if kind == "one-of":
        correct = (truth.argmax(axis=1) == predicted.argmax(axis=1)).astype(float)
        return lambda weights: (weights @ correct / weights.sum(1))[None]
    error = np.abs(predicted - truth)[:, 0] if len(targets) == 1 else _angle(truth, predicted)
    return lambda weights: np.stack(
        [weights @ error / weights.sum(1), np.sqrt(weights @ error**2 / weights.sum(1))]
    )


def _angle(one: Floats, other: Floats) -> Floats:
    """Degrees between lines of sight, each given as (yaw, pitch) in degrees: [N]."""
    a, b = _direction(one), _direction(other)
    # By the cross product too: the arc cosine alone is blind to small angles.
    crossed = np.linalg.norm(np.cross(a, b), axis=1)
    return np.asarray(np.degrees(np.arctan2(crossed, (a * b).sum(axis=1))))


def _direction(angles: Floats) -> Floats:
    yaw, pitch = np.radians(angles).T
    return np.stack([np.cos(pitch) * np.sin(yaw), np.sin(pitch), np.cos(pitch) * np.cos(yaw)], axis=1)
