"""Large scenes without a face, made from numbers, and portraits pasted into them (see composites.py)."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Random = np.random.Generator
_COARSE = 1000  # pixels of the longer side that scenes are made at


@dataclass(frozen=True)
class Scene:
    """kind: of KINDS. size: width and height. pixels: uint8 [height, width, 3]."""

    kind: str
    size: tuple[int, int]
    pixels: Pixels


def scene(kind: str, size: tuple[int, int], others: list[Pixels], rng: Random) -> Scene:
    """A scene of one kind. others: photos that "blurred" makes unrecognisable.

    It is made smaller and enlarged, with fresh grain on it.
    """
    less = (size[0] * _COARSE // max(size), size[1] * _COARSE // max(size))
    made = _blurred(less, others, rng) if kind == "blurred" else _MAKERS[kind](less, rng)
    coarse = np.clip(made + 0.5, 0, 255).astype(np.uint8)
    pixels = cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR)
    grain = np.abs(rng.normal(0, rng.uniform(1, 6), (257, 263, 1))).astype(np.uint8)
    repeats = (-(-size[1] // 257), -(-size[0] // 263), 3)
    return Scene(kind, size, cv2.add(pixels, np.tile(grain, repeats)[: size[1], : size[0]]))


def paste(
    pixels: Pixels, portrait: Pixels, eyes: np.ndarray, scale: float, degrees: float, rng: Random
) -> np.ndarray:
    """Put a portrait into the scene, scaled and turned; returns where its eyes [2, 2] are then.

    The face lies inside the scene, the portrait's edge may not. Its outline is a soft oval, a soft
    rectangle or a hard one.
    """
    outline = _outline(portrait.shape[:2], int(rng.integers(3)))
    factor = min(1.0, scale * 1.5)
    if factor < 1:  # made smaller by averaging first, so that nothing aliases
        shape = [max(8, round(side * factor)) for side in portrait.shape[1::-1]]
        eyes, scale = eyes * (np.array(shape) / portrait.shape[1::-1]), scale / factor
        portrait, outline = (cv2.resize(x, shape, interpolation=cv2.INTER_AREA) for x in (portrait, outline))
    height, width = pixels.shape[:2]
    reach = 1.6 * scale * math.dist(*eyes)
    place = [rng.uniform(min(reach, side / 2), max(side - reach, side / 2)) for side in (width, height)]
    middle = eyes.mean(axis=0)
    matrix = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), -degrees, scale)
    matrix[:, 2] += np.array(place) - middle
    how = cv2.INTER_LINEAR if scale < 1 else cv2.INTER_CUBIC
    x0, y0, x1, y1 = _covered(matrix, portrait.shape, width, height)
    part, shifted = pixels[y0:y1, x0:x1], matrix.copy()
    shifted[:, 2] -= (x0, y0)
    shape = part.shape[1::-1]
    warped = cv2.warpAffine(portrait, shifted, shape, flags=how, borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.warpAffine(outline, shifted, shape)[..., np.newaxis]
    part[:] = (part + (warped.astype(np.float32) - part) * soft + 0.5).astype(np.uint8)
    return np.asarray(eyes @ matrix[:, :2].T + matrix[:, 2])


def _covered(
    matrix: np.ndarray, shape: tuple[int, ...], width: int, height: int
) -> tuple[int, int, int, int]:
    """The part of the scene on which the portrait falls: left, top, right, bottom."""
    corners = np.array([[0, 0], [shape[1], 0], [0, shape[0]], [shape[1], shape[0]]])
    placed = corners @ matrix[:, :2].T + matrix[:, 2]
    low = np.clip(np.floor(placed.min(axis=0)), 0, (width - 1, height - 1)).astype(int)
    high = np.clip(np.ceil(placed.max(axis=0)), low + 1, (width, height)).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _outline(shape: tuple[int, ...], kind: int) -> NDArray[np.float32]:
    """float32 [H, W], 1 inside: 0 a soft oval, 1 a soft rectangle, 2 a hard rectangle."""
    height, width = shape
    if kind == 2:
        return np.ones((height, width), np.float32)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    distance = np.hypot(x, y) if kind == 0 else np.maximum(abs(x), abs(y))
    return np.clip((1 - distance) / 0.12, 0, 1).astype(np.float32)


def _colour(rng: Random) -> np.ndarray:
    return rng.uniform(20, 235, 3)


def _grid(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    width, height = size
    y, x = np.mgrid[0 : height / width : height * 1j, 0 : 1 : width * 1j].astype(np.float32)
    return x, y


def _gradient(size: tuple[int, int], rng: Random) -> np.ndarray:
    """Three colours from corner to corner with waves over them."""
    x, y = _grid(size)
    turn, waves = rng.uniform(0, 2 * math.pi), rng.uniform(2, 40)
    along = (x * math.cos(turn) + y * math.sin(turn) + 1.5) / 3
    wave = rng.uniform(0, 15) * np.sin(2 * math.pi * waves * (x * math.sin(turn) + y * math.cos(turn)))
    first, second, third = _colour(rng), _colour(rng), _colour(rng)
    mixed = first + (second - first) * along[..., np.newaxis] + (third - first) * (y**2)[..., np.newaxis]
    return np.asarray(mixed + wave[..., np.newaxis])


def _texture(size: tuple[int, int], rng: Random) -> np.ndarray:
    """Noise of several octaves with two colours, by a slope that is drawn: from clouds to gravel."""
    width, height = size
    total, slope = np.zeros((height, width), np.float32), rng.uniform(0.4, 0.9)
    for octave in range(2, 11):
        cells = (max(2, round(2**octave * height / width)), 2**octave)
        noise = rng.normal(0, 1, cells).astype(np.float32)
        total += slope**octave * cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
    share = 1 / (1 + np.exp(-1.5 * total / total.std()))
    first, second = _colour(rng), _colour(rng)
    return np.asarray(first + (second - first) * share[..., np.newaxis])


def _pattern(size: tuple[int, int], rng: Random) -> np.ndarray:
    """Bricks, boards or dots, in rows of a random height, with grain."""
    x, y = _grid(size)
    rows, kind = rng.uniform(8, 60), int(rng.integers(3))
    v = y * rows
    u = x * rows / rng.uniform(1, 4) + (np.floor(v) % 2) * 0.5
    edge = np.minimum(np.abs(u % 1 - 0.5), np.abs(v % 1 - 0.5))
    if kind == 0:
        share = np.clip((0.5 - np.maximum(np.abs(u % 1 - 0.5), np.abs(v % 1 - 0.5))) * 20, 0, 1)
    elif kind == 1:
        share = 0.5 + 0.5 * np.sin(2 * math.pi * v + 2 * np.sin(7 * x))
    else:
        share = np.clip((0.3 - np.hypot(u % 1 - 0.5, v % 1 - 0.5)) * 10, 0, 1)
    own = rng.uniform(0.6, 1.2, (200, 200))[(v.astype(int) % 200), (u.astype(int) % 200)]
    first, second = _colour(rng), _colour(rng)
    mixed = (
        first
        + (second - first) * share[..., np.newaxis] * (own if kind == 0 else 1 + 0 * edge)[..., np.newaxis]
    )
    return np.asarray(mixed + rng.normal(0, 4, mixed.shape[:2])[..., np.newaxis])


def _render(size: tuple[int, int], rng: Random) -> np.ndarray:
    """Shaded balls and boxes before a wall and a floor, lit from one side."""
    width, height = size
    pixels = _gradient(size, rng)
    x, y = _grid(size)
    floor = rng.uniform(0.4, 0.9) * height / width
    pixels = np.where((y > floor)[..., np.newaxis], _colour(rng) * (0.6 + 0.4 * y[..., np.newaxis]), pixels)
    light = np.array((0, -0.5, 1.5)) + rng.normal(0, 1, 3)
    light /= np.linalg.norm(light)
    for _ in range(int(rng.integers(6, 30))):
        radius = math.exp(rng.uniform(math.log(0.01), math.log(0.15)))
        cx, cy, colour = rng.uniform(0, 1), rng.uniform(0, height / width), _colour(rng)
        x0, x1 = (int(np.clip(v * width, 0, width)) for v in (cx - radius, cx + radius))
        y0, y1 = (int(np.clip(v * width, 0, height)) for v in (cy - radius, cy + radius))
        part, dx, dy = pixels[y0:y1, x0:x1], x[y0:y1, x0:x1] - cx, y[y0:y1, x0:x1] - cy
        if rng.random() < 0.4:
            part[:] = colour * np.where(dx < radius * light[0], 1.0, 0.6)[..., np.newaxis]
            continue
        squared = 1 - (dx**2 + dy**2) / radius**2
        normal = np.stack([dx / radius, dy / radius, np.sqrt(np.maximum(squared, 0))], axis=-1)
        shade = 0.25 + 0.75 * np.maximum(normal @ light, 0)
        part[:] = np.where((squared > 0)[..., np.newaxis], colour * shade[..., np.newaxis], part)
    return pixels


def _blurred(size: tuple[int, int], others: list[Pixels], rng: Random) -> np.ndarray:
    """Photos over and beside one another, each blurred by a third of a face or more, with grain."""
    width, height = size
    pieces = []
    for photo in others:
        tiny = cv2.resize(photo, (64, 64), interpolation=cv2.INTER_AREA)
        soft = cv2.GaussianBlur(tiny, (0, 0), rng.uniform(9, 14), borderType=cv2.BORDER_REFLECT)
        pieces.append(cv2.resize(soft, size, interpolation=cv2.INTER_CUBIC).astype(np.float32))
    x, _ = _grid(size)
    left = np.clip((rng.uniform(0.2, 0.5) - x) / 0.1, 0, 1)[..., np.newaxis]
    right = np.clip((x - rng.uniform(0.5, 0.8)) / 0.1, 0, 1)[..., np.newaxis]
    mixed = pieces[0] * left + pieces[1] * right + pieces[2] * np.clip(1 - left - right, 0, 1)
    return np.asarray(mixed + rng.normal(0, 3, (height, width))[..., np.newaxis])


_MAKERS: dict[str, Callable[[tuple[int, int], Random], np.ndarray]] = {
    "gradient": _gradient,
    "texture": _texture,
    "pattern": _pattern,
    "render": _render,
}
KINDS = (*_MAKERS, "blurred")
