"""The material of skin: tone, blotches, freckles, lips, brows, beard, make-up, shaven hair."""

import numpy as np
from numpy.typing import NDArray

from mien.render.geometry import A, gauss, mix, smoothstep
from mien.render.noise import cloud, noise2
from mien.render.scene import Scene
from mien.render.surface import PART, Points, Surface, blank, colour


def beard_cover(scene: Scene, x: A, y: A, z: A, solid: A) -> A:
    """How densely facial hair covers points of the face, 0..1."""
    kind, f = scene.person.beard, scene.face
    zero = np.zeros_like(x)
    if kind == "none":
        return zero
    ax = np.abs(x)
    top, _, _, bottom = f.lips(x)
    nose = f.wing[1] - f.wing_radius
    lip = smoothstep(top - 0.005, top + 0.012, y) * smoothstep(nose + 0.0, nose - 0.04, y)
    lip = lip * smoothstep(f.mouth_half * 1.28, f.mouth_half * 1.08, ax)
    droop = smoothstep(f.mouth_half + 0.1, f.mouth_half + 0.06, ax)
    droop = droop * smoothstep(f.mouth_half - 0.02, f.mouth_half + 0.01, ax)
    chin = smoothstep(bottom + 0.0, bottom - 0.03, y) * smoothstep(0.26, 0.19, ax) * smoothstep(0.2, 0.35, z)
    chin = np.maximum(chin, droop * smoothstep(f.mouth_y + 0.08, f.mouth_y + 0.02, y))
    cheek_line = -0.62 * f.face_length + 0.55 * np.maximum(ax - 0.28, 0)
    cheek_line = cheek_line + 0.1 * np.maximum(0.3 - z, 0) - 0.5 * f.jaw * (z > 0.1)
    cheek = smoothstep(cheek_line + 0.05, cheek_line - 0.06, y) * smoothstep(-0.28, -0.15, z)
    cheek = cheek * smoothstep(f.mouth_half * 0.9, f.mouth_half * 1.15, np.maximum(ax, 9 * (y < bottom)))
    side = smoothstep(0.56, 0.6, ax) * smoothstep(0.0, 0.05, z) * smoothstep(0.22, 0.16, z)
    side = side * smoothstep(-0.55, -0.48, y) * smoothstep(0.3, 0.2, y)
    under = smoothstep(-1.2, -1.08, y + f.jaw) * smoothstep(0.06, 0.03, solid)
    mouth = smoothstep(0.0, 0.02, np.maximum(y - top, bottom - y))
    mouth = np.maximum(mouth, smoothstep(f.mouth_half * 0.97, f.mouth_half * 1.05, ax))
    full = np.maximum(np.maximum(lip, chin), np.maximum(cheek, side)) * mouth
    cover = {
        "stubble": full * 0.55,
        "mustache": np.maximum(lip, zero),
        "goatee": np.maximum(lip, chin) * mouth,
        "full": full,
        "sideburns": np.maximum(side, cheek * smoothstep(0.36, 0.44, ax)),
    }[kind]
    result: A = cover * under
    return result


def _around(x: A, z: A) -> A:
    """A coordinate that runs round the head from ear to ear, about decimetres, smooth over the middle."""
    return x / (np.abs(x) + np.abs(z + 0.35) + 0.05) * 1.5


def _blotches(scene: Scene, p: Points, tone: A) -> A:
    """The albedo of skin with uneven pigment, flush and freckles."""
    person = scene.person
    u, v = _around(p.x, p.z) * 7.0, p.y * 6.0
    large, fine = cloud(u, v, 3), noise2(u * 9 + 40, v * 9)
    pores = noise2(u * 27, v * 27 + 11)
    tex = person.texture
    albedo: A = tone * (1 + tex * (0.09 * large + 0.045 * fine + 0.05 * pores))[:, None]
    ax = np.abs(p.x)
    cheek = gauss(ax, 0.40, 0.15) * gauss(p.y, -0.36, 0.14)
    nose = gauss(ax, 0, 0.14) * gauss(p.y, scene.face.nose_tip[1], 0.11) * smoothstep(0.8, 0.95, p.z)
    flush = cheek * (0.25 + 0.9 * person.rosy + 0.3 * scene.shot.makeup) + nose * 0.45
    flush = (flush + 0.3 * smoothstep(0.66, 0.74, ax)) * (0.5 + 0.5 * person.redness)
    flush = flush * (1 + 0.4 * large) + 0.06 * np.maximum(fine, 0) * person.redness
    fade = 1.0 - 0.55 * person.melanin
    albedo = albedo * (1 - np.minimum(flush * fade, 0.85)[:, None] * colour((0.02, 0.42, 0.36)))
    if person.freckles:
        where = gauss(p.y, -0.2, 0.25) * smoothstep(0.65, 0.3, ax) * smoothstep(0.2, 0.4, p.z)
        spots = smoothstep(0.22, 0.45, noise2(u * 7.5 + 9, v * 8.5 + 3)) * where * person.freckles
        albedo = albedo * (1 - spots[:, None] * colour((0.30, 0.45, 0.55)))
    return albedo


