"""Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020)."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from mien.core.errors import InputError
from mien.metrics._intervals import error_by_parts, named, of_noisy_count, of_noisy_share

NEEDS = "features"
ALSO = dict.fromkeys(("precision", "recall", "density", "coverage"), "")
BETTER = {
    "precision": "higher",
    "recall": "higher",
    "density": "higher",
    "coverage": "higher",
    "precision_symmetric": "higher",
    "recall_symmetric": "higher",
}
TITLES = {"precision_symmetric": "precision, symmetric", "recall_symmetric": "recall, symmetric"}

_BLOCK = 1 << 22  # distances at once: 34 MB
DIMS = 32  # principal components that distances are taken in
_MOST_PARTED = 700  # images a side that the intervals are taken from; they shrink with the root of the number


def compute(
    real: np.ndarray,
    fake: np.ndarray,
    *,
    k_precision: int = 3,
    k_density: int = 5,
    dims: int = DIMS,
    seed: int = 0,
) -> dict[str, float]:
    """Precision and density (fakes within the reals), recall and coverage (reals within the fakes).

    real, fake: [N, D] and [M, D], more rows than either k; brought to `dims` principal components of both
    sides first. A ball reaches from each picture to its k-th nearest neighbour of its own kind. precision,
    recall in [0, 1]: share of pictures inside any ball of the other kind, edges included, k_precision
    neighbours. density >= 0 (about 1 for equal distributions) and coverage in [0, 1]: edges excluded,
    k_density neighbours. precision_symmetric: the smaller one of precision and the share of fakes whose own
    ball holds a real; recall_symmetric alike with the sides swapped (Khayatkhoei and AbdAlmageed 2023): in
    many dimensions a set slightly inside the other would else be all precise. `_low`, `_high`: 95 %
    intervals by parts of both sides, from 24 images a side on.
    """
    if min(len(real), len(fake)) <= max(k_precision, k_density):
        raise InputError(f"precision and recall need more than {max(k_precision, k_density)} pictures a side")
    x, y = projected(real, fake, dims)
    values = _values(x, y, k_precision, k_density)
    if min(len(x), len(y)) // 4 <= max(k_precision, k_density):
        return dict(zip(values._fields, map(float, values), strict=True))
    share = min(1.0, _MOST_PARTED / max(len(x), len(y)))
    rng = np.random.RandomState(seed)
    least = 4 * max(k_precision, k_density) + 4
    few = [part[rng.permutation(len(part))[: max(int(len(part) * share), least)]] for part in (x, y)]
    errors = error_by_parts(
        len(few[0]),
        len(few[1]),
        lambda a, b: np.array(_values(few[0][a], few[1][b], k_precision, k_density)),
        seed,
    ) * np.sqrt(share)
    counts = {"precision": len(y), "recall": len(x), "coverage": len(x)}
    result: dict[str, float] = {}
    for name, value, error in zip(values._fields, values, errors, strict=True):
        count = counts.get(name.removesuffix("_symmetric"))
        if count is None:  # the density: fakes in balls, over their usual number
            interval = of_noisy_count(value, error, 1 / len(y))
        else:
            interval = of_noisy_share(value, count, error)
        result |= named(name, value, interval)
    return result


def advice(num_real: int, num_fake: int, dims: int) -> str | None:
    """A warning in words when there are too few pictures for a shape to show, else None."""
    fewest = min(num_real, num_fake)
    return None if fewest >= 200 else f"{fewest} pictures hardly show a shape: use 200 or more"


def projected(real: np.ndarray, fake: np.ndarray, dims: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Both in their principal components, float64; each side weighs as much, however many rows it has.

    Where there are no more columns than `dims` they are only shifted, which changes no distance.
    """
    x, y = (torch.from_numpy(np.ascontiguousarray(part, np.float64)) for part in (real, fake))
    middle = (x.mean(0) + y.mean(0)) / 2  # distances do not change, and cancellation in them shrinks
    x, y = x - middle, y - middle
    if x.shape[1] <= dims:
        return x, y
    covariance = x.T @ x / len(x) + y.T @ y / len(y)
    directions = torch.linalg.eigh(covariance).eigenvectors[:, -dims:]
    return x @ directions, y @ directions


class _Values(NamedTuple):
    precision: float
    recall: float
    density: float
    coverage: float
    precision_symmetric: float
    recall_symmetric: float


def _values(x: torch.Tensor, y: torch.Tensor, k_precision: int, k_density: int) -> _Values:
    wide_x, inside_x = _radii(x, k_precision, k_density)
    (wide_y,) = _radii(y, k_precision)
    fakes: list[torch.Tensor] = []  # is each in a ball of a real, does its own ball hold one
    reals: list[torch.Tensor] = []  # likewise, and is any fake well inside
    count = 0
    for rows, between in _blocks(x, y):
        in_reals, in_fakes = between <= wide_x[rows, None], between <= wide_y
        inside = between < inside_x[rows, None]
        count += int(inside.sum())
        fakes.append(torch.stack([in_reals.any(0), in_fakes.any(0)]))
        reals.append(torch.stack([in_fakes.any(1), in_reals.any(1), inside.any(1)]))
    precision, holds_real = map(_mean, torch.stack(fakes).any(0))
    recall, holds_fake, coverage = map(_mean, torch.cat(reals, 1))
    density = count / (k_density * len(y))
    return _Values(precision, recall, density, coverage, min(precision, holds_real), min(recall, holds_fake))


def _mean(flags: torch.Tensor) -> float:
    return float(flags.double().mean())


def _blocks(x: torch.Tensor, y: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """The squared distances of some rows of x from all of y at a time, so that memory is bounded."""
    size = max(1, _BLOCK // len(y))
    for start in range(0, len(x), size):
        rows = slice(start, min(start + size, len(x)))
        yield rows, squared_distances(x[rows], y)


def squared_distances(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """[N, D], [M, D] -> [N, M] by |x|^2 + |y|^2 - 2 x.y; rounding noise becomes zero."""
    squares = x.square().sum(1)[:, None] + y.square().sum(1)[None, :]
    distances = squares - 2 * (x @ y.T)
    return torch.where(distances < 1e-12 * squares, 0.0, distances)


def _radii(x: torch.Tensor, *ks: int) -> list[torch.Tensor]:
    """The squared distance from each row to its k-th nearest other row, for each k."""
    nearest = []
    for rows, distances in _blocks(x, x):
        distances[:, rows].diagonal().fill_(-1)  # a picture comes first among its own, twins after it
        nearest.append(torch.topk(distances, max(ks) + 1, largest=False).values)
    return [torch.cat(nearest)[:, k] for k in ks]
