"""From our aligned face pictures to the close crops that published face networks were trained on."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_ANTIALIAS_ABOVE = 1.35  # source pixels per chip pixel; `faces.crop` draws the same line


@dataclass(frozen=True)
class Chip:
    """A square inside a picture of layout "ffhq", as shares of its side, and the pixels it becomes.

    side: of the square. centre: of the square from the picture's top; from its left it is the middle.
    """

    side: float
    centre: float
    size: int

    def cut(self, images: Tensor) -> Tensor:
        """Float [N, 1 or 3, H, W] to [N, 3, size, size], bicubic, antialiased; differentiable.

        The values keep their range, except where bicubic weights overshoot. Beyond the edge it is mirrored.
        """
        if images.ndim != 4 or images.shape[1] not in (1, 3) or images.shape[2] != images.shape[3]:
            raise ValueError(f"face pictures are [N, 1 or 3, side, side], not {list(images.shape)}")
        x = images.expand(-1, 3, -1, -1)
        ratio = self.side * x.shape[2] / self.size
        if ratio > _ANTIALIAS_ABOVE:
            smaller = round(x.shape[2] / ratio)
            x = functional.interpolate(x, (smaller, smaller), mode="bicubic", antialias=True)
        row = torch.tensor([[self.side, 0, 0], [0, self.side, 2 * self.centre - 1]], dtype=x.dtype)
        shape = [len(x), 3, self.size, self.size]
        grid = functional.affine_grid(row.to(x.device).expand(len(x), -1, -1), shape, align_corners=False)
        return functional.grid_sample(x, grid, mode="bicubic", padding_mode="reflection", align_corners=False)

    def bytes_cut(self, images: Tensor) -> Tensor:
        """uint8 [N, 1 or 3, H, W] to float [N, 3, size, size] within 0..255."""
        if images.dtype != torch.uint8:
            raise TypeError(f"pictures must be uint8, not {images.dtype}")
        return self.cut(images.to(torch.float32)).clamp_(0, 255)
