"""95 % intervals of metrics' numbers."""

from collections.abc import Callable, Iterator

import numpy as np
from scipy.stats import norm, t

_LEVEL = 0.975
Z = float(norm.ppf(_LEVEL))
HALVES = 64


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
    """Of a share with a standard error of its own: Wilson's, of as many cases as would have that error."""
    spread = share * (1 - share)
    return of_share(share, spread / error**2 if spread > 0 and error > 0 else count)


def halves(count: int, seed: int, times: int = HALVES) -> Iterator[np.ndarray]:
    """Random halves of `count` rows, without repeats."""
    rng = np.random.RandomState(seed)
    for _ in range(times):
        yield np.sort(rng.permutation(count)[: count // 2])


def error_by_halves(
    num_x: int,
    num_y: int,
    statistic: Callable[[np.ndarray, np.ndarray], np.ndarray],
    seed: int,
    times: int = HALVES,
) -> np.ndarray:
    """Standard error of each number of `statistic`, which takes rows of x and y (Politis and Romano 1994).

    Halves drawn without repeats vary as much as the whole does, and unlike a bootstrap's they hold no row
    twice, which a nearest neighbour or a sorted list would see.
    """
    pairs = zip(halves(num_x, seed, times), halves(num_y, seed + 1, times), strict=True)
    return np.asarray(np.std([statistic(x, y) for x, y in pairs], axis=0, ddof=1))


def named(name: str, value: float, interval: tuple[float, float]) -> dict[str, float]:
    """The number and its interval as a metric gives them."""
    return {name: value, f"{name}_low": float(interval[0]), f"{name}_high": float(interval[1])}
