"""Kernel distance: unbiased squared MMD with a cubic polynomial kernel (KID; Binkowski et al. 2018)."""

from typing import NamedTuple

import numpy as np
import torch

from mien.core.errors import InputError

NEEDS = "features"
BETTER = {"kernel": "lower"}
TITLES = {"kernel": "kernel distance"}

BLOCK = 2000  # images of the smaller side in a block; its matrices are held whole
_WIDER = 2  # blocks of the larger side may be so many times as large
_RESAMPLES = 500
_LEVELS = (2.5, 97.5)


def compute(real: np.ndarray, fake: np.ndarray, *, seed: int = 0) -> dict[str, float]:
    """The unbiased estimate and its 95 % interval.

    real, fake: [N, D] and [M, D], two rows or more. kernel: around 0 for equal distributions, and it may fall
    below since the estimate is unbiased; not scaled by 1000. kernel_low, kernel_high: percentiles of a
    bootstrap over images (`_draws`). Up to 2,000 images of the smaller side are compared all with all; more
    are parted at random into blocks, whose estimates are averaged, so that 50,000 need no more memory. Of the
    larger side at most twice as many images as of the smaller are looked at then, or 4,000.
    """
    value, draws = resampled(real, fake, seed=seed)
    low, high = np.percentile(draws, _LEVELS)
    return {"kernel": value, "kernel_low": value + float(low), "kernel_high": value + float(high)}


def resampled(real: np.ndarray, fake: np.ndarray, *, seed: int = 0) -> tuple[float, np.ndarray]:
    """The estimate, and its deviation in each of 500 resamples: arguments as of `compute`.

    With one seed the same reals are drawn for every set of as many fakes, so that the deviations of two
    generators may be subtracted: what they share falls out.
    """
    x, y = (np.ascontiguousarray(part, np.float64) for part in (real, fake))
    if min(len(x), len(y)) < 2:
        raise InputError("the kernel distance needs two images or more on each side")
    rng = np.random.default_rng(seed)
    blocks = _blocks(len(x), len(y), np.random.RandomState(seed))
    value, draws = 0.0, np.zeros(_RESAMPLES)
    for rows_x, rows_y in blocks:
        grams = _grams(torch.from_numpy(x[rows_x]), torch.from_numpy(y[rows_y]))
        estimate, around = _draws(grams, rng)
        value += estimate / len(blocks)
        draws += around / len(blocks)
    return value, draws


def estimate(real: np.ndarray, fake: np.ndarray) -> float:
    """The estimate alone, from all rows at once: arguments as of `compute`."""
    x, y = (torch.from_numpy(np.ascontiguousarray(part, np.float64)) for part in (real, fake))
    return _estimate(_grams(x, y))


def advice(num_real: int, num_fake: int, dims: int) -> str | None:
    """A warning in words when the estimate is too noisy to mean much, else None."""
    fewest = min(num_real, num_fake)
    return None if fewest >= 100 else f"{fewest} images leave the kernel distance noisy: use 100 or more"


class _Grams(NamedTuple):
    """Kernel values among x [n, n] and y [m, m], diagonals zero, and between them [n, m]; float64."""

    xx: torch.Tensor
    yy: torch.Tensor
    xy: torch.Tensor


def _blocks(
    num_x: int, num_y: int, rng: np.random.RandomState
) -> list[tuple[np.ndarray | slice, np.ndarray | slice]]:
    """Disjoint rows of reals and fakes for each block; all rows in their order where one block holds them."""
    count = -(-min(num_x, num_y) // BLOCK)
    if count == 1 and max(num_x, num_y) <= _WIDER * BLOCK:
        return [(slice(None), slice(None))]
    # Equal sides are parted alike, so that the distance does not depend on which is called real.
    state = rng.get_state()
    parts = []
    for num in (num_x, num_y):
        rng.set_state(state)
        parts.append(np.array_split(rng.permutation(num)[: count * _WIDER * BLOCK], count))
    return list(zip(*parts, strict=True))


def _grams(x: torch.Tensor, y: torch.Tensor) -> _Grams:
    """k(a, b) = (a.b / D + 1)^3 (Binkowski et al., section 4)."""
    xx, yy, xy = ((a @ b.T / x.shape[1] + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    return _Grams(xx.fill_diagonal_(0), yy.fill_diagonal_(0), xy)


def _estimate(grams: _Grams) -> float:
    """Eq. 4 of Binkowski et al.; the diagonals are left out."""
    n, m = grams.xy.shape
    return float(grams.xx.sum() / (n * (n - 1)) + grams.yy.sum() / (m * (m - 1)) - 2 * grams.xy.mean())


def _draws(grams: _Grams, rng: np.random.Generator) -> tuple[float, np.ndarray]:
    """The estimate, and the deviation from it in each of 500 bootstrap resamples of the images.

    An image drawn a times weighs a = 1 + e; pairs of an image with its own copies are left out, so a resample
    is as unbiased as the estimate. It adds a part linear in e, through each image's influence (its mean
    similarity to its own side less that to the other), and a part quadratic in e. Influences are measured
    with an error, which widens a plain bootstrap up to 1.8 times where the sides are alike (Arcones and
    Gine 1992): they are shrunk by the share of their variance that is error. Coverage of the 95 % interval,
    simulated: .91 to 1.0 over five distances and n of 80 to 400, width .9 to 1.2 of the true one.
    """
    n, m = grams.xy.shape
    own_x, own_y = grams.xx.sum(1) / (n - 1), grams.yy.sum(1) / (m - 1)
    to_y, to_x = grams.xy.mean(1), grams.xy.mean(0)
    within_x, within_y = _centred(grams.xx, own_x), _centred(grams.yy, own_y)
    between = grams.xy - to_y[:, None] - to_x + grams.xy.mean()
    noise = between.square().mean()
    linear_x = 2 / n * _influence(own_x - to_y, _mean_square(within_x) / (n - 1) + noise / m)
    linear_y = 2 / m * _influence(own_y - to_x, _mean_square(within_y) / (m - 1) + noise / n)
    excess_x, excess_y = _excess(n, rng), _excess(m, rng)
    added = excess_x @ linear_x + excess_y @ linear_y
    added += ((excess_x @ within_x) * excess_x).sum(1) / (n * (n - 1))
    added += ((excess_y @ within_y) * excess_y).sum(1) / (m * (m - 1))
    added -= 2 * ((excess_x @ between) * excess_y).sum(1) / (n * m)
    return _estimate(grams), added.numpy()


def _excess(count: int, rng: np.random.Generator) -> torch.Tensor:
    """How much oftener than once each image is drawn in each resample: float64 [500, count]."""
    return torch.from_numpy(rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES) - 1.0)


def _centred(within: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Doubly centred similarities; the diagonal stays 0."""
    return (within - own[:, None] - own + own.mean()).fill_diagonal_(0)


def _mean_square(within: torch.Tensor) -> torch.Tensor:
    """The mean square of all entries but the diagonal."""
    return within.square().sum() / (len(within) * (len(within) - 1))


def _influence(influence: torch.Tensor, error: torch.Tensor) -> torch.Tensor:
    """Influences around 0, shrunk so that `error` is gone from their variance."""
    influence = influence - influence.mean()
    variance = influence.var().clamp_min(1e-300)
    return influence * (1 - error / variance).clamp_min(0).sqrt()
