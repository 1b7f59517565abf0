"""Rendering of heads: an image of a person in a shot, with every label known.

Conventions
-----------
Head axes: x to the picture's right when the face looks at the camera, y up, z out of the face; decimetres.
yaw:   degrees, positive turns the face to the picture's right (the nose moves right). 90 is a full profile.
pitch: degrees, positive looks up.
roll:  degrees, positive tilts the head clockwise as the picture is seen.
gaze:  yaw and pitch of the line of sight against the camera's axis, the same signs; (0, 0) looks at the
camera. Action units: FACS numbers, intensity 0 (absent) to 5. Left and right in names of points are the
picture's, not the person's. Pixels: x right, y down, the centre of the first pixel at (0.5, 0.5). Pictures
are framed as FFHQ frames them (a square of about four eye distances, eyes at about 45 % of the height).

Everything is numpy on one picture at a time, on one thread: a picture depends on its person, shot, size and
samples alone, never on its neighbours in a batch, on threads or on workers.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.core.errors import InputError
from mien.render.geometry import A, smoothstep
from mien.render.labels import describe
from mien.render.landmarks import find_landmarks
from mien.render.noise import cloud
from mien.render.paint import nearest_material, paint
from mien.render.person import Person
from mien.render.scene import Scene
from mien.render.shading import shade
from mien.render.shot import Shot
from mien.render.surface import PARTS, Points, colour
from mien.render.trace import Camera, make_camera, normals, trace


def _lamps(shot: Shot, x: A, y: A) -> A:
    """Sum of soft discs, [size, size]."""
    rng = np.random.default_rng([shot.seed, 0xB0E])
    total = np.zeros_like(x)
    for _ in range(14):
        cx, cy, r = (float(v) for v in (rng.random(), rng.random(), rng.uniform(0.04, 0.14)))
        total += float(rng.uniform(0.2, 1)) * smoothstep(r, r * 0.8, np.sqrt((x - cx) ** 2 + (y - cy) ** 2))
    return total


def paint_background(shot: Shot, size: int) -> A:
    """Linear radiance [size * size, 3]."""
    step = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = np.meshgrid(step, step)
    first, second = colour(shot.background_colour), colour(shot.background_second)
    shift = float(shot.seed % 997) * 0.37
    blotch = cloud(x * 3 + shift, y * 3 + 2 * shift, 3)
    kind = shot.background
    if kind == "studio":
        t = smoothstep(0.9, 0.05, np.sqrt((x - 0.5) ** 2 + (y - 0.4) ** 2)) + 0.12 * blotch
    elif kind == "gradient":
        t = x * np.cos(shift) * 0.5 + y * np.sin(shift) * 0.5 + 0.5 + 0.02 * blotch
    elif kind == "wall":
        t = 0.75 + 0.12 * blotch + 0.05 * cloud(x * 30, y * 30 + shift, 2) - 0.3 * x
    elif kind == "bokeh":
        t = 0.2 + 0.15 * blotch + 0.55 * _lamps(shot, x, y)
    elif kind == "outdoors":
        horizon = 0.45 + 0.25 * (shift % 1) + 0.06 * cloud(x * 4 + shift, y * 0, 2)
        t = smoothstep(horizon - 0.07, horizon + 0.07, y) + 0.25 * blotch
        first = first * 0.4 + np.array([0.42, 0.52, 0.66], np.float32)
        second = second * 0.4 + np.array([0.06, 0.10, 0.04], np.float32)
        out: A = first + (second - first) * t[..., None]
        return np.maximum(out, 0.004).reshape(-1, 3)
    else:
        width = 0.09 + 0.2 * (shift % 1)
        phase = (x + 0.15 * y * ((shift * 3) % 1)) / width + shift
        saw = np.abs(phase - np.round(phase)) * 2
        soft = max(0.06, 3 / size)
        t = smoothstep(0.5 - soft, 0.5 + soft, saw) * 0.8 + 0.1 * blotch
    flat: A = second + (first - second) * t[..., None]
    return np.maximum(flat, 0.004).reshape(-1, 3)


RENDER_VERSION = "3"  # part of cache keys: raise it whenever any pixel changes
SAMPLES = 2  # rays along each side of a pixel


@dataclass(frozen=True)
class Picture:
    """One head: image uint8 [3, S, S], labels (JSON values), parts uint8 [S, S] (numbers of PARTS)."""

    image: NDArray[np.uint8]
    labels: dict[str, Any]
    parts: NDArray[np.uint8]


def check_size(size: int) -> None:
    """Raise InputError unless `size` can be rendered (a multiple of 8, 16 to 1024)."""
    if size % 8 or not 16 <= size <= 1024:
        raise InputError(f"cannot render {size} pixels: the size must be a multiple of 8 between 16 and 1024")


def _pool_parts(parts: NDArray[np.uint8], size: int, samples: int) -> NDArray[np.uint8]:
    """The most frequent part among the samples of each pixel (ties: the later in PARTS, the finer thing)."""
    grid = parts.reshape(size, samples, size, samples).transpose(0, 2, 1, 3).reshape(size * size, -1)
    votes = np.zeros((size * size, len(PARTS)), np.uint8)
    rows = np.arange(size * size)
    for k in range(grid.shape[1]):
        votes[rows, grid[:, k]] += 1
    best: NDArray[np.intp] = len(PARTS) - 1 - votes[:, ::-1].argmax(axis=1)
    return best.astype(np.uint8).reshape(size, size)


def _shade_hits(
    scene: Scene, camera: Camera, rays: int, samples: int, index: NDArray[np.intp], t: A
) -> tuple[A, NDArray[np.uint8]]:
    """Radiance [M, 3] and part [M] of the rays that hit."""
    directions = [c[index] for c in camera.rays(rays)]
    x, y, z = (o + d * t for o, d in zip(camera.origin, directions, strict=True))
    material, here = nearest_material(scene.layers(x, y, z))
    step = max(0.4 * camera.side / rays, 0.003)
    points = Points(x, y, z, *normals(scene.distance, x, y, z, here, step))
    surface = paint(scene, points, material)
    view = (-directions[0], -directions[1], -directions[2])
    pixel = index // rays // samples * rays + index % rays // samples
    return shade(scene, camera, points, surface, view, pixel), surface.part


def render_one(person: Person, shot: Shot, *, size: int, samples: int = SAMPLES) -> Picture:
    """Render one picture. size: a multiple of 8 from 16; samples: rays along each side of a pixel."""
    check_size(size)
    scene, camera = Scene(person, shot), make_camera(shot)
    rays = size * samples
    index, t = trace(scene.distance, camera, rays)
    backdrop = paint_background(shot, size)
    canvas = np.repeat(np.repeat(backdrop.reshape(size, size, 3), samples, 0), samples, 1).reshape(-1, 3)
    parts = np.zeros(rays * rays, np.uint8)
    canvas[index], parts[index] = _shade_hits(scene, camera, rays, samples, index, t)
    light = canvas * shot.exposure
    light = np.minimum(light * (1 + light * 0.16) / (1 + light * 0.42), 1)  # highlights do not clip hard
    linear = light.reshape(size, samples, size, samples, -1).mean(axis=(1, 3), dtype=np.float32)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    grain = np.random.default_rng([shot.seed, 0x6A1]).standard_normal(linear.shape, dtype=np.float32)
    pixels = np.clip(srgb + grain * (255 * shot.noise) + 0.5, 0, 255).astype(np.uint8)
    depth = np.full(rays * rays, np.inf, np.float32)
    depth[index] = t
    mask = _pool_parts(parts, size, samples)
    labels = describe(person, shot, mask)
    labels["landmarks"], labels["visible"] = find_landmarks(scene, camera, depth.reshape(rays, rays), mask)
    return Picture(np.ascontiguousarray(pixels.transpose(2, 0, 1)), labels, mask)
