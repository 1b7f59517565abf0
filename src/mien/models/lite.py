"""lite: DCGAN's topology with a mapped latent and a modern game, the default on a CPU.

Relativistic pairing loss (Jolicoeur-Martineau 2018, arXiv:1807.00734; Huang et al. 2024, arXiv:2501.05441,
Eq. 2) with R1 and R2 penalties as a lazy phase (Karras et al. 2020, arXiv:1912.04958, appendix B), batch norm
in the generator only and modulated by w (Chen et al. 2018, arXiv:1810.01365), minibatch standard deviation,
averaged generator, updates held while Adam's second moments lag (Wortsman et al. 2023, arXiv:2304.13013).
With labels the discriminator also learns that a real picture with another's labels is wrong (Reed et al.
2016, arXiv:1605.05396, GAN-CLS).
"""

import math
from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.config import JsonDict
from torch import Tensor, nn
from torch.optim import Optimizer

from mien.core import ranks
from mien.core.family import FamilyConfig
from mien.core.types import Batch, Phase, Progress, Spec
from mien.models._base import PairingGame, cosine, logs
from mien.nn.penalty import squared_gradient
from mien.nn.self_modulated import ModulatedGenerator
from mien.nn.stable_adam import StableAdam
from mien.nn.strided import Discriminator, Generator

_LATER: JsonDict = {"since": "0.2"}  # files and runs from before lack these and are as they default to


class Config(FamilyConfig):
    """Every number of the family."""

    batch_size: int = Field(64, ge=2, le=65_536, description="pictures a step")
    z_dim: int = Field(100, ge=1, le=8192, description="size of a latent")
    mapping_layers: int = Field(
        0,
        ge=0,
        le=64,
        description="layers from z to w, which modulates the batch norms; 0: no w, as in 0.1",
        json_schema_extra=_LATER,
    )
    w_dim: int = Field(256, ge=1, le=8192, description="size of w", json_schema_extra=_LATER)
    width_g: int = Field(64, ge=1, le=4096, description="channels of the generator at half size")
    width_d: int = Field(48, ge=1, le=4096, description="channels of the discriminator's first layer")
    max_width: int = Field(512, ge=1, le=8192, description="most channels of any layer")
    full_resolution: bool = Field(
        False,
        description="with w: features at the picture's own size before the last layer; else at half of it",
        json_schema_extra=_LATER,
    )
    lr: float = Field(4e-4, gt=0, le=10, description="learning rate of both networks (Adam)")
    lr_final: float = Field(
        0.25, gt=0, le=1, description="share of lr left at the end of the budget (cosine)"
    )
    beta2: float = Field(0.99, ge=0, lt=1, description="Adam's second moment decay; the first is 0")
    update_clip: float = Field(
        0.0,
        ge=0,
        le=10,
        description="most of an update's root mean square, in learning rates; 0: unbounded, as in 0.1",
        json_schema_extra=_LATER,
    )
    gamma: float = Field(2.0, ge=0, le=1e6, description="weight of the R1 and R2 penalties")
    penalty_interval: int = Field(4, ge=1, le=65_536, description="steps between two penalty phases")
    penalty_bf16: bool = Field(False, description="penalties in bfloat16 too (unstable; for experiments)")
    match_weight: float = Field(
        0.2, ge=0, le=1e6, description="with labels: weight of telling a picture's own labels from another's"
    )
    stddev_group: int = Field(
        4, ge=1, le=65_536, description="samples a minibatch-stddev group; 1 leaves it out"
    )
    ema_half_life_nimg: float = Field(
        2000, ge=0, le=1e12, description="half-life of the averaged generator, in images"
    )


#               mapping  width_g  full resolution  width_d  batch  lr  update_clip  EMA's half-life
_TABLE: dict[str, tuple[int, int, bool, int, int, float, float, float]] = {
    "default": (2, 48, True, 36, 32, 2e-3, 1.0, 10_000),  # the wide one
    "quick": (2, 32, True, 24, 32, 2e-3, 1.0, 10_000),  # half of the cost of an image
    "plain": (0, 64, False, 48, 64, 4e-4, 0.0, 2_000),  # the default of 0.1: no w, DCGAN's generator
    "plain-quick": (0, 32, False, 24, 64, 1e-3, 0.0, 2_000),
}
_QUICK_UNDER = 40.0  # minutes of CPU cores
_WEIGHTS_HELP_FOR = 10.0  # minutes of CPU cores
PRESETS = {
    name: Config(
        mapping_layers=mapping, width_g=g, full_resolution=full, width_d=d, batch_size=batch, lr=lr,
        update_clip=clip, ema_half_life_nimg=ema,
    )
    for name, (mapping, g, full, d, batch, lr, clip, ema) in _TABLE.items()
}  # fmt: skip
# Where pictures are few, the discriminator learns them by heart: docs/experiments.md, "Few pictures".
AUGMENT, AUGMENT_UNDER, ADA_KIMG = "ada", 2_000, 100.0


