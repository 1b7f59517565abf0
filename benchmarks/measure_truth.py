"""Pictures whose truth is known, to measure measurements by: rendered heads, painted masks, shut eyes."""

import json
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.crop import Square, cut
from mien.faces.face import Face
from mien.render.heads import RENDER_VERSION, render_one
from mien.render.person import Person, sample_person
from mien.render.shot import GLASSES, Shot, sample_shot

Pixels = NDArray[np.uint8]
Labels = dict[str, Any]

_SIZE = 192
_KINDS = ("pose", "parts", "beard")
_SHUT = 43  # action unit of shut eyes
# Mesh points along a face mask's outline, from the viewer's left ear over the nose and around the chin.
_OUTLINE = (234, 116, 117, 118, 100, 114, 195, 343, 329, 347, 346, 345, 454, 323, 361, 288, 397, 365, 379,
            378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93)  # fmt: skip
_OVER_NOSE, _UNDER_CHIN = slice(4, 9), slice(19, 27)
MASKS: dict[str, tuple[int, int, int] | None] = {
    "white": (235, 236, 238),
    "black": (28, 28, 32),
    "surgical": (130, 180, 205),
    "navy": (38, 48, 92),
    "red": (165, 35, 45),
    "green": (70, 120, 85),
    "gray": (128, 130, 132),
    "beige": (205, 170, 140),
    "skin": None,  # the wearer's own
    "dotted": (230, 225, 215),
}
_LIDS = (
    ((33, 7, 163, 144, 145, 153, 154, 155, 133), (33, 246, 161, 160, 159, 158, 157, 173, 133)),
    ((263, 249, 390, 373, 374, 380, 381, 382, 362), (263, 466, 388, 387, 386, 385, 384, 398, 362)),
)  # lower and upper lid of each eye


@dataclass(frozen=True)
class Head:
    """A rendered picture uint8 [192, 192, 3] and its labels; `glasses` in them names the frame."""

    image: Pixels
    labels: Labels


def heads(kind: str, count: int) -> list[Head]:
    """Rendered heads, cached in the temporary folder.

    kind: "pose" (yaw to 45 degrees either way, pitch to 20 and to 45 by turns), "parts" (near the front, a
    third with shut eyes, a third with glasses) or "beard".
    """
    cache = Path(tempfile.gettempdir()) / f"mien-measure-{kind}-{count}-{RENDER_VERSION}.npz"
    if not cache.exists():
        with ProcessPoolExecutor() as pool:
            made = list(pool.map(partial(_head, kind), range(count), chunksize=4))
        np.savez(cache, images=[head.image for head in made], labels=json.dumps([h.labels for h in made]))
    with np.load(cache) as stored:
        images, labels = stored["images"], json.loads(str(stored["labels"]))
    return [Head(image, label) for image, label in zip(images, labels, strict=True)]


def _head(kind: str, number: int) -> Head:
    seed = 7_000_000 + 10_000 * _KINDS.index(kind) + number
    person = sample_person(seed)
    person, shot = _varied(kind, number, person, sample_shot(seed, male=person.male))
    picture = render_one(person, shot, size=_SIZE)
    labels = picture.labels | {"glasses": shot.glasses}
    return Head(np.ascontiguousarray(picture.image.transpose(1, 2, 0)), labels)


def _varied(kind: str, number: int, person: Person, shot: Shot) -> tuple[Person, Shot]:
    rng = np.random.default_rng([number, _KINDS.index(kind) + 1])
    if kind == "pose":
        most = 45.0 if number % 2 else 20.0
        yaw, pitch, roll = rng.uniform(-45, 45), rng.uniform(-most, most), rng.normal(0, 4)
        return person, replace(shot, yaw=float(yaw), pitch=float(pitch), roll=float(roll))
    turned = replace(shot, yaw=float(np.clip(shot.yaw, -35, 35)))
    if kind == "beard":
        beard = str(rng.choice(["mustache", "goatee", "full", "full"]))
        return replace(person, male=True, beard=beard), turned
    if rng.random() < 0.35:
        turned = replace(turned, action_units={**shot.action_units, _SHUT: 5.0})
    elif rng.random() < 0.2:
        turned = replace(turned, action_units={**shot.action_units, _SHUT: float(rng.uniform(0, 5))})
    glasses = str(rng.choice(GLASSES[1:])) if rng.random() < 0.35 else shot.glasses
    return person, replace(turned, glasses=glasses)


