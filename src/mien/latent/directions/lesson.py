"""What is learnt from samples: a fit for each attribute, then the step that images show to be best."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from mien.core.events import Column, Events, Table
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.directions.direction import Direction
from mien.latent.directions.effects import Bench, Candidate, candidates, choose, refined, works
from mien.latent.directions.fit import Fit, Parts, TooFew, fit
from mien.latent.layers import layer_blocks, row_groups
from mien.latent.readings import Readers, Readings

# Latents that effects are measured on, none of them for two purposes. A mean over 32 is known to some .1
# standard deviations, which chooses between remedies; to take effects of .15 away, more are needed.
_TRIED_ON, _CHOSEN_ON, _REFINED_ON, _CHECKED_ON, _JUDGED_ON = 32, 32, 128, 128, 64
_ALL = _TRIED_ON + _CHOSEN_ON + _REFINED_ON + _CHECKED_ON + _JUDGED_ON
_FIRST_SEED = 1 << 24  # of these, far from the samples'
_MOST_GAIN = 5.0  # standard deviations of the latents that one of an attribute may take


@dataclass(frozen=True)
class Lesson:
    """Samples with their readings, and what reads new ones."""

    drawing: Drawing
    codes: Codes
    readings: Readings
    readers: Readers

    def fits(self, events: Events) -> dict[str, tuple[Fit, Tensor]]:
        """For each attribute that can be learnt its fit and, shaped like a latent, its step."""
        features, step_of = _features(self.codes.values, row_groups(self.drawing))
        parts, found = Parts.of(len(self.codes)), {}
        tick = events.progress("learning", unit="attributes")
        for number, name in enumerate(self.readings.names, start=1):
            try:
                one = fit(
                    features, self.readings.column(name), name, parts, yes_no=name in self.readings.yes_no
                )
                found[name] = one, step_of(one.weights)
            except TooFew as error:
                events.warn(f"left out: {error}")
            tick(number, len(self.readings.names))
        return found

    def directions(self, fits: dict[str, tuple[Fit, Tensor]], events: Events) -> list[Direction]:
        """The directions that work: measured on images where a reader can, else by their fit."""
        measured = [name for name in fits if name in self.readers.names]
        found = self._measured(measured, fits, events) if measured else {}
        for name, (one, step) in fits.items():
            if name in measured:
                continue
            if one.correlation <= 0 or one.accuracy.value <= 0.5:
                events.warn(f"left out: {name} cannot be told from the latents (held out: chance)")
                continue
            size = self._sigma(step) / max(one.correlation, 1 / _MOST_GAIN)
            found[name] = Direction.of(
                step * size, name, method=one.method, source="labels", accuracy=one.accuracy
            )
        return [found[name] for name in fits if name in found]

    def _measured(
        self, names: list[str], fits: dict[str, tuple[Fit, Tensor]], events: Events
    ) -> dict[str, Direction]:
        bench = self._bench(names)
        edges = np.cumsum([0, _TRIED_ON, _CHOSEN_ON, _REFINED_ON, _CHECKED_ON, _JUDGED_ON]).tolist()
        tried, chosen, refining, checking, judged = (bench.part(*ends) for ends in pairwise(edges))
        steps = torch.stack([fits[name][1] * self._sigma(fits[name][1]) for name in names])
        options = candidates(steps, self._blocks(), tried, events.progress("measuring", unit="steps"))
        best = [choose(options[own], own, chosen, self._sigma) for own in _ticked(names, events)]
        owns = [own for own, one in enumerate(best) if one is not None]
        kept, compared = self._refined(
            owns, [one for one in best if one is not None], (refining, checking), names
        )
        if compared:
            events.send(_comparison(compared))
        found = {}
        for own, name in enumerate(names):
            effects = judged.effects(kept[own].step[None]) if own in kept else None
            if effects is None or not works(effects, own):
                events.warn(f"left out: {name} does not move its own attribute, as far as can be seen")
                continue
            found[name] = Direction.of(
                kept[own].step,
                name,
                method=f"{fits[name][0].method}, {kept[own].how}",
                source="readers",
                accuracy=fits[name][0].accuracy,
                effects=dict(zip(names, effects.mean[0].round(4).tolist(), strict=True)),
            )
        return found

    def _refined(
        self,
        owns: list[int],
        best: list[tuple[Candidate, dict[str, float]]],
        refine_on: tuple[Bench, Bench],
        names: list[str],
    ) -> tuple[dict[int, Candidate], list[tuple[str, dict[str, float]]]]:
        """By attribute what was chosen, corrected once more where that helps, and each remedy's scores."""
        if not owns:
            return {}, []
        steps = torch.stack([candidate.step for candidate, _ in best])
        better = refined(steps, *refine_on, owns) if len(owns) > 1 else [None]
        kept, compared = {}, []
        for own, (candidate, scores), one in zip(owns, best, better, strict=True):
            kept[own] = candidate if one is None else Candidate(one[0], f"{candidate.how} and refined")
            compared.append((names[own], scores if one is None else scores | {"refined": one[1]}))
        return kept, compared

    def _bench(self, names: list[str]) -> Bench:
        """Latents that were not learnt from, and their readers."""
        seeds = range(_FIRST_SEED, _FIRST_SEED + _ALL)
        readers = self.readers.narrowed(names)
        spread = np.maximum(self.readings.only(names).spread(), 1e-9)
        codes = Codes.of_seeds(self.drawing, seeds)
        return Bench(self.drawing, codes, lambda images: readers.read(images).only(names), spread)

    def _blocks(self) -> list[tuple[int, ...]]:
        return layer_blocks(row_groups(self.drawing)) if self.codes.space == "w" else []

    def _sigma(self, step: Tensor) -> float:
        """The standard deviation of the samples' latents along a step, in steps."""
        flat, along = self.codes.values.flatten(1), step.flatten()
        return float((flat @ along).std() / along.square().sum())


