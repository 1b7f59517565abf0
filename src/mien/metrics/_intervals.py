"""95 % intervals of metrics' numbers."""

from collections.abc import Callable

import numpy as np
from scipy.stats import chi2, norm, t

_LEVEL = 0.975
Z = float(norm.ppf(_LEVEL))
SPLITS = 48
FREEDOM = 24  # degrees of freedom that an error by so many splits has, about
_NOISE = 1.15  # of the ratio of two variances by so many splits


def of_mean(values: np.ndarray) -> tuple[float, float]:
    """Of the mean of independent numbers, by Student's t; two or more."""
    return around(float(values.mean()), float(values.std(ddof=1)) / np.sqrt(len(values)), len(values) - 1)


def around(value: float, error: float, freedom: float = np.inf) -> tuple[float, float]:
    """Of a number with a standard error. freedom: degrees of freedom that the error was estimated with."""
    half = float(t.ppf(_LEVEL, freedom)) * error
    return value - half, value + half


def of_share(share: float, count: float) -> tuple[float, float]:
    """Of a share of `count` independent cases (Wilson 1927)."""
    z2 = Z**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = np.sqrt(z2 * share * (1 - share) / count + z2**2 / (4 * count**2)) / (1 + z2 / count)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def of_noisy_share(share: float, count: int, error: float) -> tuple[float, float]:
    """Of a share with a standard error of its own: Wilson's, of as many cases as would have that error.

    Of `count` at most: near 0 and 1 the error is measured on few cases, and often too small.
    """
    spread = share * (1 - share)
    return of_share(share, min(spread / error**2, count) if spread > 0 and error > 0 else count)


def of_noisy_count(value: float, error: float, one: float) -> tuple[float, float]:
    """Of a mean of counts with an error by parts: Jeffreys', of as many cases as would have that error.

    one: what a single case adds, where none was counted. Near 0 the error alone is too small.
    """
    error *= float(t.ppf(_LEVEL, FREEDOM)) / Z
    cases = (value / error) ** 2 if value > 0 and error > 0 else 0.0
    low, high = chi2.ppf((1 - _LEVEL, _LEVEL), 2 * cases + 1) / 2 * (value / cases if cases else one)
    return float(low) if cases else 0.0, float(high)


def error_by_parts(
    num_x: int,
    num_y: int,
    statistic: Callable[[np.ndarray, np.ndarray], np.ndarray],
    seed: int,
    splits: int = SPLITS,
) -> np.ndarray:
    """Standard error of each number of `statistic`, which takes rows of x and y; four of each at least.

    Both sides are parted at random into halves, again and again. Halves are independent, so the variance of
    their numbers is that of half as many rows, and half of it the whole's. No row stands in a part twice,
    which a nearest neighbour or a sorted list would see; halves that overlap and a jackknife give up to 1.4
    and 2 times the error of such numbers. Quarters say how much more slowly than with the number of rows the
    variance shrinks, up to not at all; beyond their own noise it is allowed for in the step to the whole.
    """
    rng = np.random.RandomState(seed)

    def variance(parts: int, splits: int) -> np.ndarray:
        found = []
        for _ in range(splits):
            orders = (rng.permutation(num)[: num // parts * parts] for num in (num_x, num_y))
            rows = (np.sort(order.reshape(parts, -1)) for order in orders)
            found.append(np.var([statistic(x, y) for x, y in zip(*rows, strict=True)], axis=0, ddof=1))
        return np.asarray(np.mean(found, axis=0)) / parts

    by_halves, by_quarters = variance(2, splits), variance(4, splits // 2)
    slower = by_halves / np.maximum(by_quarters, 1e-300) / _NOISE
    return np.asarray(np.sqrt(by_halves * np.clip(slower, 1, 2)))


def named(name: str, value: float, interval: tuple[float, float]) -> dict[str, float]:
    """The number and its interval as a metric gives them."""
    return {name: value, f"{name}_low": float(interval[0]), f"{name}_high": float(interval[1])}
