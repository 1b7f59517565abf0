"""Kernel distance: unbiased squared MMD with a cubic polynomial kernel (KID; Binkowski et al. 2018)."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch

from mien.core.errors import InputError
from mien.metrics._intervals import Z, around, named

NEEDS = "features"
ALSO = {"kid": "a KID is that through Inception: --features inception", "mmd": ""}
BETTER = {"kernel": "lower"}
TITLES = {"kernel": "kernel distance"}

BLOCK = 2000  # images of the smaller side in a block; its matrices are held whole
_WIDER = 2  # blocks of the larger side may be so many times as large
_FEWEST = 4  # images a side that an interval needs


def compute(real: np.ndarray, fake: np.ndarray, *, seed: int = 0) -> dict[str, float]:
    """The unbiased estimate and its 95 % interval.

    real, fake: [N, D] and [M, D], two rows or more. kernel: around 0 for equal distributions, and it may fall
    below since the estimate is unbiased; not scaled by 1000. kernel_low, kernel_high: from four images a side
    on (`_interval`). Up to 2,000 images of the smaller side are compared all with all; more are parted at
    random into blocks, whose estimates are averaged, so that 50,000 need no more memory. Of the larger side
    at most twice as many images as of the smaller are looked at then, or 4,000.
    """
    whole = _mean([_moments(_grams(x, y)) for x, y in _blocks(seed, real, fake)])
    if min(len(real), len(fake)) < _FEWEST:
        return {"kernel": whole.estimate}
    return named("kernel", whole.estimate, _interval(whole))


def differences(real: np.ndarray, fakes: Sequence[np.ndarray], *, seed: int = 0) -> np.ndarray:
    """The kernel distance of each set less that of each other, and the ends of its 95 % interval: [K, K, 3].

    fakes: K sets of [M, D]. What two share falls out: the reals, and seeds where their rows are of the same.
    """
    moments: dict[tuple[int, int], list[_Moments]] = {}
    for x, *sets in _blocks(seed, real, *fakes):
        nothing = torch.zeros(len(x), len(x), dtype=torch.float64)
        grams = [(_kernel(y, y), _kernel(x, y)) for y in sets]
        for i, j in combinations(range(len(sets)), 2):
            apart = _Grams(nothing, grams[i][0] - grams[j][0], grams[i][1] - grams[j][1])
            moments.setdefault((i, j), []).append(_moments(apart))
    result = np.zeros((len(fakes), len(fakes), 3))
    for (i, j), blocks in moments.items():
        whole = _mean(blocks)
        error = (whole.quadratic + max(whole.linear, 0.0)) ** 0.5
        result[i, j] = whole.estimate, *around(whole.estimate, error)
        result[j, i] = -result[i, j, [0, 2, 1]]
    return result


def estimate(real: np.ndarray, fake: np.ndarray) -> float:
    """The estimate alone, from all rows at once: arguments as of `compute`."""
    return _estimate(_grams(*_tensors(real, fake)))


def advice(num_real: int, num_fake: int, dims: int) -> str | None:
    """A warning in words when the estimate is too noisy to mean much, else None."""
    fewest = min(num_real, num_fake)
    return None if fewest >= 100 else f"{fewest} images leave the kernel distance noisy: use 100 or more"


class _Grams(NamedTuple):
    """Kernel values among x [n, n], among y [m, m] and between them [n, m]; float64."""

    xx: torch.Tensor
    yy: torch.Tensor
    xy: torch.Tensor


def _grams(x: torch.Tensor, y: torch.Tensor) -> _Grams:
    return _Grams(_kernel(x, x), _kernel(y, y), _kernel(x, y))


def _kernel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """k(a, b) = (a.b / D + 1)^3 (Binkowski et al., section 4)."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def _tensors(*sides: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(side, np.float64)) for side in sides]