def _eyes_around(scene: Scene, p: Points, albedo: A) -> A:
    """Lash line, shadowed lids, bags, eye shadow."""
    f, person = scene.face, scene.person
    ax = np.abs(p.x)
    up, down = f.lid_edges(ax)
    u = (ax - f.eye[0]) * (1 / f.eye_half_width)
    near = smoothstep(1.25, 0.95, np.abs(u)) * smoothstep(0.5, 0.6, p.z)
    makeup = scene.shot.makeup
    hollow = gauss(ax, f.eye[0] - 0.03, 0.15) * gauss(p.y, -0.085, 0.05) * (0.10 + 0.62 * person.bags)
    hollow = hollow + gauss(ax, 0.17, 0.06) * gauss(p.y, 0.03, 0.07) * 0.2
    albedo = albedo * (1 - hollow[:, None] * colour((0.55, 0.75, 0.6)))
    if makeup:
        shade = near * smoothstep(0.15, 0.04, p.y - up) * smoothstep(-0.01, 0.01, p.y - up) * makeup
        albedo = mix(
            albedo, colour(scene.shot.clothes_second) * 0.25 + colour((0.05, 0.03, 0.05)), 0.65 * shade
        )
    lash = near * gauss(p.y - up, 0.006, 0.009 + 0.006 * makeup + (0.0 if person.male else 0.003))
    lash = np.maximum(lash, near * 0.45 * gauss(p.y - down, -0.005, 0.008))
    lash = np.minimum(lash * (0.75 if person.male else 1.0), 1)
    return mix(albedo, colour((0.02, 0.013, 0.01)), lash)


def _lips(scene: Scene, p: Points, surface: Surface) -> None:
    """Redder, glossier, finely grooved; lipstick on top."""
    f, shot = scene.face, scene.shot
    top, up, down, bottom = f.lips(p.x)
    middle = (up + down) / 2
    edge = np.where(p.y > middle, top - p.y, p.y - bottom)
    cover = smoothstep(-0.008, 0.010, edge)
    cover = cover * smoothstep(f.mouth_half * 1.02, f.mouth_half * 0.96, np.abs(p.x))
    cover = cover * smoothstep(0.45, 0.55, p.z)
    tone = colour(scene.person.skin)
    natural = tone * colour((0.82, 0.42, 0.42)) + colour((0.05, 0.008, 0.012))
    painted = natural + (colour(shot.lipstick_colour) - natural) * shot.lipstick
    grooves = 1 + 0.10 * noise2(p.x * 75, p.y * 9)
    crease = 1 - 0.5 * gauss(p.y - middle, 0, 0.012) * (f.gap_up + f.gap_down < 0.004)
    surface.albedo = mix(surface.albedo, painted * (grooves * crease)[:, None], cover)
    surface.gloss = surface.gloss + cover * (0.25 + 0.5 * shot.lipstick)
    surface.power = surface.power + cover * 25
    surface.part[cover > 0.5] = PART["lips"]


def _strokes(u: A, v: A) -> A:
    """Short hairs lying along v: 0..1."""
    return np.clip(0.55 + 0.8 * noise2(u, v) + 0.35 * noise2(u * 2.3, v * 1.4 + 7), 0, 1)


