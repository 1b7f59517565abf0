"""What a step in latent space does to every attribute, measured on drawn images, and which step is the best.

A direction that a classifier finds also moves whatever goes along with its attribute in the samples. Four
remedies are tried, and what is kept is what images show to be the most selective: conditional projection
(Shen et al. 2020, arXiv:1907.10786, section 2.3), a range of layers, a combination of all directions on all
layers whose measured effects cancel (least squares), and the difference to be expected (regression).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mien.core.events import Tick
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes, moved
from mien.latent.readings import Readings

Read = Callable[[Tensor], Readings]

_LEAST_SHARE = 0.5  # of the effect on all layers that a range of layers must keep
_DAMPING = 0.05  # of the least squares, as a share of the mean squared effect
_MOST_GAIN = 5.0  # a unit is at most so many standard deviations of the latents along the direction
ENOUGH = 6.0  # times the largest other effect: beyond it, only shorter steps are better
_SHRUNK = 0.05  # of a covariance: the share of it that is alike in all directions
_FEWEST_KNOWN = 10  # samples for each attribute that latents are regressed on
_SURE = 2.0  # standard errors by which an effect must differ from none


@dataclass(frozen=True)
class Effects:
    """mean, error: float64 [steps, attributes], what a step adds to each attribute and its standard error.

    In standard deviations of the attribute over samples.
    """

    mean: np.ndarray
    error: np.ndarray

    @property
    def noise(self) -> float:
        """The mean squared standard error of those that are known."""
        known = self.error[np.isfinite(self.error)]
        return float(np.mean(known**2)) if len(known) else 0.0


@dataclass(frozen=True)
class Bench:
    """Where steps are tried: latents to start from, what reads the images, and the attributes' spread."""

    drawing: Drawing
    codes: Codes
    read: Read
    spread: np.ndarray

    def effects(self, steps: Tensor, tick: Tick | None = None) -> Effects:
        """Half the difference between a step forward and a step back, for each of `steps` [K, ...]."""
        effects = []
        for number, step in enumerate(steps, start=1):
            there, back = (
                self.read(moved(self.drawing, self.codes, sign * step).draw(self.drawing)).values
                for sign in (1, -1)
            )
            effects.append(_mean_and_error((there - back) / 2 / self.spread))
            if tick:
                tick(number, len(steps))
        means, errors = zip(*effects, strict=True)
        return Effects(np.array(means), np.array(errors))

    def part(self, start: int, stop: int) -> "Bench":
        """The same with some of the latents."""
        return replace(self, codes=self.codes[start:stop])


@dataclass(frozen=True)
class Candidate:
    """A step that should move one attribute alone. how: plain, conditional, layers, combined or expected."""

    step: Tensor
    how: str


def candidates(
    steps: Tensor,
    blocks: list[tuple[int, ...]],
    bench: Bench,
    tick: Tick | None = None,
    *,
    expected: Tensor | None = None,
    helpers: int = 0,
) -> list[list[Candidate]]:
    """For each of `steps` [A, ...] but the helpers, a direction for each attribute, what is to be tried.

    blocks: the layers that are looked at together; none for latents in z. expected: see `expected_steps`.
    helpers: how many of `steps`, at the end, only help to hold their attributes still.
    """
    count, several = max(len(blocks), 1), len(steps) - helpers
    parts = [_on(step, block) for step in steps[:several] for block in blocks] or list(steps[:several])
    whole = list(steps[several:] if expected is None else expected)
    parts = [*parts, *whole]
    measured = bench.effects(torch.stack(parts), tick)
    effects, noise = np.nan_to_num(measured.mean), measured.noise
    candidates_of = []
    for own, step in enumerate(steps[:several]):
        options = [Candidate(step, "plain"), Candidate(conditional(steps, own), "conditional")]
        by_block = effects[own * count : (own + 1) * count]
        if (chosen := best_range(by_block, own)) is not None:
            options.append(Candidate(_on(step, [row for b in chosen for row in blocks[b]]), "layers"))
        options.append(Candidate(_mixture(cancelling(effects, own, noise), parts), "combined"))
        if expected is not None:
            weights = cancelling(effects[-len(whole) :], own, noise)
            options.append(Candidate(_mixture(weights, whole), "expected"))
        candidates_of.append([one for one in options if bool(one.step.abs().sum() > 0)])
    return candidates_of


