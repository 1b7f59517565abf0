"""Projection of many targets in batches, with a state from which a stopped one goes on."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mien.core.checkpoint import load_state, save_state
from mien.core.errors import InputError
from mien.core.events import Events
from mien.core.image import to_float
from mien.core.stop import Stop
from mien.faces.identity import IdentityNetwork
from mien.latent.projection.objective import Objective, Weights
from mien.latent.projection.optimise import Course, Optimisation
from mien.latent.projection.options import ProjectOptions
from mien.latent.projection.spaces import Parameters, Space, draw_noise_maps, noise_of
from mien.latent.projection.starts import Starts
from mien.latent.projection.targets import Target, face_masks
from mien.nn.lpips import Lpips

_SAVE_EVERY = 50  # steps
_MOST_FRAMES = 120  # of a film
_WATCH_EVERY = 5  # steps
Watch = Callable[[Tensor], None]  # gets the latents [N, ...] of a batch on their way


@dataclass
class Projected:
    """Latents whose images come nearest to targets: values [N, ...]; labels [N, label_dim] where z needs any.

    noise: their noise maps. traces: by step, the latents [N, ...] on the way.
    """

    values: Tensor
    labels: Tensor | None
    noise: dict[str, Tensor]
    traces: dict[int, Tensor] = field(default_factory=dict)


class Saved:
    """The state file of a folder (None: of no folder), good for the one command that `identity` names."""

    def __init__(self, folder: Path | None, identity: str) -> None:
        self.path, self._identity = None if folder is None else folder / "state.pt", identity
        self.parts: dict[str, Any] = {}

    def read(self, events: Events) -> None:
        """Take back what the same command left; that of another is passed over, with a word."""
        if self.path is None or not self.path.exists():
            return
        try:
            state = load_state(self.path)
        except InputError as error:
            events.warn(f"{error}; beginning anew")
            return
        if state.get("identity") == self._identity:
            self.parts = state["parts"]
        else:
            events.warn(f"{self.path}: of another command; beginning anew")

    def write(self) -> None:
        """Whole or not at all."""
        if self.path is not None:
            save_state(self.path, {"identity": self._identity, "parts": self.parts})

    def remove(self) -> None:
        """Once what it led to is written."""
        if self.path is None:
            return
        self.path.unlink(missing_ok=True)
        self.path.with_name(self.path.name + ".sha256").unlink(missing_ok=True)


def identity_of(model: str, targets: Sequence[Target], options: ProjectOptions, *more: object) -> str:
    """A hash of all that a projection follows from; of files by their content, in `more`."""
    chosen = options.model_dump(mode="json", exclude={"device"})
    digest = hashlib.sha256(json.dumps([model, chosen, *map(str, more)]).encode())
    for target in targets:
        digest.update(target.name.encode() + target.image.numpy().tobytes())
    return digest.hexdigest()


class Projector:
    """Projects targets into a space by optimisation."""

    def __init__(
        self,
        space: Space,
        starts: Starts,
        options: ProjectOptions,
        *,
        lpips: Lpips | None,
        identity: IdentityNetwork | None,
        generator: Any,
        watch: Watch | None = None,
        first: int = 0,
    ) -> None:
        """first: the number of the first target among all, by which it draws chance."""
        self._space, self._starts, self._options, self._watch = space, starts, options, watch
        self._first = first
        self._lpips, self._identity, self._generator = lpips, identity, generator

    def run(self, targets: Sequence[Target], saved: Saved, events: Events) -> Projected:
        """Find all targets. Stopped by a signal or a listener, it leaves its state and raises."""
        parts = batches_of(targets, self._options)
        with Stop() as stop:
            for number, part in enumerate(parts):
                self._one(number, part, targets, saved, events, stop)
        return all_of(saved, len(parts))

    def _one(
        self, number: int, part: range, targets: Sequence[Target], saved: Saved, events: Events, stop: Stop
    ) -> None:
        """One batch, from the beginning or from where the state says; its end is in the state."""
        key = f"batch{number}"
        if "values" in saved.parts.get(key, {}):
            return
        optimisation, traces = self._begun([targets[index] for index in part], part, saved.parts.get(key))
        steps = self._options.num_steps
        tick = events.progress("projecting", unit="steps")

        def save() -> None:
            saved.parts[key] = {"optimisation": optimisation.state_dict(), "traces": traces}
            saved.write()

        for step in optimisation.run():
            try:  # around what listens, not around the step: between two steps all is whole
                if _is_traced(step, self._options):
                    traces[step] = self._values(optimisation.results())
                if self._watch is not None and step % _WATCH_EVERY == 0:
                    self._watch(self._values(optimisation.results()))
                tick(part.start * steps + step * len(part), steps * len(targets))
                if stop.asked:
                    raise KeyboardInterrupt
            except BaseException:
                save()
                raise
            if step % _SAVE_EVERY == 0:
                save()
        results = optimisation.results()
        labels = self._space.labels(results)
        saved.parts[key] = {
            "values": self._values(results),
            "labels": None if labels is None else labels.detach(),
            "noise": dict(noise_of(results)),
            "traces": traces,
        }
        saved.write()

    def _begun(
        self, targets: Sequence[Target], part: range, state: dict[str, Any] | None
    ) -> tuple[Optimisation, dict[int, Tensor]]:
        options = self._options
        images = torch.stack([target.image for target in targets])
        starts = self._parameters(images, part)
        weights = Weights(options.pixel, options.identity, options.face_weight)
        faces = face_masks(targets) if options.face_weight != 1 else None
        objective = Objective(
            to_float(images), weights, lpips=self._lpips, identity=self._identity, faces=faces
        )
        course = Course(
            max(1, options.num_steps),
            options.lr,
            noise=options.initial_noise,
            noise_weight=options.noise_weight,
            patience=options.patience,
            seed=options.seed + self._first + part.start,
        )
        optimisation = Optimisation(self._space, objective, course, starts, len(targets))
        if state is None:
            return optimisation, {}
        optimisation.load_state_dict(state["optimisation"])
        return optimisation, state["traces"]

    def _parameters(self, images: Tensor, part: range) -> Parameters:
        latents, labels = self._starts.of(images, part)
        parameters = self._space.parameters(latents, labels)
        if self._options.noise:
            rng = torch.Generator().manual_seed(self._options.seed * 7919 + self._first + part.start)
            parameters |= draw_noise_maps(self._generator, len(latents), rng)
        return parameters

    @torch.no_grad()
    def _values(self, parameters: Parameters) -> Tensor:
        return self._space.values(parameters).detach().clone()


def batches_of(targets: Sequence[Target], options: ProjectOptions) -> list[range]:
    """The numbers of the targets that are optimised at once."""
    size = max(1, options.batch // options.restarts)
    return [range(at, min(at + size, len(targets))) for at in range(0, len(targets), size)]


def all_of(saved: Saved, count: int) -> Projected:
    """What `count` batches that are done came to; one that ended early stands still in later traces."""
    batches = [Projected(**saved.parts[f"batch{number}"]) for number in range(count)]
    steps = sorted({step for batch in batches for step in batch.traces})
    traces = {step: torch.cat([one.traces.get(step, one.values) for one in batches]) for step in steps}
    labels = [batch.labels for batch in batches if batch.labels is not None]
    noise = {name: torch.cat([batch.noise[name] for batch in batches]) for name in batches[0].noise}
    values = torch.cat([batch.values for batch in batches])
    return Projected(values, torch.cat(labels) if labels else None, noise, traces)


def _is_traced(step: int, options: ProjectOptions) -> bool:
    frame = max(1, options.num_steps // _MOST_FRAMES)
    return bool((options.every and step % options.every == 0) or (options.video and step % frame == 0))
