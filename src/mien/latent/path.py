"""Walks through latents: positions are counted in keys, so 2.5 lies half-way from key 2 to key 3.

A route is a function from positions float64 [N] to latents [N, ...]; at a whole number it gives that key.
"""

from collections.abc import Callable

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

Route = Callable[[np.ndarray], Tensor]
_STRAIGHT = 1e-6  # radians: closer directions are blended linearly


def positions(num_keys: int, frames: int, *, loop: bool, ease: bool = False) -> np.ndarray:
    """Where each frame stands, float64: `frames` to a leg from key to key, the last leg back if `loop`.

    A walk that does not loop has one frame more, so that it ends on its last key; a loop ends one step short
    of its first. ease: come to rest at every key, quicker in between (smoothstep).
    """
    legs = num_keys if loop else num_keys - 1
    steps = np.arange(legs * frames + (not loop))
    leg, at = steps // frames, steps % frames / frames
    return leg + (at * at * (3 - 2 * at) if ease else at)


def spherical(keys: Tensor, *, loop: bool) -> Route:
    """From key to key [K, D] along great circles, the length changing evenly (for normal z)."""
    ring = _ring(keys, loop=loop)
    return lambda where: _exact(keys, where, slerp(*_leg(ring, where)))


def straight(keys: Tensor, *, loop: bool) -> Route:
    """From key to key [K, ...] in straight lines."""
    ring = _ring(keys, loop=loop)

    def at(where: np.ndarray) -> Tensor:
        a, b, t = _leg(ring, where)
        return _exact(keys, where, a + (b - a) * t.reshape(-1, *[1] * (a.ndim - 1)))

    return at


def smooth(keys: Tensor, *, loop: bool) -> Route:
    """Through the keys [K, ...] along a cubic spline without corners, none at the seam of a loop either."""
    ring = _ring(keys, loop=loop)
    spline = CubicSpline(np.arange(len(ring)), ring, bc_type="periodic" if loop else "not-a-knot")
    return lambda where: _exact(keys, where, spline(where))


def slerp(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Between a and b, float64 [N, D], at t [N] in [0, 1]: directions on the great circle, lengths linear.

    Opposite directions have no great circle of their own; one that turns in a fixed plane is taken.
    """
    long_a, long_b = _length(a), _length(b)
    one, two = a / np.maximum(long_a, 1e-30), b / np.maximum(long_b, 1e-30)
    t = t[:, None]
    across = two - one * (one * two).sum(1, keepdims=True)  # of b, what is at right angles to a
    angle = np.arctan2(_length(across), (one * two).sum(1, keepdims=True))
    across = np.where(angle > np.pi - _STRAIGHT, _perpendicular(one), across)
    across /= np.maximum(_length(across), 1e-30)
    turned = one * np.cos(t * angle) + across * np.sin(t * angle)
    direction = np.where(angle < _STRAIGHT, one, turned)
    return np.asarray(direction * (long_a + (long_b - long_a) * t))


def _perpendicular(one: np.ndarray) -> np.ndarray:
    """For each unit vector [N, D] one at right angles, made from its smallest coordinate's axis."""
    axis = np.zeros_like(one)
    smallest = np.abs(one).argmin(axis=1)
    axis[np.arange(len(one)), smallest] = 1
    return np.asarray(axis - one * (one * axis).sum(1, keepdims=True))


def _length(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(x, axis=1, keepdims=True))


def _ring(keys: Tensor, *, loop: bool) -> np.ndarray:
    """The keys in float64, the first once more at the end of a loop."""
    if len(keys) < 2:
        raise ValueError("a walk needs at least two keys")
    values = keys.detach().cpu().double().numpy()
    return np.concatenate([values, values[:1]]) if loop else values


def _leg(ring: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Key before, key after, and how far between them."""
    index = np.clip(np.floor(where).astype(int), 0, len(ring) - 2)
    return ring[index], ring[index + 1], where - index


def _exact(keys: Tensor, where: np.ndarray, values: np.ndarray) -> Tensor:
    """`values` as the keys' type, and the very keys at whole positions, whatever rounding made of them."""
    result = torch.from_numpy(np.ascontiguousarray(values)).to(keys)
    whole = np.flatnonzero(where == np.round(where))
    result[whole] = keys[np.round(where[whole]).astype(int) % len(keys)]
    return result
