"""Materials of everything but skin (eyes, mouth, hair, clothes, wear), and the dispatch over materials."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mien.render import scene as materials
from mien.render.geometry import A, mix, smoothstep
from mien.render.hair import strand_tangent
from mien.render.noise import cloud, noise1, noise2
from mien.render.scene import Scene
from mien.render.skin import paint_skin
from mien.render.surface import PART, Points, Surface, blank, colour

_IRIS_ANGLE = 0.36  # radians seen from the eyeball's centre
_PUPIL = 0.40  # of the iris


def gaze_direction(scene: Scene) -> tuple[float, float, float]:
    """Unit line of sight in head coordinates."""
    yaw, pitch = np.radians(scene.shot.eye_yaw), np.radians(scene.shot.eye_pitch)
    return float(np.cos(pitch) * np.sin(yaw)), float(np.sin(pitch)), float(np.cos(pitch) * np.cos(yaw))


def _paint_eye(scene: Scene, p: Points) -> Surface:
    """White, iris with fibres and a dark rim, pupil; the upper lid's shadow."""
    s, f = blank(p), scene.face
    ex, ey, ez = f.eye
    ax = np.abs(p.x)
    g = gaze_direction(scene)
    inv = 1 / f.eye_radius
    vx, vy, vz = (p.x - np.sign(p.x) * ex) * inv, (p.y - ey) * inv, (p.z - ez) * inv
    cos = vx * g[0] + vy * g[1] + vz * g[2]
    angle = np.sqrt(np.maximum(2 - 2 * cos, 0)) * (1 / _IRIS_ANGLE)
    corner = smoothstep(0.6, 1.05, np.abs(ax - ex) * (1 / f.eye_half_width))
    white = colour((0.72, 0.69, 0.66)) * (1 - corner[:, None] * colour((0.15, 0.45, 0.42)))
    around = np.copysign(1 - (vx - g[0]) / (np.abs(vx - g[0]) + np.abs(vy - g[1]) + 1e-4), vy - g[1])
    fibres = 1 + 0.45 * noise1(around * 14 + 50) * smoothstep(0.3, 0.7, angle)
    ring = 1 - 0.75 * smoothstep(0.72, 1.0, angle)
    iris = colour(scene.person.iris) * (1.5 * fibres * ring)[:, None]
    iris = mix(iris, colour((0.004, 0.004, 0.004)), smoothstep(_PUPIL + 0.06, _PUPIL - 0.06, angle))
    s.albedo = mix(white, iris, smoothstep(1.06, 0.94, angle))
    up, _ = f.lid_edges(ax)
    s.albedo *= (0.42 + 0.58 * smoothstep(0.0, 0.05, up - p.y))[:, None]
    s.gloss[:] = 1.5
    s.power[:] = 220
    s.part[:] = np.where(angle < 1, PART["iris"], PART["eye"])
    return s


def _paint_mouth(scene: Scene, p: Points) -> Surface:
    """Two rows of teeth, dark between and towards the corners.

    Brighter than teeth are, because the rough solid that casts shadows has no open mouth.
    """
    s, f = blank(p), scene.face
    upper = smoothstep(-0.012, 0.004, p.y - (f.mouth_y - 0.032))
    lower = smoothstep(0.008, -0.008, p.y - (f.mouth_y - 0.05 - f.jaw)) * (f.jaw > 0.02 or f.gap_down > 0.02)
    row = np.maximum(upper, 0.85 * lower)
    u = p.x * (1 / 0.078)
    nearest = np.abs(u - np.round(u) + (0.0))
    gap = 1 - 0.35 * smoothstep(0.40, 0.5, nearest)
    shade = smoothstep(0.27, 0.1, np.abs(p.x))
    tongue = smoothstep(-0.03, -0.14, p.y - f.mouth_y) * smoothstep(0.2, 0.1, np.abs(p.x))
    dark = mix(colour((0.035, 0.008, 0.008)), colour((0.22, 0.06, 0.055)), tongue)
    s.albedo = mix(dark, colour((1.7, 1.62, 1.45)), row * shade) * (gap * (0.35 + 0.65 * shade))[:, None]
    s.gloss[:] = 0.2 * row
    s.power[:] = 60
    s.part[:] = PART["mouth"]
    return s


def _paint_hair(scene: Scene, p: Points) -> Surface:
    """Streaks of lighter and darker strands, normals bent strand by strand, highlights along fibres."""
    hair, person = scene.hair, scene.person
    assert hair is not None
    s = blank(p)
    u = hair.strand(p.x, p.y, p.z)
    along = p.y * 1.6 + p.z * 0.9
    fine = noise2(u * 55, along * 2.2) + 0.6 * noise2(u * 120 + 31, along * 3)
    broad = noise2(u * 13 + 5, along * 1.1)
    light = 1 + 0.42 * fine + 0.22 * broad
    s.albedo = colour(person.hair) * np.clip(light, 0.25, 2.2)[:, None]
    if person.hair_colour == "gray":
        s.albedo *= (1 + 0.25 * cloud(u * 9, along * 1.5, 2))[:, None]
    gx, gy, gz = hair.strand_gradient(p.x, p.y, p.z)
    inv = 1 / np.sqrt(gx * gx + gy * gy + gz * gz + 1e-6)
    bend = (0.38 * fine + 0.25 * broad) * inv
    nx, ny, nz = p.nx + gx * bend, p.ny + gy * bend, p.nz + gz * bend
    inv_n = 1 / np.sqrt(nx * nx + ny * ny + nz * nz + 1e-6)
    s.normal = (nx * inv_n, ny * inv_n, nz * inv_n)
    s.fibre = strand_tangent((p.nx, p.ny, p.nz), (gx, gy, gz))
    s.gloss[:] = (0.5 + 0.2 * fine) * (0.35 if hair.style.curl or hair.style.lift < 0.02 else 1.0)
    s.power[:] = 40
    s.part[:] = PART["hair"]
    return s


