"""Pictures made worse as old prints, phones and scans are, and faces dressed in what is no mask."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.face import Face

Pixels = NDArray[np.uint8]
_BEARD = (234, 93, 58, 172, 150, 176, 152, 400, 379, 397, 288, 323, 454, 361, 434, 422, 287, 0, 57, 202, 214,
          132)  # fmt: skip
_GOATEE = (61, 40, 165, 2, 391, 270, 291, 321, 405, 17, 181, 91)
_MOUSTACHE = (61, 40, 165, 2, 391, 270, 291, 0)
_BROW = (127, 71, 68, 104, 69, 108, 151, 337, 299, 333, 298, 301, 356)  # temple to temple over the forehead


def disturbed(image: Pixels, face: Face, rng: np.random.Generator) -> Pixels:
    """A worse picture.

    Some of hard light, blur, gamma, fading, grain, halftone, few pixels, stretching, JPEG, no colour.
    """
    worse = image.astype(np.float32)
    for chance, spoil in (
        (0.35, _hard_light),
        (0.4, _blur),
        (0.4, _gamma),
        (0.3, _fade),
        (0.4, _grain),
        (0.2, _halftone),
    ):
        if rng.random() < chance:
            worse = spoil(worse, face, rng)
    pixels = np.clip(worse + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.35:
        scale = min(1.0, rng.uniform(22, 60) / face.size)
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if rng.random() < 0.25:
        pixels = cv2.resize(pixels, None, fx=rng.uniform(0.7, 1.4), fy=1, interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.3:
        coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 60))])[1]
        pixels = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    if rng.random() < 0.5:
        pixels = np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., np.newaxis], 3, axis=2)
    return np.asarray(pixels, np.uint8)


def _hard_light(image: np.ndarray, face: Face, rng: np.random.Generator) -> np.ndarray:
    """A shadow over about half of the face."""
    x, y, width, height = face.box
    angle, down = rng.uniform(0, 2 * np.pi), np.mgrid[: image.shape[0], : image.shape[1]]
    off = (down[1] - x - width / 2) * np.cos(angle) + (down[0] - y - height / 2) * np.sin(angle)
    shade = 1 / (
        1 + np.exp(-np.clip((off / face.size + rng.uniform(-0.3, 0.3)) / rng.uniform(0.02, 0.2), -30, 30))
    )
    return np.asarray(image * (1 - rng.uniform(0.3, 0.85) * shade)[..., np.newaxis])


def _blur(image: np.ndarray, face: Face, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), face.size * rng.uniform(0.005, 0.03)))


def _gamma(image: np.ndarray, face: Face, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(255 * (np.clip(image, 0, 255) / 255) ** rng.uniform(0.4, 2.5))


def _fade(image: np.ndarray, face: Face, rng: np.random.Generator) -> np.ndarray:
    """Less contrast about another gray, or more contrast."""
    if rng.random() < 0.6:
        return np.asarray(rng.uniform(60, 200) + (image - image.mean()) * rng.uniform(0.25, 0.8))
    return np.asarray(image.mean() + (image - image.mean()) * rng.uniform(1.2, 2.2))


def _grain(image: np.ndarray, face: Face, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(image + rng.normal(0, rng.uniform(2, 14), (*image.shape[:2], 1)))


def _halftone(image: np.ndarray, face: Face, rng: np.random.Generator) -> np.ndarray:
    """A turned screen of dots."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] * (2 * np.pi / (face.size * rng.uniform(0.025, 0.06)))
    angle = rng.uniform(0, np.pi)
    screen = np.sin(x * np.cos(angle) + y * np.sin(angle)) * np.sin(y * np.cos(angle) - x * np.sin(angle))
    return np.asarray(image + rng.uniform(10, 45) * screen[..., np.newaxis])


@dataclass(frozen=True)
class _Hair:
    """Something hairy or woven: gray with streaks, in one of many shades."""

    shade: float
    streaks: float

    def over(self, image: Pixels, area: Pixels, size: float, rng: np.random.Generator) -> Pixels:
        soft = cv2.GaussianBlur(area, (0, 0), max(0.5, size * rng.uniform(0.005, 0.03)))
        share = 0.9 * soft.astype(np.float32)[..., np.newaxis] / 255
        noise = cv2.GaussianBlur(rng.normal(0, 1, area.shape), (0, 0), max(0.6, size * 0.008))
        tone = self.shade * np.array((1, 0.9, 0.8)) * rng.uniform(0.9, 1.1, 3)
        hair = tone + self.streaks * (noise / noise.std())[..., np.newaxis]
        return np.clip(image * (1 - share) + hair * share, 0, 255).astype(np.uint8)


