"""Distance of pictures in the first layers of a VGG that nobody trained (after Johnson et al. 2016)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.core import ranks
from mien.nn.random_vgg import WIDTHS, convolutions, filled

_DEPTH = 9  # of WIDTHS: up to the third stage
_LOOKED_AT = (3, 8, 15)  # layers: the last ReLU of each of the first three stages


class Perceptual:
    """Mean absolute difference of activations, each layer's over its own mean magnitude.

    It learns nothing and has no state: its weights are the same everywhere.
    """

    def __init__(self) -> None:
        self._net: nn.Module = filled(convolutions(WIDTHS[:_DEPTH]))

    def __call__(self, pictures: Tensor, targets: Tensor) -> Tensor:
        """float [N, 1 or 3, H, W] in [-1, 1] each -> a scalar with a gradient for `pictures`."""
        self._net = self._net.to(pictures.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        with torch.no_grad():
            wanted = self._activations(targets)
        pairs = zip(self._activations(pictures), wanted, strict=True)
        return torch.stack([F.l1_loss(a, b) / (_magnitude(b) + 1e-6) for a, b in pairs]).mean()

    def _activations(self, images: Tensor) -> list[Tensor]:
        x = images.expand(-1, 3, -1, -1)
        found = []
        for index, layer in enumerate(self._net.children()):
            x = layer(x)
            if index in _LOOKED_AT:
                found.append(x.float())
        return found


def _magnitude(activations: Tensor) -> Tensor:
    return ranks.mean(activations.abs().mean(dim=(1, 2, 3)))
