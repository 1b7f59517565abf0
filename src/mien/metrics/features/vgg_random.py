"""VGG16 with random weights as a feature network: needs no file; the fallback, and a weak one."""

import numpy as np
import torch
from torch import Tensor, nn

from mien.metrics.features._images import hash_tensors, vectors
from mien.nn.backbones import VGG_WIDTHS, convolutions, filled

NAME = "vgg-random"
ARTEFACTS: tuple[str, ...] = ()


def build(device: str | torch.device = "cpu") -> "VggRandom":
    """The network on `device`."""
    return VggRandom(device=device)


class VggRandom:
    """VGG16 with weights that nobody trained, cut to 64 outputs (after Naeem et al. 2020, section 4).

    An untrained network has no taste of its own, so it is fair to pictures unlike ImageNet's; faces are.
    The definition, complete and for ever (a change needs a new name):
    input 64 x 64 RGB in [-1, 1]; thirteen 3x3 convolutions of VGG16's widths with ReLU, five 2x2 maximum
    pools; 2048 -> 4096 -> ReLU -> 64, the last layer linear; biases zero; every weight uniform in
    +-sqrt(6 / fan_in) (He et al. 2015), drawn layer by layer from numpy's RandomState(0).random_sample,
    float64 rounded to float32. Uniform numbers are exact on every machine; normal ones go through logarithms
    that differ in their last bits, and then so would the hash.
    """

    name = NAME
    dims = 64
    resize = "bicubic antialiased to 64"
    _SIZE = 64

    def __init__(self, *, device: str | torch.device = "cpu", batch_size: int = 32) -> None:
        self._device = torch.device(device)
        self._batch_size = batch_size
        net = _vgg(self._SIZE, self.dims)
        self.hash = hash_tensors(net.state_dict(), about=f"{self.name} {self.resize}")
        self._net = net.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, images: Tensor) -> np.ndarray:
        """uint8 [N, 1 or 3, H, W] to float32 [N, 64]."""
        return vectors(
            self._net, images, size=self._SIZE, dims=self.dims, batch=self._batch_size, device=self._device
        )


def _vgg(size: int, dims: int) -> nn.Sequential:
    """The topology with its weights."""
    layers = convolutions()
    side = size >> VGG_WIDTHS.count(0)
    with torch.device("meta"):
        layers += [nn.Flatten(), nn.Linear(VGG_WIDTHS[-2] * side * side, 4096), nn.ReLU(inplace=True)]
        layers.append(nn.Linear(4096, dims))
    return filled(layers)
