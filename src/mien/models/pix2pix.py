"""pix2pix: what pictures are to become, learnt from pairs (Isola et al. 2017, arXiv:1611.07004).

A U-Net that is near its targets (L1) and that a discriminator of patches, which sees input and output beside
each other, cannot tell from them. Its only noise is dropout.

The product is the averaged generator, without dropout unless `noise_at_test`. Batch norm then takes the means
of training, so that a picture's result depends on no other. The paper's batches of one normalise each picture
by itself, in training and after it: that is instance norm, and what the preset `paper` says.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from mien.core.family import FamilyConfig
from mien.core.ranks import drawn
from mien.core.types import Batch, Phase, Progress, Spec
from mien.models._base import Stateless, logistic, logs
from mien.nn.lpips import Perceptual
from mien.nn.patch_gan import Norm, PatchGan
from mien.nn.unet import Translator


def jittered(sides: Sequence[Tensor], share: float, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Enlarge pictures by `share` of a side and cut them back at random places, the same on every side.

    sides: float [N, C, H, H] in [-1, 1] each, which stay as they are; returns new ones of the same shapes.
    """
    side = sides[0].shape[-1]
    large = round(side * (1 + share))
    if large == side:
        return tuple(sides)
    count, device = len(sides[0]), sides[0].device
    at = drawn(partial(torch.randint, large - side + 1), (count, 2), rng).tolist()
    with torch.autocast(device.type, enabled=False):
        both = F.interpolate(torch.cat(tuple(sides), dim=1).float(), (large, large), mode="bicubic")
        cut = torch.stack([p[:, y : y + side, x : x + side] for p, (y, x) in zip(both, at, strict=True)])
        parts = torch.split(cut.clamp(-1, 1), [pictures.shape[1] for pictures in sides], dim=1)
    return tuple(part.contiguous(memory_format=torch.channels_last) for part in parts)


KIND = "translator"
PRODUCT = "g"


class Config(FamilyConfig):
    """Every number of the family."""

    held_out: float = Field(0.1, gt=0, lt=1, description="share of the people that is kept out, for testing")
    batch_size: int = Field(16, ge=1, le=65_536, description="pairs a step")
    width: int = Field(
        64, ge=1, le=4096, description="channels of the generator's first layer; doubled to 8 times"
    )
    width_d: int = Field(
        64, ge=1, le=4096, description="channels of the discriminator's first layer, likewise"
    )
    d_layers: int = Field(3, ge=1, le=6, description="halvings in it: 1 sees 16 px, 2 34, 3 70")
    norm: Norm = Field("batch", description="batch; or instance, which is batch norm of a batch of one")
    dropout: float = Field(0.5, ge=0, lt=1, description="share of the decoder's first layers that is dropped")
    noise_at_test: bool = Field(False, description="drop, always the same, after training too (the paper)")
    loss: Literal["vanilla", "relativistic"] = Field("vanilla", description="the adversarial loss")
    l1: float = Field(100.0, ge=0, le=1e6, description="weight of the distance to the target (L1)")
    perceptual: float = Field(
        0.0, ge=0, le=1e6, description="weight of the distance in layers of a random VGG"
    )
    d_gain: float = Field(0.5, gt=0, le=1e6, description="factor on the discriminator's loss")
    lr: float = Field(
        2e-4, gt=0, le=10, description="learning rate (Adam); from the middle of the budget it falls to 0"
    )
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's first moment decay; the second is 0.999")
    jitter: float = Field(
        30 / 256, ge=0, lt=1, description="pairs are enlarged by this share and cut out somewhere"
    )
    edges: bool = Field(False, description="the input's edges are looked at, not the input")
    ema_half_life_nimg: float = Field(
        1000, ge=0, le=1e12, description="half-life of the averaged generator, in images"
    )


