"""Pivotal tuning: the generator bent until it draws given faces from their latents (arXiv:2106.05744).

Roich et al. 2021: the pivots stay and the weights move, by LPIPS and squared error (Eq. 2); beside the pivots
the generator is held to what it drew before (locality regularisation, Eq. 4).
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Adam

from mien import TOOL
from mien.core.checkpoint import save_generator
from mien.core.network import LoadedNetwork
from mien.core.sampling import on_its_device
from mien.core.styles import Styled, styles
from mien.latent.codes import Codes
from mien.latent.projection.objective import Objective, Weights
from mien.latent.projection.spaces import synthesised
from mien.nn.lpips import Lpips

_STEP_BATCH = 8  # pivots a step
_HELD_BATCH = 2  # latents beside them
_LOCALITY = 0.1  # weight of what is drawn there
_REACH = 0.5  # they lie up to this share of the distance between a pivot and a random latent


class Tuning:
    """A copy of a generator that learns to draw `targets` float [N, C, H, W] at the latents `pivots`.

    step: steps done. network: the copy as it stands. Which pivots a step takes and where it is held follow
    from seed and step alone.
    """

    def __init__(
        self, network: nn.Module, pivots: Codes, targets: Tensor, *, lpips: Lpips | None, lr: float, seed: int
    ) -> None:
        self.network = copy.deepcopy(network).requires_grad_(True).eval()
        self._original, self._pivots, self._lpips, self._seed = network, pivots, lpips, seed
        self._objective = Objective(targets, Weights(), lpips=lpips)
        self._adam = Adam(self.network.parameters(), lr=lr)
        self.step = 0

    def run(self, steps: int) -> Iterator[int]:
        """Yield the number of steps done after each; between two the state is whole."""
        while self.step < steps:
            self._advance()
            yield self.step

    def _advance(self) -> None:
        rng = torch.Generator().manual_seed(self._seed * 1_000_003 + self.step)
        which = torch.randperm(len(self._pivots), generator=rng)[:_STEP_BATCH]
        losses = self._objective.losses(self._images(self.network, self._pivots.values[which], which), which)
        total = losses.mean() + _LOCALITY * self._held(which[:_HELD_BATCH], rng).mean()
        self._adam.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        self.step += 1

    def _held(self, which: Tensor, rng: torch.Generator) -> Tensor:
        """How far the copy is from the original at latents between these pivots and random ones."""
        z = torch.randn((len(which), cast(Any, self._original).z_dim), generator=rng)
        other = styles(self._original, z, self._labels(which)) if isinstance(self._original, Styled) else z
        share = _REACH * torch.rand(len(which), *[1] * (other.ndim - 1), generator=rng)
        between = torch.lerp(self._pivots.values[which], other, share)
        with torch.no_grad():
            before = self._images(self._original, between, which)
        after = self._images(self.network, between, which)
        return Objective(before, Weights(), lpips=self._lpips).losses(after, torch.arange(len(which)))

    def _labels(self, which: Tensor) -> Tensor | None:
        """Labels for random latents and for z: the pivots' own, or of a conditional w none in particular."""
        if self._pivots.labels is not None:
            return self._pivots.labels[which]
        width = cast(Any, self._original).spec.label_dim
        return torch.full((len(which), width), 1 / width) if width else None

    def _images(self, network: nn.Module, latents: Tensor, which: Tensor) -> Tensor:
        if isinstance(network, Styled):
            return synthesised(network, latents)
        return on_its_device(network, network, latents, self._labels(which))

    def state_dict(self) -> dict[str, Any]:
        """All that going on needs."""
        return {"step": self.step, "network": self.network.state_dict(), "adam": self._adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self._adam.load_state_dict(state["adam"])


def save_tuned(path: Path, tuned: nn.Module, loaded: LoadedNetwork[Any], count: int) -> None:
    """Write the tuned network as an ordinary generator file, whose origin says what it was."""
    faces = "one face" if count == 1 else f"{count} faces"
    origin = {"tool": TOOL, "origin": f"{loaded.model} tuned to {faces}"}
    save_generator(path, tuned.state_dict(), loaded.header.model_copy(update=origin))
