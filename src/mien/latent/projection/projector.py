"""Projection of many targets in batches, with a state from which a stopped one goes on."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from mien.core.checkpoint import load_state, save_state
from mien.core.errors import InputError
from mien.core.events import Events
from mien.core.image import to_float
from mien.core.sampling import draw, on_its_device
from mien.core.stop import Stop
from mien.core.styles import Styled, draw_styles, mean_latent, sample_latents, styles
from mien.faces.identity import IdentityNetwork
from mien.latent.projection.objective import Objective, Weights, viewed
from mien.latent.projection.optimise import Course, Descent, Optimisation
from mien.latent.projection.options import ProjectOptions
from mien.latent.projection.quasi_newton import QuasiNewton
from mien.latent.projection.spaces import Parameters, Space, draw_noise_maps, noise_of
from mien.latent.projection.targets import Target, face_masks
from mien.nn.lpips import Lpips

_SAVE_EVERY = 50  # steps
_MOST_FRAMES = 120  # of a film
_WATCH_EVERY = 5  # steps
_SEEN = 32  # images at once
_LR = 0.2  # of Adam
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
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path.with_name(self.path.name + ".sha256").unlink(missing_ok=True)

    def is_done(self, number: int) -> bool:
        """Whether a batch is at its end."""
        return "values" in self.parts.get(f"batch{number}", {})


def identity_of(model: str, targets: Sequence[Target], options: ProjectOptions, *more: object) -> str:
    """A hash of all that a projection follows from; of files by their content, in `more`."""
    chosen = options.model_dump(mode="json", exclude={"device"})
    digest = hashlib.sha256(json.dumps([model, chosen, *map(str, more)]).encode())
    for target in targets:
        digest.update(target.name.encode() + target.image.numpy().tobytes())
    return digest.hexdigest()


@dataclass
class Starts:
    """The starting points of targets: [restarts * N, ...], all first ones before all second ones.

    They are ws [num_ws, w_dim] for a space of w, z for "z". Of `options.candidates` samples, drawn when first
    asked for, the nearest are taken. given: latents to start from instead, for one target or for each.
    """

    network: Any
    space: Space
    labels: Tensor | None
    options: ProjectOptions
    lpips: Lpips | None
    given: Tensor | None

    def __post_init__(self) -> None:
        candidates, restarts = self.options.candidates, self.options.restarts
        if candidates and candidates < restarts:
            raise InputError(f"--candidates {candidates}: fewer than the {restarts} --restarts")

    def of(self, targets: Tensor, which: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Latents and labels for targets uint8 [N, C, S, S], which are the numbers `which` of all."""
        restarts, rows = self.options.restarts, self.labels
        if self.given is None and (self.options.candidates or restarts > 1 or self.space.name == "z"):
            return self._nearest(targets)
        count = len(targets) * restarts
        mean = None if rows is None else rows.mean(dim=0, keepdim=True).expand(count, -1)
        if self.given is None:
            return mean_latent(cast(Styled, self.network), rows).expand(count, -1, -1), mean
        first = self.given[list(which)] if len(self.given) > 1 else self.given
        return first.repeat(count // len(first), *[1] * (first.ndim - 1)), mean

    def _nearest(self, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        latents, features, labels = self._drawn
        distances = torch.cdist(self._seen(targets), features)
        order = distances.topk(self.options.restarts, dim=1, largest=False).indices.t().flatten()
        return latents[order], None if labels is None else labels[order]

    @cached_property
    def _drawn(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Latents, what is seen of their images, labels."""
        count, rows = max(self.options.candidates, self.options.restarts), self.labels
        z = torch.from_numpy(sample_latents(self.network.z_dim, count))
        labels = None if rows is None else rows[torch.arange(count) % len(rows)]
        if isinstance(self.network, Styled) and self.space.name != "z":
            latents = styles(self.network, z, labels)
            return latents, self._seen(draw_styles(self.network, latents)), labels
        return z, self._seen(draw(self.network, z, labels)), labels

    @torch.no_grad()
    def _seen(self, images: Tensor) -> Tensor:
        """Vectors whose distance is LPIPS, or that of pixels where there is none."""
        pieces = [to_float(piece) for piece in torch.split(images, _SEEN)]
        if self.lpips is None:
            return torch.cat([piece.flatten(1) for piece in pieces])
        lpips = self.lpips
        return torch.cat([on_its_device(lpips, lpips.embed, viewed(piece)) for piece in pieces])


@dataclass
class Projector:
    """Projects targets into a space by optimisation. first: the number of the first target among all.

    scale: of coordinates, for L-BFGS; None: by Adam.
    """

    network: Any
    space: Space
    starts: Starts
    options: ProjectOptions
    lpips: Lpips | None
    identity: IdentityNetwork | None
    scale: Tensor | None
    watch: Watch | None
    first: int

    def run(self, targets: Sequence[Target], saved: Saved, events: Events) -> Projected:
        """Find all targets. Stopped by a signal or a listener, it leaves its state and raises."""
        parts = batches_of(targets, self.options)
        with Stop() as stop:
            for number, part in enumerate(parts):
                if not saved.is_done(number):
                    self._one(f"batch{number}", part, targets, saved, events, stop)
        return all_of(saved, len(parts))

    def _one(
        self, key: str, part: range, targets: Sequence[Target], saved: Saved, events: Events, stop: Stop
    ) -> None:
        """One batch, from the beginning or from where the state says; its end is in the state."""
        optimisation = self._begun([targets[index] for index in part], part)
        traces: dict[int, Tensor] = {}
        if state := saved.parts.get(key):
            optimisation.load_state_dict(state["optimisation"])
            traces = state["traces"]
        steps = self.options.num_steps
        tick = events.progress("projecting", unit="steps")

        def save() -> None:
            saved.parts[key] = {"optimisation": optimisation.state_dict(), "traces": traces}
            saved.write()

        for step in optimisation.run():
            try:  # around what listens, not around the step: between two steps all is whole
                if _is_traced(step, self.options):
                    traces[step] = self._values(optimisation.results())
                if self.watch is not None and step % _WATCH_EVERY == 0:
                    self.watch(self._values(optimisation.results()))
                tick(part.start * steps + step * len(part), steps * len(targets))
                if stop.asked:
                    raise KeyboardInterrupt
            except BaseException:
                save()
                raise
            if step % _SAVE_EVERY == 0:
                save()
        results = optimisation.results()
        labels = self.space.labels(results)
        labels = None if labels is None else labels.detach()
        end = Projected(self._values(results), labels, dict(noise_of(results)), traces)
        saved.parts[key] = vars(end)
        saved.write()

    def _begun(self, targets: Sequence[Target], part: range) -> Descent:
        options = self.options
        images = torch.stack([target.image for target in targets])
        starts = self.space.parameters(*self.starts.of(images, part))
        if options.noise:
            rng = torch.Generator().manual_seed(options.seed * 7919 + self.first + part.start)
            starts |= draw_noise_maps(self.network, len(starts["latent"]), rng)
        weights = Weights(options.pixel, options.identity, options.face_weight)
        faces = face_masks(targets) if options.face_weight != 1 else None
        objective = Objective(
            to_float(images), weights, lpips=self.lpips, identity=self.identity, faces=faces
        )
        course = Course(
            max(1, options.num_steps),
            options.lr or _LR,
            noise=options.initial_noise,
            noise_weight=options.noise_weight,
            prior=options.prior_in(self.space.name),
            patience=options.patience,
            seed=options.seed + self.first + part.start,
        )
        if self.scale is not None:
            return QuasiNewton(self.space, objective, course, starts, len(targets), self.scale)
        return Optimisation(self.space, objective, course, starts, len(targets))

    @torch.no_grad()
    def _values(self, parameters: Parameters) -> Tensor:
        return self.space.values(parameters).detach().clone()


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
