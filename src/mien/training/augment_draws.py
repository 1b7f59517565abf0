"""Random parameters of augmentations: one value, and one decision, for each image of a batch."""

from functools import partial

import torch
from torch import Tensor

from mien.core.ranks import drawn


class Draws:
    """Random values for `count` images, each of which is transformed with probability `p`."""

    def __init__(self, count: int, p: float, rng: torch.Generator, device: torch.device) -> None:
        self.count, self.p, self.device, self._rng = count, p, device, rng

    def uniform(self, low: float, high: float) -> Tensor:
        """Uniform numbers [count] from low to high."""
        return low + (high - low) * drawn(torch.rand, (self.count,), self._rng)

    def normal(self) -> Tensor:
        """Standard normal numbers [count]."""
        return drawn(torch.randn, (self.count,), self._rng)

    def integers(self, below: int) -> Tensor:
        """Uniform integers [count] from 0 to below - 1."""
        return drawn(partial(torch.randint, below), (self.count,), self._rng)

    def chosen(self, values: Tensor, otherwise: float, *, p: float | None = None) -> Tensor:
        """`values` with probability p for each image, else `otherwise`."""
        take = self.uniform(0, 1) < (self.p if p is None else p)
        return torch.where(take, values, torch.full_like(values, otherwise))

    def together(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Both with probability p for each image, else zeros."""
        take = self.uniform(0, 1) < self.p
        return one * take, other * take
