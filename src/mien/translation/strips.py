"""Pictures beside what a network makes of them."""

from collections.abc import Sized

import numpy as np
import torch
from torch import nn

from mien.core.image import grid, to_float, to_uint8
from mien.core.picture import Pixels

_BATCH = 64
_ROWS = 8


@torch.no_grad()
def changed(network: nn.Module, pixels: np.ndarray) -> np.ndarray:
    """What the network makes of uint8 pictures [N, C, H, W]; uint8 [N, C, H, W]."""
    device = next(network.parameters()).device
    made = [np.zeros((0, *pixels.shape[1:]), np.uint8)]
    for start in range(0, len(pixels), _BATCH):
        images = to_float(torch.from_numpy(pixels[start : start + _BATCH]).to(device))
        result = network(images.contiguous(memory_format=torch.channels_last))
        made.append(to_uint8(result).cpu().numpy())
    return np.concatenate(made)


def side_by_side(*columns: np.ndarray) -> Pixels:
    """A row a picture, all uint8 [N, C, H, W]."""
    cells = np.stack(columns, axis=1).reshape(-1, *columns[0].shape[1:])
    return grid(torch.from_numpy(cells), len(columns))


def chosen(pictures: Sized, count: int = _ROWS) -> np.ndarray:
    """Indexes of up to `count` of them, evenly spread."""
    return np.unique(np.linspace(0, len(pictures) - 1, min(count, len(pictures))).astype(int))
