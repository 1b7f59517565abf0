"""The latents that seeds stand for, and pictures of those."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from mien.core.image import to_uint8
from mien.core.types import Generator

_BATCH = 64  # pictures drawn at once


def batch_for(resolution: int) -> int:
    """How many pictures to draw at once: 64 up to 128 px, fewer of larger ones, which take more memory."""
    return max(1, min(_BATCH, _BATCH * 128**2 // resolution**2))


def latents(seeds: list[int], z_dim: int) -> Tensor:
    """The standard normal latent of each seed, float32 [len(seeds), z_dim], as NVlabs' tools draw it."""
    draws = [np.random.RandomState(seed).randn(1, z_dim) for seed in seeds]
    return torch.from_numpy(np.concatenate(draws).astype(np.float32))


def device_of(network: object) -> torch.device:
    """Where a network's weights are; the CPU for one without any."""
    weights = network.parameters() if isinstance(network, nn.Module) else iter(())
    first = next(weights, None)
    return torch.device("cpu") if first is None else first.device


def on_its_device(network: object, call: Callable[..., Tensor], x: Tensor, *others: Tensor | None) -> Tensor:
    """call(x, *others), a part of a network, computed where the network is; the result is where x is.

    So latents stay where they are, mostly on the CPU, whatever device a network is on. Differentiable.
    """
    place = device_of(network)
    given = [None if one is None else one.to(place) for one in others]
    return call(x.to(place), *given).to(x.device)


@torch.no_grad()
def draw(
    generator: Generator,
    z: Tensor,
    labels: Tensor | None = None,
    *,
    psi: float = 1.0,
    batch_size: int | None = None,
) -> Tensor:
    """Pictures of the latents z [N, z_dim] (and labels [N, label_dim]): uint8 [N, C, H, W] on the CPU.

    psi: truncation, usually in [0, 1]. The generator should be in eval mode; it is asked in pieces of
    `batch_size`, by default as large as `batch_for` says.
    """
    pieces = []
    batch_size = batch_size or batch_for(generator.spec.resolution)
    for start in range(0, len(z), batch_size):
        piece = slice(start, start + batch_size)
        rows = None if labels is None else labels[piece]
        images = on_its_device(generator, partial(generator, psi=psi), z[piece], rows)
        pieces.append(to_uint8(images).cpu())
    return torch.cat(pieces)
