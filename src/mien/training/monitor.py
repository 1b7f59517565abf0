"""The monitor of a run: warnings of mode collapse and divergence, with advice."""

import math
from collections import deque
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.training.loop import Step


@dataclass(frozen=True)
class Notice:
    """A warning to the user. kind: short code. fatal: the run has diverged and must be rolled back."""

    kind: str
    text: str
    nimg: int
    fatal: bool = False


@dataclass(frozen=True)
class Limits:
    """Thresholds of the warnings: a symptom must show in that many of as many recent steps.

    Divergence flickers, so fatal symptoms need not be consecutive: twice as many steps are looked back on.
    """

    nonfinite_steps: int = 3
    penalty_factor: float = 20.0  # times its running average
    penalty_updates: int = 3
    penalty_warmup: int = 16  # penalty updates before its average means anything
    saturated_loss: float = 0.02  # the discriminator's loss when it no longer doubts
    saturated_steps: int = 200
    exploded_gap: float = 500.0  # real minus fake score: no loss has a useful slope there
    exploded_steps: int = 10
    jump_factor: float = 30.0  # of a network's gradient, times its running average
    jump_steps: int = 3
    jump_warmup: int = 64
    gradient_ratio: float = 100.0
    gradient_steps: int = 200
    duplicate_rate: float = 0.25
    duplicates_from_nimg: int = 10_000  # early on all samples are alike
    variety: float = 0.4  # of the fakes' mean difference from each other, over that of the reals
    variety_grids: int = 2  # in so many grids of fakes in a row
    repeat_nimg: int = 20_000  # the same warning is not given again before that many images


_ADVICE = {
    "saturated": (
        "the discriminator tells real from fake without doubt, so the generator learns little;"
        " raise gamma, lower the discriminator's learning rate, or add training pictures"
    ),
    "gradients": (
        "gradients of generator and discriminator differ by a factor of {value:.0f};"
        " lower the learning rate of the one with the larger gradient"
    ),
    "duplicates": (
        "{value:.0%} of the sampled faces are near copies of another sample (mode collapse);"
        " raise gamma, use more varied pictures, or go back to an earlier snapshot"
    ),
    "variety": (
        "the sampled faces differ from each other {value:.0%} as much as real ones do: it draws few kinds of"
        " face (mode collapse); raise gamma, use more varied pictures, or go back to an earlier snapshot"
    ),
    "nonfinite-step": "a gradient was not finite; that update was withheld",
    "nonfinite": "gradients stayed non-finite: the run has diverged",
    "penalty": "the gradient penalty is {value:.0f} times its average: the discriminator is diverging",
    "jump": "gradients are {value:.0f} times their average: the networks have thrown each other off",
    "exploded": "real and fake scores are {value:.0f} apart: the discriminator has run away",
}


@dataclass
class _Usual:
    """A geometric mean of what is usual; spikes do not teach it to accept spikes.

    factor: above the mean by more than that is a spike, once `warmup` values were seen.
    """

    factor: float
    warmup: int
    _log: float = 0.0
    _count: int = 0

    def times(self, value: float) -> float:
        """How many times the usual `value` is, which is taken in unless it is a spike."""
        logarithm = math.log(max(value, 1e-12))
        times = math.exp(min(logarithm - self._log, 700.0))
        if not self.is_spike(times):
            self._count += 1
            self._log += (logarithm - self._log) / min(self._count, 64)
        return times

    def is_spike(self, times: float) -> bool:
        return self._count >= self.warmup and times > self.factor


