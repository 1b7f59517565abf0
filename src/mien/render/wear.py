"""The geometry of things worn on the head: glasses, hats, earrings."""

import numpy as np

from mien.render.geometry import A, Vec, cone, ellipsoid, length2, smin
from mien.render.head import Head
from mien.render.layout import Layout
from mien.render.person import Person
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
            sag = 0.25 * x * x + 0.02
            visor = length2(x * 0.95, (z - 0.55) * 0.78) - 0.62
            return smin(d, np.maximum(np.maximum(visor, plate + 0.0 - 0.022 - 0 * sag), 0.2 - z), 0.02)
        around = length2(x * (1 / (r[0] + 0.42)), (z - c[2]) * (1 / (r[2] + 0.42))) - 1
        return smin(d, np.maximum(around * (r[0] + 0.4), plate - 0.02), 0.05)


def earring(face_ear: Vec, ax: A, y: A, z: A, *, hoop: bool) -> A:
    """Signed distance to a stud (or hoop) hanging from the lobe."""
    lx, ly, lz = face_ear
    if not hoop:
        return ellipsoid(ax, y, z, (lx + 0.035, ly - 0.02, lz), (0.04, 0.055, 0.04))
    ring = length2(y - (ly - 0.09), z - lz) - 0.12
    return length2(ring, ax - lx - 0.02) - 0.02
