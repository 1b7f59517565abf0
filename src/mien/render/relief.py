"""The fine relief of a face: a height map over (x, y), added along the normal of the skin.

Baking it once for each picture makes any number of folds, wrinkles and lips cost one bilinear lookup a point.
"""

from dataclasses import dataclass

import numpy as np

from mien.render.geometry import A, gauss, smoothstep
from mien.render.layout import Layout
from mien.render.person import Person
from mien.render.shot import Shot

_X0, _Y0, _STEP = -0.8, -1.42, 0.01
_NX, _NY = 161, 236


@dataclass(frozen=True)
class Relief:
    """Height map [236, 161] (decimetres, row 0 lowest), flattened, and its lookup."""

    table: A

    def __call__(self, x: A, y: A) -> A:
        """Height at points, bilinear; 0 at and beyond the border."""
        u = (x - _X0) * (1 / _STEP)
        v = (y - _Y0) * (1 / _STEP)
        np.clip(u, 0, _NX - 1.01, out=u)
        np.clip(v, 0, _NY - 1.01, out=v)
        i, j = u.astype(np.intp), v.astype(np.intp)
        u -= i
        v -= j
        j *= _NX
        j += i
        table = self.table
        a, b = table.take(j), table.take(j + 1)
        b -= a
        b *= u
        a += b
        j += _NX
        c, d = table.take(j), table.take(j + 1)
        d -= c
        d *= u
        c += d
        c -= a
        c *= v
        a += c
        return a


class _Canvas:
    """Axes of the map and the brushes that paint on it."""

    def __init__(self) -> None:
        self.x: A = (_X0 + _STEP * np.arange(_NX, dtype=np.float32))[None, :]
        self.y: A = (_Y0 + _STEP * np.arange(_NY, dtype=np.float32))[:, None]
        self.ax: A = np.abs(self.x)
        self.map: A = np.zeros((_NY, _NX), dtype=np.float32)

    def blob(self, height: float, x: float, y: float, sx: float, sy: float) -> None:
        """A bell on both sides of the face."""
        self.map += (height * gauss(self.y, y, sy)) * gauss(self.ax, x, sx)

    def band(self, height: float, line: A, sigma: float, along: A) -> None:
        """A ridge (or groove) that follows y = line(x), as strong as `along` says at each x."""
        self.map += (height * along) * gauss(self.y - line, 0, sigma)


def _flesh(c: _Canvas, person: Person, shot: Shot, face: Layout) -> None:
    """Sockets, cheeks, chin: the soft forms."""
    x, y, _ = face.eye
    depth = 0.6 + 0.4 * person.eye_depth
    c.blob(-0.055 * depth, x * 0.95, y + 0.045, 0.17, 0.085)
    c.blob(-0.04 * depth, 0.15, y + 0.01, 0.055, 0.09)
    c.blob(0.05 * person.chubby, 0.38, -0.45, 0.17, 0.17)
    c.blob(-0.045 * (1 - person.chubby) * (0.5 + person.wrinkles), 0.43, -0.52, 0.11, 0.17)
    lift = shot.au(12) * 0.7 + shot.au(6) * 0.6
    c.blob(0.05 * lift, 0.36, -0.34, 0.12, 0.09)
    c.blob(-0.035, 0.62, 0.28, 0.12, 0.16)
    c.blob(0.05, 0.0, face.mouth_y + 0.02, 0.2, 0.15)
    c.blob(-0.045, 0.0, face.mouth_y - face.gap_down - face.lip_lower - 0.055, 0.15, 0.04)
    c.blob(-0.02, 0.0, face.mouth_y + face.gap_up + face.lip_upper + 0.06, 0.026, 0.05)
    c.blob(-0.06 * max(person.chin_width - 1.15, 0), 0.0, face.chin_y, 0.02, 0.06)
    c.blob(0.02 * shot.au(15), 0.0, face.chin_y + 0.1, 0.1, 0.08)


def _brows(c: _Canvas, person: Person, shot: Shot, face: Layout) -> None:
    """Ridge of bone, furrows between the brows and across the forehead."""
    line = face.brow_line(c.ax)
    inside = smoothstep(0.06, 0.16, c.ax) * smoothstep(0.58, 0.42, c.ax)
    c.band(0.028 * person.brow_ridge + 0.01 * shot.au(4), line - 0.01, 0.05, inside)
    c.band(0.01, line, 0.025, inside)
    c.blob(0.02 * person.brow_ridge, 0.05, 0.17, 0.1, 0.06)
    c.blob(-0.03 * shot.au(4), 0.045, 0.19, 0.012, 0.06)
    raised = 0.5 * person.wrinkles + max(shot.au(1), shot.au(2)) * (0.35 + 0.65 * person.wrinkles)
    middle = smoothstep(0.5, 0.15, c.ax)
    for k in range(4):
        wavy = 0.36 + 0.075 * k + 0.012 * np.sin(c.x * (7 + k) + k)
        c.band(-0.017 * raised, wavy + 0.03 * shot.au(1), 0.011, middle)


