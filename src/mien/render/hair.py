"""The geometry of hair: a volume over the skull, cut by the hairline, grooved along its strands."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.render.geometry import A, Vec, ball, cone, ellipsoid, length2, smax, smin
from mien.render.head import Head
from mien.render.noise import noise1
from mien.render.person import Person
from mien.render.shot import Shot

Line = tuple[tuple[float, float], ...]  # (y, z): at height y there is hair behind z

_SHORT: Line = (
    *((-0.95, -0.75), (-0.72, -0.66), (-0.5, -0.42), (-0.3, -0.33), (0.02, -0.27), (0.1, 0.0)),
    *((0.16, 0.18), (0.3, 0.42), (0.42, 0.52), (0.52, 0.62), (0.6, 0.76), (0.68, 0.95), (0.8, 1.6)),
)
_COVER: Line = (
    *((-2.5, 0.28), (-1.2, 0.28), (-0.7, 0.2), (-0.3, 0.18), (0.1, 0.24), (0.3, 0.4), (0.42, 0.5)),
    *((0.52, 0.6), (0.6, 0.74), (0.68, 0.95), (0.8, 1.6)),
)
_FRINGE: Line = (
    *((-2.5, 0.28), (-0.7, 0.24), (-0.3, 0.24), (0.08, 0.34), (0.2, 0.5), (0.3, 0.75), (0.36, 1.2)),
    (0.5, 1.6),
)
_HORSESHOE: Line = (
    *((-0.95, -0.75), (-0.72, -0.66), (-0.5, -0.42), (-0.3, -0.33), (0.02, -0.27), (0.1, 0.0)),
    *((0.16, 0.14), (0.26, 0.12), (0.34, -0.1), (0.42, -0.5), (0.5, -0.9), (0.6, -1.3)),
)


@dataclass(frozen=True)
class Style:
    """Shape of a style. lift, side: thickness on top and at the sides; front: extra volume over the forehead;
    fall: hangs down (times the person's length); strands: "crown" (from the whorl), "part" (from a parting),
    "back" (combed back); curl: size of curls; bangs: whether the forehead is covered.
    """

    line: Line
    lift: float
    side: float
    strands: str
    front: float = 0.0
    fall: float = 0.0
    curl: float = 0.0
    bangs: bool = False
    knot: Vec | None = None
    knot_radius: float = 0.0


STYLES: dict[str, Style] = {
    "horseshoe": Style(_HORSESHOE, 0.035, 0.035, "crown"),
    "buzz": Style(_SHORT, 0.012, 0.010, "crown"),
    "crop": Style(_SHORT, 0.07, 0.04, "crown", front=0.03),
    "side_part": Style(_SHORT, 0.12, 0.05, "part", front=0.04),
    "slick": Style(_SHORT, 0.07, 0.035, "back", front=0.01),
    "quiff": Style(_SHORT, 0.12, 0.03, "back", front=0.16),
    "curly": Style(_SHORT, 0.17, 0.13, "crown", front=0.05, curl=1.0),
    "bob": Style(_COVER, 0.10, 0.10, "part", fall=0.78),
    "fringe_bob": Style(_FRINGE, 0.10, 0.11, "crown", fall=0.72, bangs=True),
    "long": Style(_COVER, 0.10, 0.09, "part", fall=1.45),
    "long_fringe": Style(_FRINGE, 0.10, 0.09, "crown", fall=1.45, bangs=True),
    "bun": Style(_SHORT, 0.05, 0.03, "back", knot=(0.0, 1.0, -0.62), knot_radius=0.3),
    "ponytail": Style(_SHORT, 0.05, 0.03, "back", knot=(0.0, 0.42, -1.06), knot_radius=0.16),
}


class Hair:
    """Signed distances and strand directions of the hair of one person who is not bald."""

    def __init__(self, person: Person, shot: Shot, head: Head) -> None:
        style = STYLES[person.hair_style]
        self.style, self.person = style, person
        volume = person.hair_volume if style.lift > 0.02 else 1.0
        squash = 0.45 if shot.hat in ("beanie", "cap") else 1.0
        lift, side = style.lift * volume * squash, style.side * volume
        c, r = head.skull_centre, head.skull_radii
        self._centre: Vec = (c[0], c[1] + 0.3 * lift, c[2] - 0.2 * lift)
        self._radii: Vec = (r[0] + side + 0.015, r[1] + lift + 0.02, r[2] + 0.6 * lift + 0.02)
        self._front = style.front * volume * squash
        self._fall = style.fall * person.hair_length if style.fall > 1 else style.fall
        self.lowest = -self._fall if style.fall else -0.8  # height of the ends
        if person.hair_style == "ponytail":
            self.lowest = -1.4
        self._fall_width = 0.69 * person.skull_width + 0.9 * side + 0.02
        ys, zs = zip(*style.line, strict=True)
        self._table = np.interp(np.arange(-2.5, 2.0, 1 / 64), ys, zs).astype(np.float32)  # from y = -2.5 up
        self._edge = 0.012 if style.lift <= 0.02 else 0.05
        self._taper = 0.012 if style.lift <= 0.02 else (0.05 if style.bangs else 0.11)
        self._clump = 0.0 if style.lift <= 0.02 else 0.022 * (1.4 if style.fall else 1.0)

    def _line_at(self, y: A) -> A:
        t = np.clip((y + 2.5) * 64, 0, len(self._table) - 1.01)
        i = t.astype(np.intp)
        t -= i
        a = self._table.take(i)
        b = self._table.take(i + 1)
        result: A = a + (b - a) * t
        return result

    def strand(self, x: A, y: A, z: A) -> A:
        """A coordinate that is constant along a strand and changes by 1 over about a decimetre across it."""
        kind = self.style.strands
        if kind == "crown":
            zc = z + 0.25
            p = zc / (np.abs(x) + np.abs(zc) + 1e-3)
            u = np.copysign(1 - p, x) * 1.1
        elif kind == "part":
            middle = np.clip(z, -0.45, 0.4)  # falls to both sides of the parting, radiates from its ends
            off = z - middle
            side = x - self.person.parting * 0.8
            turn = np.abs(off) / (np.abs(side) + np.abs(off) + 0.02)
            u = np.copysign(0.9 - np.sign(off) * 0.8 * turn + 1.1 * (0.4 - middle), side)
        else:
            u = 1.3 * x / (np.abs(x) + np.abs(y + 0.25) + 0.05)
        if self.person.wave:
            u = u + 0.09 * self.person.wave * self._waves(x, y)
        return u

    def _waves(self, x: A, y: A) -> A:
        """-1 to 1: crests that run across the strands, one every half decimetre."""
        result: A = np.sin(y * 12 + 4 * np.sin(2.3 * x))
        return result

    def strand_gradient(self, x: A, y: A, z: A) -> tuple[A, A, A]:
        """Direction across the strands, unnormalised."""
        kind = self.style.strands
        zero = np.zeros_like(x)
        if kind == "crown":
            return z + 0.25, zero, -x
        if kind == "part":
            side, off = x - self.person.parting * 0.8, z - np.clip(z, -0.45, 0.4)
            return -np.abs(off) * np.sign(side), zero, np.abs(side) + 0.05
        return y + 0.25, -x, zero

    def beyond_line(self, x: A, y: A, z: A, ragged: A) -> A:
        """How far points lie in front of the hairline, about decimetres; negative where hair grows."""
        p = self.person
        ax = np.abs(x)
        rise = p.hairline + 0.02 + 0.13 * p.receding
        shift = rise + 0.26 * p.receding * np.exp(-(((ax - 0.34) * (1 / 0.16)) ** 2))
        if self.style.bangs:
            shift = 0.09 * x * x + 0.03 + 0.12 * (ax > 0.5) * (ax - 0.5)
        elif self.style.strands == "part":
            side = x - p.parting * 0.8
            shift = shift - 0.12 * np.exp(-((side * (1 / 0.5) + 0.8 * np.sign(p.parting)) ** 2))
        return (z - self._line_at(y - shift - ragged * self._edge * 1.3)) * 0.62

    def _curls(self, x: A, y: A, z: A) -> A:
        a = np.sin(15 * x + 2 * np.sin(5 * y)) * np.sin(15 * y + 2 * np.sin(5 * z))
        result: A = a * np.sin(15 * z + 2 * np.sin(5 * x)) * 0.042
        return result

    def volume(self, x: A, y: A, z: A) -> A:
        """The hair before the hairline cuts it."""
        d = ellipsoid(x, y, z, self._centre, self._radii)
        if self._front:
            tuft: Vec = (0.25 * self.person.parting, 0.86, 0.42)
            d = smin(d, ellipsoid(x, y, z, tuft, (0.5, 0.2 + self._front, 0.36)), 0.12)
        if self._fall:
            w = self._fall_width
            column = cone(x, y, (z + 0.12) * 1.08, (0.0, 0.3, 0.0), (0.0, -2.0, 0.0), w, w * 1.12)
            column = smax(column, -self._fall - y, 0.12)
            room = np.maximum(length2(x, (z - 0.35) * 0.62) - 0.60, y - 0.1)
            d = smax(smin(d, column, 0.2), -room, 0.06)
        if self.style.knot is not None:
            d = smin(d, ball(x, y, z, self.style.knot, self.style.knot_radius), 0.06)
            if self.person.hair_style == "ponytail":
                d = smin(d, cone(x, y, z, (0.0, 0.4, -1.1), (0.1, -1.2, -0.95), 0.17, 0.1), 0.1)
        return d

    def __call__(self, x: A, y: A, z: A) -> A:
        """Signed distance to the hair."""
        u = self.strand(x, y, z)
        clump = noise1(u * 14.0)
        d = self.volume(x, y, z)
        if self.style.curl:
            d -= self._curls(x, y, z)
        elif self.person.wave and self.style.lift > 0.02:
            d += 0.017 * self.person.wave * (1 + self._waves(x, y))  # carved, so that none hides the forehead
        d = smax(d, self.beyond_line(x, y, z, clump), self._taper)
        d -= self._clump * clump
        return d


def strand_tangent(normal: tuple[A, A, A], across: tuple[A, A, A]) -> tuple[A, A, A]:
    """Unit direction along the strands: on the surface, at right angles to where they change."""
    nx, ny, nz = normal
    gx, gy, gz = across
    tx, ty, tz = ny * gz - nz * gy, nz * gx - nx * gz, nx * gy - ny * gx
    inv: NDArray[np.float32] = 1.0 / np.sqrt(tx * tx + ty * ty + tz * tz + 1e-8)
    return tx * inv, ty * inv, tz * inv
