"""R3GAN's game (Huang et al. 2024, arXiv:2501.05441, Eq. 2 and section 3), whatever the networks.

Relativistic pairing loss (Jolicoeur-Martineau 2018, arXiv:1807.00734) with R1 and R2 at every step, taken
with respect to pictures before they are disturbed. Learning rate, Adam's second decay and gamma follow half a
cosine over the budget.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from mien.core.family import FamilyConfig
from mien.core.types import Batch, Phase, Progress
from mien.models._base import PairingGame, cosine, logs
from mien.nn.penalty import squared_gradient


class RelativisticConfig(FamilyConfig):
    """The numbers of the game; a family adds those of its networks."""

    batch_size: int = Field(256, ge=2, le=65_536, description="pictures a step")
    z_dim: int = Field(64, ge=1, le=8192, description="size of a latent")
    lr: float = Field(2e-4, gt=0, le=10, description="learning rate of both networks at first (Adam)")
    lr_final: float = Field(0.25, gt=0, le=1, description="share of lr left at the end of the budget")
    beta2: float = Field(0.9, ge=0, lt=1, description="Adam's second moment decay at first; the first is 0")
    beta2_final: float = Field(0.99, ge=0, lt=1, description="the same at the end of the budget")
    gamma: float | None = Field(
        None, gt=0, le=1e6, description="weight of R1 and R2 at first; by default 2 (resolution / 64)^3.1"
    )
    gamma_final: float = Field(0.1, gt=0, le=1, description="share of gamma left at the end of the budget")
    penalty_bf16: bool = Field(
        True, description="the discriminator's phase in bfloat16 too, penalties with it, where the run is"
    )
    ema_half_life_nimg: float = Field(
        500_000, ge=0, le=1e12, description="half-life of the averaged generator, in images"
    )
    ema_ramp: float = Field(
        0.05, gt=0, le=1e6, description="the half-life is at most this share of the images seen"
    )


def default_gamma(resolution: int) -> float:
    """2 at 64 px, 17 at 128, 147 at 256: a power law through the published 2 and 150."""
    return float(2.0 * (resolution / 64) ** 3.1)


class Relativistic(PairingGame):
    """Generator, discriminator, their optimisers, the pairing loss and its penalties."""

    def __init__(self, config: RelativisticConfig, g: nn.Module, d: nn.Module, *, resolution: int) -> None:
        self.config, self.batch_size = config, config.batch_size
        self._first_gamma = default_gamma(resolution) if config.gamma is None else config.gamma
        self._gamma = self._first_gamma
        self.networks: dict[str, nn.Module] = {"g": g, "d": d}
        self.optimizers: dict[str, Optimizer] = {
            name: Adam(network.parameters(), lr=config.lr, betas=(0.0, config.beta2), eps=1e-8)
            for name, network in self.networks.items()
        }

    def begin_step(self, progress: Progress) -> None:
        """Move learning rate, beta2 and gamma along, times what the divergence guard asks."""
        config, fraction = self.config, progress.fraction
        for optimizer in self.optimizers.values():
            group = optimizer.param_groups[0]
            group["lr"] = cosine(config.lr, config.lr * config.lr_final, fraction) * progress.lr_scale
            group["betas"] = (0.0, cosine(config.beta2, config.beta2_final, fraction))
        gamma = cosine(self._first_gamma, self._first_gamma * config.gamma_final, fraction)
        self._gamma = gamma * progress.gamma_scale

    def phases(self, progress: Progress) -> Iterable[Phase]:
        """Discriminator with its penalties, then generator."""
        yield Phase("d", "d", full_precision=not self.config.penalty_bf16)
        yield Phase("g", "g")

    def loss(self, phase: Phase, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one phase; see the module's docstring for its source."""
        return self._discriminator(batch) if phase.name == "d" else self.generator_loss(batch)

    def _discriminator(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            fakes = self.fakes(batch)
        reals = batch.images.detach().requires_grad_(True)
        fakes = fakes.detach().requires_grad_(True)
        real, fake = self.score(reals, batch), self.score(fakes, batch)
        loss = F.softplus(fake - real).mean()
        r1, r2 = squared_gradient(real, reals).mean(), squared_gradient(fake, fakes).mean()
        penalties = {"Loss/r1_penalty": r1.detach(), "Loss/r2_penalty": r2.detach()}
        return loss + (r1 + r2) * (self._gamma / 2), logs(loss, real, fake) | penalties
