"""dense: R3GAN's game and initialisation with full 3x3 convolutions, which keep a GPU busy.

Grouped convolutions reach about an eighth of a GPU's peak. Two full ones a stage cost about 50 GFLOP a
training picture of 64 px with exact penalties, a tenth of the published network.
"""

from typing import Any

from pydantic import Field

from mien.core.types import Spec
from mien.models._relativistic import Relativistic, RelativisticConfig
from mien.nn.r3gan import DenseBlock, Discriminator, Generator

AUGMENT = "ramp"


class Config(RelativisticConfig):
    """Every number of the family."""

    channel_base: int = Field(
        4096, ge=16, le=4_194_304, description="channels at a resolution are this over the resolution"
    )
    channel_max: int = Field(512, ge=1, le=8192, description="most channels of any stage")
    blocks: int = Field(1, ge=1, le=64, description="residual blocks (of two 3x3 convolutions) a stage")
    bf16_stages: int = Field(
        8, ge=0, le=64, description="how many of the finest stages compute in bfloat16 where the run does"
    )


PRESETS = {
    "default": Config(),  # 512, 512, 256, 128, 64 channels from 4 to 64 px
    "128": Config(channel_base=8192),  # 64 channels at 128 px
    "tiny": Config(  # for two CPU cores at 32 px
        batch_size=32, channel_base=512, channel_max=64, lr=1e-3, ema_half_life_nimg=2000
    ),
}


def build(config: Config, spec: Spec) -> Relativistic:
    """A new dense GAN for pictures as in `spec`; InputError when its resolution does not fit."""
    d = Discriminator(spec, **_sizes(config))
    return Relativistic(config, build_generator(config, spec), d, resolution=spec.resolution)


def build_generator(config: Config, spec: Spec) -> Generator:
    """The generator alone, untrained."""
    return Generator(spec, z_dim=config.z_dim, **_sizes(config))


def _sizes(config: Config) -> dict[str, Any]:
    """What both networks have alike."""
    sizes = {"base": config.channel_base, "most": config.channel_max, "blocks": config.blocks}
    return sizes | {"block": DenseBlock, "low_stages": config.bf16_stages}
