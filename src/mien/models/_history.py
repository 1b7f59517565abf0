"""Refined pictures of earlier steps, shown to the discriminator again so that it does not forget them."""

import torch
from torch import Tensor

from mien.core.image import to_float, to_uint8


class History:
    """Up to `size` pictures (Shrivastava et al. 2017, section 2.3). Kept in 8 bits, as reals are."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pictures: Tensor | None = None  # uint8 [count, C, H, W]

    def __len__(self) -> int:
        return 0 if self.pictures is None else len(self.pictures)

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """`count` different pictures, float32 in [-1, 1]; there must be as many."""
        assert self.pictures is not None
        where = torch.randperm(len(self), generator=rng, device=rng.device)[:count]
        return to_float(self.pictures[where])

    def keep(self, pictures: Tensor, rng: torch.Generator) -> None:
        """Take in float pictures [N, C, H, W]: until it is full beside the others, then in place of some."""
        new = to_uint8(pictures)
        room = self.size - len(self)
        self.pictures = new[:room] if self.pictures is None else torch.cat([self.pictures, new[:room]])
        if rest := len(new[room:]):
            where = torch.randperm(self.size, generator=rng, device=rng.device)[:rest]
            self.pictures[where] = new[room : room + len(where)]

    def state_dict(self) -> dict[str, Tensor]:
        """What a stop must preserve."""
        return {} if self.pictures is None else {"pictures": self.pictures}

    def load_state_dict(self, state: dict[str, Tensor], device: torch.device) -> None:
        """Take back what `state_dict` gave."""
        self.pictures = state["pictures"].to(device) if state else None
