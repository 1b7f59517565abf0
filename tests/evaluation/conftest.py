"""The feature network of these tests: like vgg-random with an eighth of its widths, built once a worker.

The whole one takes a thirtieth of a second a picture; what it gives is held by `metrics/test_features`.
"""

import functools
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from mien.metrics.features import vgg_random
from mien.nn.backbones import VGG_WIDTHS, convolutions, filled


def _narrow_vgg(size: int, dims: int) -> nn.Sequential:
    widths = tuple(width // 8 for width in VGG_WIDTHS)
    layers = convolutions(widths)
    side = size >> widths.count(0)
    with torch.device("meta"):
        layers += [nn.Flatten(), nn.Linear(widths[-2] * side * side, 512), nn.ReLU(), nn.Linear(512, dims)]
    return filled(layers)


_build = functools.cache(vgg_random.build)  # called while it is narrow alone


@pytest.fixture(scope="module", autouse=True)
def _narrow_random_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vgg_random, "_vgg", _narrow_vgg)
        patch.setattr(vgg_random, "build", _build)
        yield