def expected_steps(latents: Tensor, readings: np.ndarray) -> Tensor | None:
    """How latents [N, ...] differ, on average, by a deviation of each of `readings` [N, A], the others alike.

    That is linear regression of latents on all readings at once: [A, ...], None where too little is known.
    Such steps stay where latents lie, which those that best part two groups need not.
    """
    known = np.isfinite(readings).all(axis=1)
    values = readings[known]
    if len(values) < _FEWEST_KNOWN * (values.shape[1] + 1):
        return None
    values = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)
    there = latents[torch.from_numpy(known)].flatten(1).double().numpy()
    steps = np.linalg.lstsq(values, there - there.mean(axis=0), rcond=None)[0]
    return torch.from_numpy(steps).float().reshape(-1, *latents.shape[1:])


def lengths_in(latents: Tensor, groups: Sequence[Sequence[int]]) -> Callable[[Tensor], float]:
    """What measures steps by how latents [N, ...] vary: how unusual a latent becomes by a step.

    It is the Mahalanobis distance, added over `groups` of rows that hold one vector, meant over the rows of
    each. Attributes are alike far from the mean in few directions; a step along the others breaks faces.
    """
    rows = latents if latents.ndim == 3 else latents[:, None]
    inverses = []
    for group in groups:
        vectors = rows[:, group[0]].double()
        covariance = torch.cov(vectors.T)
        even = covariance.diagonal().mean().clamp_min(1e-12) * torch.eye(len(covariance), dtype=torch.double)
        inverses.append(torch.linalg.inv(torch.lerp(covariance, even, _SHRUNK)))

    def length(step: Tensor) -> float:
        there = step.double().reshape(rows.shape[1:])
        squares = [
            ((there[list(group)] @ inverse) * there[list(group)]).sum(dim=1).mean()
            for group, inverse in zip(groups, inverses, strict=True)
        ]
        return float(torch.stack(squares).sum().sqrt())

    return length


def _mixture(weights: np.ndarray, steps: Sequence[Tensor]) -> Tensor:
    mixed: Tensor = torch.tensordot(torch.from_numpy(weights).float(), torch.stack(list(steps)), dims=1)
    return mixed


def conditional(steps: Tensor, own: int) -> Tensor:
    """Step `own` without its components along all others, each row by itself. steps: [A, ...]."""
    if len(steps) == 1:
        return steps[own]
    rows = steps.reshape(len(steps), -1, steps.shape[-1])
    kept = []
    for layer in rows.unbind(1):
        others = torch.cat([layer[:own], layer[own + 1 :]])
        basis = torch.linalg.svd(others.double(), full_matrices=False)
        span = basis.Vh[(basis.S / basis.S.max().clamp_min(1e-30)) > 1e-6]
        mine = layer[own].double()
        kept.append(mine - (mine @ span.T) @ span)
    return torch.stack(kept).float().reshape(steps.shape[1:])


def best_range(by_block: np.ndarray, own: int) -> range | None:
    """The most selective run of neighbouring blocks, shorter than all; None where none keeps half the effect.

    by_block: effects [blocks, attributes] of one direction on each block alone.
    """
    best: tuple[float, range] | None = None
    whole = by_block[:, own].sum()
    for start in range(len(by_block)):
        for stop in range(start + 1, len(by_block) + 1):
            effect = by_block[start:stop].sum(axis=0)
            if stop - start == len(by_block) or effect[own] < _LEAST_SHARE * whole or whole <= 0:
                continue
            score = selectivity(effect, own)
            if best is None or score > best[0]:
                best = score, range(start, stop)
    return None if best is None else best[1]


