"""The scene of one image: its solids in head coordinates, and the part each point belongs to."""

import numpy as np
from numpy.typing import NDArray

from mien.render.geometry import A, Vec, ball, cone, ellipsoid, length2, rotation, smax, smin
from mien.render.hair import Hair
from mien.render.head import NECK_BASE, Head
from mien.render.layout import Layout, lay_out
from mien.render.person import Person
from mien.render.relief import bake_relief
from mien.render.shot import Shot

# Half width, half height and squareness (exponent) of the lenses, thickness of the rim.
_FRAMES: dict[str, tuple[float, float, float, float]] = {
    "round": (0.215, 0.205, 2.0, 0.017),
    "square": (0.235, 0.165, 4.0, 0.026),
    "wide": (0.245, 0.15, 3.0, 0.022),
    "sun": (0.255, 0.195, 3.0, 0.024),
}


class Glasses:
    """Two rims with a bridge, and temples to the ears. Lenses are a mask in the plane of the rims."""

    def __init__(self, person: Person, shot: Shot, face: Layout, head: Head) -> None:
        self.half_width, self.half_height, self._power, self._rim = _FRAMES[shot.glasses]
        self._centre: Vec = (max(0.325, face.eye[0] + 0.01), -0.035, 0.915)
        self._ear: Vec = (0.755 * person.skull_width, 0.02, -0.12)
        self._bow = 0.16  # how far the lenses curve back towards the temples
        self.dark = shot.glasses == "sun"

    def _plane(self, ax: A, y: A, z: A) -> tuple[A, A]:
        """Signed distance to the lens' outline in its plane, and depth before that plane."""
        c = self._centre
        u = np.abs(ax - c[0]) * (1 / self.half_width)
        v = np.abs(y - c[1]) * (1 / self.half_height)
        n = self._power
        k = np.sqrt(u * u + v * v) if n == 2 else (u**n + v**n) ** (1 / n)
        depth = z - (c[2] - self._bow * ax * ax)
        return (k - 1) * min(self.half_width, self.half_height), depth

    def frame(self, ax: A, y: A, z: A) -> A:
        """Signed distance to rims, bridge and temples."""
        edge, depth = self._plane(ax, y, z)
        d = length2(edge, depth) - self._rim
        c = self._centre
        inner: Vec = (c[0] - self.half_width, c[1] + 0.05, c[2] - 0.01)
        outer: Vec = (c[0] + self.half_width, c[1] + 0.07, c[2] - 0.06)
        d = np.minimum(d, cone(ax, y, z, (0.0, c[1] + 0.07, c[2] + 0.03), inner, self._rim, self._rim))
        return np.minimum(d, cone(ax, y, z, outer, self._ear, self._rim, self._rim))

    def lens(self, ax: A, y: A, z: A) -> A:
        """Signed distance to the glass itself."""
        edge, depth = self._plane(ax, y, z)
        return np.maximum(edge, np.abs(depth) - 0.008)


class Hat:
    """A beanie, a cap with a visor or a hat with a brim, sitting on the skull."""

    def __init__(self, shot: Shot, head: Head, hair_lift: float) -> None:
        self.kind = shot.hat
        c, r = head.skull_centre, head.skull_radii
        pad = 0.07 + 0.4 * hair_lift
        self._centre: Vec = (c[0], c[1], c[2])
        self._radii: Vec = (r[0] + pad, r[1] + pad * (1.6 if self.kind == "brim" else 1.1), r[2] + pad)
        self.edge = {"beanie": 0.40, "cap": 0.46, "brim": 0.5}[self.kind]

    def __call__(self, x: A, y: A, z: A) -> A:
        """Signed distance to the hat; its lower edge rises a little to the front."""
        rim = self.edge + 0.10 * z
        d = ellipsoid(x, y, z, self._centre, self._radii)
        c, r = self._centre, self._radii
        if self.kind == "beanie":
            fold = np.maximum(d - 0.035, np.abs(y - rim - 0.12) - 0.11)
            return smin(np.maximum(d, rim - y), fold, 0.03)
        d = np.maximum(d, rim - y)
        plate = np.abs(y - rim - 0.01)
        if self.kind == "cap":
            visor = length2(x * 0.95, (z - 0.55) * 0.78) - 0.62
            return smin(d, np.maximum(np.maximum(visor, plate - 0.022), 0.2 - z), 0.02)
        around = length2(x * (1 / (r[0] + 0.42)), (z - c[2]) * (1 / (r[2] + 0.42))) - 1
        return smin(d, np.maximum(around * (r[0] + 0.4), plate - 0.02), 0.05)


