"""Surface properties of hit points, which painting fills in and shading reads."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.render.geometry import A

PARTS = (
    "background", "skin", "nose", "eye", "iris", "brow", "lips", "mouth", "hair", "ear", "neck", "clothes",
    "glasses", "hat", "earring", "beard",
)  # fmt: skip
PART = {name: number for number, name in enumerate(PARTS)}


@dataclass
class Points:
    """Hit points of one picture in head coordinates with unit normals, each float32 [M]."""

    x: A
    y: A
    z: A
    nx: A
    ny: A
    nz: A

    def take(self, index: NDArray[np.intp]) -> "Points":
        """Only some of the points."""
        return Points(*(c[index] for c in (self.x, self.y, self.z, self.nx, self.ny, self.nz)))


@dataclass
class Surface:
    """Optical properties of M points.

    albedo [M, 3] linear; gloss: strength of the highlight; power: its sharpness (Blinn-Phong exponent);
    soft: how much light bleeds round the terminator as in skin (0..1); part: number in PARTS;
    fibre: unit strand directions for hair, zero elsewhere; normals as bent by fine structure.
    """

    albedo: A
    gloss: A
    power: A
    soft: A
    part: NDArray[np.uint8]
    normal: tuple[A, A, A]
    fibre: tuple[A, A, A]


def blank(points: Points) -> Surface:
    """A surface to fill in."""
    n = points.x.shape[0]
    zero = np.zeros(n, np.float32)
    return Surface(
        albedo=np.full((n, 3), 0.5, np.float32),
        gloss=np.full(n, 0.1, np.float32),
        power=np.full(n, 20.0, np.float32),
        soft=zero.copy(),
        part=np.zeros(n, np.uint8),
        normal=(points.nx, points.ny, points.nz),
        fibre=(zero, zero.copy(), zero.copy()),
    )


def colour(rgb: tuple[float, float, float]) -> A:
    """A colour as a float32 array [3]."""
    return np.array(rgb, np.float32)
