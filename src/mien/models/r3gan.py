"""R3GAN (Huang et al. 2024, arXiv:2501.05441) with the presets of its release.

The published runs see 20 million pictures; with fewer the same schedules are squeezed into the budget given,
and the averaged generator's half-life stays below 5 % of the pictures seen.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from pydantic import Field

from mien.core.types import Progress, Spec
from mien.models._base import cosine, half_life
from mien.models._relativistic import Relativistic, RelativisticConfig
from mien.nn.r3gan import Discriminator, Generator, GroupedBlock

AUGMENT = "ramp"  # published: p from 0 to .3 over the run (.55 for CIFAR)


class Config(RelativisticConfig):
    """Every number of the family."""

    channel_base: int = Field(
        24576, ge=16, le=4_194_304, description="channels at a resolution are this over the resolution"
    )
    channel_max: int = Field(768, ge=1, le=8192, description="most channels of any stage")
    blocks: int = Field(2, ge=1, le=64, description="residual blocks a stage")
    stage_blocks: str = Field(
        "",
        pattern=r"^(\d{1,2}(,\d{1,2}){0,15})?$",
        description="residual blocks by stage, from 4 px up, as in 2,2,3; empty: as many in each",
        json_schema_extra={"since": "0.2"},
    )
    group_size: int = Field(16, ge=1, le=8192, description="channels a group of the 3x3 convolutions")
    bf16_stages: int = Field(
        4, ge=0, le=64, description="how many of the finest stages compute in bfloat16 where the run does"
    )


PRESETS = {
    "default": Config(),
    "FFHQ-64": Config(gamma=2.0),
    "FFHQ-256": Config(gamma=150.0),
    "CIFAR": Config(batch_size=512, gamma=0.05, bf16_stages=3, ema_half_life_nimg=5_000_000),
    "tiny": Config(  # for two CPU cores at 32 px
        batch_size=32, channel_base=512, channel_max=64, blocks=1, lr=1e-3, ema_half_life_nimg=2000
    ),
}


def build_generator(config: Config, spec: Spec) -> Generator:
    """The generator alone, untrained."""
    return Generator(spec, z_dim=config.z_dim, **_sizes(config))


def _sizes(config: Config) -> dict[str, Any]:
    """What both networks have alike."""
    blocks = [int(text) for text in config.stage_blocks.split(",") if text] or config.blocks
    sizes = {"base": config.channel_base, "most": config.channel_max, "blocks": blocks}
    block = partial(GroupedBlock, group_size=config.group_size)
    return sizes | {"block": block, "low_stages": config.bf16_stages}


class R3Gan(Relativistic):
    """R3GAN's networks in its game; InputError when the resolution does not fit."""

    def __init__(self, config: Config, spec: Spec) -> None:
        d = Discriminator(spec, **_sizes(config))
        super().__init__(config, build_generator(config, spec), d, resolution=spec.resolution)

    def half_lives(self, progress: Progress) -> Mapping[str, float]:
        """From 0 to the full half-life over the budget."""
        risen = cosine(0.0, self.config.ema_half_life_nimg, progress.fraction)
        return {"g": half_life(risen, self.config.ema_ramp, progress)}


build = R3Gan
