"""Base classes of families, and what adversarial ones share: scores, logs, losses, half-lives.

The relativistic pairing loss: Jolicoeur-Martineau 2018 (arXiv:1807.00734); Huang et al. 2024
(arXiv:2501.05441), Eq. 2.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.core.ranks import drawn
from mien.core.types import Batch, Phase, Progress


class Stateless:
    """A trainable whose schedules follow from progress: nothing survives beyond networks and optimisers.

    Its `product` is averaged; config has `ema_half_life_nimg`, and perhaps `ema_ramp` in place of `ramp`.
    """

    config: Any
    networks: dict[str, nn.Module]
    product = "g"
    ramp: float | None = 0.05

    def state_dict(self) -> dict[str, Any]:
        """Nothing beyond networks and optimisers."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take back."""

    def half_lives(self, progress: Progress) -> Mapping[str, float]:
        """The product's, short while little has been seen (StyleGAN2-ADA); ramp None: as configured."""
        ramp = getattr(self.config, "ema_ramp", self.ramp)
        return {self.product: half_life(self.config.ema_half_life_nimg, ramp, progress)}


class SingleNetwork(Stateless):
    """One network, "net", updated once a step."""

    product = "net"
    ramp: float | None = None

    def phases(self, progress: Progress) -> Iterable[Phase]:
        """One update a step."""
        return (Phase("net", "net"),)


class Game(Stateless):
    """A generator "g" against a discriminator "d"."""

    def fakes(self, batch: Batch) -> Tensor:
        """As many fakes as the batch has reals, of the same labels."""
        raise NotImplementedError

    def generator_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The generator's loss of the non-saturating logistic game (Goodfellow et al. 2014)."""
        loss = F.softplus(-self.score(self.fakes(batch), batch)).mean()
        return loss, {"Loss/G/loss": loss.detach()}

    def score(self, images: Tensor, batch: Batch) -> Tensor:
        """Scores [N] of images after the run's augmentation."""
        return cast(Tensor, self.networks["d"](batch.augment(images), batch.labels))


class LatentGame(Game):
    """A game whose generator maps a latent z and labels to images; config has `z_dim`."""

    def fakes(self, batch: Batch) -> Tensor:
        """As many fakes as the batch has reals, of the same labels."""
        shape = (len(batch.images), self.config.z_dim)
        z = drawn(torch.randn, shape, batch.rng)
        return cast(Tensor, self.networks["g"](z, batch.labels))


class PairingGame(LatentGame):
    """The relativistic pairing loss: only differences of scores mean something."""

    def generator_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """softplus(real - fake), with nothing learnt from the reals."""
        fake = self.score(self.fakes(batch), batch)
        with torch.no_grad():
            real = self.score(batch.images, batch)
        loss = F.softplus(real - fake).mean()
        return loss, {"Loss/G/loss": loss.detach()}


def logs(loss: Tensor, real: Tensor, fake: Tensor, *, sign: Tensor | None = None) -> dict[str, Tensor]:
    """What a discriminator's phase logs.

    sign: what is positive where the discriminator is right about a real image; ADA follows its mean sign.
    By default the difference of the scores.
    """
    reading = real - fake if sign is None else sign
    return {
        "Loss/D/loss": loss.detach(),
        "Loss/scores/real": real.detach().mean(),
        "Loss/scores/fake": fake.detach().mean(),
        "Loss/signs/real": reading.detach().sign().mean(),
    }


def logistic(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's loss of the non-saturating logistic game (Goodfellow et al. 2014)."""
    return F.softplus(fake).mean() + F.softplus(-real).mean()


def half_life(full: float, ramp: float | None, progress: Progress) -> float:
    """Half-life of the averaged generator, short while little has been seen (StyleGAN2-ADA's ramp)."""
    return full if ramp is None else min(full, progress.nimg * ramp)


def cosine(start: float, end: float, fraction: float) -> float:
    """From `start` to `end` along half a cosine; `fraction` of the way in [0, 1]."""
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2
