"""noise2noise: learns to clean pictures without ever seeing a clean one.

Lehtinen et al. 2018 (arXiv:1803.04189). Asked for one noisy picture and given another of the same thing, a
network answers with their mean (L2), median (L1) or mode (annealed L0): the clean picture, where the noise
leaves that as it is.
"""

from typing import Literal

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from mien.core import ranks
from mien.core.family import FamilyConfig
from mien.core.types import Batch, Dataset, Lesson, Phase, Progress, Spec
from mien.core.views import View
from mien.labels.split import split_people
from mien.models._base import SingleNetwork, cosine
from mien.nn.denoise_unet import Denoiser
from mien.nn.noise import Noise, noise

KIND = "denoiser"
PRODUCT = "net"

_LOSSES = {"text": "l1", "impulse": "l0"}  # of which clean pictures are the median, the mode; else l2
_EPSILON = 1e-8  # of the paper's L0
_RAMP = 0.3  # the share of the budget over which the learning rate falls


class Config(FamilyConfig):
    """Every number of the family."""

    noise: Literal["gaussian", "poisson", "text", "impulse", "pairs"] = Field(
        "gaussian", description="what spoils pictures; pairs: two noisy ones of each are given"
    )
    strength: str = Field(
        "",
        description="of the noise, 25 or 0-50 for a blind model: deviation of 255 (gaussian), photons of the"
        ' brightest level (poisson), share covered (text, impulse); "" is about the paper\'s',
    )
    targets: Literal["noisy", "clean"] = Field(
        "noisy", description="what is to come out; of pairs: whether the second is noisy too"
    )
    loss: Literal["auto", "l2", "l1", "l0"] = Field(
        "auto",
        description="l0: from l2 down to l0 over the budget; auto: l1 for text, l0 for impulse, else l2",
    )
    clip: bool = Field(True, description="cut noisy inputs, never targets, to the range that files can hold")
    crop: int = Field(
        128, ge=16, le=8192, description="of larger pictures a random square of this many pixels is learnt"
    )
    held_out: float = Field(0.1, gt=0, lt=1, description="share of the people that is kept out, for testing")
    batch_size: int = Field(4, ge=1, le=65_536, description="pictures a step; many small steps learn faster")
    width: int = Field(
        48, ge=2, le=4096, description="channels of the encoder; the decoder has twice as many"
    )
    levels: int = Field(5, ge=2, le=7, description="times that the network halves a picture")
    residual: bool = Field(False, description="find what is to be added to the input, not the picture itself")
    lr: float = Field(
        3e-4, gt=0, le=10, description="learning rate (Adam); falls to 0 over the last 30 % of the budget"
    )
    beta2: float = Field(0.99, ge=0, lt=1, description="Adam's second moment decay; the first is 0.9")
    ema_half_life_nimg: float = Field(
        1000, ge=0, le=1e12, description="half-life of the averaged network, in images"
    )

    @field_validator("strength")
    @classmethod
    def _fits(cls, strength: str, info: ValidationInfo) -> str:
        if strength and (kind := info.data.get("noise", "pairs")) != "pairs":
            noise(kind, strength)
        return strength


PRESETS = {
    "default": Config(),  # the paper's
    "quick": Config(width=24, residual=True, lr=2e-3),  # for minutes on a CPU
    "blind": Config(strength="0-50"),
}


def sides(config: Config) -> Literal["one", "pairs"]:
    """Pairs where they are noisy already; else pictures, which are made noisy here."""
    return "pairs" if config.noise == "pairs" else "one"


def lesson(config: Config, dataset: Dataset) -> Lesson:
    """Keep people out for testing; labels are not learnt."""
    split = split_people(dataset.records, share=config.held_out)
    train, held_out = (View(dataset, side, labels=None, class_names=()) for side in split[:2])
    summary = f"learns from {len(train):,} pictures; {len(held_out):,} kept out {split.how}"
    return Lesson(train, held_out, how=split.how, notes=(summary,))


