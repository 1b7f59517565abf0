"""StyleGAN, the first (Karras et al. 2019, arXiv:1812.04948), grown progressively (2018, arXiv:1710.10196).

Pictures of 8 px first; each next size fades in over a number of images and then settles. The larger the
pictures are, the smaller is the batch. Non-saturating loss with R1, or WGAN-GP. Networks: `nn/stylegan1`.
"""

from collections.abc import Iterable
from typing import Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from mien.core.ranks import drawn
from mien.core.types import Batch, Phase, Progress, Spec
from mien.models._base import logistic, logs
from mien.models._styles import StyleConfig, StyleGame
from mien.nn.penalty import squared_gradient
from mien.nn.stylegan1 import ONE, Discriminator, Generator, doubled, halved, level_at, shown

_DRIFT = 0.001  # WGAN-GP: keeps scores of reals near zero (arXiv:1710.10196, appendix A.1)


class Config(StyleConfig):
    """Every number of the family."""

    batch_base: int = Field(
        2048, ge=16, le=1_048_576, description="pictures a step are this over the size being learnt"
    )
    batch_min: int = Field(8, ge=2, le=65_536, description="fewest pictures a step")
    first_size: Literal[4, 8] = Field(8, description="pixels along a side at the beginning")
    stable_nimg: int = Field(
        600_000, ge=1, le=10**12, description="images that every size is trained for alone"
    )
    fade_nimg: int = Field(600_000, ge=0, le=10**12, description="images during which a new size fades in")
    mapping_layers: int = Field(8, ge=1, le=64, description="full layers from z to w")
    w_average_decay: float = Field(0.995, ge=0, lt=1, description="decay of the running mean of w")
    lr: float = Field(1e-3, gt=0, le=10, description="learning rate of both networks (Adam)")
    loss: Literal["r1", "wgan-gp"] = Field("r1", description="non-saturating with R1, or WGAN-GP")
    gamma: float = Field(10.0, gt=0, le=1e6, description="weight of R1 (halved) or of the gradient penalty")


PRESETS = {
    "default": Config(),
    "wgan-gp": Config(loss="wgan-gp"),
    "tiny": Config(  # for two CPU cores at 32 px
        **{"batch_base": 256, "batch_min": 16, "stable_nimg": 8000, "fade_nimg": 4000, "lr": 3e-3},
        **{"z_dim": 64, "w_dim": 64, "mapping_layers": 4, "channel_base": 512, "channel_max": 48},
        **{"embed_layers": 2, "ema_half_life_nimg": 2000},
    ),
}


def build_generator(config: Config, spec: Spec) -> Generator:
    """The generator alone, untrained and not grown."""
    return Generator(
        spec,
        z_dim=config.z_dim,
        w_dim=config.w_dim,
        mapping_layers=config.mapping_layers,
        base=config.channel_base,
        most=config.channel_max,
        first=config.first_size,
        average_decay=config.w_average_decay,
    )


class StyleGan1(StyleGame):
    """The networks, their growth, optimisers and losses; InputError when the resolution does not fit."""

    def __init__(self, config: Config, spec: Spec) -> None:
        self.config, self._gamma = config, config.gamma
        d = Discriminator(
            spec,
            base=config.channel_base,
            most=config.channel_max,
            first=config.first_size,
            stddev_group=config.stddev_group,
            embed_layers=config.embed_layers,
        )
        self.networks: dict[str, nn.Module] = {"g": build_generator(config, spec), "d": d}
        self.optimizers: dict[str, Optimizer] = {
            name: Adam(network.parameters(), lr=config.lr, betas=(0.0, config.beta2), eps=1e-8)
            for name, network in self.networks.items()
        }
        self._grow(0)

    def begin_step(self, progress: Progress) -> None:
        """Growth by images seen, and what the divergence guard asks."""
        self._grow(progress.nimg)
        for optimizer in self.optimizers.values():
            optimizer.param_groups[0]["lr"] = self.config.lr * progress.lr_scale
        self._gamma = self.config.gamma * progress.gamma_scale

    def _grow(self, nimg: int) -> None:
        config, sizes = self.config, self._g.synthesis.sizes
        level = level_at(nimg, stable=config.stable_nimg, fade=config.fade_nimg, sizes=len(sizes))
        self._g.synthesis.level.fill_(level)
        self._d.level.fill_(level)
        top, self._share = shown(level)
        self._size, self._level = sizes[top], level / ONE
        self.batch_size = max(config.batch_base // self._size, config.batch_min)

    def phases(self, progress: Progress) -> Iterable[Phase]:
        """Discriminator with its penalty, generator."""
        yield Phase("d", "d", full_precision=True)
        yield Phase("g", "g")

    def loss(self, phase: Phase, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one phase; see the module's docstring for its source."""
        if phase.name == "g" and self.config.loss == "wgan-gp":
            loss = -self.score(self.fakes(batch), batch).mean()
            return loss, {"Loss/G/loss": loss.detach()}
        if phase.name == "g":
            return self.generator_loss(batch)
        with torch.no_grad():
            fakes = self.fakes(batch)
        reals = self._seen(batch.images)
        learn = self._critic if self.config.loss == "wgan-gp" else self._logistic
        return learn(reals, fakes, batch)

    def _logistic(self, reals: Tensor, fakes: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        reals = reals.detach().requires_grad_(True)
        real, fake = self.score(reals, batch), self.score(fakes, batch)
        loss = logistic(real, fake)
        r1 = squared_gradient(real, reals).mean()
        logged = logs(loss, real, fake, sign=real) | {"Loss/r1_penalty": r1.detach()}
        return loss + r1 * (self._gamma / 2), logged | self._log_level(loss)

    def _critic(self, reals: Tensor, fakes: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Holds the score's slope between reals and fakes at 1 (Gulrajani et al. 2017, arXiv:1704.00028)."""
        real, fake = self.score(reals, batch), self.score(fakes, batch)
        loss = fake.mean() - real.mean()
        where = drawn(torch.rand, (len(reals), 1, 1, 1), batch.rng)
        between = torch.lerp(reals, fakes, where).requires_grad_(True)
        slope = (squared_gradient(self.score(between, batch), between) + 1e-12).sqrt()
        penalty = (slope - 1).square().mean()
        total = loss + penalty * self._gamma + real.square().mean() * _DRIFT
        logged = logs(loss, real, fake)  # the sign of the difference: a critic's zero means nothing
        logged |= {"Loss/gradient_penalty": penalty.detach(), "Loss/slope": slope.detach().mean()}
        return total, logged | self._log_level(loss)

    def _log_level(self, loss: Tensor) -> dict[str, Tensor]:
        return {"Progress/level": torch.tensor(self._level, device=loss.device)}

    def _seen(self, images: Tensor) -> Tensor:
        """The reals as they look at the present size, faded like the fakes."""
        images = F.avg_pool2d(images, images.shape[-1] // self._size)
        return images if self._share == 1 else torch.lerp(doubled(halved(images)), images, self._share)

    def layers(self) -> int:
        """How many styles the present size takes."""
        return self._g.synthesis.layers()

    @property
    def _g(self) -> Generator:
        return cast(Generator, self.networks["g"])

    @property
    def _d(self) -> Discriminator:
        return cast(Discriminator, self.networks["d"])


build = StyleGan1