def _lids(c: _Canvas, person: Person, shot: Shot, face: Layout) -> None:
    """Crease over the lid, bags and lines under the eye, crow's feet."""
    up, down = face.lid_edges(c.ax)
    u = (c.ax - face.eye[0]) * (1 / face.eye_half_width)
    around = smoothstep(1.35, 0.8, np.abs(u))
    rest = face.eye[1] + 0.055 * (1 - u * u)  # the crease stays when the lid falls
    crease = np.maximum(up, rest) + 0.034
    c.band(-0.02, crease, 0.012, around)
    c.band(0.018 + 0.012 * person.wrinkles, crease + 0.04, 0.03, around)
    c.band(0.010 + 0.045 * person.bags, down - 0.05, 0.022, around)
    c.band(-0.014 * (0.4 + 1.8 * person.bags + 0.5 * shot.au(6)), down - 0.095, 0.014, around)
    feet = 0.8 * person.wrinkles + shot.au(6) * (0.3 + 0.7 * person.wrinkles)
    outer = smoothstep(0.5, 0.54, c.ax) * smoothstep(0.68, 0.58, c.ax)
    for slope in (-0.5, -0.1, 0.35):
        c.band(-0.013 * feet, face.eye[1] + slope * (c.ax - 0.45), 0.009, outer)


def _folds(c: _Canvas, person: Person, shot: Shot, face: Layout) -> None:
    """Nose to mouth fold, wrinkled bridge (AU 9), mouth corners."""
    fold = 0.65 * person.wrinkles + 0.75 * shot.au(12) + 0.7 * shot.au(9) + 0.12 * person.chubby
    corner_y = face.mouth_y + face.corner_rise
    start_x, start_y = face.wing[0] + 0.06, face.wing[1] + 0.02
    end_x = face.mouth_half + 0.075
    t = np.clip((start_y - c.y) / (start_y - corner_y + 0.04), 0, 1)
    line = start_x + (end_x - start_x) * t**1.3
    span = smoothstep(start_y + 0.05, start_y - 0.02, c.y) * smoothstep(corner_y - 0.12, corner_y + 0.02, c.y)
    c.map += (-0.03 * fold * span) * gauss(c.ax - line, 0, 0.022)
    c.map += (0.03 * fold * span) * gauss(c.ax - line, 0.075, 0.05)
    for k in range(3):
        c.band(-0.016 * shot.au(9), 0.04 - 0.06 * k + 0.25 * c.ax, 0.012, smoothstep(0.2, 0.05, c.ax))
    c.blob(-0.018, face.mouth_half + 0.012, corner_y, 0.025, 0.025)
    c.blob(0.012, face.mouth_half + 0.07, corner_y - 0.02, 0.04, 0.07)


def _mouth(c: _Canvas, face: Layout) -> None:
    """Lips: two rolls whose edges are the curves of the layout, with a groove where they meet."""
    top, up, down, bottom = face.lips(c.x)
    inside = smoothstep(1.08, 0.85, c.ax / face.mouth_half)
    upper = np.clip((c.y - up) / np.maximum(top - up, 0.015), -1, 1.4)
    lower = np.clip((down - c.y) / np.maximum(down - bottom, 0.015), -1, 1.4)
    roll_up = np.where(c.y >= up, np.sqrt(np.maximum(1 - upper**2 * 0.9, 0)), 0)
    roll_down = np.where(c.y <= down, np.sqrt(np.maximum(1 - (lower - 0.35) ** 2 * 1.6, 0)), 0)
    full_up, full_down = (min(max(n, 0.6), 1.4) for n in (face.lip_upper / 0.075, face.lip_lower / 0.095))
    c.map += inside * (0.034 * full_up * roll_up * smoothstep(1.35, 0.6, upper))
    c.map += inside * (0.044 * full_down * roll_down * smoothstep(1.35, 0.7, lower))
    if face.gap_up + face.gap_down < 0.004:
        c.band(-0.035, (up + down) / 2, 0.013, smoothstep(1.12, 0.9, c.ax / face.mouth_half))


def bake_relief(person: Person, shot: Shot, face: Layout) -> Relief:
    """Paint the height map of one picture."""
    canvas = _Canvas()
    _flesh(canvas, person, shot, face)
    _brows(canvas, person, shot, face)
    _lids(canvas, person, shot, face)
    _folds(canvas, person, shot, face)
    _mouth(canvas, face)
    edge = smoothstep(0.79, 0.6, canvas.ax) * smoothstep(-1.41, -1.2, canvas.y)
    edge = edge * smoothstep(0.92, 0.75, canvas.y)
    return Relief(np.ascontiguousarray(canvas.map * edge, dtype=np.float32).ravel())
