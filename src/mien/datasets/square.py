"""Any picture to a square of one size. Pictures are [H, W, C] throughout: height first, always."""

import numpy as np
from PIL import Image

from mien.core.picture import Pixels
from mien.datasets.index import Box


def middle(width: int, height: int) -> Box:
    """The largest square in the middle of a picture (one pixel nearer the upper left where it is uneven)."""
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side, side


def around(box: Box, *, grow: float, width: int, height: int) -> Box:
    """The square around `box` of `grow` times its longer side, moved (and cut) to lie in the picture."""
    side = min(grow * max(box[2], box[3]), width, height)
    x = min(max(box[0] + box[2] / 2 - side / 2, 0), width - side)
    y = min(max(box[1] + box[3] / 2 - side / 2, 0), height - side)
    return x, y, side, side


def to_square(
    pixels: Pixels, size: int, *, channels: int, box: Box | None = None, mirror: bool = False
) -> Pixels:
    """Cut `box` (default: the middle) of uint8 [H, W, 3] or [H, W], antialiased, to [channels, size, size].

    One channel is the luma of colour. A box that reaches over the edge is moved and cut to lie inside.
    """
    height, width = pixels.shape[:2]
    place = middle(width, height) if box is None else around(box, grow=1, width=width, height=height)
    x, y, side, _ = place
    picture = Image.fromarray(pixels).convert("L" if channels == 1 else "RGB")
    small = picture.resize((size, size), Image.Resampling.LANCZOS, box=(x, y, x + side, y + side))
    if mirror:
        small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(small).reshape(size, size, channels).transpose(2, 0, 1)
