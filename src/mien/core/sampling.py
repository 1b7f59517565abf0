"""Seeds as users write them ("0,1,4-6"), the latents they stand for, and pictures drawn from them."""

import re

import numpy as np
import torch
from torch import Tensor

from mien.core.errors import InputError
from mien.core.image import to_uint8
from mien.core.types import Generator

_PART = re.compile(r"^(\d+)(?:-(\d+))?$")
_MOST = 1_000_000


def parse_seeds(text: str) -> list[int]:
    """Read "0,1,4-6" as [0, 1, 4, 5, 6]. Raises InputError naming the part that is wrong."""
    seeds: list[int] = []
    for part in text.replace(" ", "").split(","):
        match = _PART.match(part)
        if match is None:
            raise InputError(f"seeds {text!r}: {part!r} is neither a number nor a range like 4-6")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last >= 2**32:
            raise InputError(f"seeds {text!r}: the range {part!r} must rise and stay below 2**32")
        if len(seeds) + last - first >= _MOST:
            raise InputError(f"seeds {text!r}: more than {_MOST:,} seeds at once")
        seeds.extend(range(first, last + 1))
    return seeds


def latents(seeds: list[int], z_dim: int) -> Tensor:
    """The standard normal latent of each seed, float32 [len(seeds), z_dim], as NVlabs' tools draw it."""
    draws = [np.random.RandomState(seed).randn(1, z_dim) for seed in seeds]
    return torch.from_numpy(np.concatenate(draws).astype(np.float32))


@torch.no_grad()
def draw(
    generator: Generator, z: Tensor, labels: Tensor | None = None, *, psi: float = 1.0, batch_size: int = 64
) -> Tensor:
    """Pictures of the latents z [N, z_dim] (and labels [N, label_dim]): uint8 [N, C, H, W] on the CPU.

    psi: truncation in [0, 1]. The generator should be in eval mode; it is asked in pieces of `batch_size`.
    """
    pieces = []
    for start in range(0, len(z), batch_size):
        piece = slice(start, start + batch_size)
        pieces.append(to_uint8(generator(z[piece], None if labels is None else labels[piece], psi=psi)).cpu())
    return torch.cat(pieces)
