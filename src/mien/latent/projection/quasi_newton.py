"""L-BFGS from a good guess, each target with its own curvature and its own length of step, batched.

Two-loop recursion and sufficient decrease: Nocedal and Wright 2006, Numerical Optimization, 2nd ed.,
sections 7.2 and 3.1. A step is one drawing of every target, as with Adam: a trial that does not lower a
target's loss is taken back, teaches its curvature, and counts.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mien.core.image import to_float, to_uint8
from mien.core.styles import Styled, styles
from mien.latent.projection.objective import Objective, Weights
from mien.latent.projection.optimise import Course, Descent
from mien.latent.projection.spaces import Parameters, Space
from mien.nn.lpips import Lpips

_PAIRS = 40  # of steps and the gradients' changes that are remembered
_FIRST = 0.5  # length of the first step, scaled
_ENOUGH = 1e-4  # of the decrease that the slope promises
_CURVED = 1e-8  # cosine of step and gradient's change from which they tell a curvature
_SHORTEST = 1e-3  # share of a step that is still tried
_SAMPLES, _BATCH = 24, 8  # whose gradients tell how steep coordinates are
_AWAY = 0.1  # standard deviations by which they are moved
_FLAT = 5e-4  # of the steepest coordinate: those below count as alike
_POWER = 0.6  # of the slope; .5 would make a quadratic round


@dataclass
class _State:
    """Of n rows: losses [n], gradients [n, d], the next step's direction [n, d] and share of it [n, 1].

    size [n, 1]: of the inverse curvature. pairs: steps, changes of the gradient [n, d], 1 / their product.
    """

    losses: Tensor
    gradients: Tensor
    direction: Tensor
    share: Tensor
    size: Tensor
    pairs: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)

    def kept(self, rows: Tensor) -> "_State":
        return _State(
            self.losses[rows],
            self.gradients[rows],
            self.direction[rows],
            self.share[rows],
            self.size[rows],
            [(step[rows], change[rows], inverse[rows]) for step, change, inverse in self.pairs],
        )

    def learn(self, step: Tensor, gradients: Tensor) -> None:
        """What the curvature is along `step` [n, d], which leads to `gradients`."""
        change = gradients - self.gradients
        product, square = _dot(step, change), _dot(change, change)
        told = product > _CURVED * square.sqrt() * _dot(step, step).sqrt()  # False where not finite
        step, change = torch.where(told, step, 0), torch.where(told, change, 0)
        inverse = torch.where(told, 1 / product, 0)
        self.size = torch.where(told, product / square, self.size)
        self.pairs = [*self.pairs, (step, change, inverse)][-_PAIRS:]

    def aim(self) -> None:
        """Set the direction: minus the inverse curvature times the gradients."""
        rest, weights = self.gradients, []
        for step, change, inverse in reversed(self.pairs):
            weight = inverse * _dot(step, rest)
            weights.append(weight)
            rest = rest - weight * change
        ahead = rest * self.size
        for (step, change, inverse), weight in zip(self.pairs, reversed(weights), strict=True):
            ahead = ahead + step * (weight - inverse * _dot(change, ahead))
        downhill = _dot(ahead, self.gradients) > 0
        self.direction = -torch.where(downhill, ahead, self.gradients * self.size)


class QuasiNewton(Descent):
    """Latents alone move. scale: float [d], by which their coordinates are multiplied; see `scale_of`."""

    def __init__(
        self,
        space: Space,
        objective: Objective,
        course: Course,
        starts: Parameters,
        num_targets: int,
        scale: Tensor,
    ) -> None:
        self._scale = scale
        super().__init__(space, objective, course, starts, num_targets)

    def _begin(self, parameters: Parameters) -> None:
        self._moving = parameters
        self._state: _State | None = None

    def _move(self) -> Tensor:
        state, latent = self._state, self._moving["latent"]
        if state is None:
            losses, gradients = self._look(latent)
            size = _FIRST / _dot(gradients, gradients).sqrt().clamp(min=1e-12)
            self._state = _State(losses, gradients, -size * gradients, torch.ones_like(size), size)
            return losses
        step = state.share * state.direction
        there = latent + (step * self._scale).view(latent.shape)
        losses, gradients = self._look(there)
        lower = losses <= state.losses + _ENOUGH * _dot(step, state.gradients)[:, 0]
        taken = lower[:, None]
        state.learn(step, gradients)
        state.losses = torch.where(lower, losses, state.losses)
        state.gradients = torch.where(taken, gradients, state.gradients)
        state.share = torch.where(taken, 1.0, (state.share / 2).clamp(min=_SHORTEST))
        state.aim()
        self._moving["latent"] = torch.where(taken, there.flatten(1), latent.flatten(1)).view(latent.shape)
        return state.losses

    def _look(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Losses [n], and their gradients [n, d] in scaled coordinates."""
        latent = latent.detach().requires_grad_()
        losses = self._losses({**self._moving, "latent": latent})
        (gradients,) = torch.autograd.grad(losses.sum(), latent)
        return losses.detach(), gradients.flatten(1) * self._scale

    def _keep(self, kept: Tensor) -> None:
        self._moving = {name: value[kept] for name, value in self._moving.items()}
        self._state = None if self._state is None else self._state.kept(kept)

    def _memory(self) -> Any:
        return None if self._state is None else dict(vars(self._state))

    def _recall(self, memory: Any) -> None:
        self._state = None if memory is None else _State(**memory)


def scale_of(space: Space, network: Any, labels: Tensor | None, pixel: float, lpips: Lpips | None) -> Tensor:
    """float [d]: how far one may go along each coordinate for the same change, 1 at the steepest.

    By the gradients of samples that are moved a little, towards themselves. Some coordinates do much and most
    do little; scaled, they become more alike, as L-BFGS needs to get on in few steps.
    """
    rng, squares = torch.Generator().manual_seed(0), []
    styled = isinstance(network, Styled) and space.name != "z"
    for _ in range(0, _SAMPLES, _BATCH):
        z = torch.randn((_BATCH, network.z_dim), generator=rng)
        rows = None if labels is None else labels[torch.arange(_BATCH) % len(labels)]
        with torch.no_grad():
            values = styles(network, z, rows) if styled else z
            parameters = space.parameters(values, rows)
            images = to_float(to_uint8(space.images(parameters)))
        objective = Objective(images, Weights(pixel), lpips=lpips)
        latent = parameters["latent"]
        away = (latent + _AWAY * torch.randn(latent.shape, generator=rng)).requires_grad_()
        losses = objective.losses(space.images({**parameters, "latent": away}), torch.arange(_BATCH))
        (gradients,) = torch.autograd.grad(losses.sum(), away)
        squares.append(gradients.flatten(1).square())
    steep = torch.cat(squares).mean(dim=0).sqrt()
    most = steep.max().clamp(min=1e-12)
    return torch.pow((1 + _FLAT) / (steep / most + _FLAT), _POWER)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum(dim=1, keepdim=True)
