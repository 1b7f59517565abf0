"""Differentiable augmentation of the discriminator's input, with fixed, rising or adaptive strength.

The pipe of StyleGAN2-ADA (Karras et al. 2020, arXiv:2006.06676, appendix B): blits, geometry, colour,
and optionally filters in bands, noise and cutout. Each transformation is applied to each picture with
probability p. The simple policies of DiffAugment (Zhao et al. 2020, arXiv:2006.10738) are here too.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.core.errors import InputError
from mien.core.types import Progress
from mien.training.augment_groups import (
    Draws,
    colour_matrices,
    cut_out,
    filtered_bands,
    geometry,
    noised,
    recoloured,
    warped,
)

SIMPLE = ("simple-colour", "simple-translation", "simple-cutout")
_SHIFT, _HOLE = 1 / 8, 1 / 2  # shares of the picture's side


def simple(x: Tensor, policies: Sequence[str], rng: torch.Generator) -> Tensor:
    """Apply the named policies of DiffAugment (Zhao et al. 2020, arXiv:2006.10738) to x [N, C, H, W]."""
    steps = {"simple-colour": _colour, "simple-translation": _translation, "simple-cutout": _cutout}
    for name in policies:
        x = steps[name](x, rng)
    return x


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _colour(x: Tensor, rng: torch.Generator) -> Tensor:
    """Brightness +-0.5, saturation 0..2, contrast 0.5..1.5."""
    draws = Draws(len(x), 1.0, rng, x.device)
    x = x + _each(draws.uniform(-0.5, 0.5))
    gray = x.mean(dim=1, keepdim=True)
    x = gray + (x - gray) * _each(draws.uniform(0, 2))
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * _each(draws.uniform(0.5, 1.5))


def _translation(x: Tensor, rng: torch.Generator) -> Tensor:
    """A shift by whole pixels up to an eighth of the side, filled with zeros."""
    size = x.shape[-1]
    reach = max(1, round(size * _SHIFT))
    draws = Draws(len(x), 1.0, rng, x.device)
    padded = F.pad(x, (reach, reach, reach, reach))
    rows, columns = (
        draws.integers(2 * reach + 1)[:, None] + torch.arange(size, device=x.device) for _ in range(2)
    )
    which = torch.arange(len(x), device=x.device)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def _cutout(x: Tensor, rng: torch.Generator) -> Tensor:
    """A square hole of half the side."""
    size = x.shape[-1]
    draws = Draws(len(x), 1.0, rng, x.device)
    places = torch.arange(size, device=x.device)[None]
    near = [((places - draws.integers(size)[:, None]).abs() < size * _HOLE / 2) for _ in range(2)]
    return x * ~(near[0][:, None, :, None] & near[1][:, None, None, :])


MODES = ("fixed", "ramp", "ada")
GROUPS = ("blit", "geometry", "colour", "filter", "noise", "cutout")
PIPES: dict[str, tuple[str, ...]] = {
    **{"b": GROUPS[:1], "bg": GROUPS[:2], "bgc": GROUPS[:3], "bgcf": GROUPS[:4]},
    **{"bgcfn": GROUPS[:5], "bgcfnc": GROUPS[:6], "c": ("colour",)},
}


@dataclass
class Augmentation:
    """Augments images [N, C, H, W] in [-1, 1]; each transformation is applied with probability `p`.

    groups: which of GROUPS, in their order; or SIMPLE policies of DiffAugment, which know no p below 1.
    At p = 0 pictures pass through untouched.
    """

    groups: tuple[str, ...]
    p: float = 0.0

    def __post_init__(self) -> None:
        unknown = [name for name in self.groups if name not in GROUPS and name not in SIMPLE]
        if unknown:
            known = ", ".join((*GROUPS, *SIMPLE))
            raise InputError(f"augmentation {unknown[0]!r} is not known; choose from: {known}")

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """The augmented images, float32 of the same shape; twice differentiable."""
        if self.p <= 0:
            return images
        with torch.autocast(images.device.type, enabled=False):
            return self._augment(images.float(), rng)

    def _augment(self, x: Tensor, rng: torch.Generator) -> Tensor:
        groups = self.groups
        if "blit" in groups or "geometry" in groups:
            matrices = geometry(x, self.p, rng, blits="blit" in groups, turns="geometry" in groups)
            x = warped(x, matrices)
        if "colour" in groups:
            x = recoloured(x, colour_matrices(x, self.p, rng))
        if "filter" in groups:
            x = filtered_bands(x, self.p, rng)
        if "noise" in groups:
            x = noised(x, self.p, rng)
        if "cutout" in groups:
            x = cut_out(x, self.p, rng)
        return simple(x, [name for name in groups if name in SIMPLE], rng)


@dataclass
class Adaptive:
    """Raises p while the discriminator overfits, else lowers it (ADA, arXiv:2006.06676, section 3).

    The sign of its scores of real pictures, averaged over `interval` steps, is held at `target`. From 0 to 1
    p takes `ramp_nimg` images at the fastest.
    """

    augmentation: Augmentation
    target: float = 0.6
    interval: int = 4
    ramp_nimg: float = 500_000
    signs: float = 0.0
    nimg: int = 0
    steps: int = 0

    def observe(self, signs: float, nimg: int) -> None:
        """Update p by the mean sign of the real scores of a step of `nimg` images."""
        self.signs += signs * nimg
        self.nimg += nimg
        self.steps += 1
        if self.steps < self.interval or not math.isfinite(self.signs):
            return
        step = math.copysign(self.nimg / self.ramp_nimg, self.signs / self.nimg - self.target)
        self.augmentation.p = min(max(self.augmentation.p + step, 0.0), 1.0)
        self.signs, self.nimg, self.steps = 0.0, 0, 0

    def state_dict(self) -> dict[str, Any]:
        """p and the running sums."""
        return {"p": self.augmentation.p, "signs": self.signs, "nimg": self.nimg, "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of `state_dict`."""
        self.augmentation.p = state["p"]
        self.signs, self.nimg, self.steps = state["signs"], state["nimg"], state["steps"]


