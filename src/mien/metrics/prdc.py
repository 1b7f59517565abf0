"""Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020)."""

import numpy as np
import torch

from mien.core.errors import InputError

NEEDS = "features"
BETTER = {"precision": "higher", "recall": "higher", "density": "higher", "coverage": "higher"}


def compute(
    real: np.ndarray, fake: np.ndarray, *, k_precision: int = 3, k_density: int = 5
) -> dict[str, float]:
    """Precision and density (fakes within the reals), recall and coverage (reals within the fakes).

    real, fake: [N, D] and [M, D], more rows than either k. A ball reaches from each picture to its k-th
    nearest neighbour of its own kind. precision, recall in [0, 1]: share of pictures inside any ball of the
    other kind, edges included, k_precision neighbours. density >= 0 (about 1 for equal distributions) and
    coverage in [0, 1]: edges excluded, k_density neighbours.
    """
    x, y = (torch.from_numpy(np.ascontiguousarray(part, np.float64)) for part in (real, fake))
    if min(len(x), len(y)) <= max(k_precision, k_density):
        raise InputError(f"precision and recall need more than {max(k_precision, k_density)} pictures a side")
    shift = x.mean(0)  # distances do not change, and cancellation in them shrinks
    x, y = x - shift, y - shift
    between = _squared_distances(x, y)
    radii_x, radii_y = _squared_radii(x, k_precision, k_density), _squared_radii(y, k_precision)
    wide, inside = radii_x[0][:, None], between < radii_x[1][:, None]
    return {
        "precision": _mean((between <= wide).any(0)),
        "recall": _mean((between <= radii_y[0][None, :]).any(1)),
        "density": float(inside.sum()) / (k_density * len(y)),
        "coverage": _mean(inside.any(1)),
    }


def advice(num_real: int, num_fake: int, dims: int) -> str | None:
    """A warning in words when there are too few pictures for a shape to show, else None."""
    fewest = min(num_real, num_fake)
    return None if fewest >= 200 else f"{fewest} pictures hardly show a shape: use 200 or more"


def _mean(flags: torch.Tensor) -> float:
    return float(flags.double().mean())


def _squared_distances(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """[N, D], [M, D] -> [N, M] by |x|^2 + |y|^2 - 2 x.y; rounding noise becomes zero."""
    squares = x.square().sum(1)[:, None] + y.square().sum(1)[None, :]
    distances = squares - 2 * (x @ y.T)
    return torch.where(distances < 1e-12 * squares, 0.0, distances)


def _squared_radii(x: torch.Tensor, *ks: int, rows: int = 4096) -> list[torch.Tensor]:
    """For each k, the squared distance from each row of x to its k-th nearest other row."""
    nearest = []
    for start in range(0, len(x), rows):
        distances = _squared_distances(x[start : start + rows], x)
        own = torch.arange(len(distances))
        distances[own, start + own] = -1.0  # itself comes first, twins after it
        nearest.append(distances.topk(max(ks) + 1, largest=False).values)
    return [torch.cat(nearest)[:, k] for k in ks]
