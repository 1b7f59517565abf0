"""Findings of a study: figures with intervals over raters, agreement, sentences; a psychometric function.

How often raters are right as exposure grows: p(t) = 1/2 + (1/2 - lapse) / (1 + (t / midpoint) ** -slope),
fitted by maximum likelihood (Wichmann and Hill 2001). The likelihood is computed on a grid: no start value
matters, a thousand resamples take a second.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel
from scipy import stats

from mien.attributes.agreement import resampled
from mien.core.score import Interval
from mien.study.records import Vote

TARGET = 0.75
_MIDPOINTS, _SLOPES, _LAPSES = 240, np.geomspace(0.4, 12, 24), (0.0, 0.02, 0.05)
_BEYOND = 4.0  # how far outside of the shown exposures a midpoint may lie, as a factor
_AT_ONCE = 2_000_000


class Curve(NamedTuple):
    """A fitted function. midpoint in ms."""

    midpoint: float
    slope: float
    lapse: float

    def at(self, exposures_ms: np.ndarray) -> np.ndarray:
        """The share of right answers."""
        with np.errstate(over="ignore"):
            rise = 1 / (1 + (exposures_ms / self.midpoint) ** -self.slope)
        return np.asarray(0.5 + (0.5 - self.lapse) * rise)

    @property
    def threshold(self) -> float:
        """The exposure in ms at which `TARGET` are right."""
        share = (TARGET - 0.5) / (0.5 - self.lapse)
        return float(self.midpoint * (share / (1 - share)) ** (1 / self.slope))


class Fits:
    """Fits to right and wrong answers at some exposures. exposures_ms: float [L], rising, all different."""

    def __init__(self, exposures_ms: np.ndarray) -> None:
        low, high = exposures_ms[0] / _BEYOND, exposures_ms[-1] * _BEYOND
        midpoints = np.geomspace(low, high, _MIDPOINTS)
        self.curves = [Curve(*values) for values in itertools.product(midpoints, _SLOPES, _LAPSES)]
        share = np.stack([curve.at(exposures_ms) for curve in self.curves], axis=1)
        share = np.clip(share, 1e-6, 1 - 1e-6)
        self._log_right, self._log_wrong = np.log(share), np.log1p(-share)
        self.thresholds = np.array([curve.threshold for curve in self.curves])

    def best(self, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
        """Index of the likeliest curve for each row of counts, float [B, L] each: int [B]."""
        step = max(1, _AT_ONCE // len(self.curves))
        thresholds = [
            np.argmax(right[i : i + step] @ self._log_right + wrong[i : i + step] @ self._log_wrong, axis=1)
            for i in range(0, len(right), step)
        ]
        return np.concatenate(thresholds)


def levels(exposures_ms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different exposures, to the millisecond, and which of them each trial had: float [L], int [N]."""
    distinct, owner = np.unique(np.maximum(np.round(exposures_ms), 1.0), return_inverse=True)
    return distinct, owner


Floats = np.ndarray
Level = Literal["nominal", "ordinal", "interval"]
_RESAMPLES = 1000
_FEWEST_UNITS = 10  # that several raters judged, for their agreement to say anything
AGREEMENT = "agreement"


class Figure(BaseModel, frozen=True):
    """A number of a study. low, high: its 95 % interval, None where there is one rater or it is undefined.

    table: which table it stands in; row, column: where. count: of how many it is made; of: of what, as
    "rater".
    """

    table: str
    row: str
    column: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""
    count: int = 0
    of: str = "rater"

    @property
    def texts(self) -> tuple[str, str]:
        """The figure and its interval in words, the latter "" without one."""
        return ends_texts((self.value, self.low, self.high), self.unit)

    @property
    def interval(self) -> Interval:
        """For charts; as wide as nothing where there is none."""
        low = self.value if self.low is None else self.low
        high = self.value if self.high is None else self.high
        return Interval(value=self.value, low=low, high=high)


Ends = tuple[float, float | None, float | None]


def rater_intervals(
    raters: Sequence[str], statistics: Callable[[Floats], Floats], *, seed: int = 0
) -> list[Ends]:
    """Value, low and high of each of K figures; raters: [N], who gave each record.

    statistics: weights of the records [B, N] -> [K, B]. Percentiles of 1,000 resamples, moved outward so that
    few raters do not give intervals that are too narrow (expanded percentiles: Hesterberg 2015, section 3.2).
    """
    values = statistics(np.ones((1, len(raters))))[:, 0]
    num_raters = len(set(raters))
    if num_raters < 2:
        return [(float(value), None, None) for value in values]
    tail = expanded_tail(num_raters)
    resamples = resampled(raters, statistics, seed=seed)
    return [_ends(value, draws, tail) for value, draws in zip(values, resamples, strict=True)]


def expanded_tail(num_raters: int) -> float:
    """The share of resamples on either side of the interval: .025 for many raters, less for few."""
    wider = math.sqrt(num_raters / (num_raters - 1)) * stats.t.ppf(0.975, num_raters - 1)
    return float(stats.norm.cdf(-wider))