@dataclass
class Schedule:
    """How p moves in a run: "fixed" at `peak`, "ramp" from 0 to it (a half cosine over the budget), or "ada".

    Bit-exact to resume: what the next step will do follows from `state_dict` and progress alone.
    """

    augmentation: Augmentation
    mode: str
    peak: float = 1.0
    adaptive: Adaptive | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InputError(f"augmentation mode {self.mode!r} is not known; choose from: {', '.join(MODES)}")
        if not 0 <= self.peak <= 1:
            raise InputError(f"augmentation p is a probability from 0 to 1, not {self.peak:g}")
        if self.mode == "ada" and self.adaptive is None:
            self.adaptive = Adaptive(self.augmentation)

    def begin_step(self, progress: Progress) -> None:
        """Set p for the step about to run."""
        if self.mode == "fixed":
            self.augmentation.p = self.peak
        elif self.mode == "ramp":
            self.augmentation.p = self.peak * (1 - math.cos(math.pi * progress.fraction)) / 2

    def end_step(self, values: Mapping[str, float], nimg: int) -> None:
        """Update adaptive strength by the logged values of a step of `nimg` images."""
        if self.adaptive is not None and "Loss/signs/real" in values:
            self.adaptive.observe(values["Loss/signs/real"], nimg)

    def state_dict(self) -> dict[str, Any]:
        """The state of adaptive strength, {} without it."""
        return {} if self.adaptive is None else self.adaptive.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of `state_dict`."""
        if self.adaptive is not None:
            self.adaptive.load_state_dict(state)


def parse_pipe(text: str) -> tuple[str, ...]:
    """Groups from "bgc", or from names with commas: "blit,colour", "simple-translation,simple-cutout"."""
    if text in PIPES:
        return PIPES[text]
    names: Sequence[str] = [name.strip() for name in text.split(",") if name.strip()]
    return Augmentation(tuple(names)).groups
