"""What happens to pictures on their way through programs and the web: resizing, JPEG, blur, noise, colours.

A detector must not go by such a history, which says nothing of who made a picture: it learns from pictures
that all went through one drawn at random, and is tested on given ones. Pictures are uint8 [H, W, 3].
"""

from collections.abc import Callable

import cv2
import numpy as np

from mien.core.picture import Pixels

_WAYS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
Change = Callable[[Pixels], Pixels]


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    """Through a JPEG file of that quality, chroma halved."""
    done, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])


def shrunk(pixels: Pixels, share: float, *, down: int = cv2.INTER_AREA, up: int = cv2.INTER_CUBIC) -> Pixels:
    """Made smaller to that share of its sides, and back to its size."""
    height, width = pixels.shape[:2]
    small = cv2.resize(
        pixels, (max(1, round(width * share)), max(1, round(height * share))), interpolation=down
    )
    return np.asarray(cv2.resize(small, (width, height), interpolation=up), np.uint8)


def blurred(pixels: Pixels, deviation: float) -> Pixels:
    """Gaussian blur of that deviation in pixels."""
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), deviation), np.uint8)


def gray(pixels: Pixels) -> Pixels:
    """The luminance in all three channels."""
    return np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def contrasted(pixels: Pixels, factor: float, light: float = 0.0) -> Pixels:
    """Contrast about the middle, and light as a share of the range."""
    return _bytes((pixels.astype(np.float32) - 127.5) * factor + 127.5 + 255 * light)


# Under which a verdict must stand, or it is "unsure".
MILD: dict[str, Change] = {
    "JPEG 80": lambda pixels: jpeg(pixels, 80),
    "resized to 80 %": lambda pixels: shrunk(pixels, 0.8),
    "blurred by half a pixel": lambda pixels: blurred(pixels, 0.5),
    "mirrored": lambda pixels: np.ascontiguousarray(pixels[:, ::-1]),
}
# In which a promised rate of false alarms must hold.
HISTORIES: dict[str, Change] = {
    "as it is": lambda pixels: pixels,
    "JPEG 75": lambda pixels: jpeg(pixels, 75),
    "half size": lambda pixels: shrunk(pixels, 0.5),
    "JPEG 75, half size": lambda pixels: shrunk(jpeg(pixels, 75), 0.5),
    "blurred": lambda pixels: blurred(pixels, 0.8),
    "gray": gray,
    "faded": lambda pixels: contrasted(gray(pixels), 0.6, 0.08),
    "hard": lambda pixels: contrasted(pixels, 1.3),
}


def drawn_history(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """The picture moved a little and after a history drawn from one distribution for all pictures."""
    pixels = _moved(pixels, rng)
    if rng.random() < 0.7:
        pixels = _coloured(pixels, rng)
    for step in rng.permutation(len(_STEPS)):
        chance, change = _STEPS[step]
        if rng.random() < chance:
            pixels = change(pixels, rng)
    if rng.random() < 0.25:
        pixels = _covered(pixels, rng)
    return pixels


def _moved(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    height, width = pixels.shape[:2]
    turn, zoom = rng.uniform(-4, 4), rng.uniform(0.93, 1.07)
    matrix = np.asarray(cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn, zoom))
    matrix[:, 2] = matrix[:, 2] + rng.uniform(-0.04, 0.04, 2) * (width, height)
    way = (cv2.INTER_LINEAR, cv2.INTER_CUBIC)[rng.integers(2)]
    moved = cv2.warpAffine(pixels, matrix, (width, height), flags=way, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.uint8)


def _coloured(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    values = (pixels.astype(np.float32) + 0.5) / 256
    values = values ** np.exp(rng.uniform(-0.5, 0.5))
    if rng.random() < 0.35:
        luminance = values @ np.array((0.299, 0.587, 0.114), np.float32)
        values = luminance[..., None] + (values - luminance[..., None]) * (0 if rng.random() < 0.7 else 0.4)
    values = (values - 0.5) * np.exp(rng.uniform(-0.5, 0.35)) + 0.5 + rng.uniform(-0.1, 0.1)
    tint = rng.uniform(0.85, 1.15, 3) if rng.random() < 0.5 else np.ones(3)
    return _bytes(values * tint.astype(np.float32) * 255)


def _resized(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    down, up = (_WAYS[rng.integers(len(_WAYS))] for _ in range(2))
    return shrunk(pixels, rng.uniform(0.45, 1.3), down=down, up=up)


def _smoothed(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    return blurred(pixels, rng.uniform(0.3, 1.1))


def _sharpened(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    values = pixels.astype(np.float32)
    return _bytes(values + rng.uniform(0.2, 1.2) * (values - cv2.GaussianBlur(values, (0, 0), 1.0)))


def _grained(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    shape = pixels.shape if rng.random() < 0.5 else (*pixels.shape[:2], 1)
    noise: np.ndarray = rng.standard_normal(shape, np.float32)
    if rng.random() < 0.4:  # film grain and print are coarser than a pixel
        noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), 0.7)).reshape(shape) * 2
    return _bytes(pixels + noise * rng.uniform(1, 10))


def _compressed(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    return jpeg(pixels, int(rng.integers(35, 99)))


def _covered(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    side = pixels.shape[0]
    size = max(1, int(rng.uniform(0.15, 0.45) * side))
    top, left = rng.integers(0, side - size + 1, 2)
    covered = pixels.copy()
    covered[top : top + size, left : left + size] = pixels.mean(axis=(0, 1)).astype(np.uint8)
    return covered


_STEPS: tuple[tuple[float, Callable[[Pixels, np.random.Generator], Pixels]], ...] = (
    (0.45, _resized),
    (0.25, _smoothed),
    (0.15, _sharpened),
    (0.3, _grained),
    (0.5, _compressed),
    (0.25, _compressed),
)


def _bytes(values: np.ndarray) -> Pixels:
    return np.asarray(np.clip(values + 0.5, 0, 255), np.uint8)
