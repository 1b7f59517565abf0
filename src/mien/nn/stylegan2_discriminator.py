"""StyleGAN2's discriminator (Karras et al. 2020, arXiv:1912.04958, section 4.1).

Module and parameter names are those of the official PyTorch release.
"""

import math
from dataclasses import replace
from typing import Literal, cast

import torch
from torch import Tensor, nn

from mien.core.types import Spec
from mien.nn.batch_norm import minibatch_stddev
from mien.nn.equalised import USUAL, Conv2d, Conventions, FullyConnected
from mien.nn.precision import arithmetic, wide
from mien.nn.resample import downsample
from mien.nn.stylegan2_generator import Mapping, resolutions, widths

DArchitecture = Literal["resnet", "skip", "orig"]


class Block(nn.Module):
    """Halves the size. "skip" adds the picture at every size, "resnet" a shortcut, "orig" neither."""

    resample_filter: Tensor

    def __init__(
        self,
        inputs: int,
        width: int,
        outputs: int,
        channels: int,
        *,
        architecture: DArchitecture,
        how: Conventions = USUAL,
    ) -> None:
        super().__init__()
        self.inputs, self.architecture = inputs, architecture
        self.register_buffer("resample_filter", how.filter())
        if inputs == 0 or architecture == "skip":
            self.fromrgb = Conv2d(channels, width, 1, how=how)
        self.conv0 = Conv2d(width, width, 3, how=how)
        self.conv1 = Conv2d(width, outputs, 3, down=True, how=how)
        if architecture == "resnet":
            self.skip = Conv2d(width, outputs, 1, bias=False, linear=True, down=True, how=how)

    def forward(self, x: Tensor | None, image: Tensor | None) -> tuple[Tensor, Tensor | None]:
        x, image = _entering(x), _entering(image)
        if self.inputs == 0 or self.architecture == "skip":
            features = self.fromrgb(image)
            x = features if x is None else x + features
            skips = self.architecture == "skip"
            image = downsample(cast(Tensor, image), self.resample_filter) if skips else None
        if self.architecture == "resnet":
            half = math.sqrt(0.5)
            past = self.skip(x, gain=half)
            return past + self.conv1(self.conv0(x), gain=half), image
        return self.conv1(self.conv0(x)), image


def _entering(x: Tensor | None) -> Tensor | None:
    """In float32 where a block computes in it: what comes from a finer one may be in bfloat16."""
    return x if x is None or torch.is_autocast_enabled(x.device.type) else wide(x)


class Epilogue(nn.Module):
    """4 px: minibatch standard deviation, a convolution, two full layers; labels by projection."""

    def __init__(
        self,
        width: int,
        outputs: int,
        channels: int,
        *,
        stddev_group: int,
        architecture: DArchitecture,
        how: Conventions = USUAL,
    ) -> None:
        super().__init__()
        self.stddev_group, self.architecture = stddev_group, architecture
        if architecture == "skip":
            self.fromrgb = Conv2d(channels, width, 1, how=replace(how, clamp=None))  # as published
        self.conv = Conv2d(width + (stddev_group > 1), width, 3, how=how)
        self.fc = FullyConnected(width * 16, width, linear=False)
        self.out = FullyConnected(width, outputs)

    def forward(self, x: Tensor, image: Tensor | None, embedded: Tensor | None) -> Tensor:
        if self.architecture == "skip":
            x = x + self.fromrgb(_entering(image))
        x = cast(Tensor, _entering(x))
        if self.stddev_group > 1:
            x = minibatch_stddev(x, group_size=self.stddev_group)
        x = self.out(self.fc(self.conv(x).flatten(1)))
        if embedded is None:
            return x[:, 0]
        # Miyato and Koyama 2018, arXiv:1802.05637
        return (x * embedded).sum(dim=1) / math.sqrt(embedded.shape[1])


class Discriminator(nn.Module):
    """Pictures (and labels) to scores; the higher the more real."""

    def __init__(
        self,
        spec: Spec,
        *,
        base: int = 32768,
        most: int = 512,
        architecture: DArchitecture = "resnet",
        stddev_group: int = 4,
        embed_dim: int | None = None,
        embed_layers: int = 8,
        low_blocks: int = 8,
        how: Conventions = USUAL,
    ) -> None:
        super().__init__()
        self.spec, self.low_blocks = spec, low_blocks
        sizes = widths(spec.resolution, base=base, most=most)
        embedded = (embed_dim or sizes[4]) if spec.label_dim else 0
        self.block_resolutions = resolutions(spec.resolution)[:0:-1]
        for size in self.block_resolutions:
            inputs = sizes[size] if size < spec.resolution else 0
            widths_here = (inputs, sizes[size], sizes[size // 2], spec.channels)
            self.add_module(f"b{size}", Block(*widths_here, architecture=architecture, how=how))
        if embedded:
            self.mapping = Mapping(0, spec.label_dim, embedded, num_ws=0, layers=embed_layers)
        self.b4 = Epilogue(
            *(sizes[4], embedded or 1, spec.channels),
            stddev_group=stddev_group,
            architecture=architecture,
            how=how,
        )

    @property
    def freezable(self) -> list[nn.Module]:
        """The blocks above 4 px; the picture's first."""
        return [getattr(self, f"b{size}") for size in self.block_resolutions]

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """images: [N, C, H, W] in [-1, 1], labels: [N, label_dim] -> scores, float32 [N]."""
        x: Tensor | None = None
        image: Tensor | None = images
        for index, size in enumerate(self.block_resolutions):
            with arithmetic(images.device, low=index < self.low_blocks):
                x, image = getattr(self, f"b{size}")(x, image)
        with arithmetic(images.device, low=len(self.block_resolutions) < self.low_blocks):
            embedded = self.mapping(None, labels) if self.spec.label_dim else None
            return cast(Tensor, self.b4(x, image, embedded))
