"""Signed distance functions of simple solids and their blending, on arrays of points.

Points are three float32 arrays x, y, z of one shape. Scalars must be Python floats: a numpy float64 scalar
would silently turn the arrays into float64. Distances are negative inside.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

A: TypeAlias = NDArray[Any]  # float32 throughout
Vec: TypeAlias = tuple[float, float, float]


def smin(a: A, b: A, k: float) -> A:
    """Smooth minimum: the union of two solids with a fillet of about `k` (polynomial, C1)."""
    h = np.abs(a - b)
    np.subtract(k, h, out=h)
    np.maximum(h, 0, out=h)
    h *= h
    h *= -0.25 / k
    h += np.minimum(a, b)
    result: A = h
    return result


def smax(a: A, b: A, k: float) -> A:
    """Smooth maximum: the intersection with a rounded edge."""
    h = np.abs(a - b)
    np.subtract(k, h, out=h)
    np.maximum(h, 0, out=h)
    h *= h
    h *= 0.25 / k
    h += np.maximum(a, b)
    result: A = h
    return result


def ball(x: A, y: A, z: A, c: Vec, r: float) -> A:
    """Distance to a sphere."""
    return length(x - c[0], y - c[1], z - c[2]) - r


def length(x: A, y: A, z: A) -> A:
    """Euclidean norm."""
    s = x * x
    s += y * y
    s += z * z
    result: A = np.sqrt(s, out=s)
    return result


def length2(x: A, y: A) -> A:
    """Euclidean norm in the plane."""
    s = x * x
    s += y * y
    result: A = np.sqrt(s, out=s)
    return result


def ellipsoid(x: A, y: A, z: A, c: Vec, r: Vec) -> A:
    """Distance to an axis-aligned ellipsoid to first order (value over gradient), good near the surface."""
    u, v, w = (x - c[0]) * (1 / r[0]), (y - c[1]) * (1 / r[1]), (z - c[2]) * (1 / r[2])
    k0 = length(u, v, w)
    u *= 1 / r[0]
    v *= 1 / r[1]
    w *= 1 / r[2]
    k1 = length(u, v, w)
    k1 += 1e-6
    out = k0 - 1
    out *= k0
    out /= k1
    return out


def cone(x: A, y: A, z: A, a: Vec, b: Vec, ra: float, rb: float) -> A:
    """Distance to a segment a-b whose radius goes from `ra` to `rb` (a capsule when equal)."""
    bx, by, bz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    inv = 1.0 / (bx * bx + by * by + bz * bz + 1e-9)
    px, py, pz = x - a[0], y - a[1], z - a[2]
    h = px * (bx * inv)
    h += py * (by * inv)
    h += pz * (bz * inv)
    np.maximum(h, 0, out=h)
    np.minimum(h, 1, out=h)
    px -= h * bx
    py -= h * by
    pz -= h * bz
    d = length(px, py, pz)
    h *= rb - ra
    h += ra
    d -= h
    return d


def smoothstep(a: float | A, b: float | A, x: A) -> A:
    """0 where x <= a, 1 where x >= b (or reversed when a > b), smooth between."""
    t = np.clip((x - a) * (1.0 / (b - a)), 0, 1)
    return t * t * (3 - 2 * t)


def gauss(x: A, centre: float, sigma: float) -> A:
    """Unnormalised bell exp(-((x - centre) / sigma)^2 / 2)."""
    t = (x - centre) * (1.0 / sigma)
    return np.exp(t * t * -0.5)


def mix(a: A, b: A, t: A) -> A:
    """Linear blend of colours [N, 3] (or [3]) by weights [N]."""
    result: A = a + (b - a) * t[:, None]
    return result


def rotation(yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """Matrix [3, 3] from degrees that takes head coordinates to camera axes; see `heads` for the signs."""
    cy, sy = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    cp, sp = np.cos(np.radians(pitch)), np.sin(np.radians(pitch))
    cr, sr = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    result: NDArray[np.float64] = about_z @ about_y @ about_x
    return result
