"""Positions of facial features, from a person's shape and an expression.

Head coordinates in decimetres: x to the picture's right when the face looks at the camera, y up, z out of the
face; the pupils of a mean head at rest are at (+-0.315, 0, 0.79). Action units move the numbers here, and
geometry, relief, paint and landmarks all read them, so a label cannot disagree with the picture.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mien.render.geometry import A, Vec, gauss
from mien.render.person import Person
from mien.render.shot import Shot


@dataclass(frozen=True)
class Layout:
    """Positions and sizes in head coordinates; see `lay_out`. Curves are methods on arrays of |x| or x."""

    eye: Vec  # centre of the eyeball on the +x side
    eye_radius: float
    eye_half_width: float
    lid_up: float  # height of the upper lid's edge over the eye's centre line, at its highest
    lid_down: float
    eye_tilt: float
    brow_y: float  # height of the brow's middle
    brow_inner: float  # raise of the inner end (AU 1, 4)
    brow_outer: float  # raise of the outer end (AU 2)
    brow_arch: float
    brow_half: float  # half thickness
    brow_start: float  # |x| of the inner end
    nose_root: Vec
    nose_tip: Vec
    nose_radius: float
    wing: Vec  # centre of the nostril's wing on the +x side
    wing_radius: float
    mouth_y: float
    mouth_z: float
    mouth_half: float
    mouth_skew: float  # height difference of the corners
    corner_rise: float  # height of the corners over the middle
    gap_up: float  # how far the upper lip's lower edge is above the seam
    gap_down: float
    lip_upper: float
    lip_lower: float
    jaw: float  # how far the chin has dropped
    chin_y: float
    face_length: float

    def lid_edges(self, ax: A) -> tuple[A, A]:
        """Height of the upper and lower lid's edge at |x|; they cross beyond the corners of the eye."""
        u = (ax - self.eye[0]) * (1.0 / self.eye_half_width)
        base = self.eye[1] + self.eye_tilt * u
        bend = 1 - u * u
        dome, beyond = np.maximum(bend, 0), np.minimum(bend, 0) * 0.05
        up = base + self.lid_up * dome * (1 - 0.16 * u) + beyond
        return up, base - self.lid_down * dome * (1 + 0.22 * u) - beyond

    def brow_line(self, ax: A) -> A:
        """Height of the middle of the brow at |x|."""
        t = np.maximum((ax - self.brow_start) * (1.0 / 0.36), -0.1)
        arch = self.brow_arch * gauss(t, 0.66, 0.3)
        drop = -0.05 * np.maximum(t - 0.7, 0) / 0.3
        inner, outer = self.brow_inner * np.maximum(1 - 1.2 * t, 0), self.brow_outer * np.maximum(t, 0)
        return np.asarray(self.brow_y + arch + drop + inner + outer)

    def brow_width(self, ax: A) -> A:
        """Half thickness of the brow at |x|; negative outside of it."""
        t = (ax - self.brow_start) * (1.0 / 0.36)
        taper = np.minimum(1.0, 1.25 - 0.9 * t)
        inside = np.minimum(t + 0.12, 1.05 - t) * 8
        result: A = self.brow_half * np.minimum(taper, np.maximum(inside, -1))
        return result

    def seam(self, x: A) -> tuple[A, A, A]:
        """Edges of upper and lower lip where they meet, at x, and 1 in the middle, 0 at the corners."""
        u = x * (1.0 / self.mouth_half)
        u2 = np.minimum(u * u, 1.2)
        dome = np.maximum(1 - u2, 0)
        line = self.mouth_y + self.corner_rise * u2 + self.mouth_skew * u
        line = line - 0.012 * gauss(u, 0, 0.18) + 0.006 * gauss(np.abs(u), 0.35, 0.2)
        return line + self.gap_up * dome, line - self.gap_down * dome, dome

    def lips(self, x: A) -> tuple[A, A, A, A]:
        """Heights at x: top of the upper lip, its lower edge, upper edge of the lower lip, its bottom."""
        up, down, dome = self.seam(x)
        u = np.abs(x) * (1.0 / self.mouth_half)
        bow = 1 - 0.2 * gauss(u, 0, 0.12) + 0.1 * gauss(u, 0.25, 0.14)
        return (up + self.lip_upper * bow * dome**0.75, up, down, down - self.lip_lower * dome**0.65)


