"""Kernel distance: unbiased squared MMD with a cubic polynomial kernel (KID; Binkowski et al. 2018)."""

import numpy as np
import torch

from mien.core.errors import InputError

NEEDS = "features"
BETTER = {"kernel": "lower"}


def compute(
    real: np.ndarray, fake: np.ndarray, *, num_subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> dict[str, float]:
    """Mean and spread of the unbiased estimate over random subsets.

    real, fake: [N, D] and [M, D], two rows or more. kernel: around 0 for equal distributions, and it may fall
    below since the estimate is unbiased; not scaled by 1000. kernel_std: over the subsets, which hold
    min(subset_size, N, M) pictures. A subset of everything is taken once: others would repeat it.
    """
    x, y = (torch.from_numpy(np.ascontiguousarray(part, np.float64)) for part in (real, fake))
    size = min(subset_size, len(x), len(y))
    if size < 2:
        raise InputError("the kernel distance needs two pictures or more on each side")
    if size == len(x) == len(y):
        return {"kernel": float(_squared_mmd(x, y)), "kernel_std": 0.0}
    # The same stream for both sides: swapping them then swaps the subsets, and the distance is symmetric.
    draw_x, draw_y = np.random.RandomState(seed), np.random.RandomState(seed)
    values = [
        _squared_mmd(x[draw_x.permutation(len(x))[:size]], y[draw_y.permutation(len(y))[:size]])
        for _ in range(num_subsets)
    ]
    stacked = torch.stack(values)
    return {"kernel": float(stacked.mean()), "kernel_std": float(stacked.std(correction=0))}


def advice(num_real: int, num_fake: int, dims: int) -> str | None:
    """A warning in words when the estimate is too noisy to mean much, else None."""
    fewest = min(num_real, num_fake)
    return None if fewest >= 100 else f"{fewest} pictures leave the kernel distance noisy: use 100 or more"


def _squared_mmd(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Eq. 4 of Binkowski et al. with k(a, b) = (a.b / D + 1)^3; the diagonals are left out."""
    n, dims = x.shape
    k_xx, k_yy, k_xy = ((a @ b.T / dims + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    within = (k_xx.sum() - k_xx.trace() + k_yy.sum() - k_yy.trace()) / (n * (n - 1))
    return within - 2 * k_xy.mean()
