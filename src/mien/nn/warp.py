"""Small disturbances of pictures that a discriminator sees: sheared, moved, turned, zoomed, noisy."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.core.ranks import drawn


class Warp(NamedTuple):
    """How strong, at most. shear: of the height, per unit of width. shift, zoom: shares of a side. turn:
    degrees. noise: standard deviation, in units of [-1, 1]."""

    shear: float
    shift: float
    turn: float
    zoom: float
    noise: float


def warped(images: Tensor, warp: Warp, rng: torch.Generator) -> Tensor:
    """float [N, C, H, W], each disturbed in its own way and mirrored beyond its edges; differentiable."""
    count, device = len(images), images.device

    def draw(most: float) -> Tensor:
        return (drawn(torch.rand, (count,), rng) * 2 - 1) * most

    with torch.autocast(device.type, enabled=False):
        angle, shear = draw(math.radians(warp.turn)), draw(warp.shear)
        wide, high = 1 + draw(warp.zoom), 1 + draw(warp.zoom)
        across, down = draw(2 * warp.shift), draw(2 * warp.shift)
        cos, sin = torch.cos(angle), torch.sin(angle)
        rows = [wide * cos, high * (shear * cos - sin), across, wide * sin, high * (shear * sin + cos), down]
        theta = torch.stack(rows, dim=1).view(count, 2, 3)
        places = F.affine_grid(theta, list(images.shape), align_corners=False)
        moved = F.grid_sample(images.float(), places, padding_mode="reflection", align_corners=False)
        noise = drawn(torch.randn, images.shape, rng) * warp.noise
        return (moved + noise).contiguous(memory_format=torch.channels_last)