def _blocks(seed: int, *sides: np.ndarray) -> Iterator[list[torch.Tensor]]:
    """Disjoint rows of reals and fakes for each block; all rows in their order where one block holds them."""
    fewest, most = min(map(len, sides)), max(map(len, sides))
    if fewest < 2:
        raise InputError("the kernel distance needs two images or more on each side")
    count = -(-fewest // BLOCK)
    if count == 1 and most <= _WIDER * BLOCK:
        yield _tensors(*sides)
        return
    # Equal sides are parted alike, so that the distance does not depend on which is called real.
    orders = [np.random.RandomState(seed).permutation(len(s))[: count * _WIDER * BLOCK] for s in sides]
    for rows in zip(*(np.array_split(order, count) for order in orders), strict=True):
        yield _tensors(*(side[chosen] for side, chosen in zip(sides, rows, strict=True)))


class _Moments(NamedTuple):
    """An estimate, and its variance by the order in which images enter it (Bounliphone et al. 2016).

    biased: the squared MMD of the two samples themselves, which chance alone makes positive. linear: the
    part of the variance that comes of each image's influence, its mean similarity to its own side less that
    to the other; unbiased, so it may fall below 0. influences: the same as it is measured, with the noise of
    those means. quadratic: the part of pairs of images, all there is where the distributions are equal.
    """

    estimate: float
    biased: float
    linear: float
    influences: float
    quadratic: float


def _moments(grams: _Grams) -> _Moments:
    biased = float(grams.xx.mean() + grams.yy.mean() - 2 * grams.xy.mean())
    n, m = grams.xy.shape
    to_y, to_x = grams.xy.mean(1), grams.xy.mean(0)
    between = grams.xy - to_y[:, None] - to_x + grams.xy.mean()
    noise_xy = float(between.square().sum()) / max((n - 1) * (m - 1), 1)
    influences = linear = 0.0
    quadratic = 4 * noise_xy / (n * m)
    for within, to_others, other in ((grams.xx, to_y, m), (grams.yy, to_x, n)):
        own, noise = _own(within)
        count = len(within)
        variance = float((own - to_others).var())
        influences += 4 / count * variance
        linear += 4 / count * (variance - noise / max(count - 2, 1) - noise_xy / other)
        quadratic += 2 * noise / (count * (count - 1))
    return _Moments(_estimate(grams), biased, linear, influences, quadratic)


def _estimate(grams: _Grams) -> float:
    """Eq. 4 of Binkowski et al.; the diagonals are left out."""
    means = [(k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in (grams.xx, grams.yy)]
    return float(means[0] + means[1] - 2 * grams.xy.mean())


def _own(within: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Each image's mean similarity to the others of its side, and the mean square of pairs without it.

    Both are made unbiased by their divisors (U-centring; Szekely and Rizzo 2014).
    """
    n = len(within)
    within = within.clone().fill_diagonal_(0)
    own = within.sum(1) / max(n - 2, 1)
    within -= own[:, None] + own - own.sum() / max(n - 1, 1)
    return own, float(within.fill_diagonal_(0).square().sum()) / max(n * (n - 3), 1)


def _mean(blocks: list[_Moments]) -> _Moments:
    """Of the mean of blocks' estimates: variances are divided by their number."""
    estimate, biased, *variances = np.mean(blocks, axis=0).tolist()
    return _Moments(estimate, biased, *(variance / len(blocks) for variance in variances))


def _interval(whole: _Moments) -> tuple[float, float]:
    """All distances d >= 0 from which the estimate is less than 1.96 standard errors away.

    The variance at d is quadratic + slope * d, as of a share (Wilson): near 0 the linear part shrinks with
    the distance. An interval with the variance at the estimate holds the truth far too often where sides are
    alike, and too seldom where they hardly differ. slope: influences over the biased distance, where noise
    weighs alike on both; where the sides surely differ at least the unbiased ones' ratio. What lies below
    0 is only how far the estimate strays.
    """
    value, error = whole.estimate, Z * whole.quadratic**0.5
    slope = whole.influences / whole.biased if whole.biased > 0 else 0.0
    if value > error:
        slope = max(slope, whole.linear / value)
    middle = value + Z**2 * slope / 2
    half = (max(middle**2 - value**2 + error**2, 0.0)) ** 0.5
    return (
        value - error if value < error else middle - half,
        value + error if value < -error else middle + half,
    )
