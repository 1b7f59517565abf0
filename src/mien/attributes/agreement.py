"""Scores of predicted labels against the true ones (AUC, F1, MAE, calibration), with 95 % intervals.

Intervals are percentiles of a bootstrap over people, not images: errors on images of one person correlate.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    mean_absolute_error,
    precision_recall_fscore_support,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)

from mien.core.score import Interval

_RESAMPLES = 1000
_BINS = 10
_AT_ONCE = 4_000_000  # weights held at a time

Floats = np.ndarray


class Bin(BaseModel, frozen=True):
    """A bin of the reliability curve: mean predicted probability, share of true labels, number of images."""

    predicted: float
    observed: float
    count: int


class YesNo(BaseModel, frozen=True):
    """Scores of a binary label.

    precision, recall, f1: at probability 1/2; of a value of a one-of, where it is the likeliest.

    confusion: rows truth no, yes; columns predicted no, yes.
    ece: expected calibration error over ten equal bins. brier: mean squared error of the probability.
    None: undefined here (no yes among the truth or among the predictions).
    """

    kind: Literal["yes-no"] = "yes-no"
    name: str
    count: int
    yes: int
    precision: Interval | None
    recall: Interval | None
    f1: Interval | None
    auc: Interval | None
    average_precision: float | None
    confusion: tuple[tuple[int, int], tuple[int, int]]
    ece: float
    brier: float
    curve: tuple[Bin, ...]

    @property
    def base_rate(self) -> float:
        return self.yes / self.count


class OneOf(BaseModel, frozen=True):
    """Scores of a categorical label.

    confusion: rows the true value, columns the most probable one. each: every value against all others.
    """

    kind: Literal["one-of"] = "one-of"
    name: str
    count: int
    values: tuple[str, ...]
    accuracy: Interval
    most_common: float
    confusion: tuple[tuple[int, ...], ...]
    each: tuple[YesNo, ...]


class Number(BaseModel, frozen=True):
    """Scores of a numeric label.

    mae: mean absolute error. rmse: root of the mean squared error. bias: mean of predicted minus true.

    mae_of_median: of always answering the median of the truth, to be beaten.
    """

    kind: Literal["number"] = "number"
    name: str
    count: int
    mae: Interval
    rmse: Interval
    bias: float
    r2: float | None
    correlation: float | None
    mae_of_median: float


Reading = YesNo | OneOf | Number


def yes_no(
    name: str, truth: Floats, probability: Floats, people: Sequence[str], *, predicted: Floats | None = None
) -> YesNo:
    """Scores of a binary label. truth: 0 or 1 [N]. probability: of 1, [N]. people: a name for each image.

    predicted: the classes that precision, recall and F1 count; by default a probability of one half or more.
    """
    truth, probability = truth.astype(bool), probability.astype(float)
    predicted = probability >= 0.5 if predicted is None else predicted
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, predicted, average="binary", zero_division=np.nan
    )
    order = _ranking(truth, probability)
    tp, yes, positive = (column.astype(float) for column in (truth & predicted, truth, predicted))

    def scores_of(w: Floats) -> Floats:
        right, num_yes, num_predicted = w @ tp, w @ yes, w @ positive
        f1_scores = 2 * right / (num_yes + num_predicted)
        return np.stack([right / num_predicted, right / num_yes, f1_scores, _weighted_auc(order, w)])

    bounds = _bootstrap(people, scores_of)
    both_classes = 0 < truth.sum() < len(truth)
    points = (precision, recall, f1, auc(truth, probability) if both_classes else math.nan)
    precisions, recalls, f1s, aucs = (_interval(*each) for each in zip(points, bounds.T, strict=True))
    table = confusion_matrix(truth, predicted, labels=[False, True]).tolist()
    curve = reliability(truth, probability)
    return YesNo(
        name=name,
        count=len(truth),
        yes=int(truth.sum()),
        precision=precisions,
        recall=recalls,
        f1=f1s,
        auc=aucs,
        average_precision=float(average_precision_score(truth, probability)) if truth.any() else None,
        confusion=tuple(map(tuple, table)),
        ece=calibration_error(curve),
        brier=float(brier_score_loss(truth, probability, pos_label=True)),
        curve=curve,
    )


def one_of(
    name: str, values: Sequence[str], truth: Floats, probabilities: Floats, people: Sequence[str]
) -> OneOf:
    """Scores of a categorical label. truth: index of the true value [N]. probabilities: [N, len(values)]."""
    predicted = probabilities.argmax(axis=1)
    correct = (predicted == truth).astype(float)
    table = confusion_matrix(truth, predicted, labels=range(len(values)))
    each = [
        yes_no(f"{name}={value}", truth == at, probabilities[:, at], people, predicted=predicted == at)
        for at, value in enumerate(values)
    ]
    return OneOf(
        name=name,
        count=len(truth),
        values=tuple(values),
        accuracy=mean_of(correct, people),
        most_common=float(np.bincount(truth).max() / len(truth)),
        confusion=tuple(map(tuple, table.tolist())),
        each=tuple(each),
    )


def number(name: str, truth: Floats, predicted: Floats, people: Sequence[str]) -> Number:
    """Scores of a numeric label. truth, predicted: [N], in the label's own unit."""
    error = predicted.astype(float) - truth.astype(float)
    bounds = _bootstrap(
        people, lambda w: np.stack([w @ np.abs(error) / w.sum(1), np.sqrt(w @ error**2 / w.sum(1))])
    )
    mae, rmse = mean_absolute_error(truth, predicted), root_mean_squared_error(truth, predicted)
    varies = len(truth) > 1 and truth.std() > 0
    return Number(
        name=name,
        count=len(truth),
        mae=Interval(value=mae, low=bounds[0, 0], high=bounds[1, 0]),
        rmse=Interval(value=rmse, low=bounds[0, 1], high=bounds[1, 1]),
        bias=float(error.mean()),
        r2=float(r2_score(truth, predicted)) if varies else None,
        correlation=float(np.corrcoef(truth, predicted)[0, 1]) if varies and predicted.std() > 0 else None,
        mae_of_median=float(np.abs(truth - np.median(truth)).mean()),
    )


