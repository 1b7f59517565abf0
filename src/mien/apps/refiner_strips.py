"""Pictures beside what a refiner makes of them, and beside the reals that are nearest to that."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.core.image import grid, to_float, to_uint8
from mien.core.picture import Pixels
from mien.core.types import Dataset

_BATCH = 64
_LOOK = 16  # pixels a side at which pictures are compared: what counts is the whole, not the grain
_ROWS = 8


@torch.no_grad()
def refine(refiner: nn.Module, pixels: np.ndarray) -> np.ndarray:
    """What the refiner makes of uint8 pictures [N, C, H, W]; uint8 [N, C, H, W]."""
    device = next(refiner.parameters()).device
    parts = [pixels[start : start + _BATCH] for start in range(0, len(pixels), _BATCH)]
    made = [to_uint8(refiner(_channels_last(to_float(torch.from_numpy(p).to(device))))).cpu() for p in parts]
    return torch.cat(made).numpy()


def nearest(pictures: np.ndarray, reals: np.ndarray) -> np.ndarray:
    """For each of `pictures` the index of the real that is nearest, by pixels of both reduced to 16 x 16."""
    one, two = (_reduced(side) for side in (pictures, reals))
    return torch.cdist(one, two).argmin(dim=1).numpy()


def strip(inputs: np.ndarray, refined: np.ndarray, reals: np.ndarray) -> Pixels:
    """A row a picture: input | refined | the real nearest to that; all uint8 [N, C, H, W]."""
    near = reals[nearest(refined, reals)]
    cells = np.stack([inputs, refined, near], axis=1).reshape(-1, *inputs.shape[1:])
    return grid(torch.from_numpy(cells), 3)


def chosen(dataset: Dataset, count: int = _ROWS) -> np.ndarray:
    """Indexes of up to `count` pictures, evenly spread."""
    return np.unique(np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int))


def _reduced(pixels: np.ndarray) -> Tensor:
    return F.adaptive_avg_pool2d(to_float(torch.from_numpy(pixels)), _LOOK).flatten(1)


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)
