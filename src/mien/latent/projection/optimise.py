"""Optimisation of latents towards images (Karras et al. 2020, arXiv:1912.04958, appendix D), batched."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam

from mien.latent.projection.objective import Objective
from mien.latent.projection.spaces import Parameters, Space, noise_of, noise_penalty, normalise_noise

_FIXED = "fixed_"  # parameters that belong to a target and do not move
_BETTER = 0.99  # of the best loss so far counts as progress


@dataclass(frozen=True)
class Course:
    """How an optimisation runs. steps: in all. lr: of Adam, in standard deviations of the latent a step.

    ramp_up, ramp_down: shares of the steps over which lr rises and falls. noise: initial, as a share of the
    deviation of w, fading until the share `noise_until` of the steps. noise_weight: of the regulariser of
    noise maps. prior: weight of `WSpace.departure`. patience: steps without progress after which a target is
    done; 0: none. restarts: starting points for each target, of which the best after `trial` of the steps
    goes on.
    """

    steps: int
    lr: float = 0.1
    ramp_up: float = 0.05
    ramp_down: float = 0.25
    noise: float = 0.05
    noise_until: float = 0.75
    noise_weight: float = 1e5
    prior: float = 0.0
    patience: int = 0
    trial: float = 0.1
    seed: int = 0

    def lr_at(self, step: int) -> float:
        """The learning rate of a step from 0: risen linearly, fallen along a cosine."""
        done = step / self.steps
        fall = min(1.0, (1 - done) / max(self.ramp_down, 1e-9))
        rise = min(1.0, (step + 1) / max(self.ramp_up * self.steps, 1e-9))
        return self.lr * (0.5 - 0.5 * math.cos(fall * math.pi)) * rise

    def noise_at(self, step: int) -> float:
        """The initial noise that is left at a step."""
        return self.noise * max(0.0, 1 - step / self.steps / max(self.noise_until, 1e-9)) ** 2


class Descent:
    """Targets of one batch on their way; how they move is up to subclasses. All rows are independent.

    step: steps done. rows [n]: which of the starts still move; start i belongs to target `i % num_targets`.
    """

    smooth = 0.0  # of the running loss that early stopping and restarts look at

    def __init__(
        self, space: Space, objective: Objective, course: Course, starts: Parameters, num_targets: int
    ) -> None:
        self._space, self._objective, self._course = space, objective, course
        self._num_targets = num_targets
        self._results = {name: value.detach().clone() for name, value in starts.items()}
        count = len(starts["latent"])
        self.step = 0
        self.rows = torch.arange(count)
        self.losses = torch.full((count,), math.inf)  # smoothed, of all starts
        self._best = torch.full((count,), math.inf)
        self._since = torch.zeros(count, dtype=torch.long)  # steps without progress
        self._moving: Parameters = {}
        self._begin({name: value.clone() for name, value in self._results.items()})

    def _begin(self, parameters: Parameters) -> None:
        """Move these parameters from now on."""
        raise NotImplementedError

    def _move(self) -> Tensor:
        """One step of `_moving`; the losses [n] where it stood, or stands now."""
        raise NotImplementedError

    def _losses(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Of the rows that move, [n]: how far their images are, and how unlikely their latents."""
        losses = self._objective.losses(self._space.images(parameters), self.rows % self._num_targets)
        if self._course.prior:
            losses = losses + self._course.prior * self._space.departure(parameters)
        return losses

    def _keep(self, kept: Tensor) -> None:
        """Go on with the rows `kept` [n] alone; `self.rows` are those already."""
        raise NotImplementedError

    def _memory(self) -> Any:
        """What going on needs beside the parameters; `_recall` takes it."""
        raise NotImplementedError

    def _recall(self, memory: Any) -> None:
        raise NotImplementedError

    @property
    def finished(self) -> bool:
        return self.step >= self._course.steps or not len(self.rows)

    def run(self) -> Iterator[int]:
        """Yield the number of steps done after each; between two the state is whole."""
        while not self.finished:
            losses = self._move()
            self.step += 1
            self._keep_account(losses.detach().cpu())
            self._drop_rows()
            yield self.step

    def _keep_account(self, losses: Tensor) -> None:
        before = self.losses[self.rows]
        smooth = torch.where(before.isinf(), losses, before.lerp(losses, 1 - self.smooth))
        self.losses[self.rows] = smooth
        better = smooth < self._best[self.rows] * _BETTER
        self._best[self.rows] = torch.where(better, smooth, self._best[self.rows])
        self._since[self.rows] = torch.where(better, 0, self._since[self.rows] + 1)
        for name, value in self._moving.items():
            self._results[name][self.rows] = value.detach()

    def _drop_rows(self) -> None:
        """After the trial the best start of each target goes on alone; what has settled ends."""
        trial_ends = self.step == max(1, round(self._course.trial * self._course.steps))
        if trial_ends and len(self._best) > self._num_targets:
            self._keep_rows(torch.isin(self.rows, self.best_starts()))
        if self._course.patience:
            self._keep_rows(self._since[self.rows] < self._course.patience)

    def _keep_rows(self, kept: Tensor) -> None:
        if not kept.all():
            self.rows = self.rows[kept]
            self._keep(kept)

    def best_starts(self) -> Tensor:
        """For each target the start [num_targets] that came nearest, once a step was done."""
        by_start = self.losses.view(-1, self._num_targets)
        return by_start.argmin(dim=0) * self._num_targets + torch.arange(self._num_targets)

    def results(self) -> Parameters:
        """The parameters of each target's best start."""
        best = self.best_starts()
        return {name: value[best] for name, value in self._results.items()}

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers: all that going on needs."""
        return {
            "step": self.step,
            "rows": self.rows,
            "losses": self.losses,
            "best": self._best,
            "since": self._since,
            "results": self._results,
            "memory": self._memory(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.step, self.rows = state["step"], state["rows"]
        self.losses, self._best, self._since = state["losses"], state["best"], state["since"]
        self._results = state["results"]
        self._begin({name: value[self.rows].clone() for name, value in self._results.items()})
        self._recall(state["memory"])


class Optimisation(Descent):
    """By Adam, as papers project: latents, labels and noise maps."""

    smooth = 0.9

    def _begin(self, parameters: Parameters) -> None:
        self._moving = {name: p.requires_grad_(not name.startswith(_FIXED)) for name, p in parameters.items()}
        self._adam = Adam([p for p in self._moving.values() if p.requires_grad], lr=self._course.lr)

    def _move(self) -> Tensor:
        rate = self._course.lr_at(self.step)
        for group in self._adam.param_groups:
            group["lr"] = rate
        noise = noise_of(self._moving)
        losses = self._losses(self._shaken())
        total = losses.sum()
        if noise:
            total = total + self._course.noise_weight * noise_penalty(noise).sum()
        self._adam.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        normalise_noise(noise)
        return losses

    def _shaken(self) -> Mapping[str, Tensor]:
        """The parameters, their latents with the noise of this step: it follows from seed and step."""
        strength = self._course.noise_at(self.step) * self._space.dims**0.5
        if not strength:
            return self._moving
        latent = self._moving["latent"]
        rng = torch.Generator().manual_seed(self._course.seed * 1_000_003 + self.step)
        drawn = torch.randn((len(self._best), *latent.shape[1:]), generator=rng)[self.rows]
        return {**self._moving, "latent": latent + strength * drawn}

    def _keep(self, kept: Tensor) -> None:
        moments = [self._adam.state.get(p, {}) for p in self._adam.param_groups[0]["params"]]
        self._begin({name: value.detach()[kept] for name, value in self._moving.items()})
        for parameter, old in zip(self._adam.param_groups[0]["params"], moments, strict=True):
            self._adam.state[parameter] = {
                name: value if name == "step" else value[kept] for name, value in old.items()
            }

    def _memory(self) -> Any:
        return self._adam.state_dict()

    def _recall(self, memory: Any) -> None:
        self._adam.load_state_dict(memory)
