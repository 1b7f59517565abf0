"""Random jitter of both pictures of a pair alike (Isola et al. 2017, 6.2: 256 px to 286, cut back to 256)."""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.core.ranks import drawn


def jittered(sides: Sequence[Tensor], share: float, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Enlarge pictures by `share` of a side and cut them back at random places, the same on every side.

    sides: float [N, C, H, H] in [-1, 1] each, which stay as they are; returns new ones of the same shapes.
    """
    side = sides[0].shape[-1]
    large = round(side * (1 + share))
    if large == side:
        return tuple(sides)
    count, device = len(sides[0]), sides[0].device
    at = drawn(partial(torch.randint, large - side + 1), (count, 2), rng).tolist()
    with torch.autocast(device.type, enabled=False):
        both = F.interpolate(torch.cat(tuple(sides), dim=1).float(), (large, large), mode="bicubic")
        cut = torch.stack([p[:, y : y + side, x : x + side] for p, (y, x) in zip(both, at, strict=True)])
        parts = torch.split(cut.clamp(-1, 1), [pictures.shape[1] for pictures in sides], dim=1)
    return tuple(part.contiguous(memory_format=torch.channels_last) for part in parts)