def _features(values: Tensor, groups: Sequence[tuple[int, ...]]) -> tuple[np.ndarray, "_StepOf"]:
    """Latents [N, ...] as features [N, F] of like scale, and how weights of these become a step."""
    rows = values if values.ndim == 3 else values[:, None]
    scales = [float(rows[:, group[0]].std(dim=0).square().mean().sqrt().clamp_min(1e-8)) for group in groups]
    parts = [rows[:, group[0]] / scale for group, scale in zip(groups, scales, strict=True)]
    shape = tuple(values.shape[1:])
    return torch.cat(parts, dim=1).double().numpy(), _StepOf(groups, scales, shape)


@dataclass(frozen=True)
class _StepOf:
    """Turns weights of features into a step shaped like a latent."""

    groups: Sequence[tuple[int, ...]]
    scales: list[float]
    shape: tuple[int, ...]

    def __call__(self, weights: np.ndarray) -> Tensor:
        step = torch.zeros(self.shape if len(self.shape) == 2 else (1, *self.shape))
        for group, scale, part in zip(
            self.groups, self.scales, np.split(weights, len(self.groups)), strict=True
        ):
            step[list(group)] = torch.from_numpy(part / scale).float()
        return step.reshape(self.shape)


def _ticked(names: Sequence[str], events: Events) -> Iterator[int]:
    """0, 1, ... with progress after each."""
    tick = events.progress("choosing", unit="attributes")
    for index in range(len(names)):
        yield index
        tick(index + 1, len(names))


def _comparison(compared: Sequence[tuple[str, dict[str, float]]]) -> Table:
    """How selective each remedy made each direction; what was kept is the largest of a row."""
    ways = ("plain", "conditional", "layers", "combined", "refined")
    rows = tuple(
        (name, *(f"{scores[way]:.1f}" if way in scores else "-" for way in ways)) for name, scores in compared
    )
    columns = (Column("direction", wraps=True), *(Column(way, numbers=True) for way in ways))
    caption = "own effect over the largest effect on another attribute, on images that were not learnt from"
    return Table(columns, rows, title="How selective each remedy is", caption=caption)
