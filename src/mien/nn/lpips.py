"""Perceptual distances: LPIPS (Zhang et al. 2018), and that of an untrained VGG (after Johnson et al. 2016).

d(a, b) = sum over layers l of the mean over places of  w_l . (f_l(a) - f_l(b))^2, where f_l are activations
divided by their length over channels and w_l >= 0 was fitted to what people found alike (version 0.1).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.core import ranks
from mien.core.artefacts import require
from mien.nn.backbones import VGG16, VGG_WIDTHS, AlexNet, convolutions, filled
from mien.nn.weights import read_tensors

Trunk = Literal["alexnet", "vgg"]
ARTEFACT: dict[str, str] = {"alexnet": "lpips-alexnet", "vgg": "lpips-vgg"}

# The published scaling layer: ImageNet's mean and deviation in the range [-1, 1], as rounded there.
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
_EPSILON = 1e-10
_DEPTH = 9  # of VGG_WIDTHS: up to the third stage
_LOOKED_AT = (3, 8, 15)  # layers: the last ReLU of each of the first three stages


class Lpips(nn.Module):
    """The distance of two batches of pictures, float32 [N, 3, H, W] in [-1, 1], as [N]; 0 for equal ones.

    Differentiable in both; its weights take no gradient. trunk: "alexnet" (sides of 31 px or more) or "vgg"
    (16 or more). AlexNet is for optimising on a CPU, VGG16 for a report.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, trunk: Trunk = "alexnet") -> None:
        super().__init__()
        self.trunk = AlexNet() if trunk == "alexnet" else VGG16()
        self.linear = nn.ParameterList([torch.zeros(width) for width in self.trunk.widths])
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    @classmethod
    def load(
        cls, trunk: Trunk = "alexnet", *, device: str | torch.device = "cpu", path: Path | None = None
    ) -> "Lpips":
        """The distance with its published weights: artefact `lpips-alexnet` or `lpips-vgg`, or file `path`.

        Raises MienError if it is not here, saying how to get it.
        """
        if trunk not in ARTEFACT:
            raise ValueError(f"{trunk!r} is no trunk of LPIPS; choose from: {', '.join(ARTEFACT)}")
        net = cls(trunk)
        net.load_published(read_tensors(path or require(ARTEFACT[trunk])))
        return net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def load_published(self, tensors: Mapping[str, Tensor]) -> None:
        """Take weights by the names of the artefacts' files."""
        trunk = {name: part for name, part in tensors.items() if name.startswith("convolutions.")}
        self.trunk.load_state_dict(trunk)
        for index, weights in enumerate(self.linear):
            weights.data.copy_(tensors[f"linear.{index}"])

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        if a.shape != b.shape:
            raise ValueError(f"pictures of {list(a.shape)} and {list(b.shape)} cannot be compared")
        total = torch.zeros(len(a), device=a.device)
        for one, other, weights in zip(self.directions(a), self.directions(b), self.linear, strict=True):
            far = (one - other).square() * weights.view(1, -1, 1, 1)
            total = total + far.sum(1).mean((1, 2))
        return total

    def embed(self, images: Tensor) -> Tensor:
        """Vectors [N, D] whose squared Euclidean distance is LPIPS: for many pairs of few pictures.

        D grows with the picture: 31,872 at 64 px through AlexNet.
        """
        parts = []
        for one, weights in zip(self.directions(images), self.linear, strict=True):
            places = one.shape[2] * one.shape[3]
            parts.append((one * (weights / places).sqrt().view(1, -1, 1, 1)).flatten(1))
        return torch.cat(parts, 1)

    def directions(self, images: Tensor) -> list[Tensor]:
        """The trunk's five activations, each divided by its length over channels."""
        if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < self.trunk.least_side:
            need = f"[N, 3, H, W] with sides of {self.trunk.least_side} px or more"
            raise ValueError(f"LPIPS takes {need}, not {list(images.shape)}")
        maps = self.trunk((images - self.shift) / self.scale)
        # vector_norm's gradient at 0 is 0: where nothing is active, nothing pulls.
        return [x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + _EPSILON) for x in maps]


class Perceptual:
    """Mean absolute difference of activations, each layer's over its own mean magnitude.

    It learns nothing and has no state: its weights are the same everywhere.
    """

    def __init__(self) -> None:
        self._net: nn.Module = filled(convolutions(VGG_WIDTHS[:_DEPTH]))

    def __call__(self, pictures: Tensor, targets: Tensor) -> Tensor:
        """float [N, 1 or 3, H, W] in [-1, 1] each -> a scalar with a gradient for `pictures`."""
        self._net = self._net.to(pictures.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        with torch.no_grad():
            of_targets = self._activations(targets)
        terms = []
        for one, other in zip(self._activations(pictures), of_targets, strict=True):
            magnitude = ranks.mean(other.abs().mean(dim=(1, 2, 3)))
            terms.append(F.l1_loss(one, other) / (magnitude + 1e-6))
        return torch.stack(terms).mean()

    def _activations(self, images: Tensor) -> list[Tensor]:
        x = images.expand(-1, 3, -1, -1)
        activations = []
        for index, layer in enumerate(self._net.children()):
            x = layer(x)
            if index in _LOOKED_AT:
                activations.append(x.float())
        return activations