def earring(face_ear: Vec, ax: A, y: A, z: A, *, hoop: bool) -> A:
    """Signed distance to a stud (or hoop) hanging from the lobe."""
    lx, ly, lz = face_ear
    if not hoop:
        return ellipsoid(ax, y, z, (lx + 0.035, ly - 0.02, lz), (0.04, 0.055, 0.04))
    ring = length2(y - (ly - 0.09), z - lz) - 0.12
    return length2(ring, ax - lx - 0.02) - 0.02


# Reach of the hole for the neck, and its centre against the neck's base, for each collar.
_COLLARS: dict[str, tuple[float, Vec]] = {
    "crew": (0.50, (0.0, 0.22, 0.14)),
    "vee": (0.56, (0.0, 0.12, 0.34)),
    "shirt": (0.47, (0.0, 0.24, 0.16)),
    "turtle": (0.30, (0.0, 0.60, 0.1)),
}


class Body:
    """Signed distances in head coordinates; the shoulders turn half as far as the head."""

    def __init__(self, person: Person, shot: Shot, turn: NDArray[np.float64]) -> None:
        width = 1.08 if person.male else 0.92

        def place(x: float, y: float, z: float) -> Vec:
            p = turn @ np.array([x, y, z])
            return float(p[0] + NECK_BASE[0]), float(p[1] + NECK_BASE[1]), float(p[2] + NECK_BASE[2])

        fat = 0.06 * person.chubby
        self._root = place(0.0, 0.08, -0.06)
        self._shoulders = (place(0.88 * width, -0.2, -0.02), place(-0.88 * width, -0.2, -0.02))
        self._chest = (place(0.42 * width, -0.72, 0.1), place(-0.42 * width, -0.72, 0.1))
        self._radius = 0.33 + fat
        self._thin = 0.26 + fat
        reach, centre = _COLLARS[shot.collar]
        self._hole, self._hole_radius = place(*centre), reach + 0.3 * fat
        self._turtle = shot.collar == "turtle"
        self._neck_radius = 0.41 * person.neck_width + 0.07 * person.chubby + 0.035

    def skin(self, x: A, y: A, z: A) -> A:
        """Shoulders and chest without clothes."""
        d = cone(x, y, z, self._root, self._shoulders[0], self._radius, self._thin)
        d = smin(d, cone(x, y, z, self._root, self._shoulders[1], self._radius, self._thin), 0.1)
        return smin(d, cone(x, y, z, self._chest[0], self._chest[1], 0.42, 0.42), 0.3)

    def clothes(self, x: A, y: A, z: A, skin: A) -> A:
        """A layer over the skin with a hole for the neck."""
        d = smax(skin - 0.045, -ball(x, y, z, self._hole, self._hole_radius), 0.025)
        if self._turtle:
            r = self._neck_radius
            roll = cone(x, y, z, NECK_BASE, (0.0, -1.16, -0.27), r * 1.12, r * 1.03)
            d = smin(d, np.maximum(roll, y + 1.2 - 0.25 * (z + 0.27)), 0.06)
        return d


SKIN, EYEBALL, MOUTH, HAIR, CLOTHES, FRAME, LENS, HAT, RING = range(9)  # materials


