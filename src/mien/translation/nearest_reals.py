"""The real pictures that are nearest to others."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mien.core.image import to_float

_LOOK = 16  # pixels a side at which pictures are compared: what counts is the whole, not the grain


def nearest(pictures: np.ndarray, reals: np.ndarray) -> np.ndarray:
    """For each of `pictures` the index of the real that is nearest, by pixels of both reduced to 16 x 16.

    Both are uint8 [N, C, H, W].
    """
    one, two = (_reduced(side) for side in (pictures, reals))
    return torch.cdist(one, two).argmin(dim=1).numpy()


def _reduced(pixels: np.ndarray) -> Tensor:
    return F.adaptive_avg_pool2d(to_float(torch.from_numpy(pixels)), _LOOK).flatten(1)
