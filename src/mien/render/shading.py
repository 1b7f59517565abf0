"""Lighting: a soft key light, sky and floor, a rim light, shadows and ambient occlusion."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.render.geometry import A
from mien.render.scene import Scene
from mien.render.surface import Points, Surface, colour
from mien.render.trace import Camera

# How far light bleeds past the terminator in red, green and blue; blood lets red through the farthest.
_BLEED = np.array([0.36, 0.17, 0.11], np.float32)
_FOLDS = np.array([0.35, -0.1, -0.15], np.float32)


@dataclass(frozen=True)
class Lights:
    """Directions (unit, head coordinates, towards the light) and colours [3]."""

    key: tuple[float, float, float]
    key_colour: A
    sky_axis: tuple[float, float, float]
    sky: A
    floor: A
    rim: tuple[float, float, float]
    rim_colour: A


def _to_head(camera: Camera, x: float, y: float, z: float) -> tuple[float, float, float]:
    v = camera.turn.T @ np.array([x, y, z])
    v = v / np.sqrt((v * v).sum())
    return float(v[0]), float(v[1]), float(v[2])


def make_lights(scene: Scene, camera: Camera) -> Lights:
    """Turn the shot's angles into directions and warmth into colours."""
    s = scene.shot
    a, b = np.radians(s.key_yaw), np.radians(s.key_pitch)
    warm = np.array([1 + 0.12 * s.warmth, 1.0, 1 - 0.16 * s.warmth], np.float32)
    cool = np.array([1 - 0.06 * s.warmth, 1.0, 1 + 0.08 * s.warmth], np.float32)
    surround = colour(s.background_colour)
    surround = surround / (surround.mean() + 0.05)
    side = -1.0 if s.key_yaw > 0 else 1.0
    return Lights(
        key=_to_head(camera, float(np.sin(a) * np.cos(b)), float(np.sin(b)), float(np.cos(a) * np.cos(b))),
        key_colour=warm * (0.47 * s.key_strength),
        sky_axis=_to_head(camera, 0.0, 0.9, 0.35),
        sky=cool * s.fill * (0.8 + 0.2 * surround),
        floor=s.fill * 0.45 * (0.55 + 0.45 * surround),
        rim=_to_head(camera, side * 0.85, 0.35, -0.5),
        rim_colour=cool * (0.5 * s.rim),
    )


def _dot(a: tuple[A, A, A], b: tuple[float, float, float]) -> A:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def openness(
    scene: Scene, p: Points, light: tuple[float, float, float], pixel: NDArray[np.intp]
) -> tuple[A, A]:
    """Shadow and occlusion [M], worked out once for each pixel and shared by its samples.

    Both change slowly across a surface, so a quarter of the work gives the same picture.
    """
    _, first, inverse = np.unique(pixel, return_index=True, return_inverse=True)
    q = p.take(first)
    return soft_shadow(scene, q, light)[inverse], occlusion(scene, q)[inverse]


def soft_shadow(scene: Scene, p: Points, light: tuple[float, float, float]) -> A:
    """Share of the key light that reaches each point; the penumbra grows with distance."""
    lit = np.ones_like(p.x)
    index = np.flatnonzero(p.nx * light[0] + p.ny * light[1] + p.nz * light[2] > -0.05)
    q = p.take(index)
    ox, oy, oz = q.x + q.nx * 0.05, q.y + q.ny * 0.05, q.z + q.nz * 0.05
    t = np.full_like(q.x, 0.05)
    least = np.ones_like(q.x)
    for _ in range(6):
        d = scene.occluder(ox + light[0] * t, oy + light[1] * t, oz + light[2] * t)
        least = np.minimum(least, 9 * d / t + 0.25)
        t = t + np.clip(d, 0.05, 0.45)
    lit[index] = np.clip(least, 0, 1)
    result: A = lit * lit * (3 - 2 * lit)
    return result


def occlusion(scene: Scene, p: Points) -> A:
    """Ambient occlusion in 0..1 (1: open) from two distances along the normal."""
    hidden = np.zeros_like(p.x)
    for field, reach, weight in ((scene.distance, 0.09, 3.0), (scene.occluder, 0.3, 1.3)):
        d = field(p.x + p.nx * reach, p.y + p.ny * reach, p.z + p.nz * reach)
        hidden += np.maximum(reach - d, 0) * weight
    return 1 / (1 + 1.6 * hidden + 2.0 * hidden * hidden)


def shade(
    scene: Scene, camera: Camera, p: Points, s: Surface, view: tuple[A, A, A], pixel: NDArray[np.intp]
) -> A:
    """Linear radiance [M, 3]. view: unit directions to the camera; pixel: the number of each one's pixel."""
    lights = make_lights(scene, camera)
    n = s.normal
    shadow, open_ = openness(scene, p, lights.key, pixel)
    facing = _dot(n, lights.key)
    bleed = s.soft[:, None] * _BLEED + 0.02
    wrapped = np.maximum((facing[:, None] + bleed) / (1 + bleed), 0)
    wrapped *= shadow[:, None]
    up = 0.5 + 0.5 * _dot(n, lights.sky_axis)
    ambient = lights.floor + (lights.sky - lights.floor) * up[:, None]
    # Light that bounced inside a fold of skin comes out redder than light that never got in.
    tint = open_[:, None] + (s.soft * open_ * (1 - open_))[:, None] * _FOLDS
    light = wrapped * lights.key_colour + ambient * tint
    rim = np.maximum(_dot(n, lights.rim), 0)
    light += (rim * open_)[:, None] * lights.rim_colour
    result: A = s.albedo * light + _highlights(lights, s, n, view, shadow, open_)
    return result


def _highlights(
    lights: Lights, s: Surface, n: tuple[A, A, A], view: tuple[A, A, A], shadow: A, open_: A
) -> A:
    """Blinn-Phong with Fresnel; along fibres (Kajiya and Kay 1989) where there are any."""
    hx, hy, hz = (v + k for v, k in zip(view, lights.key, strict=True))
    inv = 1 / np.sqrt(hx * hx + hy * hy + hz * hz + 1e-6)
    hx, hy, hz = hx * inv, hy * inv, hz * inv
    across = np.clip(n[0] * hx + n[1] * hy + n[2] * hz, 0, 1)
    spec = across**s.power * (s.power + 8) * (1 / 60)
    f = s.fibre
    hairy = (f[0] * f[0] + f[1] * f[1] + f[2] * f[2]) > 0.5
    toward = np.maximum(_dot(n, lights.key) + 0.25, 0)
    spec *= np.minimum(toward * 2, 1)
    if hairy.any():
        shift = 0.12
        along = (f[0] + shift * n[0]) * hx + (f[1] + shift * n[1]) * hy + (f[2] + shift * n[2]) * hz
        ring = np.sqrt(np.clip(1 - along * along, 0, 1))
        strand = (ring**s.power + 0.35 * ring**10) * np.minimum(toward, 1) * 0.4
        spec = np.where(hairy, strand, spec)
    grazing = 1 - np.clip(n[0] * view[0] + n[1] * view[1] + n[2] * view[2], 0, 1)
    fresnel = 0.3 + 0.7 * grazing**4
    amount = (spec * s.gloss * shadow * np.where(hairy, 1, fresnel + 0.25))[:, None] * lights.key_colour
    tint = np.where(hairy[:, None], 0.06 + 1.6 * s.albedo, np.float32(1))
    sheen = (grazing**3 * 0.16 * s.gloss * open_)[:, None] * lights.sky
    result: A = amount * tint + sheen * np.where(hairy[:, None], s.albedo, np.float32(1))
    return result
