"""Value noise in one and two dimensions, from fixed tables.

The tables are constants of the renderer (drawn once from a fixed seed), so a picture depends on its own seed
only. They tile, so any coordinate is valid.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mien.render.geometry import A

_SIDE = 256
_LINE = 2048


@lru_cache(maxsize=1)
def _plane() -> A:
    """White noise [256, 256], flattened, in [-1, 1], smoothed a little so that lookups look round."""
    rng = np.random.default_rng(20240517)
    table = rng.uniform(-1, 1, (_SIDE, _SIDE))
    table = table + 0.25 * (np.roll(table, 1, 0) + np.roll(table, 1, 1))
    return np.asarray(table / np.abs(table).max(), dtype=np.float32).ravel()


@lru_cache(maxsize=1)
def _line() -> A:
    """White noise [2048] in [-1, 1]."""
    return np.random.default_rng(7).uniform(-1, 1, _LINE).astype(np.float32)


def noise1(u: A) -> A:
    """Smooth noise along one coordinate, one independent value per unit, in [-1, 1]."""
    base = np.floor(u)
    f = u - base
    i = base.astype(np.intp) & (_LINE - 1)
    f = f * f * (3 - 2 * f)
    table = _line()
    a = table.take(i)
    b = table.take((i + 1) & (_LINE - 1))
    result: A = a + (b - a) * f
    return result


def noise2(u: A, v: A) -> A:
    """Smooth noise in the plane, one independent value per unit cell, in about [-1, 1]."""
    bu, bv = np.floor(u), np.floor(v)
    fu, fv = u - bu, v - bv
    fu = fu * fu * (3 - 2 * fu)
    fv = fv * fv * (3 - 2 * fv)
    i: NDArray[np.intp] = bu.astype(np.intp) & (_SIDE - 1)
    j: NDArray[np.intp] = (bv.astype(np.intp) & (_SIDE - 1)) * _SIDE
    i1, j1 = (i + 1) & (_SIDE - 1), (j + _SIDE) & (_SIDE * _SIDE - 1)
    table = _plane()
    a, b = table.take(j + i), table.take(j + i1)
    c, d = table.take(j1 + i), table.take(j1 + i1)
    low = a + (b - a) * fu
    result: A = low + ((c + (d - c) * fu) - low) * fv
    return result


def cloud(u: A, v: A, octaves: int = 3) -> A:
    """Sum of octaves of `noise2`, each twice as fine and half as strong; about [-1, 1]."""
    total = noise2(u, v)
    gain, scale = 1.0, 1.0
    for octave in range(1, octaves):
        gain, scale = gain * 0.5, scale * 2.03
        total = total + gain * noise2(u * scale + 17.3 * octave, v * scale + 5.1 * octave)
    return total * 0.7