def auc(truth: Floats, score: Floats) -> float:
    """Area under the ROC curve; `truth` must hold both classes."""
    return float(roc_auc_score(truth, score))


def mean_of(values: Floats, people: Sequence[str]) -> Interval:
    """The mean of finite values [N], one an image, with its interval over people."""
    (low,), (high,) = _bootstrap(people, lambda weights: (weights @ values / weights.sum(axis=1))[None])
    return Interval(value=float(np.mean(values)), low=low, high=high)


def weighted_auc(truth: Floats, score: Floats) -> Callable[[Floats], Floats]:
    """A function of weights [B, N], one for each picture, that gives the AUC under each row: [B]."""
    ranking = _ranking(truth, score)
    return lambda weights: _weighted_auc(ranking, weights)


def resampled(people: Sequence[str], scores: Callable[[Floats], Floats], *, seed: int = 0) -> Floats:
    """Bootstrap over people: `scores` (weights [B, N] -> [K, B]) of 1,000 resamples, [K, 1000].

    The same people and seed give the same resamples, whatever the scores. NaN where one is undefined.
    """
    names, owner = np.unique(np.asarray(people), return_inverse=True)
    rng = np.random.default_rng(seed)
    step = max(1, min(_RESAMPLES, _AT_ONCE // len(owner)))
    batches = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for start in range(0, _RESAMPLES, step):
            size = min(step, _RESAMPLES - start)
            drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=size)
            batches.append(scores(drawn[:, owner].astype(float)))
    return np.concatenate(batches, axis=1)


def reliability(truth: Floats, probability: Floats) -> tuple[Bin, ...]:
    """The reliability curve in ten equal bins of predicted probability; empty bins are left out."""
    bins = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    return tuple(
        Bin(
            predicted=float(probability[bins == index].mean()),
            observed=float(truth[bins == index].mean()),
            count=int((bins == index).sum()),
        )
        for index in np.unique(bins)
    )


def calibration_error(curve: Sequence[Bin]) -> float:
    """Expected calibration error: mean distance of the curve from the diagonal (Naeini et al. 2015)."""
    total = sum(bin_.count for bin_ in curve)
    return sum(abs(bin_.predicted - bin_.observed) * bin_.count for bin_ in curve) / total


def mean_auc(readings: Sequence[Reading], *, fewest: int = 20) -> tuple[float | None, int]:
    """The mean AUC over binary labels with at least `fewest` images of either class, and their number."""
    aucs = [
        reading.auc.value
        for reading in readings
        if isinstance(reading, YesNo) and reading.auc and fewest <= reading.yes <= reading.count - fewest
    ]
    return (sum(aucs) / len(aucs) if aucs else None), len(aucs)


def _ranking(truth: Floats, score: Floats) -> tuple[Floats, Floats, Floats]:
    """The order by rising score, the starts of runs of equal scores, and the truth in that order."""
    order = np.argsort(score, kind="stable")
    sorted_score = score[order]
    starts = np.flatnonzero(np.r_[True, sorted_score[1:] != sorted_score[:-1]])
    return order, starts, truth[order].astype(float)


def _weighted_auc(ranking: tuple[Floats, Floats, Floats], weights: Floats) -> Floats:
    """The share of (yes, no) pairs in the right order, ties half, for each row of `weights` [B, N]."""
    order, starts, truth = ranking
    sorted_weights = weights[:, order]
    yes = np.add.reduceat(sorted_weights * truth, starts, axis=1)
    no = np.add.reduceat(sorted_weights * (1 - truth), starts, axis=1)
    below = np.cumsum(no, axis=1) - no
    return np.asarray((yes * (below + no / 2)).sum(axis=1) / (yes.sum(axis=1) * no.sum(axis=1)))


def _bootstrap(people: Sequence[str], scores: Callable[[Floats], Floats]) -> Floats:
    """The 2.5 and 97.5 percentiles [2, K] of `scores` (weights [B, N] -> [K, B]) over resampled people.

    Resamples in which a score is undefined do not count for it.
    """
    defined = [row[~np.isnan(row)] for row in resampled(people, scores)]
    return np.array([np.percentile(row, (2.5, 97.5)) if len(row) else (np.nan, np.nan) for row in defined]).T


def _interval(value: float, low_high: Floats) -> Interval | None:
    if math.isnan(value) or np.isnan(low_high).any():
        return None
    return Interval(value=float(value), low=float(low_high[0]), high=float(low_high[1]))