def build_product(config: Config, spec: Spec) -> Denoiser:
    """The network alone, untrained."""
    return Denoiser(spec, width=config.width, levels=config.levels, residual=config.residual)


def noise_of(config: Config) -> Noise | None:
    """What is added to pictures; None where they come in noisy pairs."""
    return None if config.noise == "pairs" else noise(config.noise, config.strength)


class Noise2Noise(SingleNetwork):
    """The network, its optimiser, its noise and its loss."""

    ramp = 0.05

    def __init__(self, config: Config, spec: Spec) -> None:
        self.config, self.batch_size = config, config.batch_size
        self.exponent = 2.0
        self._noise = noise_of(config)
        self._loss = _LOSSES.get(config.noise, "l2") if config.loss == "auto" else config.loss
        net = build_product(config, spec)
        self.networks: dict[str, nn.Module] = {PRODUCT: net}
        optimizer = Adam(net.parameters(), lr=config.lr, betas=(0.9, config.beta2))
        self.optimizers: dict[str, Optimizer] = {PRODUCT: optimizer}

    def begin_step(self, progress: Progress) -> None:
        """The learning rate falls at the end, as a squared cosine; l0's exponent falls from 2 to 0."""
        late = max(0.0, (progress.fraction - (1 - _RAMP)) / _RAMP)
        share = cosine(1.0, 0.0, late) ** 2
        self.optimizers[PRODUCT].param_groups[0]["lr"] = self.config.lr * share * progress.lr_scale
        self.exponent = 2 * (1 - progress.fraction)

    def loss(self, phase: Phase, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """How far what comes out is from the target."""
        given, target = self.drawn(batch)
        loss = distance(self.networks[PRODUCT](given), target, self._loss, self.exponent)
        return loss, {"Loss/net/loss": loss.detach()}

    def drawn(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What goes in, and what is to come out: spoilt pictures that share nothing but the clean one."""
        if self._noise is None:
            return self._of_pairs(batch)
        (clean,) = crop(self.config.crop, batch.rng, batch.images)
        given = self._noise(clean, batch.rng)
        target = clean if self.config.targets == "clean" else self._noise(clean, batch.rng)
        return given.clamp(-1, 1) if self.config.clip else given, target

    def _of_pairs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Of two noisy pictures either may be the target."""
        if batch.others is None:
            raise ValueError("noise=pairs learns from pairs")
        one, two = crop(self.config.crop, batch.rng, batch.images, batch.others)
        if self.config.targets == "clean":
            return one, two
        turned = ranks.drawn(torch.rand, (len(one), 1, 1, 1), batch.rng) < 0.5
        return torch.where(turned, two, one), torch.where(turned, one, two)


build = Noise2Noise


def distance(output: Tensor, target: Tensor, loss: str, exponent: float) -> Tensor:
    """Mean over all values of the squared (l2) or absolute (l1) difference, or its power (l0)."""
    difference = output - target
    if loss == "l2":
        return difference.square().mean()
    if loss == "l1":
        return difference.abs().mean()
    # Over 2, since the paper's pictures are in [0, 1].
    return (difference.abs() / 2 + _EPSILON).pow(exponent).mean()


def crop(side: int, rng: torch.Generator, *sets: Tensor) -> list[Tensor]:
    """Random squares of at most `side` pixels, of all sets [N, C, H, W] the same."""
    height, width = sets[0].shape[-2:]
    spare = torch.tensor([max(height - side, 0), max(width - side, 0)])
    if not spare.any():
        return list(sets)
    count = len(sets[0])
    drawn = ranks.drawn(torch.rand, (count, 2), rng).cpu()
    corners = (drawn * (spare + 1)).long().minimum(spare).tolist()
    return [
        torch.stack([p[:, y : y + side, x : x + side] for p, (y, x) in zip(pictures, corners, strict=True)])
        for pictures in sets
    ]
