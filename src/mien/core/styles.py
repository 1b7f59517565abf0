"""Generators with an intermediate latent w: one style for each layer, which can be mixed and walked in."""

from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.core.errors import InputError
from mien.core.image import to_uint8
from mien.core.types import Spec

_BATCH = 64


@runtime_checkable
class Styled(Protocol):
    """A generator that draws in two steps: latents to styles, styles to pictures.

    num_ws: how many styles a picture takes, coarse to fine.
    """

    z_dim: int
    spec: Spec
    num_ws: int

    def mapping(self, z: Tensor, labels: Tensor | None, *, psi: float = 1.0) -> Tensor:
        """z: [N, z_dim], labels: [N, label_dim] -> ws [N, num_ws, w_dim], truncated by psi."""

    def synthesis(self, ws: Tensor, *, noise: str = "const") -> Tensor:
        """ws: [N, num_ws, w_dim] -> float [N, C, H, W]; with "const" noise the same each time."""


def styled(network: object, *, family: str, what: str) -> Styled:
    """`network` if it has styles, otherwise an InputError saying that `what` needs a family with them."""
    if isinstance(network, Styled):
        return network
    raise InputError(
        f"{what}: a {family} model has z alone, no w; this needs one with styles (lite since 0.2, stylegan2)"
    )


@torch.no_grad()
def styles(generator: Styled, z: Tensor, labels: Tensor | None, *, psi: float = 1.0) -> Tensor:
    """The styles [N, num_ws, w_dim] of latents z [N, z_dim] (and labels [N, label_dim])."""
    pieces = []
    for start in range(0, len(z), _BATCH):
        piece = slice(start, start + _BATCH)
        pieces.append(generator.mapping(z[piece], None if labels is None else labels[piece], psi=psi))
    return torch.cat(pieces)


@torch.no_grad()
def draw_styles(generator: Styled, ws: Tensor) -> Tensor:
    """The pictures of ws [N, num_ws, w_dim]: uint8 [N, C, H, W] on the CPU, always the same.

    A network that is still growing draws smaller ones; they are brought to size as its own `forward` does.
    """
    side = generator.spec.resolution
    pieces = []
    for start in range(0, len(ws), _BATCH):
        images = generator.synthesis(ws[start : start + _BATCH], noise="const")
        if images.shape[-1] != side:
            images = F.interpolate(images, size=(side, side), mode="nearest")
        pieces.append(to_uint8(images).cpu())
    return torch.cat(pieces)