def cancelling(effects: np.ndarray, own: int, noise: float) -> np.ndarray:
    """Weights [K] of steps whose `effects` [K, A] add up to one on `own` and to none on all others.

    Damped least squares, so that what is but noise in the effects gets no weight.
    """
    target = np.eye(effects.shape[1])[own]
    gram = effects @ effects.T
    damping = _DAMPING * float(np.mean(effects**2)) * effects.shape[1] + noise * effects.shape[1]
    return np.asarray(np.linalg.solve(gram + damping * np.eye(len(gram)), effects @ target))


def selectivity(effect: np.ndarray, own: int) -> float:
    """How many times the largest other effect the own effect is; effects [A]."""
    others = np.delete(np.abs(effect), own)
    return float(effect[own] / max(others.max(initial=0.0), 1e-9))


def choose(
    options: Sequence[Candidate],
    own: int,
    bench: Bench,
    sigma: Callable[[Tensor], float],
    length: Callable[[Tensor], float],
) -> tuple[Candidate, dict[str, float]] | None:
    """The best candidate by `merit`, its step made to move the attribute by one standard deviation.

    sigma: standard deviation of the latents along a step, in steps. length: see `lengths_in`. Returns it with
    the selectivity of each candidate by `how`; None where no candidate moves the attribute for sure.
    """
    scored: list[tuple[float, Candidate]] = []
    scores: dict[str, float] = {}
    for option in options:
        step = option.step * sigma(option.step)
        effect = bench.effects(step[None])
        if not works(effect, own):
            continue
        step = step * float(min(1 / effect.mean[0, own], _MOST_GAIN))
        scores[option.how] = selectivity(effect.mean[0], own)
        scored.append((merit(scores[option.how], length(step)), Candidate(step, option.how)))
    if not scored:
        return None
    best = max(scored, key=lambda one: one[0])[1]
    # At its full length effects are no longer linear: it is measured there and corrected once.
    own_effect = float(bench.effects(best.step[None]).mean[0, own])
    return replace(best, step=best.step * float(np.clip(1 / max(own_effect, 1e-6), 0.5, 2.0))), scores


def merit(selective: float, length: float) -> float:
    """How good a unit is that is so selective and so long: beyond `ENOUGH`, being shorter counts alone.

    A long step leaves the place where latents lie, and faces break.
    """
    return min(selective, ENOUGH) / max(length, 1e-9)


def refined(
    steps: Tensor, tried: Bench, check: Bench, owns: Sequence[int], length: Callable[[Tensor], float]
) -> list[tuple[Tensor, float] | None]:
    """For each attribute a combination of all steps whose effects, measured at full length, cancel once more.

    steps: [K, ...], first the units of the attributes `owns`, then others that help to hold attributes still.
    None where, on `check`, it has not more `merit` than the unit itself; else the combination and its
    selectivity.
    """
    effects = tried.effects(steps)
    before = check.effects(steps[: len(owns)])
    matrix, noise = np.nan_to_num(effects.mean), effects.noise
    refined_steps: list[tuple[Tensor, float] | None] = []
    for at, own in enumerate(owns):
        step = _mixture(cancelling(matrix, own, noise), list(steps))
        effect = check.effects(step[None])
        old, new = selectivity(before.mean[at], own), selectivity(effect.mean[0], own)
        better = merit(new, length(step)) > merit(old, length(steps[at]))
        refined_steps.append((step, new) if better and works(effect, own) else None)
    return refined_steps


def works(effects: Effects, own: int) -> bool:
    """Whether a step surely moves its own attribute, and in the right direction."""
    return bool(effects.mean[0, own] > _SURE * effects.error[0, own])


def _on(step: Tensor, layers: tuple[int, ...] | list[int]) -> Tensor:
    kept = torch.zeros_like(step)
    kept[list(layers)] = step[list(layers)]
    return kept


def _mean_and_error(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error of each column over its known rows; (0, inf) where fewer than two are."""
    known = np.isfinite(rows)
    count = known.sum(0)
    filled = np.where(known, rows, 0.0)
    mean = filled.sum(0) / np.maximum(count, 1)
    spread = np.sqrt((np.where(known, rows - mean, 0.0) ** 2).sum(0) / np.maximum(count - 1, 1))
    return mean, np.where(count > 1, spread / np.sqrt(np.maximum(count, 1)), np.inf)