class Scene:
    """Signed distances of a person in a shot.

    `distance` serves tracing, `layers` tells the materials apart, `occluder` is the cheap version for
    shadows.
    """

    def __init__(self, person: Person, shot: Shot) -> None:
        self.person, self.shot = person, shot
        self.face: Layout = lay_out(person, shot)
        self.head = Head(person, self.face, bake_relief(person, shot, self.face))
        self.hair = None if person.hair_style == "bald" else Hair(person, shot, self.head)
        against_head = rotation(shot.yaw, shot.pitch, shot.roll).T @ rotation(0.5 * shot.yaw, 0.0, 0.0)
        self.body = Body(person, shot, against_head)
        lift = self.hair.style.lift * 0.45 if self.hair else 0.0
        self.glasses = Glasses(person, shot, self.face, self.head) if shot.glasses != "none" else None
        self.hat = Hat(shot, self.head, lift) if shot.hat != "none" else None
        ear = self.head.ear_centre
        self._lobe: Vec = (ear[0] + 0.02, ear[1] - 0.29 * person.ear_size, ear[2] + 0.07)
        self._hoop = shot.seed % 2 == 0

    def layers(self, x: A, y: A, z: A) -> list[tuple[int, A]]:
        """(material, signed distance) of everything that is there."""
        ax = np.abs(x)
        skin, clothes = self.head.skin(x, ax, y, z), np.full(x.shape, 1.0, np.float32)
        low = np.flatnonzero(y < -0.75)
        if low.size:
            xl, yl, zl = x[low], y[low], z[low]
            body = self.body.skin(xl, yl, zl)
            skin[low] = np.minimum(skin[low], body)
            clothes[low] = self.body.clothes(xl, yl, zl, body)
        out = [(SKIN, skin), (EYEBALL, self.head.eyeballs(ax, y, z)), (CLOTHES, clothes)]
        if self.face.gap_up + self.face.gap_down >= 0.004:
            out.append((MOUTH, self.head.mouth_inside(x, y, z)))
        if self.hair is not None:
            out.append((HAIR, self._hair_where_it_is(x, y, z)))
        if self.glasses is not None:
            out.append((FRAME, self.glasses.frame(ax, y, z)))
            if self.glasses.dark:
                out.append((LENS, self.glasses.lens(ax, y, z)))
        if self.hat is not None:
            out.append((HAT, self.hat(x, y, z)))
        if self.shot.earrings and self.head.has_ears:
            out.append((RING, earring(self._lobe, ax, y, z, hoop=self._hoop)))
        return out

    def _hair_where_it_is(self, x: A, y: A, z: A) -> A:
        """Hair, left out far below its ends and before the face, where it cannot be the nearest thing."""
        assert self.hair is not None
        d = np.full(x.shape, 0.4, np.float32)
        near = np.flatnonzero((y > self.hair.lowest - 0.45) & ((z < 0.95) | (y > 0.0)))
        if near.size:
            d[near] = self.hair(x[near], y[near], z[near])
            if self.hat is not None:  # which presses it flat
                d[near] = np.maximum(d[near], y[near] - self.hat.edge - 0.10 * z[near] - 0.06)
        return d

    def distance(self, x: A, y: A, z: A) -> A:
        """Signed distance to whatever is nearest."""
        layers = self.layers(x, y, z)
        d = layers[0][1]
        for _, other in layers[1:]:
            d = np.minimum(d, other)
        return d

    def occluder(self, x: A, y: A, z: A) -> A:
        """Signed distance to a rough version: head, hair, hat."""
        d = self.head.rough(x, np.abs(x), y, z)
        if self.hair is not None and self.hair.style.lift > 0.02:
            d = np.minimum(
                d, np.maximum(self.hair.volume(x, y, z), self.hair.beyond_line(x, y, z, np.zeros_like(x)))
            )
        if self.hat is not None:
            d = np.minimum(d, self.hat(x, y, z))
        return d
