"""The two networks of SimGAN (Shrivastava et al. 2017, arXiv:1612.07828): a refiner and local scores."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.core.errors import InputError
from mien.core.types import Spec

_LEAST = 8  # pixels a side, of which the local scores leave 2 x 2


class Refiner(nn.Module):
    """Pictures to the same pictures, more real: a convolution, residual blocks, a 1x1 convolution, tanh.

    Fully convolutional: any height and width will do. fold: squares of fold x fold
    pixels become channels before the first layer and pixels again after the last, so that all layers between
    work on a smaller plane, and see as much farther. reach: block after block looks around by 1, 2, 4, ...
    pixels, up to this many.
    """

    def __init__(self, spec: Spec, *, width: int, blocks: int, fold: int, reach: int) -> None:
        super().__init__()
        if spec.resolution < _LEAST:
            raise InputError(f"pictures of {spec.resolution} px: a refiner needs {_LEAST} or more")
        self.spec, self.fold = spec, fold
        channels = spec.channels * fold**2
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1)]
        layers += [_Block(width, blocks, min(2**index, reach)) for index in range(blocks)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, channels, 1))
        _initialise(self.layers[0], 1.0)
        _initialise(self.layers[-1], 0.1)

    def forward(self, images: Tensor) -> Tensor:
        """float [N, C, H, W] in [-1, 1] -> float32 [N, C, H, W] in [-1, 1]."""
        height, width = images.shape[-2:]
        whole = F.pad(images, (0, -width % self.fold, 0, -height % self.fold), mode="replicate")
        x = self.layers(F.pixel_unshuffle(whole, self.fold))
        return torch.tanh(F.pixel_shuffle(x, self.fold)[..., :height, :width].float())


class _Block(nn.Module):
    def __init__(self, width: int, blocks: int, step: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(width, width, 3, padding=step, dilation=step) for _ in range(2))
        _initialise(first, 1.0)
        _initialise(second, blocks**-0.5)  # so that the sum of all blocks keeps its scale
        self.layers = nn.Sequential(first, nn.ReLU(inplace=True), second)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.layers(x))


class LocalDiscriminator(nn.Module):
    """Pictures to a map of scores, each of a patch of 23 x 23 pixels; the paper's layers, leaky ReLU.

    width: channels of the first layer; the paper's 96, 64, 32, 32 in proportion.
    """

    def __init__(self, spec: Spec, *, width: int) -> None:
        super().__init__()
        self.spec = spec
        second, third = max(width * 2 // 3, 1), max(width // 3, 1)
        self.layers = nn.Sequential(
            nn.Conv2d(spec.channels, width, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, second, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.MaxPool2d(3, stride=1, padding=1),
            nn.Conv2d(second, third, 3, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(third, third, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(third, 1, 1),
        )
        for layer in self.freezable:
            _initialise(layer, 1.0)

    @property
    def freezable(self) -> list[nn.Module]:
        """Each convolution, the picture's first."""
        return [layer for layer in self.layers if isinstance(layer, nn.Conv2d)]

    def forward(self, images: Tensor) -> Tensor:
        """float [N, C, H, W] in [-1, 1] -> float32 [N, H/4, W/4]; the higher the more real a patch looks."""
        return cast(Tensor, self.layers(images)).squeeze(1).float()


def _initialise(layer: nn.Module, scale: float) -> None:
    assert isinstance(layer, nn.Conv2d)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    with torch.no_grad():
        layer.weight.mul_(scale)
    nn.init.zeros_(cast(Tensor, layer.bias))
