"""The two networks of SimGAN (Shrivastava et al. 2017, arXiv:1612.07828): a refiner and local scores."""

import itertools
import zlib
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.core.errors import InputError
from mien.core.image import to_uint8
from mien.core.ranks import drawn
from mien.core.types import Spec
from mien.nn.batch_norm import minibatch_stddev

_REACH = 0.95  # of white, where no change is asked for
_BEYOND: Literal["replicate"] = "replicate"  # or a refiner learns a frame
_LEAST = 8  # pixels a side, of which the local scores leave 2 x 2


class Refiner(nn.Module):
    """Pictures to the same pictures, more real: a convolution, residual blocks, a convolution, tanh.

    Fully convolutional: any height and width will do. fold: squares of fold x fold pixels become channels
    before the first layer and are interpolated before the last, so that all layers between work on a smaller
    plane, and see as much farther; 1 is the paper's. style: numbers drawn by chance for each picture that go
    in beside it; with none, as in the paper, one drawing becomes one photo, in one light.
    """

    def __init__(self, spec: Spec, *, width: int, blocks: int, fold: int, style: int) -> None:
        super().__init__()
        if spec.resolution < _LEAST:
            raise InputError(f"pictures of {spec.resolution} px: a refiner needs {_LEAST} or more")
        self.spec, self.fold, self.style = spec, fold, style
        layers: list[nn.Module] = [_conv(spec.channels * fold**2 + style, width, 3, beyond=_BEYOND)]
        layers += [_Block(width, blocks) for _ in range(blocks)]
        if fold > 1:  # interpolated and smoothed, or the squares would show
            layers += [nn.Upsample(scale_factor=fold, mode="bilinear")]
        self.layers = nn.Sequential(
            *layers, _conv(width, spec.channels, 1 if fold == 1 else 3, scale=0.1, beyond=_BEYOND)
        )

    def forward(self, images: Tensor, style: Tensor | None = None) -> Tensor:
        """float [N, C, H, W] in [-1, 1] -> float32 [N, C, H, W] in [-1, 1].

        style: [N, style]; by default it follows from each picture's pixels, so that a picture always becomes
        the same.
        """
        return torch.tanh(self.before_tanh(images, self.from_pixels(images) if style is None else style))

    def before_tanh(self, images: Tensor, style: Tensor) -> Tensor:
        """float32 [N, C, H, W], any numbers."""
        height, width = images.shape[-2:]
        whole = F.pad(images, (0, -width % self.fold, 0, -height % self.fold), mode="replicate")
        x = F.pixel_unshuffle(whole, self.fold)
        if self.style:
            x = torch.cat([x, style[:, :, None, None].expand(-1, -1, *x.shape[-2:])], dim=1)
        change = self.layers(x.contiguous(memory_format=torch.channels_last))[..., :height, :width].float()
        # Added before the tanh, not after, and to less than white: so a bright picture can still be darkened.
        return cast(Tensor, torch.atanh(images.float() * _REACH) + change)

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """Styles for `count` pictures: float32 [count, style]."""
        return drawn(torch.randn, (count, self.style), rng)

    def from_pixels(self, images: Tensor) -> Tensor:
        """The style of each picture, by what it shows in 8 bits."""
        sums = [zlib.crc32(picture.numpy().tobytes()) for picture in to_uint8(images).cpu().contiguous()]
        drawn = [self.draw(1, torch.Generator().manual_seed(sum_)) for sum_ in sums]
        return torch.cat(drawn).to(images.device)


class _Block(nn.Module):
    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        # So that the sum of all blocks keeps its scale.
        second = _conv(width, width, 3, scale=blocks**-0.5, beyond=_BEYOND)
        self.layers = nn.Sequential(_conv(width, width, 3, beyond=_BEYOND), nn.ReLU(inplace=True), second)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.layers(x))


class LocalDiscriminator(nn.Module):
    """Pictures to a map of scores, each of one patch; leaky ReLU.

    width: channels of the first layer; the paper's 96, 64, 32, 32 in proportion. halvings: layers of stride
    2; the paper's 2 give patches of 23 x 23 pixels, 3 give 47 x 47. stddev_group: pictures of which the
    scores also see how much they differ; 1 is the paper's.
    """

    def __init__(self, spec: Spec, *, width: int, halvings: int, stddev_group: int) -> None:
        super().__init__()
        self.spec, self.stddev_group = spec, stddev_group
        second, third = max(width * 2 // 3, 1), max(width // 3, 1)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise([spec.channels, width, *[second] * (halvings - 1)]):
            layers += [_conv(before, after, 3, stride=2), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, nn.MaxPool2d(3, stride=1, padding=1))
        self.head = nn.Sequential(
            _conv(second + (stddev_group > 1), third, 3),
            nn.LeakyReLU(0.2, inplace=True),
            _conv(third, third, 1),
            nn.LeakyReLU(0.2, inplace=True),
            _conv(third, 1, 1),
        )

    @property
    def freezable(self) -> list[nn.Module]:
        """Each convolution, the picture's first."""
        return [layer for layer in (*self.layers, *self.head) if isinstance(layer, nn.Conv2d)]

    def forward(self, images: Tensor) -> Tensor:
        """float [N, C, H, W] in [-1, 1] -> float32 [N, H/4, W/4]; the higher the more real a patch looks."""
        x = self.layers(images)
        if self.stddev_group > 1:
            x = minibatch_stddev(x, group_size=self.stddev_group)
        return cast(Tensor, self.head(x)).squeeze(1).float()


def _conv(
    before: int,
    after: int,
    kernel: int,
    *,
    stride: int = 1,
    scale: float = 1.0,
    beyond: Literal["zeros", "replicate"] = "zeros",
) -> nn.Conv2d:
    """He's initialisation times `scale`. beyond: what pictures are beyond their edges (`padding_mode`)."""
    layer = nn.Conv2d(before, after, kernel, stride=stride, padding=kernel // 2, padding_mode=beyond)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(cast(Tensor, layer.bias))
    with torch.no_grad():
        layer.weight.mul_(scale)
    return layer
