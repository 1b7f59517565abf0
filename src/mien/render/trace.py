"""The camera, and sphere tracing of rays through a scene."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.render.geometry import A, Vec, rotation
from mien.render.shot import Shot

Field = Callable[[A, A, A], A]

_FRAME = 2.78  # decimetres across a picture at zoom 1, about four eye distances as FFHQ crops
_EYE_LEVEL = 0.465  # height of the eyes from the top, fraction of the picture
_BLOCK = 4  # rays along a side of the blocks of the coarse pass
_NEAR, _FAR = 1.75, 1.9


@dataclass(frozen=True)
class Camera:
    """A pinhole looking along -z at a point of the head.

    turn: matrix [3, 3] from head to camera axes. origin: the pinhole in head coordinates. anchor: the head
    point that the picture is hung on.
    """

    turn: NDArray[np.float64]
    origin: Vec
    anchor: Vec
    distance: float
    side: float
    centre: tuple[float, float]

    def rays(self, count: int) -> tuple[A, A, A]:
        """Unit directions in head coordinates, each float32 [count * count], row by row from the top."""
        step = (np.arange(count, dtype=np.float64) + 0.5) / count
        u = (step - self.centre[0]) * self.side
        v = (self.centre[1] - step) * self.side
        uu, vv = np.meshgrid(u, v)
        inv = 1 / np.sqrt(uu * uu + vv * vv + self.distance**2)
        m = self.turn
        out = [
            ((m[0, k] * uu + m[1, k] * vv - m[2, k] * self.distance) * inv).astype(np.float32).ravel()
            for k in range(3)
        ]
        return out[0], out[1], out[2]

    def project(
        self, points: NDArray[np.float64], size: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixel positions [K, 2] and distances [K] of head points [K, 3]."""
        relative = (points - np.array(self.origin)) @ self.turn.T
        scale = self.distance / -relative[:, 2]
        x = (relative[:, 0] * scale / self.side + self.centre[0]) * size
        y = (self.centre[1] - relative[:, 1] * scale / self.side) * size
        return np.stack([x, y], axis=1), np.sqrt((relative**2).sum(1))


def make_camera(shot: Shot) -> Camera:
    """Hang the picture on the eyes near the front, on the middle of the head towards the profile."""
    turn = rotation(shot.yaw, shot.pitch, shot.roll)
    t = min(max((abs(shot.yaw) - 25) / 50, 0.0), 1.0)
    depth = 0.62 + (0.10 - 0.62) * t * t * (3 - 2 * t)
    anchor = np.array([0.0, 0.0, depth])
    origin = anchor + turn.T @ np.array([0, 0, shot.distance])
    return Camera(
        turn=turn,
        origin=(float(origin[0]), float(origin[1]), float(origin[2])),
        anchor=(0.0, 0.0, depth),
        distance=shot.distance,
        side=_FRAME / shot.zoom,
        centre=(0.5 + shot.shift_x, _EYE_LEVEL + shot.shift_y),
    )


@dataclass
class _Rays:
    """Rays on their way: place in the caller's arrays, direction, distance, last gap and step."""

    place: NDArray[np.intp]
    dx: A
    dy: A
    dz: A
    t: A
    gap: A
    step: A

    def keep(self, chosen: NDArray[np.bool_]) -> "_Rays":
        """Only some of them."""
        return _Rays(
            *(getattr(self, name)[chosen] for name in ("place", "dx", "dy", "dz", "t", "gap", "step"))
        )


def _next_step(gap: A, last_gap: A, last_step: A, least: float) -> A:
    """Length of the next step: the gap itself far out, a secant step (also backwards) close to the surface.

    The secant costs nothing and makes up for distances that are too short where solids are blended.
    """
    slope = (last_gap - gap) / last_step
    longest = np.where(gap > 0.06, np.float32(1.25), np.float32(2.8))  # thin things must not be jumped over
    secant = gap * np.minimum(1 / np.maximum(slope, 0.05), longest)
    close = (np.abs(gap) < 0.15) & (slope > 0.05)
    onward = np.where(slope < 0, gap * 1.6 + least, np.maximum(gap * 0.95, least))  # leaving: hurry
    onward = np.where(gap < 0, gap, onward)  # inside: back out
    out: A = np.where(close, secant, onward)
    return np.clip(out, -0.15, None, out=out)


