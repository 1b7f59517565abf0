"""What pictures are cleaned with where nothing was learnt: non-local means and medians, as OpenCV has them.

Their settings are chosen on the very pictures that they are measured on, which favours them.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import NamedTuple

import cv2
import numpy as np

Filter = Callable[[np.ndarray], np.ndarray]  # uint8 [H, W, C] -> the same

_TRIED_ON = 24  # pictures on which settings are compared
_STRENGTHS = np.arange(0.4, 1.65, 0.1)  # of non-local means, in standard deviations of what is amiss
_PATCHES, _SEARCHES = (3, 7), (11, 21)  # pixels a side; the latter of each is OpenCV's own choice
_MEDIANS = (3, 5, 7)


class Filtered(NamedTuple):
    """name: with its settings. pictures: uint8 [N, C, H, W]."""

    name: str
    pictures: np.ndarray


def classical(spoilt: np.ndarray, wanted: np.ndarray) -> list[Filtered]:
    """Both filters on uint8 pictures [N, C, H, W], with the settings that come nearest to `wanted`."""
    return [_best(spoilt, wanted, choices) for choices in (_non_local_means(spoilt, wanted), _medians())]


def _best(spoilt: np.ndarray, wanted: np.ndarray, choices: Iterator[tuple[str, Filter]]) -> Filtered:
    few = np.unique(np.linspace(0, len(spoilt) - 1, _TRIED_ON).astype(int))
    known = wanted[few].astype(np.float32)

    def amiss(choice: tuple[str, Filter]) -> float:
        return float(np.square(_through(choice[1], spoilt[few]) - known).mean())

    name, chosen = min(choices, key=amiss)
    return Filtered(name, _through(chosen, spoilt))


def _non_local_means(spoilt: np.ndarray, wanted: np.ndarray) -> Iterator[tuple[str, Filter]]:
    """All channels together: on small faces that does better than OpenCV's variant in Lab."""
    deviation = float(np.sqrt(np.square(spoilt.astype(np.float32) - wanted).mean()))
    for patch, search, share in product(_PATCHES, _SEARCHES, _STRENGTHS):
        yield _means(max(deviation * share, 1.0), patch, search)


def _means(h: float, patch: int, search: int) -> tuple[str, Filter]:
    name = f"non-local means (h {h:.1f}, patch {patch}, search {search})"
    means = partial(cv2.fastNlMeansDenoising, h=h, templateWindowSize=patch, searchWindowSize=search)
    return name, means


def _medians() -> Iterator[tuple[str, Filter]]:
    for side in _MEDIANS:
        yield f"median ({side}x{side})", partial(cv2.medianBlur, ksize=side)


def _through(one: Filter, pictures: np.ndarray) -> np.ndarray:
    images = np.ascontiguousarray(pictures.transpose(0, 2, 3, 1))
    found = np.stack([one(image).reshape(image.shape) for image in images])
    return found.transpose(0, 3, 1, 2)
