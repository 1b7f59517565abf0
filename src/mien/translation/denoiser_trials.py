"""One noise, and what cleans pictures of it: the figures of a denoiser beside those of filters."""

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from mien.core.image import to_float, to_uint8
from mien.core.types import Dataset
from mien.metrics.ms_ssim import ssim
from mien.models.noise2noise import Config, noise_of
from mien.nn.noise import Noise
from mien.translation.closeness import psnr
from mien.translation.denoiser_filters import Filtered, classical
from mien.translation.strips import changed, chosen

_MOST_PICTURES = 400
_MOST_PIXELS = _MOST_PICTURES * 128**2  # of all pictures together, since non-local means are slow
_AT_ONCE = 32 * 64**2  # pixels that go through the network together
_LEAST_SSIM = 11  # pixels a side of the window
_OF_RANGE = (0.25, 0.5, 1.0)  # the strengths at which a blind model is tried


class Figure(BaseModel):
    """How near one way comes. psnr: dB, ssim: means over pictures; no ssim of pictures smaller than 11 px.

    ahead: by how many dB of PSNR the model is better than this, on average; give_or_take: half of the 95 %
    interval of that, over pictures.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    psnr: float
    ssim: float | None
    ahead: float
    give_or_take: float


class Trial(BaseModel):
    """One noise. figures: of the noisy pictures, the model, and the filters, in this order."""

    model_config = ConfigDict(frozen=True)

    noise: str
    figures: tuple[Figure, ...]


def compare(network: nn.Module, spoilt: np.ndarray, wanted: np.ndarray) -> tuple[Figure, ...]:
    """The noisy pictures, what the network makes of them, and the filters; uint8 [N, C, H, W]."""
    ways = [
        Filtered("noisy", spoilt),
        Filtered("this model", changed(network, spoilt)),
        *classical(spoilt, wanted),
    ]
    truth = torch.from_numpy(wanted)
    found = [torch.from_numpy(np.ascontiguousarray(way.pictures)) for way in ways]
    decibels = [psnr(one, truth) for one in found]
    figures = []
    for way, pictures, each in zip(ways, found, decibels, strict=True):
        ahead = decibels[1] - each
        error = 1.96 * float(ahead.std(correction=0)) / len(ahead) ** 0.5
        figures.append(
            Figure(
                name=way.name,
                psnr=float(each.mean()),
                ssim=float(ssim(pictures, truth).mean()) if min(truth.shape[2:]) >= _LEAST_SSIM else None,
                ahead=float(ahead.mean()),
                give_or_take=error,
            )
        )
    return tuple(figures)


def spoil(pictures: np.ndarray, noise: Noise, seed: int = 0) -> np.ndarray:
    """uint8 [N, C, H, W] with noise, as a file would hold it: cut to its range and rounded."""
    spoilt = noise(to_float(torch.from_numpy(pictures)), torch.Generator().manual_seed(seed))
    return to_uint8(spoilt).numpy()


def trial_noises(config: Config) -> list[Noise]:
    """The noise that the model knows; of a blind one some strengths; of pairs nothing."""
    noise = noise_of(config)
    if noise is None:
        return []
    spread = noise.high - noise.low
    strengths = dict.fromkeys(noise.low + spread * share for share in _OF_RANGE)
    return [Noise(noise.kind, strength, strength) for strength in strengths]


def few(dataset: Dataset, most: int = _MOST_PICTURES) -> np.ndarray:
    """Indexes of up to `most` pictures, evenly spread; fewer where they are large."""
    return chosen(dataset, max(min(most, _MOST_PIXELS // dataset.spec.resolution**2), 1))


def told(noise: Noise) -> str:
    """In words."""
    return f"{noise.kind} {noise.low:g}"