def _paint_clothes(scene: Scene, p: Points) -> Surface:
    """Plain cloth, stripes, checks or a knit."""
    s, shot = blank(p), scene.shot
    first, second = colour(shot.clothes_colour), colour(shot.clothes_second)
    pattern = shot.seed % 5
    stripe = smoothstep(-0.15, 0.15, np.sin(p.y * 42))
    check = smoothstep(-0.15, 0.15, np.sin(p.x * 30) * np.sin(p.y * 30))
    weight = {0: stripe, 1: check * 0.5}.get(pattern, np.zeros_like(p.x))
    weave = 1 + 0.12 * noise2(p.x * 70, p.y * 70) + 0.12 * cloud(p.x * 4, p.y * 4 + p.z * 4, 2)
    s.albedo = mix(first, second, weight) * weave[:, None]
    s.gloss[:] = 0.04
    s.power[:] = 8
    s.part[:] = PART["clothes"]
    return s


def _paint_frame(scene: Scene, p: Points) -> Surface:
    s = blank(p)
    s.albedo = np.broadcast_to(colour(scene.shot.glasses_colour), s.albedo.shape).copy()
    s.gloss[:], s.power[:] = 0.9, 70
    s.part[:] = PART["glasses"]
    return s


def _paint_lens(scene: Scene, p: Points) -> Surface:
    """The dark glass of sunglasses, a little lighter below."""
    s = blank(p)
    fade = 0.012 + 0.05 * smoothstep(0.1, -0.25, p.y)
    s.albedo = colour(scene.shot.glasses_colour) * 0.5 + fade[:, None]
    s.gloss[:], s.power[:] = 1.2, 120
    s.part[:] = PART["glasses"]
    return s


def _paint_hat(scene: Scene, p: Points) -> Surface:
    """Knitted ribs for a beanie, felt or cloth for the others, a band round a brimmed hat."""
    s, shot = blank(p), scene.shot
    base = colour(shot.hat_colour)
    if shot.hat == "beanie":
        turn = np.copysign(1 - p.z / (np.abs(p.x) + np.abs(p.z) + 1e-3), p.x)
        shade = 1 + 0.28 * np.sin(turn * 90) + 0.1 * noise2(turn * 60, p.y * 60)
        s.albedo = base * shade[:, None]
    else:
        s.albedo = base * (1 + 0.1 * noise2(p.x * 50 + p.z * 30, p.y * 50))[:, None]
    if shot.hat == "brim" and scene.hat is not None:
        height = p.y - scene.hat.edge - 0.1 * p.z
        band = smoothstep(0.03, 0.05, height) * smoothstep(0.19, 0.17, height)
        s.albedo = mix(s.albedo, base * 0.2, band)
    s.gloss[:], s.power[:] = 0.06, 10
    s.part[:] = PART["hat"]
    return s


def _paint_ring(scene: Scene, p: Points) -> Surface:
    s = blank(p)
    gold = scene.shot.seed % 3 != 0
    s.albedo = np.broadcast_to(colour((0.75, 0.5, 0.16) if gold else (0.6, 0.6, 0.62)), s.albedo.shape).copy()
    s.gloss[:], s.power[:] = 1.6, 40
    s.part[:] = PART["earring"]
    return s


_PAINTERS: dict[int, Callable[[Scene, Points], Surface]] = {
    materials.SKIN: paint_skin,
    materials.EYEBALL: _paint_eye,
    materials.MOUTH: _paint_mouth,
    materials.HAIR: _paint_hair,
    materials.CLOTHES: _paint_clothes,
    materials.FRAME: _paint_frame,
    materials.LENS: _paint_lens,
    materials.HAT: _paint_hat,
    materials.RING: _paint_ring,
}


def _put(target: Surface, index: NDArray[np.intp], source: Surface) -> None:
    for name in ("albedo", "gloss", "power", "soft", "part"):
        getattr(target, name)[index] = getattr(source, name)
    for name in ("normal", "fibre"):
        for whole, piece in zip(getattr(target, name), getattr(source, name), strict=True):
            whole[index] = piece


def paint(scene: Scene, points: Points, material: NDArray[np.intp]) -> Surface:
    """Properties of all points; material [M] holds the numbers of `scene`."""
    out = blank(points)
    out.normal = (points.nx.copy(), points.ny.copy(), points.nz.copy())
    for number, painter in _PAINTERS.items():
        index = np.flatnonzero(material == number)
        if index.size:
            _put(out, index, painter(scene, points.take(index)))
    return out


def nearest_material(layers: list[tuple[int, A]]) -> tuple[NDArray[np.intp], A]:
    """The material whose solid is nearest at each point, and its signed distance."""
    best = np.full(layers[0][1].shape, layers[0][0], np.intp)
    least = layers[0][1]
    for number, d in layers[1:]:
        closer = d < least
        best[closer] = number
        least = np.minimum(d, least)
    return best, least