PRESETS = {
    "default": Config(),
    "paper": Config(batch_size=1, norm="instance", noise_at_test=True, ema_half_life_nimg=0),
    # For 64 px on a CPU. Aligned faces are tested at the size they have: little is gained by enlarging them.
    "quick": Config(batch_size=8, width=32, width_d=32, d_layers=2, lr=1e-3, jitter=2 / 64),
}


def sides(config: Config) -> Literal["pairs"]:
    """It learns from pairs."""
    return "pairs"


def build_product(config: Config, spec: Spec) -> Translator:
    """The generator alone, untrained."""
    return Translator(
        spec,
        width=config.width,
        norm=config.norm,
        dropout=config.dropout,
        edges=config.edges,
        noise=config.noise_at_test,
    )


class Pix2Pix(Stateless):
    """The networks, their optimisers and losses; InputError for sizes that do not fit."""

    def __init__(self, config: Config, spec: Spec) -> None:
        self.config, self.batch_size = config, config.batch_size
        bias = config.loss == "vanilla"
        d = PatchGan(spec, width=config.width_d, layers=config.d_layers, norm=config.norm, bias=bias)
        self.networks: dict[str, nn.Module] = {PRODUCT: build_product(config, spec), "d": d}
        self.optimizers: dict[str, Optimizer] = {
            name: Adam(network.parameters(), lr=config.lr, betas=(config.beta1, 0.999))
            for name, network in self.networks.items()
        }
        self._perceptual = Perceptual() if config.perceptual else None

    def begin_step(self, progress: Progress) -> None:
        """The rate as configured for the first half of the budget, then straight down to 0."""
        share = min(1.0, 2 * (1 - progress.fraction))
        for optimizer in self.optimizers.values():
            optimizer.param_groups[0]["lr"] = self.config.lr * share * progress.lr_scale

    def phases(self, progress: Progress) -> Iterable[Phase]:
        """The discriminator first, as in the authors' code."""
        return (Phase("d", "d", gain=self.config.d_gain), Phase("g", PRODUCT))

    def loss(self, phase: Phase, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Equations 1 to 4 of the paper, or the relativistic pairing loss patch by patch."""
        if batch.others is None:
            raise ValueError("pix2pix needs the targets of its pictures")
        inputs, targets = jittered((batch.images, batch.others), self.config.jitter, batch.rng)
        learn = self._tell_apart if phase.name == "d" else self._generate
        return learn(inputs, targets, batch)

    def _tell_apart(self, inputs: Tensor, targets: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            fakes = self._g(inputs, batch.rng)
        real, fake = self._scores(inputs, targets, batch), self._scores(inputs, fakes, batch)
        vanilla = self.config.loss == "vanilla"
        loss = logistic(real, fake) if vanilla else F.softplus(fake - real).mean()
        return loss, logs(loss, real, fake, sign=real if vanilla else None)

    def _generate(self, inputs: Tensor, targets: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        fakes = self._g(inputs, batch.rng)
        fake = self._scores(inputs, fakes, batch)
        if self.config.loss == "vanilla":
            realism = F.softplus(-fake).mean()
        else:
            with torch.no_grad():
                real = self._scores(inputs, targets, batch)
            realism = F.softplus(real - fake).mean()
        distance = F.l1_loss(fakes, targets)
        loss = realism + self.config.l1 * distance
        losses = {"realism": realism, "l1": distance}
        if self._perceptual is not None:
            losses["perceptual"] = self._perceptual(fakes, targets)
            loss = loss + self.config.perceptual * losses["perceptual"]
        return loss, {f"Loss/G/{name}": value.detach() for name, value in (losses | {"loss": loss}).items()}

    def _scores(self, inputs: Tensor, pictures: Tensor, batch: Batch) -> Tensor:
        """A score a patch; the run's augmentation disturbs what is judged, never what it is judged by."""
        return cast(Tensor, self.networks["d"](self._g.see(inputs), batch.augment(pictures)))

    @property
    def _g(self) -> Translator:
        return cast(Translator, self.networks[PRODUCT])


build = Pix2Pix
