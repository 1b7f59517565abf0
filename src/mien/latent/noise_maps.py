"""Noise maps of StyleGAN as part of a projection (Karras et al. 2020, arXiv:1912.04958, appendix D)."""

from collections.abc import Callable, Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from mien.core.styles import Styled

NoiseMaps = Mapping[str, Tensor]  # "noise:" and the buffer's name: float32 [N, 1, H, W]
_PREFIX = "noise:"
_BUFFER = "noise_const"
_COARSEST = 8  # pixels of the pyramid's last level


def draw_noise_maps(generator: Styled, count: int, rng: torch.Generator) -> dict[str, Tensor]:
    """Normal noise for `count` images, a map for each layer that adds noise; {} for other generators."""
    return {
        _PREFIX + name: torch.randn((count, 1, *buffer.shape[-2:]), generator=rng)
        for name, buffer in _buffers(generator).items()
    }


def _buffers(generator: Styled) -> dict[str, Tensor]:
    module = generator.synthesis
    if not isinstance(module, nn.Module):
        return {}
    return {name: buffer for name, buffer in module.named_buffers() if name.endswith(_BUFFER)}


def with_noise(generator: Styled, maps: NoiseMaps) -> Callable[..., Tensor]:
    """The generator's synthesis with these maps in the place of its constant ones; itself unchanged."""
    module = cast(nn.Module, generator.synthesis)
    buffers = {name.removeprefix(_PREFIX): value for name, value in maps.items()}

    def synthesis(ws: Tensor, *, noise: str) -> Tensor:
        return cast(Tensor, functional_call(module, buffers, (ws,), {"noise": noise}))

    return synthesis


def noise_penalty(maps: NoiseMaps) -> Tensor:
    """How far each image's maps are from white noise: float32 [N].

    At every level of a pyramid by averages of 2 x 2 (kept at unit variance), the squared mean product of
    each pixel with its neighbour to the right and below.
    """
    total: Tensor | None = None
    for value in maps.values():
        level = value
        while True:
            for dim in (2, 3):
                alike = (level * level.roll(1, dims=dim)).mean(dim=(1, 2, 3)).square()
                total = alike if total is None else total + alike
            if min(level.shape[2:]) <= _COARSEST:
                break
            level = F.avg_pool2d(level, 2) * 2
    assert total is not None
    return total


@torch.no_grad()
def normalise_noise(maps: NoiseMaps) -> None:
    """Bring each map to mean 0 and variance 1, in place."""
    for value in maps.values():
        value -= value.mean(dim=(1, 2, 3), keepdim=True)
        value *= value.square().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12).rsqrt()
