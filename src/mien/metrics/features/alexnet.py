"""AlexNet as a feature network: fast, and sensitive to blur and noise."""

import torch

from mien.metrics.features._pooled import PooledFeatures

NAME = "alexnet"
ARTEFACTS = ("lpips-alexnet",)
_SIDE = 128  # at 64 px it sees a fifth of a broken mouth


def build(device: str | torch.device = "cpu") -> PooledFeatures:
    """The means over space of AlexNet's five convolutions after ReLU: 64 + 192 + 384 + 256 + 256 = 1152.

    Krizhevsky 2014 (arXiv:1404.5997) with the ImageNet weights that LPIPS 0.1 is published with, BSD.

    Raises MienError when its weights are not here.
    """
    return PooledFeatures(NAME, "alexnet", size=_SIDE, device=device)
