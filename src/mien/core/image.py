"""Conversion between uint8 and float images, antialiased resizing, and grids.

Pictures are uint8 (HWC in numpy, NCHW in tensors) outside networks and float32 in [-1, 1] inside.
"""

import math
from collections.abc import Iterable, Iterator, Sized

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mien.core.picture import Pixels


def to_float(images: Tensor) -> Tensor:
    """Map uint8 [N, C, H, W] to float32 in [-1, 1] (0 -> -1, 255 -> 1)."""
    if images.dtype != torch.uint8:
        raise TypeError(f"to_float takes uint8, not {images.dtype}")
    return images.to(torch.float32).mul_(1 / 127.5).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """Map float [N, C, H, W] in [-1, 1] to uint8, clamping; the exact inverse of `to_float`."""
    if not images.is_floating_point():
        raise TypeError(f"to_uint8 takes floats, not {images.dtype}")
    return images.detach().float().mul(127.5).add_(128).clamp_(0, 255).to(torch.uint8)


def to_hwc(image: Tensor) -> Pixels:
    """Turn one uint8 [C, H, W] tensor into numpy [H, W, C]."""
    if image.dtype != torch.uint8:
        raise TypeError(f"to_hwc takes uint8, not {image.dtype}")
    return image.permute(1, 2, 0).contiguous().cpu().numpy()


def resize(image: Pixels, size: int) -> Pixels:
    """Resize uint8 [H, W, C] to a `size` x `size` square, antialiased (Lanczos, as FFHQ does)."""
    picture = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    resized = np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS))
    return resized.reshape(size, size, *image.shape[2:])


def evenly_spaced(images: Sized, count: int = 8) -> np.ndarray:
    """Indexes of up to `count` of the images, evenly spread from the first to the last."""
    return np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).astype(int))


def grid(images: Tensor, columns: int | None = None) -> Pixels:
    """Lay uint8 [N, C, H, W] out row by row as one [rows*H, columns*W, 3] picture; blanks are black."""
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise TypeError("grid takes a uint8 tensor [N, C, H, W]")
    count, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    canvas = torch.zeros(rows * columns, channels, height, width, dtype=torch.uint8)
    canvas[:count] = images.cpu()
    canvas = canvas.view(rows, columns, channels, height, width).permute(0, 3, 1, 4, 2)
    picture = canvas.reshape(rows * height, columns * width, channels).numpy()
    return np.repeat(picture, 3, axis=2) if channels == 1 else picture


def grid_rows(batches: Iterable[Tensor], columns: int) -> Iterator[Pixels]:
    """As `grid` lays out, a row [H, columns*W, 3] at a time, of batches uint8 [any, C, H, W]."""
    held: Tensor | None = None
    for batch in batches:
        held = batch if held is None else torch.cat([held, batch])
        while len(held) >= columns:
            yield grid(held[:columns], columns)
            held = held[columns:]
    if held is not None and len(held):
        yield grid(held, columns)
