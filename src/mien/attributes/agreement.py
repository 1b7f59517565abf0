"""How well labels were read off pictures: pure functions of truth and prediction, with 95 % intervals.

Intervals are percentiles of a bootstrap over people, not pictures: pictures of one person err together.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict
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

_RESAMPLES = 1000
_BINS = 10
_AT_ONCE = 4_000_000  # weights held at a time

Floats = np.ndarray


class Interval(BaseModel):
    """A figure and where it lies with 95 % confidence. A figure that is undefined is None as a whole."""

    model_config = ConfigDict(frozen=True)

    value: float
    low: float
    high: float


class Bin(BaseModel):
    """Of the reliability curve: mean probability that was predicted, share that was true, pictures."""

    model_config = ConfigDict(frozen=True)

    predicted: float
    observed: float
    count: int


class YesNo(BaseModel):
    """precision, recall, f1: at probability 1/2; of a value of a one-of, where it is the likeliest.

    confusion: rows truth no, yes; columns predicted no, yes.
    ece: expected calibration error over ten equal bins. brier: mean squared error of the probability.
    None: undefined here (no yes among the truth or among the predictions).
    """

    model_config = ConfigDict(frozen=True)

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


class OneOf(BaseModel):
    """confusion: rows the true value, columns the most probable one. each: every value against all others."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["one-of"] = "one-of"
    name: str
    count: int
    values: tuple[str, ...]
    accuracy: Interval
    most_common: float
    confusion: tuple[tuple[int, ...], ...]
    each: tuple[YesNo, ...]


class Number(BaseModel):
    """mae: mean absolute error. rmse: root of the mean squared error. bias: mean of predicted minus true.

    mae_of_median: of always answering the median of the truth, to be beaten.
    """

    model_config = ConfigDict(frozen=True)

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
    name: str,
    truth: Floats,
    probability: Floats,
    people: Sequence[str],
    *,
    predicted: Floats | None = None,
    seed: int = 0,
) -> YesNo:
    """truth: 0 or 1 [N]. probability: of 1, [N]. people: who is shown, a name for each.

    predicted: the answers that precision, recall and F1 count; by default a probability of one half or more.
    """
    truth, probability = truth.astype(bool), probability.astype(float)
    predicted = probability >= 0.5 if predicted is None else predicted
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, predicted, average="binary", zero_division=np.nan
    )
    order = _ranking(truth, probability)
    tp, yes, positive = (column.astype(float) for column in (truth & predicted, truth, predicted))

    def figures_of(w: Floats) -> Floats:
        hits, actual, claimed = w @ tp, w @ yes, w @ positive
        return np.stack(
            [hits / claimed, hits / actual, 2 * hits / (actual + claimed), _weighted_auc(order, w)]
        )

    low_high = _bootstrap(people, figures_of, seed)
    both = 0 < truth.sum() < len(truth)
    points = (precision, recall, f1, auc(truth, probability) if both else math.nan)
    figures = [_interval(point, ends) for point, ends in zip(points, low_high.T, strict=True)]
    table = confusion_matrix(truth, predicted, labels=[False, True]).tolist()
    curve = reliability(truth, probability)
    return YesNo(
        name=name,
        count=len(truth),
        yes=int(truth.sum()),
        precision=figures[0],
        recall=figures[1],
        f1=figures[2],
        auc=figures[3],
        average_precision=float(average_precision_score(truth, probability)) if truth.any() else None,
        confusion=tuple(map(tuple, table)),
        ece=calibration_error(curve),
        brier=float(brier_score_loss(truth, probability, pos_label=True)),
        curve=curve,
    )


def one_of(
    name: str,
    values: Sequence[str],
    truth: Floats,
    probabilities: Floats,
    people: Sequence[str],
    *,
    seed: int = 0,
) -> OneOf:
    """truth: number of the true value [N]. probabilities: [N, len(values)]."""
    predicted = probabilities.argmax(axis=1)
    right = (predicted == truth).astype(float)
    interval = _interval(right.mean(), _bootstrap(people, lambda w: (w @ right / w.sum(1))[None], seed)[:, 0])
    assert interval is not None
    table = confusion_matrix(truth, predicted, labels=range(len(values)))
    each = tuple(
        yes_no(
            f"{name}={value}",
            truth == place,
            probabilities[:, place],
            people,
            predicted=predicted == place,
            seed=seed,
        )
        for place, value in enumerate(values)
    )
    return OneOf(
        name=name,
        count=len(truth),
        values=tuple(values),
        accuracy=interval,
        most_common=float(np.bincount(truth).max() / len(truth)),
        confusion=tuple(map(tuple, table.tolist())),
        each=each,
    )


