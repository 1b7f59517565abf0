"""StyleGAN2 (Karras et al. 2020, arXiv:1912.04958) as trained in StyleGAN2-ADA (arXiv:2006.06676).

Non-saturating logistic loss, R1 and path-length regularisation as lazy phases (arXiv:1912.04958, appendix B),
style mixing, an averaged generator whose half-life ramps up. Networks: `nn/stylegan2_*`.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from pydantic import Field
from pydantic.config import JsonDict
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from mien.core import ranks
from mien.core.types import Batch, Phase, Progress, Spec
from mien.models._base import cosine, logistic, logs
from mien.models._styles import StyleConfig, StyleGame
from mien.nn.equalised import Conventions
from mien.nn.penalty import squared_gradient
from mien.nn.stylegan2_discriminator import DArchitecture, Discriminator
from mien.nn.stylegan2_generator import GArchitecture, Generator

_PATH_DECAY = 0.01  # of the running mean of path lengths
_TAPS = r"^-?\d{1,9}(\.\d{1,9})?(,-?\d{1,9}(\.\d{1,9})?){0,31}$"
_LATER: JsonDict = {"since": "0.2"}  # files and runs from before lack these and are as they default to


class Config(StyleConfig):
    """Every number of the family."""

    batch_size: int = Field(32, ge=2, le=65_536, description="pictures a step")
    mapping_layers: int = Field(2, ge=1, le=64, description="full layers from z to w")
    g_architecture: GArchitecture = Field("skip", description="generator: skip, resnet or orig")
    d_architecture: DArchitecture = Field("resnet", description="discriminator: resnet, skip or orig")
    noise: bool = Field(True, description="the generator's layers add noise", json_schema_extra=_LATER)
    resample_filter: str = Field(
        "1,3,3,1",
        pattern=_TAPS,
        description="taps of the low-pass filter of resampling",
        json_schema_extra=_LATER,
    )
    conv_clamp: float | None = Field(
        None,
        gt=0,
        le=1e6,
        description="layers' outputs are held within plus and minus this; none: colours alone, at 256",
        json_schema_extra=_LATER,
    )
    bf16_blocks: int = Field(
        8,
        ge=0,
        le=64,
        description="how many of the finest resolutions compute in bfloat16 where the run does",
    )
    w_average_decay: float = Field(0.998, ge=0, lt=1, description="decay of the running mean of w")
    lr: float = Field(0.0025, gt=0, le=10, description="learning rate of both networks (Adam)")
    lr_final: float = Field(1.0, gt=0, le=1, description="share of lr left at the end of the budget (cosine)")
    gamma: float | None = Field(
        None, ge=0, le=1e6, description="weight of R1; by default .0002 resolution^2 / batch_size"
    )
    r1_interval: int = Field(16, ge=1, le=65_536, description="steps between two R1 phases")
    path_weight: float = Field(
        2.0, ge=0, le=1e6, description="weight of the path-length regulariser; 0 leaves it out"
    )
    path_interval: int = Field(4, ge=1, le=65_536, description="steps between two path-length phases")
    path_batch_share: float = Field(0.5, gt=0, le=1, description="share of a batch that a path phase takes")


def conventions(config: Config) -> Conventions:
    """What the layers of both networks do alike. Raises InputError for a filter that sums to nothing."""
    taps = tuple(map(float, config.resample_filter.split(",")))
    return Conventions(taps, config.conv_clamp, config.noise)


_COLUMNS = (
    *("batch_size", "channel_base", "channel_max", "mapping_layers", "lr", "gamma"),
    *("ema_half_life_nimg", "ema_ramp", "path_weight", "mixing", "d_architecture", "bf16_blocks"),
)
_TABLE: dict[str, tuple[Any, ...]] = {
    #          batch   base  max  map      lr gamma  ema_nimg  ramp path  mix  D         bf16
    "auto":     (32, 16384, 512,   2, 0.0025, None,   10_000, 0.05, 2.0, 0.9, "resnet", 8),
    "small":    (32,  2048, 512,   2, 0.0025, None,   10_000, 0.05, 2.0, 0.9, "resnet", 8),  # CPU, 64 px
    "paper256": (64, 16384, 512,   8, 0.0025, 1.0,    20_000, None, 2.0, 0.9, "resnet", 4),
    "cifar":    (64, 16384, 512,   2, 0.0025, 0.01,  500_000, 0.05, 0.0, 0.0, "orig",   4),
}  # fmt: skip
PRESETS = {
    "default": Config(),
    **{name: Config(**dict(zip(_COLUMNS, row, strict=True))) for name, row in _TABLE.items()},
    # To see heads at 32 px after some minutes on one core.
    "tiny": Config(batch_size=16, z_dim=64, w_dim=64, channel_base=512, channel_max=64),
}


def build_generator(config: Config, spec: Spec) -> Generator:
    """The generator alone, untrained."""
    return Generator(
        spec,
        z_dim=config.z_dim,
        w_dim=config.w_dim,
        mapping_layers=config.mapping_layers,
        base=config.channel_base,
        most=config.channel_max,
        architecture=config.g_architecture,
        how=conventions(config),
        average_decay=config.w_average_decay,
        low_blocks=config.bf16_blocks,
    )


class StyleGan2(StyleGame):
    """The networks, their optimisers and four kinds of phase; InputError when the resolution does not fit."""

    def __init__(self, config: Config, spec: Spec) -> None:
        self.config, self.batch_size = config, config.batch_size
        default = 0.0002 * spec.resolution**2 / config.batch_size
        self._gamma = self._base_gamma = default if config.gamma is None else config.gamma
        self._path_mean = torch.zeros([])
        g = build_generator(config, spec)
        d = Discriminator(
            spec,
            base=config.channel_base,
            most=config.channel_max,
            architecture=config.d_architecture,
            stddev_group=config.stddev_group,
            embed_layers=config.embed_layers,
            low_blocks=config.bf16_blocks,
            how=conventions(config),
        )
        self.networks: dict[str, nn.Module] = {"g": g, "d": d}
        # Lazy phases take steps of their own: learning rate and decay shrink to match (appendix B).
        path = config.path_interval if config.path_weight else 0
        self._shares = {"g": _share(path), "d": _share(config.r1_interval if self._base_gamma else 0)}
        self.optimizers: dict[str, Optimizer] = {
            name: Adam(
                network.parameters(),
                lr=config.lr * self._shares[name],
                betas=(0.0, config.beta2 ** self._shares[name]),
                fused=True,
            )
            for name, network in self.networks.items()
        }

    def begin_step(self, progress: Progress) -> None:
        """Cosine from lr to lr * lr_final over the budget, times what the divergence guard asks."""
        share = cosine(1.0, self.config.lr_final, progress.fraction)
        for name, optimizer in self.optimizers.items():
            optimizer.param_groups[0]["lr"] = self.config.lr * self._shares[name] * share * progress.lr_scale
        self._gamma = self._base_gamma * progress.gamma_scale

    def phases(self, progress: Progress) -> Iterable[Phase]:
        """Generator, discriminator, and now and then their regularisers with the interval as gain."""
        config = self.config
        yield Phase("g", "g")
        if config.path_weight and progress.step % config.path_interval == 0:
            yield Phase("path", "g", gain=config.path_interval, full_precision=True)
        yield Phase("d", "d")
        if self._base_gamma and progress.step % config.r1_interval == 0:
            yield Phase("r1", "d", gain=config.r1_interval, full_precision=True)

    def loss(self, phase: Phase, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one phase; see the module's docstring for its source."""
        losses = {"g": self.generator_loss, "path": self._path, "d": self._discriminator, "r1": self._r1}
        return losses[phase.name](batch)

    def _discriminator(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            fakes = self.fakes(batch)
        fake, real = self.score(fakes, batch), self.score(batch.images, batch)
        loss = logistic(real, fake)
        return loss, logs(loss, real, fake, sign=real)

    def _r1(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        images = batch.images.detach().requires_grad_(True)
        penalty = squared_gradient(self.score(images, batch), images).mean()
        return penalty * (self._gamma / 2), {"Loss/r1_penalty": penalty.detach()}

    def _path(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 4: the lengths of J^T y, y normal noise in picture space, are held to their running mean."""
        total = ranks.total(len(batch.images))
        count = max(ranks.count(), round(total * self.config.path_batch_share))
        labels = None if batch.labels is None else ranks.whole(batch.labels)[:count]
        with ranks.dealt(count) as (rows, weight):
            part = replace(batch, labels=None if labels is None else ranks.own(labels))
            penalty, logs = self._path_of(part, rows)
        return penalty * (self.config.path_weight * weight), {k: v * weight for k, v in logs.items()}

    def _path_of(self, batch: Batch, count: int) -> tuple[Tensor, dict[str, Tensor]]:
        ws = self.styles(batch, count)
        images = self.generator.synthesis(ws, noise="random", rng=batch.rng)
        noise = ranks.drawn(torch.randn, images.shape, batch.rng)
        product = (images * noise).sum() / math.sqrt(images.shape[2] * images.shape[3])
        (gradient,) = torch.autograd.grad(product, ws, create_graph=True)
        lengths = gradient.square().sum(dim=2).mean(dim=1).sqrt()
        if self._path_mean.device != lengths.device:
            self._path_mean = self._path_mean.to(lengths.device)
        self._path_mean.lerp_(ranks.mean(lengths.detach()), _PATH_DECAY)
        penalty = (lengths - self._path_mean).square().mean()
        return penalty, {"Loss/pl_penalty": penalty.detach(), "Loss/G/path_length": lengths.detach().mean()}

    def depends_on(self, phase: Phase) -> float:
        """See `Capturable`: gamma, which a rescue changes."""
        return self._gamma

    def state_dict(self) -> dict[str, Any]:
        """The running mean of path lengths."""
        return {"path_mean": self._path_mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self._path_mean = state["path_mean"].clone()


build = StyleGan2


def _share(interval: int) -> float:
    """What is left of a learning rate when a lazy phase adds a step every `interval` (0: never)."""
    return interval / (interval + 1) if interval else 1.0
