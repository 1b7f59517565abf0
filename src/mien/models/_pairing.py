"""What every game of two networks with the relativistic pairing loss shares.

Jolicoeur-Martineau 2018 (arXiv:1807.00734); Huang et al. 2024 (arXiv:2501.05441), Eq. 2.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.core.types import Batch


class Pairing:
    """A generator "g" and a discriminator "d" of whose scores only differences mean something.

    config has `z_dim`. Schedules follow from progress, so nothing survives beyond networks and optimisers.
    """

    config: Any
    networks: dict[str, nn.Module]

    def generator_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """softplus(real - fake), with nothing learnt from the reals."""
        fake = self.score(self.fakes(batch), batch)
        with torch.no_grad():
            real = self.score(batch.images, batch)
        loss = F.softplus(real - fake).mean()
        return loss, {"Loss/G/loss": loss.detach()}

    def score(self, images: Tensor, batch: Batch) -> Tensor:
        """Scores [N] of pictures as the run disturbs them."""
        scores: Tensor = self.networks["d"](batch.augment(images), batch.labels)
        return scores

    def fakes(self, batch: Batch) -> Tensor:
        """As many fakes as the batch has reals, of the same labels."""
        shape = (len(batch.images), self.config.z_dim)
        z = torch.randn(shape, generator=batch.rng, device=batch.images.device)
        fakes: Tensor = self.networks["g"](z, batch.labels)
        return fakes

    def state_dict(self) -> dict[str, Any]:
        """Nothing beyond networks and optimisers."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take back."""


def told(loss: Tensor, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """What a discriminator's phase logs."""
    return {
        "Loss/D/loss": loss.detach(),
        "Loss/scores/real": real.detach().mean(),
        "Loss/scores/fake": fake.detach().mean(),
        "Loss/signs/real": (real - fake).detach().sign().mean(),
    }
