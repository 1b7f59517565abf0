"""DiffAugment's policies (Zhao et al. 2020, arXiv:2006.10738), applied to every image at every step."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.training.augment_draws import Draws

SIMPLE = ("simple-colour", "simple-translation", "simple-cutout")
_SHIFT, _HOLE = 1 / 8, 1 / 2  # shares of the picture's side


def simple(x: Tensor, policies: Sequence[str], rng: torch.Generator) -> Tensor:
    """Apply the named policies to x [N, C, H, W] in order."""
    steps = {"simple-colour": _colour, "simple-translation": _translation, "simple-cutout": _cutout}
    for name in policies:
        x = steps[name](x, rng)
    return x


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _colour(x: Tensor, rng: torch.Generator) -> Tensor:
    """Brightness +-0.5, saturation 0..2, contrast 0.5..1.5."""
    draws = Draws(len(x), 1.0, rng, x.device)
    x = x + _each(draws.uniform(-0.5, 0.5))
    gray = x.mean(dim=1, keepdim=True)
    x = gray + (x - gray) * _each(draws.uniform(0, 2))
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * _each(draws.uniform(0.5, 1.5))


def _translation(x: Tensor, rng: torch.Generator) -> Tensor:
    """A shift by whole pixels up to an eighth of the side, filled with zeros."""
    size = x.shape[-1]
    reach = max(1, round(size * _SHIFT))
    draws = Draws(len(x), 1.0, rng, x.device)
    padded = F.pad(x, (reach, reach, reach, reach))
    rows, columns = (
        draws.integers(2 * reach + 1)[:, None] + torch.arange(size, device=x.device) for _ in range(2)
    )
    which = torch.arange(len(x), device=x.device)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def _cutout(x: Tensor, rng: torch.Generator) -> Tensor:
    """A square hole of half the side."""
    size = x.shape[-1]
    draws = Draws(len(x), 1.0, rng, x.device)
    places = torch.arange(size, device=x.device)[None]
    near = [((places - draws.integers(size)[:, None]).abs() < size * _HOLE / 2) for _ in range(2)]
    return x * ~(near[0][:, None, :, None] & near[1][:, None, None, :])
