"""Backgrounds: studio cloth, a gradient, a wall, lights out of focus, outdoors, panels."""

import numpy as np

from mien.render.geometry import A, smoothstep
from mien.render.noise import cloud
from mien.render.shot import Shot
from mien.render.surface import colour


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