def _brows(scene: Scene, p: Points, surface: Surface) -> None:
    f, person = scene.face, scene.person
    ax = np.abs(p.x)
    off = p.y - f.brow_line(ax)
    width = f.brow_width(ax)
    cover = smoothstep(0.012, -0.012, np.abs(off) - width) * smoothstep(0.35, 0.5, p.z)
    hairs = _strokes(ax * 42 - off * 30, off * 18 + ax * 8)
    dense = cover * np.minimum((0.5 + 0.6 * hairs) * (0.75 + 0.3 * person.brow_thickness), 1)
    tint = colour(person.hair) * (0.55 if person.hair_colour != "black" else 1.0)
    if person.hair_colour == "gray":
        tint = tint * 0.6
    surface.albedo = mix(surface.albedo, tint, dense)
    surface.gloss = surface.gloss * (1 - 0.7 * cover)
    surface.part[cover > 0.5] = PART["brow"]


def _beard(scene: Scene, p: Points, surface: Surface, solid: A) -> None:
    person = scene.person
    if person.beard == "none":
        return
    cover = beard_cover(scene, p.x, p.y, p.z, solid)
    u = _around(p.x, p.z)
    hairs = _strokes(u * 45 + p.y * 4 * np.sign(p.x), p.y * 12)
    if person.beard == "stubble":
        dense = cover * (0.4 + 0.5 * noise2(u * 70, p.y * 60))
    else:
        dense = np.minimum(cover * (0.72 + 0.55 * hairs), 0.98)
    dense = np.clip(dense, 0, 1)
    tint = colour(person.hair) * (0.75 + 0.5 * hairs)[:, None]
    surface.albedo = mix(surface.albedo, tint, dense)
    surface.gloss = surface.gloss * (1 - 0.6 * dense)
    surface.soft = surface.soft * (1 - dense)
    if person.beard != "stubble":
        nx, ny, nz = surface.normal
        bend = (hairs - 0.5) * cover * 0.7
        surface.normal = (nx + bend * np.sign(p.x), ny, nz)
        surface.part[cover > 0.55] = PART["beard"]


def _roots(scene: Scene, p: Points, albedo: A, solid: A) -> A:
    """Hair thins out towards the hairline instead of ending like a cap."""
    hair = scene.hair
    if hair is None:
        return albedo
    ragged = noise2(p.x * 30 + p.z * 20, p.y * 12 + p.z * 9)
    beyond = hair.beyond_line(p.x, p.y, p.z, ragged * 0)
    shade = smoothstep(0.05, -0.02, beyond + 0.025 * ragged)
    shade = shade * smoothstep(0.735, 0.70, np.abs(p.x) - 0.1 * (p.y > 0.1))
    shade = shade * smoothstep(-0.62, -0.5, p.y) * smoothstep(0.06, 0.03, solid)
    return mix(albedo, colour(scene.person.hair) * 0.9, shade * (0.6 + 0.35 * ragged))


def _parts(scene: Scene, p: Points, part: NDArray[np.uint8], solid: A) -> None:
    """Nose, ears, neck; the rest stays skin."""
    head, ax = scene.head, np.abs(p.x)
    part[(p.y < -0.7) & (solid > 0.045)] = PART["neck"]
    part[(head.ears(ax, p.y, p.z) < 0.012) & (ax > 0.6)] = PART["ear"]
    nose = head.nose(ax, p.x, p.y, p.z)
    part[(nose < 0.02) & (solid > 0.025) & (p.z > 0.6)] = PART["nose"]


def paint_skin(scene: Scene, p: Points) -> Surface:
    """Paint points that lie on skin."""
    person, shot = scene.person, scene.shot
    s = blank(p)
    s.part[:] = PART["skin"]
    solid = scene.head.solid(p.x, np.abs(p.x), p.y, p.z)  # how far features and neck stand off the base
    _parts(scene, p, s.part, solid)
    s.albedo = _blotches(scene, p, colour(person.skin))
    s.albedo = _roots(scene, p, s.albedo, solid)
    s.albedo = _eyes_around(scene, p, s.albedo)
    zone = gauss(p.x, 0, 0.3) * smoothstep(0.5, 0.8, p.z)
    s.gloss[:] = (0.16 + 0.20 * zone) * (1 - 0.35 * shot.makeup)
    s.power[:] = 16 + 10 * person.texture
    s.soft[:] = 1.0
    _brows(scene, p, s)
    _lips(scene, p, s)
    _beard(scene, p, s, solid)
    f = scene.face
    hole = gauss(np.abs(p.x), f.wing[0] * 0.58, 0.03) * gauss(p.y, f.wing[1] - 0.045, 0.02)
    hole = hole * (p.z > f.wing[2] - 0.08)
    s.albedo *= (1 - 0.8 * hole * (s.part == PART["nose"]))[:, None]
    return s
