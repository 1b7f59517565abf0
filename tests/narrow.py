"""The network vgg-random with an eighth of its widths; the whole one takes a thirtieth of a second a picture.

`metrics/test_features` holds what that one gives. As --preload of a Dask worker, this makes it narrow there.
"""

import torch
from torch import nn

from mien.metrics.features import vgg_random
from mien.nn.backbones import VGG_WIDTHS, convolutions, filled


def narrow_vgg(size: int, dims: int) -> nn.Sequential:
    """In the place of `vgg_random._vgg`."""
    widths = tuple(width // 8 for width in VGG_WIDTHS)
    layers = convolutions(widths)
    side = size >> widths.count(0)
    with torch.device("meta"):
        layers += [nn.Flatten(), nn.Linear(widths[-2] * side * side, 512), nn.ReLU(), nn.Linear(512, dims)]
    return filled(layers)


def dask_setup(worker: object) -> None:
    """Called by a worker at its start."""
    vgg_random._vgg = narrow_vgg
