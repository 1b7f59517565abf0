"""A generator whose attributes are known: brightness of its quarters follows planted directions of w."""

import numpy as np
import torch
from torch import Tensor, nn

from mien.core.checkpoint import NetworkHeader
from mien.core.network import LoadedNetwork
from mien.core.types import Spec
from mien.generation.drawing import Drawing

DIM, LAYERS, SIDE = 12, 4, 8
ATTRIBUTES = ("left", "right", "below")


def axes() -> Tensor:
    """Unit directions [3, DIM] of the three attributes; left and right share half of their way."""
    axis = torch.eye(DIM)
    return torch.stack([axis[0], 0.6 * axis[0] + 0.8 * axis[1], axis[2]])


class Planted(nn.Module):
    """w is z itself, the same for all layers; attributes answer to the layers in `shares` [3, LAYERS]."""

    z_dim, num_ws, spec = DIM, LAYERS, Spec(SIDE)

    def __init__(self, shares: Tensor, *, one_axis: bool = False) -> None:
        """one_axis: left and right answer to the same direction, so that only layers tell them apart."""
        super().__init__()
        self.shares, self.axes = shares, axes()
        if one_axis:
            self.axes[1] = self.axes[0]

    def mapping(self, z: Tensor, labels: Tensor | None, *, psi: float = 1.0) -> Tensor:
        return (z * psi)[:, None].expand(-1, LAYERS, -1).contiguous()

    def synthesis(self, ws: Tensor, *, noise: str = "const") -> Tensor:
        amounts = torch.einsum("nld,ad,al->na", ws, self.axes, self.shares) * 0.2
        images = torch.zeros(len(ws), 3, SIDE, SIDE)
        half = SIDE // 2
        images[:, :, :half, :half] = amounts[:, 0, None, None, None]
        images[:, :, :half, half:] = amounts[:, 1, None, None, None]
        images[:, :, half:] = amounts[:, 2, None, None, None]
        return images.clamp(-1, 1)

    def forward(self, z: Tensor, labels: Tensor | None = None, *, psi: float = 1.0) -> Tensor:
        return self.synthesis(self.mapping(z, labels, psi=psi))


class Flat(nn.Module):
    """The same pictures from z, with no w."""

    z_dim, spec = DIM, Spec(SIDE)

    def forward(self, z: Tensor, labels: Tensor | None = None, *, psi: float = 1.0) -> Tensor:
        inner = Planted(even())
        return inner.synthesis(inner.mapping(z, None))


def even() -> Tensor:
    """All attributes answer to all layers alike."""
    return torch.full((len(ATTRIBUTES), LAYERS), 1 / LAYERS)


def drawing(network: nn.Module, model: str = "planted-0") -> Drawing:
    header = NetworkHeader(family="lite", config={}, spec=network.spec, nimg=0, tool="test")
    return Drawing(LoadedNetwork(network, header, None, model), 1.0, ())  # type: ignore[arg-type]


class Brightness:
    """Reads the brightness of the quarters; names: in the order of the columns. sign: -1 reads darkness."""

    def __init__(self, names: tuple[str, ...] = ATTRIBUTES, sign: float = 1.0) -> None:
        self.names, self._sign = names, sign

    def read(self, images: Tensor) -> np.ndarray:
        x, half = images.double().mean(1), SIDE // 2
        parts = {
            "left": x[:, :half, :half].mean((1, 2)),
            "right": x[:, :half, half:].mean((1, 2)),
            "below": x[:, half:].mean((1, 2)),
        }
        return self._sign * torch.stack([parts[name] for name in self.names], 1).numpy()
