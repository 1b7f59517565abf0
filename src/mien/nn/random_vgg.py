"""VGG16 with weights that nobody trained: for features, and for comparing pictures layer by layer.

Uniform numbers of numpy's frozen stream are exact on every machine, so the weights are the same everywhere.
"""

import numpy as np
import torch
from torch import nn

WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)  # 0: a pool


def convolutions(widths: tuple[int, ...] = WIDTHS) -> list[nn.Module]:
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
    """The layers with He's uniform weights (He et al. 2015) and zero biases, for looking only."""
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