def _eye(person: Person, shot: Shot) -> dict[str, Any]:
    au = shot.au
    x = 0.315 * person.eye_distance
    z = 0.628 - 0.02 * (person.eye_depth - 1)
    closed = au(43)
    up = 0.049 * person.eye_open * (1 - 0.1 * person.wrinkles)
    lift = 0.028 * au(5) + 0.0011 * shot.eye_pitch
    up += lift - 0.012 * au(6) - 0.012 * au(4) - 0.014 * au(9) - 0.01 * au(12)
    down = 0.047 * person.eye_open - 0.02 * au(6) - 0.012 * au(9) - 0.008 * au(12) - 0.0004 * shot.eye_pitch
    up, down = max(up, 0.012), max(down, 0.012)
    closed_at = -down - 0.006
    return {
        "eye": (x, 0.0, z),
        "eye_radius": 0.165,
        "eye_half_width": 0.152 * person.eye_width,
        "lid_up": up + (closed_at - up) * closed,
        "lid_down": down,
        "eye_tilt": person.eye_tilt,
    }


def _brow(person: Person, shot: Shot) -> dict[str, Any]:
    au = shot.au
    rest = 0.205 + person.brow_height
    return {
        "brow_y": rest + 0.045 * au(1) * 0.5 + 0.03 * au(2) - 0.05 * au(4) - 0.02 * au(9),
        "brow_inner": 0.075 * au(1) - 0.055 * au(4) - 0.035 * au(9) - 0.01,
        "brow_outer": 0.065 * au(2) - 0.012 * au(4),
        "brow_arch": 0.04 * person.brow_arch + 0.012 * au(2),
        "brow_half": 0.026 * person.brow_thickness,
        "brow_start": 0.125 - 0.035 * au(4),
    }


def _nose(person: Person, shot: Shot) -> dict[str, Any]:
    lift = 0.02 * shot.au(9)
    tip_y = -0.415 * person.nose_length * person.face_length + person.nose_up
    tip_z = 0.81 + 0.20 * person.nose_out
    radius = 0.088 * (0.3 + 0.7 * person.nose_tip)
    wing_r = 0.07 * (0.35 + 0.65 * person.nose_width)
    wide = max(0.118 * (1.5 * person.nose_width - 0.5), 0.085) + 0.012 * shot.au(9) + 0.014 * shot.au(12)
    return {
        "nose_root": (0.0, 0.04, 0.752 + person.nose_hump),
        "nose_tip": (0.0, tip_y, tip_z),
        "nose_radius": radius,
        "wing": (wide, tip_y - 0.035 + lift, tip_z - 0.155),
        "wing_radius": wing_r,
    }


def _mouth(person: Person, shot: Shot) -> dict[str, Any]:
    au = shot.au
    jaw = 0.26 * au(26)
    part = 0.05 * au(25) + 0.02 * au(12) * au(25)
    spread = 0.062 * au(12) + 0.085 * au(20) - 0.02 * au(26) - 0.01 * au(15)
    return {
        "mouth_y": -0.725 * person.face_length + 0.02 * au(12) + 0.015 * au(9),
        "mouth_z": 0.79 - 0.4 * jaw,
        "mouth_half": 0.245 * person.lip_width + spread,
        "mouth_skew": person.asymmetry,
        "corner_rise": 0.006 + 0.105 * au(12) - 0.10 * au(15) - 0.02 * au(20),
        "gap_up": part * 0.9 + 0.018 * au(9),
        "gap_down": part * 0.9 + jaw * 0.95 * (au(25) > 0 or au(26) > 0),
        "lip_upper": 0.075 * person.lip_upper * (1 - 0.25 * au(12) - 0.15 * au(20)),
        "lip_lower": 0.095 * person.lip_lower * (1 - 0.2 * au(12) - 0.2 * au(20)),
        "jaw": jaw,
    }


def lay_out(person: Person, shot: Shot) -> Layout:
    """Place the features of `person` making the face that `shot` asks for."""
    mouth = _mouth(person, shot)
    return Layout(
        **_eye(person, shot),
        **_brow(person, shot),
        **_nose(person, shot),
        **mouth,
        chin_y=-1.0 * person.face_length - mouth["jaw"],
        face_length=person.face_length,
    )
