"""VGG16, trained on ImageNet, as a feature network: slow, and sensitive to texture."""

import torch

from mien.metrics.features._pooled import PooledFeatures

NAME = "vgg16"
ARTEFACTS = ("lpips-vgg",)
_SIDE = 128


def build(device: str | torch.device = "cpu") -> PooledFeatures:
    """The means over space of the ends of VGG16's five stages: 64 + 128 + 256 + 512 + 512 = 1472.

    Simonyan and Zisserman 2014 (arXiv:1409.1556) with the ImageNet weights that LPIPS 0.1 is published with,
    BSD.

    Raises MienError when its weights are not here.
    """
    return PooledFeatures(NAME, "vgg", size=_SIDE, device=device)