def number(name: str, truth: Floats, predicted: Floats, people: Sequence[str], *, seed: int = 0) -> Number:
    """truth, predicted: [N], in the label's own unit."""
    error = predicted.astype(float) - truth.astype(float)
    low_high = _bootstrap(
        people,
        lambda w: np.stack([w @ np.abs(error) / w.sum(1), np.sqrt(w @ error**2 / w.sum(1))]),
        seed,
    )
    mae, rmse = mean_absolute_error(truth, predicted), root_mean_squared_error(truth, predicted)
    spread = len(truth) > 1 and truth.std() > 0
    return Number(
        name=name,
        count=len(truth),
        mae=Interval(value=mae, low=low_high[0, 0], high=low_high[1, 0]),
        rmse=Interval(value=rmse, low=low_high[0, 1], high=low_high[1, 1]),
        bias=float(error.mean()),
        r2=float(r2_score(truth, predicted)) if spread else None,
        correlation=float(np.corrcoef(truth, predicted)[0, 1]) if spread and predicted.std() > 0 else None,
        mae_of_median=float(np.abs(truth - np.median(truth)).mean()),
    )


def auc(truth: Floats, score: Floats) -> float:
    """The share of pairs of a yes and a no in which the yes has the higher score; both must occur."""
    return float(roc_auc_score(truth, score))


def mean_of(values: Floats, people: Sequence[str], *, seed: int = 0) -> Interval:
    """The mean of finite values [N], a value a picture, of one or more people."""
    ends = _bootstrap(people, lambda weights: (weights @ values / weights.sum(axis=1))[None], seed)
    return Interval(value=float(np.mean(values)), low=float(ends[0, 0]), high=float(ends[1, 0]))


def weighted_auc(truth: Floats, score: Floats) -> Callable[[Floats], Floats]:
    """A function of weights [B, N], one for each picture, that gives the AUC under each row: [B]."""
    ranking = _ranking(truth, score)
    return lambda weights: _weighted_auc(ranking, weights)


def resampled(people: Sequence[str], figures: Callable[[Floats], Floats], *, seed: int = 0) -> Floats:
    """`figures` (weights [B, N] -> [K, B]) of 1,000 draws of as many people, with replacement: [K, 1000].

    The same people and seed give the same draws, whatever the figures. NaN where one is undefined.
    """
    names, owner = np.unique(np.asarray(people), return_inverse=True)
    rng = np.random.default_rng(seed)
    step = max(1, min(_RESAMPLES, _AT_ONCE // len(owner)))
    found = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for start in range(0, _RESAMPLES, step):
            size = min(step, _RESAMPLES - start)
            drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=size)
            found.append(figures(drawn[:, owner].astype(float)))
    return np.concatenate(found, axis=1)


def reliability(truth: Floats, probability: Floats) -> tuple[Bin, ...]:
    """Pictures in ten equal bins of predicted probability; empty bins are left out."""
    places = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    return tuple(
        Bin(
            predicted=float(probability[places == place].mean()),
            observed=float(truth[places == place].mean()),
            count=int((places == place).sum()),
        )
        for place in np.unique(places)
    )


def calibration_error(curve: Sequence[Bin]) -> float:
    """The mean distance of the curve from the diagonal, weighted by pictures (Naeini et al. 2015)."""
    total = sum(one.count for one in curve)
    return sum(abs(one.predicted - one.observed) * one.count for one in curve) / total


def mean_auc(readings: Sequence[Reading], *, fewest: int = 20) -> tuple[float | None, int]:
    """The mean AUC over yes-no labels with at least `fewest` of either answer, and how many those are."""
    found = [
        reading.auc.value
        for reading in readings
        if isinstance(reading, YesNo) and reading.auc and fewest <= reading.yes <= reading.count - fewest
    ]
    return (sum(found) / len(found) if found else None), len(found)


def _ranking(truth: Floats, score: Floats) -> tuple[Floats, Floats, Floats]:
    """Order by rising score, where runs of equal scores begin, and the truth in that order."""
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


def _bootstrap(people: Sequence[str], figures: Callable[[Floats], Floats], seed: int) -> Floats:
    """The 2.5 and 97.5 percentiles [2, K] of `figures` (weights [B, N] -> [K, B]) over resampled people.

    Resamples in which a figure is undefined do not count for it.
    """
    several = resampled(people, figures, seed=seed)
    defined = [row[~np.isnan(row)] for row in several]
    return np.array([np.percentile(row, (2.5, 97.5)) if len(row) else (np.nan, np.nan) for row in defined]).T


def _interval(value: float, low_high: Floats) -> Interval | None:
    if math.isnan(value) or np.isnan(low_high).any():
        return None
    return Interval(value=float(value), low=float(low_high[0]), high=float(low_high[1]))
