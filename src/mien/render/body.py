"""The geometry of shoulders, chest and clothes below the neck."""

import numpy as np
from numpy.typing import NDArray

from mien.render.geometry import A, Vec, ball, cone, smax, smin
from mien.render.head import NECK_BASE
from mien.render.person import Person
from mien.render.shot import Shot

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
