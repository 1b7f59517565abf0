"""AlexNet and VGG16: the convolutions under LPIPS and under feature networks, and VGG16 with random weights.

Krizhevsky 2014 (arXiv:1404.5997, the variant of one column); Simonyan and Zisserman 2014 (arXiv:1409.1556).
"""

import itertools

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

VGG_WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)  # 0: a pool


def convolutions(widths: tuple[int, ...] = VGG_WIDTHS) -> list[nn.Module]:
    """3x3 convolutions with ReLU, and 2x2 maximum pools; on the meta device, without weights."""
    layers: list[nn.Module] = []
    channels = 3
    with torch.device("meta"):
        for width in widths:
            if width == 0:
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
    return layers


def filled(layers: list[nn.Module], *, seed: int = 0) -> nn.Sequential:
    """The layers with He's uniform weights (He et al. 2015) and zero biases, for looking only.

    Uniform numbers of numpy's frozen stream are exact on every machine: the weights are the same everywhere.
    """
    net = nn.Sequential(*layers).to_empty(device="cpu").eval().requires_grad_(False)
    rng = np.random.RandomState(seed)
    for parameter in net.parameters():
        if parameter.ndim == 1:
            parameter.data.zero_()
            continue
        bound = (6 / parameter[0].numel()) ** 0.5
        draws = rng.random_sample(parameter.numel()) * (2 * bound) - bound
        parameter.data.copy_(torch.from_numpy(draws.astype(np.float32)).view_as(parameter))
    return net


class AlexNet(nn.Module):
    """Float [N, 3, H, W] to the activations after each of the five convolutions, a list of [N, C, h, w].

    Strides from the input: 4, 8, 16, 16, 16. A side under `least_side` leaves nothing for the second pool.
    """

    widths = (64, 192, 384, 256, 256)
    least_side = 31

    def __init__(self) -> None:
        super().__init__()
        first = [nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.Conv2d(64, 192, 5, padding=2)]
        others = [nn.Conv2d(*widths, 3, padding=1) for widths in itertools.pairwise(self.widths[1:])]
        self.convolutions = nn.ModuleList([*first, *others])

    def forward(self, x: Tensor) -> list[Tensor]:
        maps: list[Tensor] = []
        for index, convolution in enumerate(self.convolutions):
            if index in (1, 2):
                x = functional.max_pool2d(x, 3, 2)
            x = functional.relu(convolution(x))
            maps.append(x)
        return maps


class VGG16(nn.Module):
    """Float [N, 3, H, W] to the activations at the end of each of five stages, a list of [N, C, h, w].

    Strides from the input: 1, 2, 4, 8, 16.
    """

    widths = (64, 128, 256, 512, 512)
    least_side = 16

    def __init__(self) -> None:
        super().__init__()
        channels = 3
        convolutions: list[nn.Module] = []
        self._ends: list[int] = []
        for width in VGG_WIDTHS:
            if width == 0:
                self._ends.append(len(convolutions) - 1)
                continue
            convolutions.append(nn.Conv2d(channels, width, 3, padding=1))
            channels = width
        self.convolutions = nn.ModuleList(convolutions)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps: list[Tensor] = []
        for index, convolution in enumerate(self.convolutions):
            x = functional.relu(convolution(x))
            if index in self._ends:
                maps.append(x)
                if len(maps) < len(self.widths):
                    x = functional.max_pool2d(x, 2)
        return maps