def preset_for(core_minutes: float) -> str:
    """`quick` as long as more images are worth more than wider layers; figures in docs/experiments.md."""
    return "quick" if core_minutes < _QUICK_UNDER else "default"


def better_from_nothing(core_minutes: float) -> bool:
    """Whether `quick` from nothing passes a run that begins with the packaged model: docs/experiments.md."""
    return _WEIGHTS_HELP_FOR <= core_minutes < math.inf


def build_generator(config: Config, spec: Spec) -> Generator | ModulatedGenerator:
    """The generator alone, untrained."""
    if config.mapping_layers:
        return ModulatedGenerator(
            spec,
            z_dim=config.z_dim,
            w_dim=config.w_dim,
            mapping_layers=config.mapping_layers,
            width=config.width_g,
            max_width=config.max_width,
            full_resolution=config.full_resolution,
        )
    return Generator(spec, z_dim=config.z_dim, width=config.width_g, max_width=config.max_width)


class Lite(PairingGame):
    """The networks, their optimisers, the pairing loss and its penalties.

    Raises InputError when the resolution does not fit.
    """

    def __init__(self, config: Config, spec: Spec) -> None:
        self.config, self.batch_size = config, config.batch_size
        self._gamma = config.gamma
        g = build_generator(config, spec)
        d = Discriminator(
            spec,
            width=config.width_d,
            max_width=config.max_width,
            norm=False,
            stddev_group=config.stddev_group,
            bias=False,
        )
        self.networks: dict[str, nn.Module] = {"g": g, "d": d}
        self.optimizers: dict[str, Optimizer] = {
            name: StableAdam(network.parameters(), most=config.update_clip, lr=config.lr, beta2=config.beta2)
            for name, network in self.networks.items()
        }

    def begin_step(self, progress: Progress) -> None:
        """Cosine from lr to lr * lr_final over the budget, times what the divergence guard asks."""
        share = cosine(1.0, self.config.lr_final, progress.fraction)
        for optimizer in self.optimizers.values():
            optimizer.param_groups[0]["lr"] = self.config.lr * share * progress.lr_scale
        self._gamma = self.config.gamma * progress.gamma_scale

    def phases(self, progress: Progress) -> Iterable[Phase]:
        """Discriminator, now and then its penalty with the interval as gain, generator."""
        yield Phase("d", "d")
        interval = self.config.penalty_interval
        if self.config.gamma and progress.step % interval == 0:
            yield Phase("penalty", "d", gain=interval, full_precision=not self.config.penalty_bf16)
        yield Phase("g", "g")

    def loss(self, phase: Phase, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one phase; see the module's docstring for its source."""
        if phase.name == "penalty":
            return self._penalty(batch)
        return self._discriminator(batch) if phase.name == "d" else self.generator_loss(batch)

    def _discriminator(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            fakes = self.fakes(batch)
        if batch.labels is None:
            real, wrong = self.score(batch.images, batch), None
        else:
            features = self._d.features(batch.augment(batch.images))
            real = self._d.score(features, batch.labels)
            wrong = self._d.score(features, ranks.own(ranks.whole(batch.labels).roll(1, dims=0)))
        fake = self.score(fakes, batch)
        loss = F.softplus(fake - real).mean()
        if wrong is not None:
            # Where both pictures have the same labels the two scores are one, and nothing is learnt.
            loss = loss + self.config.match_weight * F.softplus(wrong - real).mean()
        return loss, logs(loss, real, fake)

    def _penalty(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            fakes = self.fakes(batch)
        real = batch.images.detach().requires_grad_(True)
        fake = fakes.detach().requires_grad_(True)
        r1 = squared_gradient(self.score(real, batch), real).mean()
        r2 = squared_gradient(self.score(fake, batch), fake).mean()
        loss = (r1 + r2) * (self._gamma / 2)
        return loss, {"Loss/r1_penalty": r1.detach(), "Loss/r2_penalty": r2.detach()}

    def depends_on(self, phase: Phase) -> float:
        """See `Capturable`: gamma, which a rescue changes."""
        return self._gamma

    @property
    def _d(self) -> Discriminator:
        return cast(Discriminator, self.networks["d"])


build = Lite
