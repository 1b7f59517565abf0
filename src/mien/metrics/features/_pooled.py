"""The trunks of LPIPS as feature networks: activations of their layers, averaged over the image."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mien.core.artefacts import artefact_sha256
from mien.metrics.features._images import named_hash, vectors
from mien.nn.lpips import ARTEFACT, SCALE, SHIFT, Lpips

_BATCH = 16


class PooledFeatures:
    """The five activations that LPIPS compares, each averaged over space, one after the other.

    size: pixels a side at which images enter.
    """

    def __init__(
        self, name: str, trunk: Literal["alexnet", "vgg"], *, size: int, device: str | torch.device = "cpu"
    ) -> None:
        """Raises MienError when the weights are not here."""
        self.name = name
        self.resize = f"bicubic antialiased to {size}"
        self._size = size
        self._device = torch.device(device)
        self._trunk = Lpips.load(trunk, device=self._device).trunk
        self.dims = sum(self._trunk.widths)
        self._shift = torch.tensor(SHIFT, device=self._device).view(1, 3, 1, 1)
        self._scale = torch.tensor(SCALE, device=self._device).view(1, 3, 1, 1)
        self.hash = named_hash(name, self.resize, artefact_sha256(ARTEFACT[trunk]))

    def features(self, images: Tensor) -> np.ndarray:
        """uint8 [N, 1 or 3, H, W] to float32 [N, dims]."""
        return vectors(self._see, images, size=self._size, dims=self.dims, batch=_BATCH, device=self._device)

    def _see(self, x: Tensor) -> Tensor:
        maps = self._trunk((x - self._shift) / self._scale)
        return torch.cat([layer.mean((2, 3)) for layer in maps], 1)