@dataclass
class Monitor:
    """Checks every step, and now and then a batch of fakes, and returns notices.

    reals: float [N, C, H, W] in [-1, 1], or None: real images whose variety is what fakes should have.
    """

    limits: Limits = field(default_factory=Limits)
    reals: Tensor | None = None
    _recent: dict[str, deque[int | None]] = field(default_factory=dict)  # nimg where the symptom showed
    _last_notice: dict[str, int] = field(default_factory=dict)
    _usual: dict[str, _Usual] = field(default_factory=dict)
    _low_grids: int = 0

    def observe(self, step: Step) -> list[Notice]:
        """Notices on this step; a fatal one means: roll back."""
        limits = self.limits
        gap = abs(step.values.get("Loss/scores/real", 0.0) - step.values.get("Loss/scores/fake", 0.0))
        apart = gap > limits.exploded_gap
        certain = step.values.get("Loss/D/loss", math.inf) < limits.saturated_loss
        notices = [
            self._check("nonfinite", not step.finite, limits.nonfinite_steps, step, fatal=True),
            self._check("nonfinite-step", not step.finite, 1, step),
            self._penalty(step),
            self._jump(step),
            self._check("exploded", apart, limits.exploded_steps, step, value=gap, fatal=True),
            self._check("saturated", certain, limits.saturated_steps, step),
            self._gradients(step),
        ]
        return [notice for notice in notices if notice]

    def observe_fakes(self, fakes: Tensor, nimg: int) -> list[Notice]:
        """Notices on mode collapse. fakes: float [N, C, H, W] of different seeds in [-1, 1]."""
        if nimg < self.limits.duplicates_from_nimg:
            return []
        notices = []
        rate = duplicate_rate(fakes)
        if rate >= self.limits.duplicate_rate:
            notices.append(self._notice("duplicates", nimg, rate))
        share = 1.0 if self.reals is None else variety(fakes) / variety(self.reals)
        self._low_grids = self._low_grids + 1 if share < self.limits.variety else 0
        if self._low_grids >= self.limits.variety_grids:
            notices.append(self._notice("variety", nimg, share))
        return [notice for notice in notices if notice]

    def first_symptom(self, kind: str) -> int:
        """The nimg at which the symptom `kind` first showed among the recent steps."""
        return min((nimg for nimg in self._recent.get(kind, ()) if nimg is not None), default=0)

    def calm(self) -> bool:
        """Whether no fatal symptom is building up: only then is a state worth returning to."""
        fatal = ("nonfinite", "penalty", "jump", "exploded")
        return all(nimg is None for kind in fatal for nimg in self._recent.get(kind, ()))

    def _penalty(self, step: Step) -> Notice | None:
        values = [value for name, value in step.values.items() if name.endswith("_penalty")]
        if not values or not math.isfinite(sum(values)):
            return None
        limits = self.limits
        usual = self._usual.setdefault("penalty", _Usual(limits.penalty_factor, limits.penalty_warmup))
        times = usual.times(sum(values))
        symptom = usual.is_spike(times)
        return self._check("penalty", symptom, limits.penalty_updates, step, value=times, fatal=True)

    def _jump(self, step: Step) -> Notice | None:
        limits = self.limits
        most = 0.0
        symptom = False
        for name in ("Grad/d", "Grad/g"):
            norm = step.values.get(name, math.nan)
            if math.isfinite(norm):
                usual = self._usual.setdefault(name, _Usual(limits.jump_factor, limits.jump_warmup))
                times = usual.times(norm)
                most, symptom = max(most, times), symptom or usual.is_spike(times)
        return self._check("jump", symptom, limits.jump_steps, step, value=most, fatal=True)

    def _gradients(self, step: Step) -> Notice | None:
        g, d = step.values.get("Grad/g"), step.values.get("Grad/d")
        if not g or not d or not math.isfinite(g + d):
            return None
        ratio = max(g / d, d / g)
        apart = ratio > self.limits.gradient_ratio
        return self._check("gradients", apart, self.limits.gradient_steps, step, value=ratio)

    def _check(
        self, kind: str, symptom: bool, needed: int, step: Step, *, value: float = 0.0, fatal: bool = False
    ) -> Notice | None:
        window = needed * 2 if fatal else needed
        recent = self._recent.setdefault(kind, deque(maxlen=window))
        recent.append(step.nimg if symptom else None)
        if not symptom or sum(nimg is not None for nimg in recent) < needed:
            return None
        return self._notice(kind, step.nimg, value, fatal=fatal)

    def _notice(self, kind: str, nimg: int, value: float, *, fatal: bool = False) -> Notice | None:
        """The notice, unless the same warning was given a short while ago."""
        last = self._last_notice.get(kind)
        if not fatal and last is not None and nimg - last < self.limits.repeat_nimg:
            return None
        self._last_notice[kind] = nimg
        return Notice(kind, _ADVICE[kind].format(value=value), nimg, fatal)


def duplicate_rate(fakes: Tensor) -> float:
    """Share of images that have a near copy among the others, in [0, 1].

    fakes: float [N, C, H, W] in [-1, 1]. Two pictures are near copies when, reduced to 8x8 pixels, they
    differ by less than 0.04 (five grey levels of 255) root mean square.
    """
    small = F.adaptive_avg_pool2d(fakes.float(), 8).flatten(1)
    distances = torch.cdist(small, small) / small.shape[1] ** 0.5
    distances.fill_diagonal_(math.inf)
    return float((distances.min(dim=1).values < 0.04).float().mean())


def variety(images: Tensor) -> float:
    """Mean distance of two images, each reduced to 8x8 pixels; float [N, C, H, W], above 0."""
    small = F.adaptive_avg_pool2d(images.float(), 8).flatten(1)
    return max(float(torch.pdist(small).mean()), 1e-6) if len(small) > 1 else 1e-6
