"""DCGAN (Radford et al. 2016, arXiv:1511.06434): binary cross-entropy, batch norm in both networks."""

from collections.abc import Iterable

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from mien.core.family import FamilyConfig
from mien.core.types import Batch, Phase, Progress, Spec
from mien.models._base import LatentGame, logistic, logs
from mien.nn.strided import Discriminator, Generator


class Config(FamilyConfig):
    """Every number of the family."""

    batch_size: int = Field(64, ge=2, le=65_536, description="pictures a step")
    z_dim: int = Field(100, ge=1, le=8192, description="size of a latent")
    width_g: int = Field(64, ge=1, le=4096, description="channels of the generator's last layer but one")
    width_d: int = Field(64, ge=1, le=4096, description="channels of the discriminator's first layer")
    max_width: int = Field(512, ge=1, le=8192, description="most channels of any layer")
    lr_g: float = Field(2e-4, gt=0, le=10, description="learning rate of the generator (Adam)")
    lr_d: float = Field(2e-4, gt=0, le=10, description="learning rate of the discriminator (Adam)")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's first moment decay")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's second moment decay")
    ema_half_life_nimg: float = Field(
        0, ge=0, le=1e12, description="half-life of the averaged generator, in images"
    )


# The two runs of the mugshot project.
PRESETS = {
    "default": Config(),
    "mugshot-1": Config(batch_size=64, lr_g=2e-4, lr_d=2e-4),
    "mugshot-2": Config(batch_size=128, lr_g=1e-3, lr_d=1e-4),
}


def build_generator(config: Config, spec: Spec) -> Generator:
    """The generator alone, untrained."""
    return Generator(spec, z_dim=config.z_dim, width=config.width_g, max_width=config.max_width)


class Dcgan(LatentGame):
    """The networks, their optimisers and the two losses; InputError when the resolution does not fit."""

    ramp = None  # the published runs kept no average (a half-life of 0)

    def __init__(self, config: Config, spec: Spec) -> None:
        self.config, self.batch_size = config, config.batch_size
        g = build_generator(config, spec)
        d = Discriminator(
            spec, width=config.width_d, max_width=config.max_width, norm=True, stddev_group=1, bias=True
        )
        betas = (config.beta1, config.beta2)
        self.networks: dict[str, nn.Module] = {"g": g, "d": d}
        self.optimizers: dict[str, Optimizer] = {
            "g": Adam(g.parameters(), lr=config.lr_g, betas=betas),
            "d": Adam(d.parameters(), lr=config.lr_d, betas=betas),
        }

    def begin_step(self, progress: Progress) -> None:
        """Constant learning rates, scaled by the divergence guard alone."""
        for name, rate in (("g", self.config.lr_g), ("d", self.config.lr_d)):
            self.optimizers[name].param_groups[0]["lr"] = rate * progress.lr_scale

    def phases(self, progress: Progress) -> Iterable[Phase]:
        """The discriminator first, as in the paper's code of practice."""
        return (Phase("d", "d"), Phase("g", "g"))

    def loss(self, phase: Phase, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Binary cross-entropy, with the non-saturating form for the generator (Goodfellow et al. 2014)."""
        if phase.name == "g":
            return self.generator_loss(batch)
        with torch.no_grad():
            fakes = self.fakes(batch)
        real, fake = self.score(batch.images, batch), self.score(fakes, batch)
        loss = logistic(real, fake)
        return loss, logs(loss, real, fake, sign=real)

    def depends_on(self, phase: Phase) -> None:
        """See `Capturable`: nothing else."""


build = Dcgan
