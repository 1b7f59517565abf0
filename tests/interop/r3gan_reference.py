"""R3GAN's published classes as far as their names and equations go, written anew for the tests.

Huang et al. 2024, arXiv:2501.05441, section 4. They pickle as plain classes.
"""

import collections
import pickle
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interop.official import EasyDict, official_modules

KERNEL = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


class Convolution(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, groups: int = 1) -> None:
        super().__init__()
        self.Layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.Layer(x)


class BiasedActivationReference(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.Bias = nn.Parameter(torch.randn(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = x + self.Bias[:, None, None]
        return torch.maximum(y, 0.2 * y)


class ResidualBlock(nn.Module):
    def __init__(self, channels: int, cardinality: int) -> None:
        super().__init__()
        self.LinearLayer1 = Convolution(channels, 2 * channels, 1)
        self.LinearLayer2 = Convolution(2 * channels, 2 * channels, 3, cardinality)
        self.LinearLayer3 = Convolution(2 * channels, channels, 1)
        self.NonLinearity1 = BiasedActivationReference(2 * channels)
        self.NonLinearity2 = BiasedActivationReference(2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.NonLinearity1(self.LinearLayer1(x))
        return x + self.LinearLayer3(self.NonLinearity2(self.LinearLayer2(y)))


class InterpolativeResampler(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("Kernel", KERNEL.clone())


class ResampleLayer(nn.Module):
    def __init__(self, inputs: int, outputs: int, *, up: bool) -> None:
        super().__init__()
        self.up = up
        self.Resampler = InterpolativeResampler()
        if inputs != outputs:
            self.LinearLayer = Convolution(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        project = getattr(self, "LinearLayer", nn.Identity())
        kernel = self.Resampler.Kernel.to(x.dtype)[None, None]
        x = project(x) if self.up else x
        flat = x.reshape(-1, 1, *x.shape[2:])
        y = (
            F.conv_transpose2d(flat, 4 * kernel, stride=2, padding=1)
            if self.up
            else F.conv2d(flat, kernel, stride=2, padding=1)
        )
        y = y.reshape(*x.shape[:2], *y.shape[2:])
        return y if self.up else project(y)


class GenerativeBasis(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.Basis = nn.Parameter(torch.randn(outputs, 4, 4))
        self.LinearLayer = nn.Linear(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.Basis * self.LinearLayer(x)[:, :, None, None]


class DiscriminativeBasis(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.Basis = nn.Conv2d(inputs, inputs, 4, groups=inputs, bias=False)
        self.LinearLayer = nn.Linear(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.LinearLayer(self.Basis(x).flatten(1))


class Stage(nn.Module):
    def __init__(self, layers: list[nn.Module], data_type: torch.dtype) -> None:
        super().__init__()
        self.Layers = nn.ModuleList(layers)
        self.DataType = data_type  # bfloat16 in the finest stages of the official files

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.Layers:
            x = layer(x)
        return x


class InnerGenerator(nn.Module):
    def __init__(self, z_dim: int, widths: list[int], blocks: int, labels: int) -> None:
        super().__init__()
        stages = []
        before = 2 * z_dim if labels else z_dim
        for index, width in enumerate(widths):
            first = ResampleLayer(before, width, up=True) if index else GenerativeBasis(before, width)
            kind = torch.bfloat16 if index else torch.float32
            stages.append(Stage([first, *(ResidualBlock(width, width // 4) for _ in range(blocks))], kind))
            before = width
        self.MainLayers = nn.ModuleList(stages)
        self.AggregationLayer = Convolution(before, 3, 1)
        if labels:
            self.EmbeddingLayer = nn.Linear(labels, z_dim, bias=False)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        if y is not None:
            x = torch.cat([x, self.EmbeddingLayer(y)], dim=1)
        for stage in self.MainLayers:
            x = stage(x)
        return self.AggregationLayer(x)


class InnerDiscriminator(nn.Module):
    def __init__(self, widths: list[int], blocks: int) -> None:
        super().__init__()
        self.ExtractionLayer = Convolution(3, widths[0], 1)
        stages = []
        for index, width in enumerate(widths):
            after = [*widths, 0][index + 1]
            last = ResampleLayer(width, after, up=False) if after else DiscriminativeBasis(width, 1)
            blocks_here = [ResidualBlock(width, width // 4) for _ in range(blocks)]
            stages.append(Stage([*blocks_here, last], torch.float32))
        self.MainLayers = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> Tensor:
        x = self.ExtractionLayer(x)
        for stage in self.MainLayers:
            x = stage(x)
        return x.flatten()


class Generator(nn.Module):
    def __init__(self, z_dim: int, widths: list[int], blocks: int, labels: int) -> None:
        super().__init__()
        self.Model = InnerGenerator(z_dim, widths, blocks, labels)
        self.z_dim, self.c_dim, self.img_resolution = z_dim, labels, 4 * 2 ** (len(widths) - 1)


class Discriminator(nn.Module):
    def __init__(self, widths: list[int], blocks: int) -> None:
        super().__init__()
        self.Model = InnerDiscriminator(widths, blocks)


def pickled(**networks: Any) -> bytes:
    """A checkpoint as R3GAN's training writes it, with optimiser states."""
    outer = {"Generator": Generator, "Discriminator": Discriminator}
    inner: dict[str, dict[str, type]] = collections.defaultdict(dict)
    homes = {
        "Networks": (Convolution, ResidualBlock, ResampleLayer, GenerativeBasis, DiscriminativeBasis, Stage),
        "Resamplers": (InterpolativeResampler,),
        "FusedOperators": (BiasedActivationReference,),
    }
    for home, found in {**homes, "Inner": (InnerGenerator, InnerDiscriminator)}.items():
        for kind in found:
            kind.__module__ = f"R3GAN.{home}"
            inner[f"R3GAN__{home}"][kind.__name__] = kind
    for kind in outer.values():
        kind.__module__ = "training.networks"
    parameters = [parameter for network in networks.values() for parameter in network.parameters()]
    optimizer = torch.optim.Adam(parameters[:1], lr=1e-3, betas=(0.0, 0.99))
    parameters[0].square().sum().backward()
    optimizer.step()
    parameters[0].grad = None
    state = optimizer.state_dict()
    rest = {"training_set_kwargs": EasyDict(path="x.zip"), "cur_nimg": 12345, "G_opt_state": state}
    with official_modules(training__networks=outer, **inner):
        return pickle.dumps({**networks, **rest, "D_opt_state": state}, protocol=4)