def dressed(image: Pixels, face: Face, rng: np.random.Generator) -> Pixels:
    """The picture with a beard or a hat or fringe down to the brows painted on, or both."""
    area, kind = np.zeros(image.shape[:2], np.uint8), rng.integers(3)
    places = face.points[:, :2]
    if kind != 1:
        _fill(area, places[list(_BEARD if rng.random() < 0.6 else _GOATEE)])
        if rng.random() < 0.7:
            _fill(area, places[list(_MOUSTACHE)])
    if kind:
        up = (places[10] - places[152]) / max(float(np.hypot(*(places[10] - places[152]))), 1e-6)
        low = places[list(_BROW)] - up * face.size * rng.uniform(0, 0.12)
        _fill(area, np.concatenate([low, places[[356, 127]] + 0.9 * up * face.size]))
    return _Hair(rng.uniform(10, 200), rng.uniform(5, 25)).over(image, area, face.size, rng)


def veiled(image: Pixels, face: Face, rng: np.random.Generator) -> Pixels:
    """The picture with a net or gauze before the whole face, or a scarf about it, or both."""
    x, y, width, height = face.box
    size, kind = face.size, rng.integers(3)
    down, along = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    worn = image.astype(np.float32)
    if kind != 1:
        turned = np.pi / 4 + rng.normal(0, 0.15)
        mesh = size * rng.uniform(0.03, 0.1)
        threads = [
            np.cos(turned) * along + np.sin(turned) * down,
            np.cos(turned) * down - np.sin(turned) * along,
        ]
        net = np.maximum(*(np.abs((line / mesh) % 1 - 0.5) < rng.uniform(0.04, 0.12) for line in threads))
        thick = cv2.GaussianBlur(net.astype(np.float32), (0, 0), max(0.4, size * 0.004))
        share = np.clip(rng.uniform(0, 0.35) + rng.uniform(0.2, 0.8) * thick, 0, 0.9)[..., np.newaxis]
        worn = worn * (1 - share) + rng.uniform(5, 240) * share
    if kind:
        off = np.hypot(
            (along - x - width / 2) / width, (down - y - height / 2) / (height * rng.uniform(1, 1.2))
        )
        cloth = np.clip((off - rng.uniform(0.48, 0.56)) * size / 2, 0, 1)[..., np.newaxis]
        worn = worn * (1 - cloth) + rng.uniform(10, 240, 3) * cloth
    return np.clip(worn + 0.5, 0, 255).astype(np.uint8)


def _fill(area: Pixels, outline: np.ndarray) -> None:
    cv2.fillPoly(area, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)


def drawn(image: Pixels, face: Face, rng: np.random.Generator) -> Pixels:
    """The picture as pen, engraving or pencil: contours, and lines that are the thicker the darker it is."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    size = face.size
    scale = size * rng.uniform(0.006, 0.015)
    edges = cv2.GaussianBlur(gray, (0, 0), scale) - cv2.GaussianBlur(gray, (0, 0), 2.5 * scale)
    contours = np.clip(-edges / rng.uniform(3, 9) - rng.uniform(0, 0.7), 0, 1)
    low, high = np.quantile(gray, (0.03, rng.uniform(0.6, 0.97)))
    dark = np.clip((high - cv2.GaussianBlur(gray, (0, 0), 2 * scale)) / max(high - low, 10), 0, 1)
    lines = np.zeros_like(gray)
    for angle in rng.uniform(0, np.pi, rng.integers(1, 3)):
        y, x = np.mgrid[: gray.shape[0], : gray.shape[1]] * (2 * np.pi / (size * rng.uniform(0.018, 0.05)))
        bend = 2 * cv2.GaussianBlur(dark, (0, 0), size * 0.15) * rng.uniform(0, 6)
        wave = 0.5 + 0.5 * np.sin(x * np.cos(angle) + y * np.sin(angle) + bend)
        lines = np.maximum(lines, np.clip((dark ** rng.uniform(0.7, 1.6) - wave) * rng.uniform(3, 8), 0, 1))
    ink = np.maximum(contours, lines * rng.uniform(0.6, 1.0))
    if rng.random() < 0.3:
        ink = np.maximum(contours, rng.uniform(0.4, 0.9) * lines + rng.uniform(0.1, 0.5) * dark)
    ink = cv2.GaussianBlur(ink.astype(np.float32), (0, 0), max(0.4, size * rng.uniform(0.002, 0.009)))
    paper, black = rng.uniform(200, 255), rng.uniform(5, 70)
    page = paper + (black - paper) * ink + rng.normal(0, rng.uniform(1, 6), gray.shape)
    tint = np.array((1, rng.uniform(0.9, 1), rng.uniform(0.75, 1))) if rng.random() < 0.5 else np.ones(3)
    return np.clip(page[..., np.newaxis] * tint + 0.5, 0, 255).astype(np.uint8)
