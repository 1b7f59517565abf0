"""A trial: images with one noise, cleaned by a denoiser and by filters that learn nothing.

The filters are non-local means and medians, as OpenCV has them. Their settings are chosen on the very images
that they are measured on, which favours them.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import cv2
import numpy as np
import torch
from pydantic import BaseModel
from torch import nn

from mien.core.image import evenly_spaced, to_float, to_uint8
from mien.core.types import Dataset
from mien.metrics.ms_ssim import ssim
from mien.models.noise2noise import Config, noise_of
from mien.nn.noise import Noise
from mien.translation.images import apply_network, psnr

Filter = Callable[[np.ndarray], np.ndarray]  # uint8 [H, W, C] -> the same

_MOST_PICTURES = 400
_MOST_PIXELS = _MOST_PICTURES * 128**2  # of all pictures together, since non-local means are slow
_LEAST_SSIM = 11  # pixels a side of the window
_OF_RANGE = (0.25, 0.5, 1.0)  # the strengths at which a blind model is tried
_TUNED_ON = 24  # images on which settings of filters are compared
_STRENGTHS = np.arange(0.4, 1.65, 0.1)  # of non-local means, in standard deviations of the error
_PATCHES, _SEARCHES = (3, 7), (11, 21)  # pixels a side; the latter of each is OpenCV's own choice
_MEDIANS = (3, 5, 7)


class Figure(BaseModel, frozen=True):
    """How near one method comes. psnr: dB, ssim: means over pictures; no ssim of pictures under 11 px.

    ahead: by how many dB of PSNR the model is better than this, on average; give_or_take: half of the 95 %
    interval of that, over pictures.
    """

    name: str
    psnr: float
    ssim: float | None
    ahead: float
    give_or_take: float


class Trial(BaseModel, frozen=True):
    """One noise. figures: of the noisy pictures, the model, and the filters, in this order."""

    noise: str
    figures: tuple[Figure, ...]


def compare(network: nn.Module, noisy: np.ndarray, targets: np.ndarray) -> tuple[Figure, ...]:
    """The noisy pictures, the network's output for them, and the filters'; uint8 [N, C, H, W]."""
    methods = {"noisy": noisy, "this model": apply_network(network, noisy)} | filtered(noisy, targets)
    truth = torch.from_numpy(targets)
    outputs = [torch.from_numpy(np.ascontiguousarray(pictures)) for pictures in methods.values()]
    decibels = [psnr(output, truth) for output in outputs]
    return tuple(
        _figure(name, output, truth, own, decibels[1])
        for name, output, own in zip(methods, outputs, decibels, strict=True)
    )


def _figure(
    name: str, output: torch.Tensor, truth: torch.Tensor, own: torch.Tensor, of_model: torch.Tensor
) -> Figure:
    """own, of_model: PSNR of every picture, [N]."""
    ahead = of_model - own
    return Figure(
        name=name,
        psnr=float(own.mean()),
        ssim=float(ssim(output, truth).mean()) if min(truth.shape[2:]) >= _LEAST_SSIM else None,
        ahead=float(ahead.mean()),
        give_or_take=1.96 * float(ahead.std(correction=0)) / len(ahead) ** 0.5,
    )


def add_noise(pictures: np.ndarray, noise: Noise, seed: int = 0) -> np.ndarray:
    """uint8 [N, C, H, W] with noise, as a file would hold it: clipped and rounded."""
    noisy = noise(to_float(torch.from_numpy(pictures)), torch.Generator().manual_seed(seed))
    return to_uint8(noisy).numpy()


def trial_noises(config: Config) -> list[Noise]:
    """The noise that the model knows; of a blind one some strengths; of pairs nothing."""
    noise = noise_of(config)
    if noise is None:
        return []
    spread = noise.high - noise.low
    strengths = dict.fromkeys(noise.low + spread * share for share in _OF_RANGE)
    return [Noise(noise.kind, strength, strength) for strength in strengths]


def trial_indexes(dataset: Dataset, most: int = _MOST_PICTURES) -> np.ndarray:
    """Indexes of up to `most` pictures, evenly spread; fewer where they are large."""
    return evenly_spaced(dataset, max(min(most, _MOST_PIXELS // dataset.spec.resolution**2), 1))


def filtered(noisy: np.ndarray, targets: np.ndarray) -> dict[str, np.ndarray]:
    """Both filters on uint8 pictures [N, C, H, W], with the settings that come nearest to `targets`."""
    few = evenly_spaced(noisy, _TUNED_ON)
    truth = targets[few].astype(np.float32)

    def squared_error(choice: tuple[str, Filter]) -> float:
        return float(np.square(_each(choice[1], noisy[few]) - truth).mean())

    medians = [(f"median ({side}x{side})", partial(cv2.medianBlur, ksize=side)) for side in _MEDIANS]
    best = [min(choices, key=squared_error) for choices in (_non_local_means(noisy, targets), medians)]
    return {name: _each(one, noisy) for name, one in best}


def _non_local_means(noisy: np.ndarray, targets: np.ndarray) -> Iterator[tuple[str, Filter]]:
    """All channels together: on small faces that does better than OpenCV's variant in Lab."""
    deviation = float(np.sqrt(np.square(noisy.astype(np.float32) - targets).mean()))
    for patch, search, share in product(_PATCHES, _SEARCHES, _STRENGTHS):
        h = max(deviation * share, 1.0)
        means = partial(cv2.fastNlMeansDenoising, h=h, templateWindowSize=patch, searchWindowSize=search)
        yield f"non-local means (h {h:.1f}, patch {patch}, search {search})", means


def _each(one: Filter, pictures: np.ndarray) -> np.ndarray:
    images = np.ascontiguousarray(pictures.transpose(0, 2, 3, 1))
    outputs = np.stack([one(image).reshape(image.shape) for image in images])
    return outputs.transpose(0, 3, 1, 2)
