"""95 % intervals by a bootstrap over raters, whose answers are not independent of each other."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import stats

from mien.attributes.agreement import Interval, resampled

Floats = np.ndarray


class Figure(BaseModel):
    """A number of a study. low, high: its 95 % interval, None where there is one rater or it is undefined.

    table: which table it stands in; row, column: where. about: what it is made of, as "12 raters".
    """

    model_config = ConfigDict(frozen=True)

    table: str
    row: str
    column: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""
    count: int = 0

    @property
    def interval(self) -> Interval:
        """For charts; as wide as nothing where there is none."""
        low = self.value if self.low is None else self.low
        high = self.value if self.high is None else self.high
        return Interval(value=self.value, low=low, high=high)


Ends = tuple[float, float | None, float | None]


def rater_intervals(
    raters: Sequence[str], figures: Callable[[Floats], Floats], *, seed: int = 0
) -> list[Ends]:
    """Value, low and high of each of K figures; raters: [N], who gave each record.

    figures: weights of the records [B, N] -> [K, B]. Percentiles of 1,000 resamples, moved outward so that
    few raters do not give intervals that are too narrow (expanded percentiles: Hesterberg 2015, section 3.2).
    """
    values = figures(np.ones((1, len(raters))))[:, 0]
    num_raters = len(set(raters))
    if num_raters < 2:
        return [(float(value), None, None) for value in values]
    tail = expanded_tail(num_raters)
    ends: list[Ends] = []
    for value, draws in zip(values, resampled(raters, figures, seed=seed), strict=True):
        defined = draws[np.isfinite(draws)]
        if not len(defined) or not math.isfinite(value):
            ends.append((float(value), None, None))
        else:
            low, high = np.quantile(defined, (tail, 1 - tail))
            ends.append((float(value), float(low), float(high)))
    return ends


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


def stacked(*figures: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    """Several figures under the same weights."""
    return lambda weights: np.concatenate([one(weights) for one in figures])
