"""Facial action units by linear models: who is tested on is never learnt from.

Ekman and Friesen 1978 number the units (FACS), with intensities 0 (absent) to 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel
from scipy.special import expit
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.preprocessing import StandardScaler

from mien.attributes.agreement import Number, YesNo, number, resampled, yes_no
from mien.core.errors import InputError
from mien.core.score import Interval
from mien.core.types import Dataset
from mien.labels.encoding import values_of
from mien.labels.split import person_of

PRESENT = 1.0  # intensity from which a unit counts as there, where only intensities are known
SUPPORT = 20  # pictures with and without a unit below which it is left out
FOLDS = 5
_NUMBERS = range(1, 65)
_MOST_DIMS = 100  # principal components that are learnt from, of wider features
_STRENGTH, _PENALTY = 0.05, 30.0

Floats = np.ndarray


@dataclass(frozen=True)
class UnitLabels:
    """names: "AU12", ... present: float [N, units], 1, 0 or NaN. intensity: likewise 0 to 5. people: [N]."""

    names: tuple[str, ...]
    present: Floats
    intensity: Floats
    people: tuple[str, ...]

    def at(self, index: Floats) -> "UnitLabels":
        people = tuple(self.people[i] for i in index.tolist())
        return UnitLabels(self.names, self.present[index], self.intensity[index], people)

    def supported(self, least: int) -> tuple["UnitLabels", dict[str, str]]:
        """The units with `least` pictures and two people of either answer, and why not the others."""
        kept, left_out = [], {}
        people = np.array(self.people)
        for column, name in enumerate(self.names):
            yes, no = (self.present[:, column] == answer for answer in (1, 0))
            count, each = min(yes.sum(), no.sum()), min(len(set(people[yes])), len(set(people[no])))
            if count < least or each < 2:
                side = "with" if yes.sum() <= no.sum() else "without"
                left_out[name] = f"{count} pictures of {each} people {side} it; {least} of 2 are needed"
            else:
                kept.append(column)
        names = tuple(self.names[column] for column in kept)
        return UnitLabels(names, self.present[:, kept], self.intensity[:, kept], self.people), left_out


def unit_labels(dataset: Dataset) -> UnitLabels:
    """The action units of a dataset's pictures: labels "AU12" (yes, no or intensity), "intensity_AU12".

    Pictures whose person is not known count as people of their own. Raises InputError where there are none.
    """
    names, present, intensity = [], [], []
    for unit in _NUMBERS:
        values = _numbers(values_of(dataset, f"AU{unit:02d}"))
        if np.isnan(values).all():
            continue
        graded = _numbers(values_of(dataset, f"intensity_AU{unit:02d}"))
        is_grade = bool((values[~np.isnan(values)] > 1).any())
        names.append(f"AU{unit:02d}")
        present.append(np.where(np.isnan(values), np.nan, values >= (PRESENT if is_grade else 0.5)))
        absent = np.where(values == 0, 0.0, np.nan)
        intensity.append(values if is_grade else np.where(np.isnan(graded), absent, graded))
    if not names:
        raise InputError(f"{dataset.name}: no picture has a label AU01, AU02, ... of an action unit")
    people = tuple(person_of(record) or f"picture {index}" for index, record in enumerate(dataset.records))
    no_grades = np.isnan(np.array(intensity)) | (np.array(intensity) == 0)
    stacked = np.where(no_grades.all(1, keepdims=True), np.nan, np.array(intensity))
    return UnitLabels(tuple(names), np.array(present).T, stacked.T, people)


class UnitScore(BaseModel, frozen=True):
    """One unit on people who were not learnt from.

    reading: presence, F1, AUC and more, with 95 % intervals over people. guess: F1 of saying yes as often as
    it is there, at random: the share of pictures with the unit. always: F1 of always saying yes. intensity:
    None where it is not graded.
    """

    name: str
    reading: YesNo
    guess: float
    always: float
    intensity: Number | None = None


class UnitScores(BaseModel, frozen=True):
    """All units read from one kind of features.

    neutral: faces were read against their person's neutral one, which does not count as a picture. mean_f1,
    mean_gain: means over units of F1 and of its gain over guessing, with 95 % intervals over people.
    """

    features: str
    neutral: bool = False
    pictures: int
    people: int
    folds: int
    units: tuple[UnitScore, ...]
    mean_f1: Interval
    mean_gain: Interval


def cross_validate(
    features: Floats, labels: UnitLabels, kind: str, *, neutral: bool = False, folds: int = FOLDS
) -> UnitScores:
    """Score features [N, F] (finite) on people who were kept out, fold by fold (scikit-learn's GroupKFold).

    Thresholds and everything else are chosen inside the part that is learnt from. Raises InputError where
    there are fewer than two people.
    """
    probability, predicted, grades = out_of_fold(features, labels, folds)
    scores, known_by_unit = [], []
    for column, name in enumerate(labels.names):
        known = np.isfinite(labels.present[:, column]) & np.isfinite(probability[:, column])
        people = [labels.people[i] for i in np.flatnonzero(known)]
        truth, answers = labels.present[known, column], predicted[known, column] > 0
        reading = yes_no(name, truth, probability[known, column], people, predicted=answers)
        graded = np.isfinite(labels.intensity[:, column]) & np.isfinite(grades[:, column])
        marks = None
        if graded.any():
            who = [labels.people[i] for i in np.flatnonzero(graded)]
            marks = number(name, labels.intensity[graded, column], grades[graded, column], who)
        share = float(truth.mean())
        scores.append(
            UnitScore(
                name=name, reading=reading, guess=share, always=2 * share / (1 + share), intensity=marks
            )
        )
        known_by_unit.append(known)
    f1, gain = _means(labels, predicted, np.array(known_by_unit).T)
    people_count = len(set(labels.people))
    return UnitScores(
        features=kind,
        neutral=neutral,
        pictures=len(features),
        people=people_count,
        folds=min(folds, people_count),
        units=tuple(scores),
        mean_f1=f1,
        mean_gain=gain,
    )


def out_of_fold(features: Floats, labels: UnitLabels, folds: int) -> tuple[Floats, Floats, Floats]:
    """Probability, answer (1, 0) and intensity [N, units] of each picture by models that saw no one of it.

    NaN where a fold's other part knows only one answer.
    """
    count = len(set(labels.people))
    if count < 2:
        raise InputError(f"{count} person: action units are tested on people who were not learnt from")
    shape = labels.present.shape
    probability, predicted, grades = (np.full(shape, np.nan) for _ in range(3))
    for train, test in GroupKFold(min(folds, count)).split(features, groups=labels.people):
        for column, model in enumerate(fit_units(features[train], labels.at(train))):
            if model is None:
                continue
            scores = features[test] @ model.weights + model.bias
            probability[test, column] = expit(scores)
            predicted[test, column] = scores >= model.threshold
            if model.grade_weights is not None:
                graded = features[test] @ model.grade_weights + model.grade_bias
                grades[test, column] = np.clip(graded, 0, 5)
    return probability, predicted, grades


@dataclass(frozen=True)
class UnitModel:
    """Linear in the features: present where features @ weights + bias >= threshold; intensity likewise."""

    weights: Floats
    bias: float
    threshold: float
    grade_weights: Floats | None = None
    grade_bias: float = 0.0


@dataclass(frozen=True)
class Reduction:
    """Features [N, F] at like scale, or principal components of many of them: (x - mean) @ matrix."""

    mean: Floats
    matrix: Floats

    @classmethod
    def of(cls, features: Floats) -> "Reduction":
        """Of the features of those who are learnt from."""
        scaler = StandardScaler().fit(features)
        matrix = np.diag(1 / scaler.scale_)
        if features.shape[1] > 2 * _MOST_DIMS:
            count = min(_MOST_DIMS, len(features) - 1)
            components = PCA(count, random_state=0).fit(scaler.transform(features)).components_
            matrix = matrix @ components.T
        return cls(scaler.mean_, matrix)

    def __call__(self, features: Floats) -> Floats:
        return np.asarray((features - self.mean) @ self.matrix)

    def unfolded(self, weights: Floats, bias: float) -> tuple[Floats, float]:
        """A linear model of what this gives as one of the features themselves."""
        own = self.matrix @ weights
        return own, bias - float(self.mean @ own)


def fit_units(features: Floats, labels: UnitLabels) -> list[UnitModel | None]:
    """A model of each unit; None where one answer is missing. features: [N, F], finite."""
    reduction = Reduction.of(features)
    reduced = reduction(features)
    return [_fit_unit(reduced, labels, column, reduction) for column in range(len(labels.names))]


def _fit_unit(x: Floats, labels: UnitLabels, column: int, reduction: Reduction) -> UnitModel | None:
    """Logistic regression, both answers weighing alike, and ridge for the intensity where it is graded.

    The threshold is the one with the best F1 on people kept out inside.
    """
    known = np.isfinite(labels.present[:, column])
    truth, groups = labels.present[known, column], [labels.people[i] for i in np.flatnonzero(known)]
    if not 0 < truth.sum() < len(truth):
        return None
    threshold = _threshold(x[known], truth, groups)
    model = _classifier().fit(x[known], truth)
    weights, bias = reduction.unfolded(model.coef_[0], float(model.intercept_[0]))
    graded = np.isfinite(labels.intensity[:, column])
    if graded.sum() < 2 or np.ptp(labels.intensity[graded, column]) == 0:
        return UnitModel(weights, bias, threshold)
    ridge = Ridge(alpha=_PENALTY).fit(x[graded], labels.intensity[graded, column])
    return UnitModel(weights, bias, threshold, *reduction.unfolded(ridge.coef_, float(ridge.intercept_)))


def _classifier() -> LogisticRegression:
    return LogisticRegression(C=_STRENGTH, class_weight="balanced", max_iter=2000)


def _threshold(x: Floats, truth: Floats, groups: Sequence[str]) -> float:
    """The score from which to say yes: the best F1 on people kept out, 0 where that cannot be tried."""
    folds = list(GroupKFold(min(3, len(set(groups)))).split(x, groups=groups)) if len(set(groups)) > 1 else []
    if not folds or any(len(set(truth[train])) < 2 for train, _ in folds):
        return 0.0
    scores = cross_val_predict(_classifier(), x, truth, cv=folds, method="decision_function")
    return best_threshold(scores, truth)


def best_threshold(scores: Floats, truth: Floats) -> float:
    """The threshold with the best F1, half-way to the next lower score."""
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(truth[order])
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + truth.sum())
    ends = np.r_[ranked[1:] < ranked[:-1], True]  # a threshold cannot part equal scores
    best = int(np.argmax(np.where(ends, f1, -1)))
    return float(ranked[best] if best + 1 == len(ranked) else (ranked[best] + ranked[best + 1]) / 2)


def _means(labels: UnitLabels, predicted: Floats, known: Floats) -> tuple[Interval, Interval]:
    """F1 over units, and its gain over guessing, with intervals over people."""
    truth = np.where(known, np.nan_to_num(labels.present), 0.0)
    answers = np.where(known, np.nan_to_num(predicted), 0.0)

    def figures(weights: Floats) -> Floats:
        hits, yes, claimed = weights @ (truth * answers), weights @ truth, weights @ answers
        f1 = np.where(yes + claimed > 0, 2 * hits / np.maximum(yes + claimed, 1e-12), 0.0)
        share = yes / np.maximum(weights @ known.astype(float), 1e-12)
        return np.stack([f1.mean(1), (f1 - share).mean(1)])

    draws = resampled(labels.people, figures)
    values = figures(np.ones((1, len(truth))))[:, 0]
    ends = np.nanpercentile(draws, (2.5, 97.5), axis=1)
    f1, gain = (
        Interval(value=float(v), low=float(a), high=float(b)) for v, a, b in zip(values, *ends, strict=True)
    )
    return f1, gain


def _numbers(values: list[Any]) -> Floats:
    return np.array([float(v) if isinstance(v, int | float) else np.nan for v in values], float)