def weighted_mean(values: Floats, where: Floats | None = None) -> Callable[[Floats], Floats]:
    """A function of weights [B, N] that gives the mean of `values` [N] (among `where`, bool [N]): [1, B]."""
    counted = np.ones(len(values)) if where is None else where.astype(float)
    with_values = np.where(counted > 0, values, 0.0) * counted

    def mean(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(weights @ with_values / (weights @ counted))[None]

    return mean


def stacked(*statistics: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    """Several figures under the same weights."""
    return lambda weights: np.concatenate([one(weights) for one in statistics])


def counts_of(ratings: Mapping[Hashable, Sequence[Any]]) -> tuple[np.ndarray, list[Any]]:
    """How many raters gave each value to each unit, float [units, values], and the values in order.

    ratings: all ratings of each unit. Units with a single rating say nothing and are left out.
    """
    several = [given for given in ratings.values() if len(given) > 1]
    values = sorted({value for given in several for value in given})
    place = {value: index for index, value in enumerate(values)}
    counts = np.zeros((len(several), len(values)))
    for row, given in enumerate(several):
        for value in given:
            counts[row, place[value]] += 1
    return counts, values


def krippendorff_alpha(counts: np.ndarray, values: Sequence[Any], level: Level) -> float:
    """Alpha of `counts` [units, values]; NaN where nothing varies or no unit has two ratings."""
    if not len(counts):
        return float("nan")
    return _alpha(counts, _coincidences(counts), np.ones(len(counts)), _distance(values, level))


def alpha_interval(counts: np.ndarray, values: Sequence[Any], level: Level, *, seed: int = 0) -> Ends:
    """Alpha with its 95 % interval by a bootstrap over units."""
    value = krippendorff_alpha(counts, values, level)
    if len(counts) < 2:
        return value, None, None
    rng = np.random.default_rng(seed)
    coincidences, distance = _coincidences(counts), _distance(values, level)
    weights = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=_RESAMPLES)
    draws = np.array([_alpha(counts, coincidences, row, distance) for row in weights])
    return _ends(value, draws, 0.025)


def _ends(value: float, draws: np.ndarray, tail: float) -> Ends:
    """A value with the quantiles of those of its resamples in which it is defined, if there are any."""
    draws = draws[np.isfinite(draws)]
    if not len(draws) or not math.isfinite(value):
        return float(value), None, None
    low, high = np.quantile(draws, (tail, 1 - tail))
    return float(value), float(low), float(high)


def _coincidences(counts: np.ndarray) -> np.ndarray:
    """Pairs of values that each unit got, by its number of ratings less one: [units, values, values]."""
    pairs = counts[:, :, None] * counts[:, None, :]
    diagonal = np.arange(counts.shape[1])
    pairs[:, diagonal, diagonal] -= counts
    return np.asarray(pairs / (counts.sum(axis=1) - 1)[:, None, None])


def _alpha(
    counts: np.ndarray,
    coincidences: np.ndarray,
    weights: np.ndarray,
    distance: Callable[[np.ndarray], np.ndarray],
) -> float:
    totals = weights @ counts
    squared = distance(totals)
    observed = (np.tensordot(weights, coincidences, 1) * squared).sum()
    expected = (np.outer(totals, totals) * squared).sum() / (totals.sum() - 1)
    return float(1 - observed / expected) if expected > 0 else float("nan")


def _distance(values: Sequence[Any], level: Level) -> Callable[[np.ndarray], np.ndarray]:
    """Squared distances between values [V, V], from how often each value occurs [V]."""

    def squared(totals: np.ndarray) -> np.ndarray:
        if level == "nominal":
            return 1.0 - np.eye(len(totals))
        # Ordinal: how many ratings lie between two values, half of either's own among them.
        places = np.asarray(values, float) if level == "interval" else np.cumsum(totals) - totals / 2
        return np.asarray((places[:, None] - places[None, :]) ** 2)

    return squared


@dataclass
class Findings:
    """figures: in the order of their tables. curves: shares of right answers by exposure, by name.

    sentences: what the figures say, with a tone each ("good", "plain", "doubt").
    """

    figures: list[Figure] = field(default_factory=list)
    curves: dict[str, tuple[list[Figure], Curve]] = field(default_factory=dict)
    sentences: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(
        self,
        table: str,
        row: str,
        column: str,
        ends: Ends,
        *,
        unit: str = "",
        count: int = 0,
        of: str = "rater",
    ) -> Figure:
        """Add a figure, but for one that is undefined."""
        value, low, high = ends
        made = Figure(
            table=table,
            row=row,
            column=column,
            value=value,
            low=low,
            high=high,
            unit=unit,
            count=count,
            of=of,
        )
        if np.isfinite(value):
            self.figures.append(made)
        return made


def agree(
    findings: Findings,
    row: str,
    level: Level,
    votes: Sequence[Vote],
    answers: Sequence[Any],
    what: str = "picture",
) -> None:
    """Krippendorff's alpha of answers to what was shown; the two sides of a pair are one unit.

    Left out where several raters judged fewer than ten of them. what: a unit's name.
    """
    ratings: dict[Hashable, list[Any]] = defaultdict(list)
    for vote, answer in zip(votes, answers, strict=True):
        unit = tuple(sorted(zip(vote.sets, vote.pictures, strict=True)))
        ratings[unit].append(answer)
    counts, values = counts_of(ratings)
    if len(counts) >= _FEWEST_UNITS:
        ends = alpha_interval(counts, values, level)
        findings.add(AGREEMENT, row, f"alpha ({level})", ends, count=len(counts), of=what)


def ends_texts(ends: Ends, unit: str = "") -> tuple[str, str]:
    """ "231 ms" and "210 to 255", to two digits of the interval's width; the latter "" without one."""
    value, low, high = ends
    if low is None or high is None:
        return f"{value:.3g}{unit}", ""
    width = max(high - low, abs(value) * 1e-3, 1e-6)
    digits = max(0, 1 - math.floor(math.log10(width)))
    at, start, stop = (f"{round(end, digits) + 0.0:,.{digits}f}" for end in (value, low, high))
    return f"{at}{unit}", f"{start} to {stop}"


def interval_text(ends: Ends, unit: str = "") -> str:
    """ "231 ms (95 % interval 210 to 255)"."""
    text, interval = ends_texts(ends, unit)
    return f"{text} (95 % interval {interval})" if interval else text