def masked(image: Pixels, face: Face, name: str, rng: np.random.Generator) -> Pixels:
    """The picture with a mask of MASKS painted over the lower face: shaded, woven, pleated, with straps."""
    window, at = _window(image, face)
    places = at(face.points)
    up = places[10] - places[152]
    size = float(np.hypot(*up))
    up /= size
    outline = places[1] + (places[list(_OUTLINE)] - places[1]) * rng.uniform(1.0, 1.06)
    outline[_OVER_NOSE] += up * size * rng.uniform(-0.05, 0.02)
    outline[_UNDER_CHIN] -= up * size * rng.uniform(0, 0.05)
    area = _filled(window.shape[:2], outline)
    colour = _cloth_colour(window, places, name, rng)
    cloth = _cloth(window, area, places[1], up, size, name, colour, rng)
    soft = cv2.GaussianBlur(area, (0, 0), max(0.5, size * 0.006)).astype(np.float32)[..., np.newaxis] / 255
    painted = window * (1 - soft) + cloth * soft
    straps = np.zeros(area.shape, np.uint8)
    for start, ear in ((outline[1], places[234]), (outline[11], places[454])):
        ends = [tuple(np.round(16 * end).astype(int).tolist()) for end in (start, ear + 0.12 * size * up)]
        cv2.line(straps, ends[0], ends[1], 255, max(1, int(size * 0.012)), cv2.LINE_AA, 4)
    strap = straps.astype(np.float32)[..., np.newaxis] / 255
    return _put_back(image, face, painted * (1 - strap) + colour * strap)


def _cloth_colour(window: Pixels, places: np.ndarray, name: str, rng: np.random.Generator) -> np.ndarray:
    x, y = np.clip(places[[50, 280, 9, 151, 108, 337]].astype(int), 0, np.array(window.shape[1::-1]) - 1).T
    own = np.median(window[y, x], axis=0) * rng.uniform(0.85, 1.1)
    colour = np.clip(np.asarray(MASKS[name] or own) + rng.normal(0, 8, 3), 5, 250)
    gray = np.ptp(window.astype(int), axis=2).mean() < 2
    return np.full(3, colour @ (0.299, 0.587, 0.114)) if gray else colour


