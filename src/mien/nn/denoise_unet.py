"""The U-Net of noise2noise (Lehtinen et al. 2018, arXiv:1803.04189, appendix, table 2)."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.core.types import Spec
from mien.nn.precision import arithmetic

_SLOPE = 0.1


class Denoiser(nn.Module):
    """Noisy pictures to clean ones of any height and width.

    width: channels of the encoder, the paper's 48; the decoder has twice as many. levels: halvings, the
    paper's 5. residual: the network finds what is to be added to its input; the paper's gives the picture.
    """

    def __init__(self, spec: Spec, *, width: int, levels: int, residual: bool) -> None:
        super().__init__()
        self.spec, self.residual = spec.unlabelled(), residual
        channels, wide = spec.channels, 2 * width
        self.first = _conv(channels, width)
        self.encoder = nn.ModuleList(_conv(width, width) for _ in range(levels))
        self.bottom = _conv(width, width)
        inputs = [wide] + [wide + width] * (levels - 2)  # the deepest has the bottom's channels below it
        self.decoder = nn.ModuleList(
            nn.Sequential(_conv(before, wide), _conv(wide, wide)) for before in inputs
        )
        before, last = wide + channels, max(2 * width // 3, 1)
        self.decoder.append(nn.Sequential(_conv(before, 2 * last), _conv(2 * last, last)))
        self.last = nn.Conv2d(last, channels, 3, padding=1)
        _initialise(self.last, slope=1.0)
        if residual:
            nn.init.zeros_(self.last.weight)  # begins by leaving pictures as they are

    @property
    def step(self) -> int:
        """Heights and widths are filled up to multiples of this."""
        return 1 << len(self.encoder)

    @property
    def reach(self) -> int:
        """No pixel depends on another that is farther away than this, in pixels."""
        return 5 * self.step  # all kernels from top to bottom and up, and the squares that are pooled

    def forward(self, images: Tensor) -> Tensor:
        """float [N, C, H, W] in about [-1, 1] -> float32 [N, C, H, W], not clamped."""
        height, width = images.shape[-2:]
        whole = F.pad(images, (0, -width % self.step, 0, -height % self.step), mode="replicate")
        skips = [whole]
        x = self.first(whole)
        for convolution in self.encoder:
            x = F.max_pool2d(convolution(x), 2)
            skips.append(x)
        x = self.bottom(skips.pop())
        for convolutions in self.decoder:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = convolutions(torch.cat([x, skips.pop()], dim=1))
        with arithmetic(images.device, low=False):  # bfloat16 would round the picture itself
            out = cast(Tensor, self.last(x.float()))
            out = whole.float() + out if self.residual else out
        return out[..., :height, :width]


def _conv(before: int, after: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, padding=1)
    _initialise(convolution, slope=_SLOPE)
    return nn.Sequential(convolution, nn.LeakyReLU(_SLOPE, inplace=True))


def _initialise(convolution: nn.Conv2d, *, slope: float) -> None:
    """He et al. 2015, arXiv:1502.01852, for the leaky ReLU that follows."""
    nn.init.kaiming_normal_(convolution.weight, a=slope, nonlinearity="leaky_relu")
    nn.init.zeros_(cast(Tensor, convolution.bias))
