"""Photographs spoilt the way generators fail: synthetic faces of no generator in particular, to learn from.

Up-sampling by inserted zeros and a short filter leaves a pattern (simulated as in Zhang et al. 2019,
arXiv:1907.06515); a face mixed with a moved copy of itself has joins but the same content (Shiohara and
Yamasaki 2022, arXiv:2204.08376); shapes are bent, textures painted over, colours run. So a detector cannot go
by who is shown before what, and meets more kinds of failure than it has generators to learn from.
"""

from collections.abc import Callable

import cv2
import numpy as np

from mien.core.picture import Pixels

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def spoilt(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A face uint8 [S, S, 3] with one to three of the failures, all over or in a part of it."""
    values = pixels.astype(np.float32)
    for index in rng.permutation(len(_FAILURES))[: rng.integers(1, 4)]:
        changed = _FAILURES[index](values, rng)
        mask = _soft_mask(pixels.shape[0], rng) if rng.random() < 0.5 else 1.0
        values = values + (changed - values) * mask
    return np.asarray(np.clip(values + 0.5, 0, 255), np.uint8)


def _upsampled(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Halved, and doubled by a transposed convolution whose filter is a little uneven."""
    side = values.shape[0]
    half = cv2.resize(values, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
    spread = np.zeros_like(values[: side // 2 * 2, : side // 2 * 2])
    spread[::2, ::2] = half
    taps = np.array(((1, 1), (1, 2, 1), (1, 3, 3, 1))[rng.integers(3)], np.float32)
    taps = taps * (2 / taps.sum())
    kernel = np.outer(taps, taps) * (1 + rng.uniform(0.01, 0.12) * rng.standard_normal((len(taps),) * 2))
    doubled = cv2.filter2D(spread, -1, kernel.astype(np.float32), borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(doubled, (side, side)))


def _bent(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shapes bent by a smooth field: features that do not match."""
    side = values.shape[0]
    cells = int(rng.integers(4, 10))
    field = rng.standard_normal((2, cells, cells)).astype(np.float32) * rng.uniform(0.01, 0.035) * side
    across, down = (cv2.resize(one, (side, side), interpolation=cv2.INTER_CUBIC) for one in field)
    places = np.arange(side, dtype=np.float32)
    x, y = places[None] + across, places[:, None] + down
    return np.asarray(cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))


def _mixed(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A moved, recoloured or mirrored copy of itself."""
    side = values.shape[0]
    copy = values[:, ::-1] if rng.random() < 0.3 else values
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(-6, 6), rng.uniform(0.9, 1.1))
    matrix[:, 2] += rng.uniform(-0.05, 0.05, 2) * side
    moved = cv2.warpAffine(np.ascontiguousarray(copy), matrix, (side, side), borderMode=cv2.BORDER_REFLECT)
    light = rng.uniform(-12, 12, 3) if rng.random() < 0.5 else np.zeros(3)
    return np.asarray(moved * rng.uniform(0.9, 1.1) + light.astype(np.float32), np.float32)


def _painted(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Texture gone and edges kept."""
    pixels = np.clip(values, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        return np.asarray(cv2.medianBlur(pixels, int(rng.choice((3, 5)))), np.float32)
    return np.asarray(cv2.bilateralFilter(pixels, 7, rng.uniform(25, 70), rng.uniform(1.5, 4)), np.float32)


def _run_colours(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blotches of colour."""
    side = values.shape[0]
    cells = int(rng.integers(4, 17))
    blotches = rng.standard_normal((cells, cells, 3)).astype(np.float32) * rng.uniform(4, 14)
    return np.asarray(values + cv2.resize(blotches, (side, side), interpolation=cv2.INTER_CUBIC))


_FAILURES: tuple[Change, ...] = (_upsampled, _bent, _mixed, _painted, _run_colours)


def _soft_mask(side: int, rng: np.random.Generator) -> np.ndarray:
    """float32 [S, S, 1]: an ellipse about a place in the face with a soft rim."""
    mask = np.zeros((side, side), np.float32)
    middle = (int(rng.uniform(0.3, 0.7) * side), int(rng.uniform(0.3, 0.75) * side))
    axes = (int(rng.uniform(0.1, 0.35) * side), int(rng.uniform(0.08, 0.35) * side))
    cv2.ellipse(mask, middle, axes, rng.uniform(0, 180), 0, 360, (1.0,), -1)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.01, 0.06) * side), np.float32)[..., None]