def _cloth(
    window: Pixels,
    area: Pixels,
    nose: np.ndarray,
    up: np.ndarray,
    size: float,
    name: str,
    colour: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """The mask's colour with the face's shading, a weave and either three pleats or a seam."""
    gray = cv2.cvtColor(window, cv2.COLOR_RGB2GRAY).astype(np.float32)
    shade = cv2.GaussianBlur(gray, (0, 0), size * 0.1)
    shade = np.clip(shade / max(float(np.median(shade[area > 0])), 1), 0.5, 1.6) ** rng.uniform(0.4, 0.9)
    weave = cv2.GaussianBlur(rng.normal(0, 1, gray.shape), (0, 0), max(0.6, size * 0.008))
    y, x = np.mgrid[: gray.shape[0], : gray.shape[1]] - nose[::-1, np.newaxis, np.newaxis]
    down, along = -(x * up[0] + y * up[1]) / size, (y * up[0] - x * up[1]) / size
    lines = [down - 0.08, down - 0.19, down - 0.3] if rng.random() < 0.6 else [along]
    texture = 1 + 0.02 * weave / weave.std() - sum(0.1 * np.exp(-((line / 0.012) ** 2)) for line in lines)
    cloth = colour * (shade * texture)[..., np.newaxis]
    if name == "dotted":
        shifted = along + (np.floor(down / 0.07) % 2) * 0.035
        dots = np.hypot(down % 0.07 - 0.035, shifted % 0.07 - 0.035) < 0.021
        cloth = np.where(dots[..., np.newaxis], np.array([60, 80, 160]) * shade[..., np.newaxis], cloth)
    return np.clip(cloth + rng.normal(0, 2, cloth.shape), 0, 255)


def shut(image: Pixels, face: Face, rng: np.random.Generator) -> Pixels:
    """The picture with skin painted over both eyes and a line of lashes along the lower lids."""
    window, at = _window(image, face)
    places, painted = at(face.points), window.astype(np.float32)
    for lower, upper in _LIDS:
        low, high = places[list(lower)], places[list(upper)]
        width = float(np.hypot(*(low[0] - low[-1])))
        outline = np.concatenate([low, high[::-1]])
        outline = outline.mean(axis=0) + (outline - outline.mean(axis=0)) * (1.08, 1.45)
        area = _filled(window.shape[:2], outline)
        skin = cv2.inpaint(np.clip(painted, 0, 255).astype(np.uint8), area, 3, cv2.INPAINT_TELEA)
        skin = cv2.GaussianBlur(skin, (0, 0), max(0.6, width * 0.06)) + rng.normal(0, 1.5, skin.shape)
        soft = (
            cv2.GaussianBlur(area, (0, 0), max(0.5, width * 0.03)).astype(np.float32)[..., np.newaxis] / 255
        )
        painted = painted * (1 - soft) + skin * soft
        line = np.zeros([4 * side for side in window.shape[:2]], np.uint8)
        thick = max(1, round(4 * width * rng.uniform(0.05, 0.09)))
        path = np.round((0.85 * low + 0.15 * high) * 4).astype(np.int32)
        cv2.polylines(line, [path], False, 255, thick, cv2.LINE_AA)
        lashes = cv2.resize(line, window.shape[1::-1], interpolation=cv2.INTER_AREA)[..., np.newaxis] / 300
        dark = np.median(painted[area > 0], axis=0) * rng.uniform(0.2, 0.45)
        painted = painted * (1 - lashes) + dark * lashes
    return _put_back(image, face, painted)


def blurred(image: Pixels, face: Face, size: int, noise: float, rng: np.random.Generator,
            sigmas: tuple[float, ...]) -> Iterator[tuple[Pixels, Face]]:  # fmt: skip
    """The face cut out `size` pixels large, blurred by each sigma (in pixels), then with noise."""
    x, y, width, height = face.box
    square = Square((x + width / 2, y + height / 2), (1.6 * face.size, 0.0))
    scale = size / face.size
    base = cut(image, square, round(1.6 * size)).astype(np.float32)
    corner = np.asarray(square.centre) - 0.8 * face.size
    eyes = [tuple(((np.asarray(eye) - corner) * scale).tolist()) for eye in (face.eye_left, face.eye_right)]
    box = (*((np.array([x, y]) - corner) * scale).tolist(), width * scale, height * scale)
    moved = replace(face, box=box, size=float(size), eye_left=eyes[0], eye_right=eyes[1], points=None)
    for sigma in sigmas:
        soft = cv2.GaussianBlur(base, (0, 0), sigma) if sigma else base
        grainy = soft + rng.normal(0, noise, base.shape) if noise else soft
        yield np.clip(grainy + 0.5, 0, 255).astype(np.uint8), moved


def _bounds(image: Pixels, face: Face) -> tuple[int, int, int, int]:
    x, y, width, height = face.box
    margin = 0.25 * face.size
    low = max(0, int(x - margin)), max(0, int(y - margin))
    return *low, min(image.shape[1], int(x + width + margin)), min(image.shape[0], int(y + height + margin))


def _window(image: Pixels, face: Face) -> tuple[Pixels, Any]:
    """The picture about the face, and what moves mesh points into it."""
    x0, y0, x1, y1 = _bounds(image, face)
    return image[y0:y1, x0:x1], lambda points: points[:, :2].astype(np.float64) - (x0, y0)


def _put_back(image: Pixels, face: Face, window: np.ndarray) -> Pixels:
    x0, y0, x1, y1 = _bounds(image, face)
    changed = image.copy()
    changed[y0:y1, x0:x1] = np.clip(window + 0.5, 0, 255).astype(np.uint8)
    return changed


def _filled(shape: tuple[int, ...], outline: np.ndarray) -> Pixels:
    area = np.zeros(shape, np.uint8)
    cv2.fillPoly(area, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return area
