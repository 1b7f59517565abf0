"""What StyleGAN and StyleGAN2 share: numbers, styles mixed from two latents, an averaged generator.

Style mixing: Karras et al. 2019, arXiv:1812.04948, section 3.1.
"""

from typing import cast

import torch
from pydantic import Field
from torch import Tensor

from mien.core.family import FamilyConfig
from mien.core.ranks import drawn
from mien.core.types import Batch
from mien.models._base import Game
from mien.nn.stylegan2_generator import MappedGenerator, Mapping


class StyleConfig(FamilyConfig):
    """The numbers that both have; a family adds its own."""

    z_dim: int = Field(512, ge=1, le=8192, description="size of a latent")
    w_dim: int = Field(512, ge=1, le=8192, description="size of a style")
    channel_base: int = Field(
        16384, ge=16, le=4_194_304, description="channels at a resolution are this over the resolution"
    )
    channel_max: int = Field(512, ge=1, le=8192, description="most channels of any layer")
    beta2: float = Field(0.99, ge=0, lt=1, description="Adam's second moment decay; the first is 0")
    mixing: float = Field(
        0.9, ge=0, le=1, description="chance that a picture takes its finer styles from a second latent"
    )
    stddev_group: int = Field(
        4, ge=1, le=65_536, description="samples a minibatch-stddev group; 1 leaves it out"
    )
    embed_layers: int = Field(
        8, ge=1, le=64, description="full layers from labels to the discriminator's projection"
    )
    ema_half_life_nimg: float = Field(
        10_000, ge=0, le=1e12, description="half-life of the averaged generator, in images"
    )
    ema_ramp: float | None = Field(
        0.05,
        gt=0,
        le=1e6,
        description="the half-life is at most this share of the images seen; none: no ramp",
    )


class StyleGame(Game):
    """A game whose generator has a mapping and a synthesis."""

    @property
    def generator(self) -> MappedGenerator:
        return cast(MappedGenerator, self.networks["g"])

    def layers(self) -> int:
        """How many of the ws are in use."""
        return self.generator.num_ws

    def styles(self, batch: Batch, count: int) -> Tensor:
        """ws [count, num_ws, w_dim] of new latents, some mixed; the batch's first labels."""
        return mixed_styles(
            self.generator.mapping,
            None if batch.labels is None else batch.labels[:count],
            count,
            layers=self.layers(),
            mixing=self.config.mixing,
            rng=batch.rng,
        )

    def fakes(self, batch: Batch) -> Tensor:
        """As many fakes as the batch has reals, of the same labels."""
        ws = self.styles(batch, len(batch.images))
        return cast(Tensor, self.generator.synthesis(ws, noise="random", rng=batch.rng))


def mixed_styles(
    mapping: Mapping, labels: Tensor | None, count: int, *, layers: int, mixing: float, rng: torch.Generator
) -> Tensor:
    """ws [count, num_ws, w_dim] of new latents; some pictures take those of a second latent from a layer on.

    layers: how many of the ws are in use; the change comes at 1 .. layers - 1. mixing: the chance of one.
    """
    z = drawn(torch.randn, (2, count, mapping.z_dim), rng, dim=1)
    ws: Tensor = mapping(z[0], labels)
    if not mixing:
        return ws
    cut = drawn(torch.rand, (2, count), rng, dim=1)
    first = 1 + (cut[0] * (layers - 1)).long()
    first[cut[1] >= mixing] = mapping.num_ws
    second = torch.arange(mapping.num_ws, device=ws.device)[None] >= first[:, None]
    return torch.where(second[..., None], mapping(z[1], labels), ws)
