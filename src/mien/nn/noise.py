"""What spoils pictures: noise of five kinds, each drawn from one generator alone.

Strengths: gaussian, standard deviation in levels of 255; poisson, photons that make the brightest level;
text and impulse, share of the picture that is covered. Ranges and losses as Lehtinen et al. 2018
(arXiv:1803.04189) have them.
"""

import string
from dataclasses import dataclass
from functools import partial
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from mien.core import ranks

Kind = Literal["gaussian", "poisson", "text", "impulse"]

#          usual strength; least and most that make sense
_RANGES: dict[str, tuple[str, float, float]] = {
    "gaussian": ("25", 0, 255),
    "poisson": ("5-50", 0.5, 1e6),  # fewer photons leave nothing
    "text": ("0-0.5", 0, 0.9),
    "impulse": ("0-0.95", 0, 1),
}

_LETTERS = string.ascii_letters + string.digits
_MOST_STRINGS = 2000  # of one picture; some tens are usual
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX)
# A small share of a picture's height: letters of 5 to 20 pixels at 64.
_SCALES = (0.004, 0.014)


@dataclass(frozen=True)
class Noise:
    """Noise of one kind. Each picture has its own strength, evenly drawn from low to high."""

    kind: Kind
    low: float
    high: float

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """float [N, C, H, W] in [-1, 1] -> the same spoilt, in its mean (gaussian, poisson) or its median.

        Gaussian and Poisson noise leave [-1, 1]: clipping would shift their mean.
        """
        strength = self.low + (self.high - self.low) * ranks.drawn(torch.rand, (len(images), 1, 1, 1), rng)
        return _KINDS[self.kind](images, strength, rng)


def noise(kind: Kind, strength: str) -> Noise:
    """strength: "25", "0-50" for one that differs from picture to picture, "" for the usual. ValueError."""
    usual, least, most = _RANGES[kind]
    low, dash, high = (strength.strip() or usual).partition("-")
    try:
        made = Noise(kind, float(low), float(high if dash else low))
    except ValueError:
        raise ValueError(f"strength {strength!r} is neither a number nor two of them, as 0-50") from None
    if not least <= made.low <= made.high <= most:
        raise ValueError(f"strength of {kind} noise lies from {least:g} to {most:g}, the lower end first")
    return made


def _gaussian(images: Tensor, strength: Tensor, rng: torch.Generator) -> Tensor:
    noise = ranks.drawn(torch.randn, images.shape, rng)
    return images + noise * (strength / 127.5)


def _poisson(images: Tensor, strength: Tensor, rng: torch.Generator) -> Tensor:
    # How many numbers a Poisson draw takes depends on its mean, so that all ranks draw for all rows.
    photons = ranks.own(torch.poisson(ranks.whole((images + 1) / 2 * strength), generator=rng))
    return photons / strength * 2 - 1


def _impulse(images: Tensor, strength: Tensor, rng: torch.Generator) -> Tensor:
    """The whole colour of a pixel gives way to any colour."""
    hit = ranks.drawn(torch.rand, (len(images), 1, *images.shape[2:]), rng) < strength
    return torch.where(hit, ranks.drawn(torch.rand, images.shape, rng) * 2 - 1, images)


def _text(images: Tensor, strength: Tensor, rng: torch.Generator) -> Tensor:
    seeds = ranks.drawn(partial(torch.randint, 2**62), (len(images),), rng)
    spoilt = images.clone()
    for picture, share, seed in zip(spoilt, strength.flatten().tolist(), seeds.tolist(), strict=True):
        colours, covered = _strings(picture.shape[1:], share, np.random.default_rng(seed))
        colour = torch.from_numpy(colours[: len(picture)]).to(images.device)
        picture.copy_(torch.where(torch.from_numpy(covered).to(images.device), colour, picture))
    return spoilt


def _strings(size: torch.Size, share: float, drawer: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random strings on top of each other until they cover `share`: colours [3, H, W] in [-1, 1], where."""
    height, width = size
    covered = np.zeros((height, width), np.uint8)
    colours = np.zeros((height, width, 3), np.float32)
    for _ in range(_MOST_STRINGS):
        if np.count_nonzero(covered) >= share * covered.size:
            break
        text = "".join(drawer.choice(list(_LETTERS), drawer.integers(2, 9)))
        font = _FONTS[drawer.integers(len(_FONTS))]
        scale = drawer.uniform(*_SCALES) * height
        start = (int(drawer.integers(-width // 2, width)), int(drawer.integers(0, height + height // 4)))
        colour, thick = drawer.uniform(-1, 1, 3).tolist(), max(round(2 * scale), 1)
        cv2.putText(covered, text, start, font, scale, 1, thick)
        cv2.putText(colours, text, start, font, scale, colour, thick)
    return colours.transpose(2, 0, 1), covered > 0


_KINDS = {"gaussian": _gaussian, "poisson": _poisson, "text": _text, "impulse": _impulse}
