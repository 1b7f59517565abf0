"""Generators with an intermediate latent w: one style for each layer, which can be mixed and walked in."""

from functools import partial
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mien.core.errors import InputError
from mien.core.image import to_uint8
from mien.core.sampling import on_its_device
from mien.core.types import Spec

_BATCH = 64
_SAMPLES = 10_000
_SEED = 123  # of the field's samples of w


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


def tied_rows(generator: Styled) -> tuple[tuple[int, ...], ...]:
    """Groups of layers that share one vector in space "w": all of them, unless the generator says otherwise.

    In W+ every layer has its own. A generator says otherwise by an attribute `tied_rows`.
    """
    given: tuple[tuple[int, ...], ...] | None = getattr(generator, "tied_rows", None)
    return (tuple(range(generator.num_ws)),) if given is None else given


def constrained(generator: Styled, ws: Tensor) -> Tensor:
    """ws [N, num_ws, w_dim] brought to where the mapping can lead; differentiable.

    Most generators take any ws; one with a method `constrain` (lite, whose first row lies on a sphere) says.
    """
    constrain = getattr(generator, "constrain", None)
    return ws if constrain is None else on_its_device(generator, constrain, ws)


def has_leading_row(generator: Styled) -> bool:
    """Whether the first row of ws is the latent itself, from which the others follow; see `led`."""
    return hasattr(generator, "lead")


def led(generator: Styled, ws: Tensor) -> Tensor:
    """ws [N, num_ws, w_dim] as they follow from the first row of `ws`, of a generator that has such a row."""
    return on_its_device(generator, cast(Any, generator).lead, ws)


def styled(network: object, *, family: str, what: str) -> Styled:
    """`network` if it has styles, otherwise an InputError saying that `what` needs a family with them."""
    if isinstance(network, Styled):
        return network
    raise InputError(
        f"{what}: a {family} model has z alone, no w; this needs one with styles (lite since 0.2, stylegan2)"
    )


def unled(generator: Styled, ws: Tensor) -> Tensor:
    """ws [N, num_ws, w_dim] as coordinates: rows that follow a leading row count from where it leads them.

    Those of a sample are then 0, and latent and w move together. Other generators' ws stay as they are.
    """
    if not has_leading_row(generator):
        return ws
    return torch.cat([ws[:, :1], (ws - led(generator, ws))[:, 1:]], dim=1)


def from_unled(generator: Styled, coordinates: Tensor) -> Tensor:
    """The ws that `unled` gives such coordinates, brought to where the mapping can lead; differentiable."""
    ws = constrained(generator, coordinates)
    if not has_leading_row(generator):
        return ws
    return torch.cat([ws[:, :1], (led(generator, ws) + coordinates)[:, 1:]], dim=1)


@torch.no_grad()
def styles(generator: Styled, z: Tensor, labels: Tensor | None, *, psi: float = 1.0) -> Tensor:
    """The styles [N, num_ws, w_dim] of latents z [N, z_dim] (and labels [N, label_dim])."""
    pieces = []
    for start in range(0, len(z), _BATCH):
        piece = slice(start, start + _BATCH)
        rows = None if labels is None else labels[piece]
        pieces.append(on_its_device(generator, partial(generator.mapping, psi=psi), z[piece], rows))
    return torch.cat(pieces)


def sample_styles(generator: Styled, labels: Tensor | None, count: int = _SAMPLES) -> Tensor:
    """ws [count, num_ws, w_dim] of the field's samples: normal latents of RandomState(123).

    labels: float32 [N, label_dim] of a conditional generator, taken in turn.
    """
    z = torch.from_numpy(sample_latents(generator.z_dim, count))
    rows = None if labels is None else labels[torch.arange(count) % len(labels)]
    return styles(generator, z, rows)


def sample_latents(z_dim: int, count: int = _SAMPLES) -> np.ndarray:
    """float32 [count, z_dim] of RandomState(123)."""
    return np.random.RandomState(_SEED).randn(count, z_dim).astype(np.float32)


def mean_latent(generator: Styled, labels: Tensor | None) -> Tensor:
    """ws [1, num_ws, w_dim]: the mean face, about where truncation by 0 leads.

    Rows that follow w are the mean of 10,000 samples, not the file's running mean, which some files lack; a
    row that is a latent of its own (lite's first) is where truncation by 0 puts it.
    """
    z = torch.from_numpy(sample_latents(generator.z_dim, 1))
    ws = styles(generator, z, None if labels is None else labels[:1], psi=0.0)
    mean = sample_styles(generator, labels).mean(dim=0, keepdim=True)
    rows = tied_rows(generator)[-1]  # those that follow w
    ws[:, list(rows)] = mean[:, list(rows)]
    return ws


def row_deviation(samples: Tensor) -> Tensor:
    """Of ws [N, rows, w_dim] each row's deviation, one number spread over those that vary; [rows, w_dim]."""
    deviation = samples.std(dim=0)
    moving = deviation > 1e-6  # rows may be padded with zeros
    spread = (deviation.square().sum(dim=1) / moving.sum(dim=1).clamp(min=1)).sqrt()
    return spread[:, None] * moving


@torch.no_grad()
def draw_styles(generator: Styled, ws: Tensor) -> Tensor:
    """The pictures of ws [N, num_ws, w_dim]: uint8 [N, C, H, W] on the CPU, always the same.

    A network that is still growing draws smaller ones; they are brought to size as its own `forward` does.
    """
    pieces = torch.split(ws, _BATCH)
    return torch.cat([to_uint8(synthesised(generator, piece)).cpu() for piece in pieces])


def synthesised(generator: Styled, ws: Tensor) -> Tensor:
    """The images float [N, C, H, W] of ws [N, num_ws, w_dim], always the same; differentiable."""
    return to_size(generator, on_its_device(generator, partial(generator.synthesis, noise="const"), ws))


def to_size(generator: Styled, images: Tensor) -> Tensor:
    """The images float [N, C, H, W] of a network's synthesis at its full resolution."""
    side = generator.spec.resolution
    return images if images.shape[-1] == side else F.interpolate(images, size=(side, side), mode="nearest")
