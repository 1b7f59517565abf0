"""Frechet distance of two Gaussians fitted to features (Heusel et al. 2017; FID when through Inception)."""

import numpy as np
import torch

from mien.core.errors import InputError
from mien.metrics._intervals import around, named

NEEDS = "features"
ALSO = {"fid": "a FID is that through Inception: --features inception"}
BETTER = {"frechet": "lower"}
TITLES = {"frechet": "Fréchet distance"}
# The numbers of images at which it is reported: its bias depends on them, so other numbers compare with
# nothing.
COUNTS = (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)


def compute(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """|mu_r - mu_f|^2 + tr(S_r + S_f - 2 (S_r S_f)^(1/2)).

    real, fake: [N, D] and [M, D], at least two rows each. Computed in float64 with unbiased covariances.
    The value is biased upwards when pictures are few: compare only at equal numbers; see `advice`. Its 95 %
    interval (`frechet_low`, `frechet_high`), of the value at these numbers of pictures, follows from each
    picture's influence: the distance is a smooth function of means and covariances, and its derivative is
    known (optimal transport between Gaussians); `_surplus` is taken off. Left out where a side has no more
    rows than columns.
    """
    mean_r, covariance_r = _gaussian(real)
    mean_f, covariance_f = _gaussian(fake)
    product = _Product(covariance_r, covariance_f)
    traces = torch.trace(covariance_r) + torch.trace(covariance_f)
    shift = mean_f - mean_r
    # Rounding may take equal distributions a hair below zero, which no distance can be.
    value = max(float(shift.square().sum() + traces - 2 * product.trace_of_root()), 0.0)
    if min(len(real), len(fake)) <= len(mean_r):
        return {"frechet": value}
    to_fakes, to_reals = product.maps()
    variance = _variance(fake, mean_f, shift, to_reals) + _variance(real, mean_r, -shift, to_fakes)
    surplus = _surplus(covariance_r, covariance_f, product.eigenvalues_of_a, len(real), len(fake))
    low, high = around(value, max(variance - surplus, variance / 2) ** 0.5)
    return named("frechet", value, (max(low, 0.0), high))


def fixed_count(num_real: int, num_fake: int, dims: int) -> int | None:
    """The images a side to report it at: the largest of COUNTS that both reach, if it fills the covariance.

    None where it does not (no more images than dims): there is then no number to report.
    """
    reached = [count for count in COUNTS if dims < count <= min(num_real, num_fake)]
    return reached[-1] if reached else None


def advice(num_real: int, num_fake: int, dims: int) -> str | None:
    """A warning in words when a covariance cannot have full rank, else None."""
    fewest = min(num_real, num_fake)
    if fewest > dims:
        return None
    needed = min((count for count in COUNTS if count > dims), default=dims + 1)
    return f"{fewest} images cannot fill a covariance of {dims} x {dims}: use {needed:,} or more"


def _gaussian(features: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.from_numpy(np.ascontiguousarray(features, np.float64))
    if x.ndim != 2 or x.shape[0] < 2:
        raise InputError(f"the Frechet distance needs features of two pictures or more, not {list(x.shape)}")
    mean = x.mean(0)
    x = x - mean
    return mean, x.T @ x / (x.shape[0] - 1)


class _Product:
    """The eigenvalues of a^(1/2) b a^(1/2), for covariances a and b.

    This form is symmetric, so eigh does, which is exact where a general matrix root is not (singular
    covariances) and some five times faster at 2048.
    """

    def __init__(self, a: torch.Tensor, b: torch.Tensor) -> None:
        values, self._own = torch.linalg.eigh(a)
        self.eigenvalues_of_a = values.clamp_min(0)
        self._roots = self.eigenvalues_of_a.sqrt()
        root = (self._own * self._roots) @ self._own.T
        product = root @ b @ root
        eigenvalues, self._vectors = torch.linalg.eigh((product + product.T) / 2)
        self._eigenvalues = eigenvalues.clamp_min(0)

    def trace_of_root(self) -> torch.Tensor:
        """tr((a b)^(1/2)): the sum of roots of the symmetric matrix' eigenvalues."""
        trace: torch.Tensor = self._eigenvalues.sqrt().sum()
        return trace

    def maps(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The symmetric matrices that turn covariance a into b, and b into a."""
        root = (self._own * self._roots) @ self._own.T
        inverse = (self._own * _reciprocal(self._roots)) @ self._own.T
        there = inverse @ (self._vectors * self._eigenvalues.sqrt()) @ self._vectors.T @ inverse
        back = root @ (self._vectors * _reciprocal(self._eigenvalues.sqrt())) @ self._vectors.T @ root
        return there, back


def _reciprocal(values: torch.Tensor) -> torch.Tensor:
    """1 / values, 0 where they are nothing beside the largest."""
    return torch.where(values > 1e-7 * values.max(), 1 / values, 0.0)


def _variance(
    features: np.ndarray, mean: torch.Tensor, shift: torch.Tensor, transport: torch.Tensor
) -> float:
    """The variance that one side's rows bring: that of their influences over their number."""
    x = torch.from_numpy(np.ascontiguousarray(features, np.float64)) - mean
    influence = 2 * x @ shift + x.square().sum(1) - ((x @ transport) * x).sum(1)
    return float(influence.var()) / len(x)


def _surplus(a: torch.Tensor, b: torch.Tensor, eigenvalues: torch.Tensor, num_a: int, num_b: int) -> float:
    """What influences overstate the variance by, since the optimal map is itself estimated.

    Near equality the distance is a square of noise: its variance is twice in that of the influences. Here it
    is once, for Gaussian features: of the means' noise and of the covariances', whose square weighs
    1 / (2 (l_i + l_j)) on the eigenvalues' axes. Less of it where there are hardly more rows than columns,
    since that expansion fails there.
    """
    noise = 1 / num_a + 1 / num_b
    both = eigenvalues[:, None] * eigenvalues / (eigenvalues[:, None] + eigenvalues).clamp_min(1e-300)
    of_covariances = noise**2 * (both.square().sum() + eigenvalues.square().sum() / 4)
    of_means = 2 * (a / num_a + b / num_b).square().sum()
    return float(of_means + of_covariances) * (1 - len(a) / min(num_a, num_b))