def _march(
    field: Field, o: Vec, d: tuple[A, A, A], start: A, far: float, *, slack: float, steps: int, least: float
) -> tuple[A, NDArray[np.bool_]]:
    """Follow rays to the surface; only those still on their way are evaluated.

    A ray stops where the surface is within `slack`, or gives up beyond `far`. Rays still on their way after
    `steps` count as hits when nearly there. Returns distances and which rays hit.
    """
    t, hit = start.copy(), np.zeros(start.shape, bool)
    n = start.size
    rays = _Rays(np.arange(n), *d, start, np.full(n, 9, np.float32), np.full(n, 1e-3, np.float32))
    for step in range(steps):
        gap = field(o[0] + rays.dx * rays.t, o[1] + rays.dy * rays.t, o[2] + rays.dz * rays.t)
        last = step == steps - 1
        done = np.abs(gap) < (max(6 * slack, 0.08) if last else slack)
        places = rays.place[done]
        t[places], hit[places] = rays.t[done] + gap[done], True
        if last:
            break
        move = _next_step(gap, rays.gap, rays.step, least) if step else gap
        rays.t, rays.gap = rays.t + move, gap
        rays.step = np.where(np.abs(move) < 1e-5, np.float32(1e-5), move)
        rays = rays.keep(~done & (rays.t < far))
        if rays.t.size == 0:
            break
    return t, hit


def _march_cones(field: Field, camera: Camera, t: A, far: float, *, reach: float) -> A:
    """How far each block may go before anything is within `reach` of its middle; `far`: nothing is."""
    dx, dy, dz = camera.rays(int(np.sqrt(t.size)))
    o, live = camera.origin, np.arange(t.size)
    for _ in range(8):
        tl = t[live]
        gap = field(o[0] + dx[live] * tl, o[1] + dy[live] * tl, o[2] + dz[live] * tl) - reach
        t[live] = tl + np.maximum(gap, 0)
        live = live[(gap > 0.03) & (t[live] < far)]
        if live.size == 0:
            break
    return np.where(t < far, t, np.float32(far))


def trace(field: Field, camera: Camera, count: int) -> tuple[NDArray[np.intp], A]:
    """Where the rays of a count x count grid hit.

    First one cone for each block of rays finds how far all of them may go; then single rays go on from there.
    Returns indices of the rays that hit [M] and their distances [M].
    """
    blocks = count // _BLOCK
    pixel = camera.side / count
    far = camera.distance + _FAR
    start = np.full(blocks * blocks, camera.distance - _NEAR, dtype=np.float32)
    coarse = _march_cones(field, camera, start, far, reach=_BLOCK * pixel * 0.71 * 1.35)
    each = np.repeat(np.repeat(coarse.reshape(blocks, blocks), _BLOCK, 0), _BLOCK, 1).ravel()
    index = np.flatnonzero(each < far)
    dx, dy, dz = (c[index] for c in camera.rays(count))
    t, hit = _march(
        field,
        camera.origin,
        (dx, dy, dz),
        each[index],
        far,
        slack=0.3 * pixel,
        steps=14,
        least=max(1.2 * pixel, 0.014),
    )
    return index[hit], t[hit]


def normals(field: Field, x: A, y: A, z: A, here: A, step: float) -> tuple[A, A, A]:
    """Unit normals by forward differences; `here` is the field at the points themselves."""
    nx, ny, nz = field(x + step, y, z) - here, field(x, y + step, z) - here, field(x, y, z + step) - here
    inv = 1 / np.sqrt(nx * nx + ny * ny + nz * nz + 1e-20)
    return nx * inv, ny * inv, nz * inv
