"""EfficientNet-Lite0, trained on ImageNet, as a feature network: sensitive to broken parts of faces."""

import numpy as np
import torch
from torch import Tensor

from mien.core.artefacts import artefact_sha256, require
from mien.metrics.features._images import named_hash, vectors
from mien.nn.efficientnet_lite import DIMS, load

NAME = "lite0"
ARTEFACTS = ("efficientnet-lite0",)
_SIDE = 224  # of 96 to 224 px the one that sees most of a broken mouth; see benchmarks/feature_sight.py
_BATCH = 20  # beyond it the activations leave the cache


def build(device: str | torch.device = "cpu") -> "Lite0Features":
    """The network on `device`. Raises MienError when its weights are not here."""
    return Lite0Features(device=device)


class Lite0Features:
    """The global average of EfficientNet-Lite0's last convolution: 1280 features.

    Tan and Le 2019 (arXiv:1905.11946), the Lite variant with its published ImageNet weights, Apache-2.0.
    Images enter at 224 px as (x - 127) / 128 of 0..255, as it was trained.
    """

    name = NAME
    dims = DIMS
    resize = f"bicubic antialiased to {_SIDE}"

    def __init__(self, *, device: str | torch.device = "cpu") -> None:
        self._device = torch.device(device)
        self._net = load(device=self._device, path=require(ARTEFACTS[0]))
        self.hash = named_hash(self.name, self.resize, artefact_sha256(ARTEFACTS[0]))

    def features(self, images: Tensor) -> np.ndarray:
        """uint8 [N, 1 or 3, H, W] to float32 [N, 1280]."""
        return vectors(self._see, images, size=_SIDE, dims=self.dims, batch=_BATCH, device=self._device)

    def _see(self, x: Tensor) -> Tensor:
        """Features of images in [-1, 1], normalised as in the network's training."""
        return self._net(x * (127.5 / 128) + 0.5 / 128)  # type: ignore[no-any-return]
