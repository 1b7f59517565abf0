"""Agreement of raters: Krippendorff's alpha (Krippendorff 2011, Computing Krippendorff's Alpha-Reliability).

1 is perfect agreement, 0 is chance; any number of raters, any values missing.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

Level = Literal["nominal", "ordinal", "interval"]
_RESAMPLES = 1000


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


def alpha_interval(
    counts: np.ndarray, values: Sequence[Any], level: Level, *, seed: int = 0
) -> tuple[float, float | None, float | None]:
    """Alpha with its 95 % interval by a bootstrap over units."""
    value = krippendorff_alpha(counts, values, level)
    if len(counts) < 2:
        return value, None, None
    rng = np.random.default_rng(seed)
    coincidences, distance = _coincidences(counts), _distance(values, level)
    weights = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=_RESAMPLES)
    draws = np.array([_alpha(counts, coincidences, row, distance) for row in weights])
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return value, None, None
    low, high = np.quantile(draws, (0.025, 0.975))
    return value, float(low), float(high)


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
    if level == "nominal":
        return lambda totals: 1.0 - np.eye(len(totals))
    if level == "interval":
        numbers = np.asarray(values, float)
        return lambda totals: (numbers[:, None] - numbers[None, :]) ** 2
    return _ordinal


def _ordinal(totals: np.ndarray) -> np.ndarray:
    """How many ratings lie between two values, half of either's own among them; squared."""
    middle = np.cumsum(totals) - totals / 2
    return np.asarray((middle[:, None] - middle[None, :]) ** 2)
