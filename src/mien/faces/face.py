"""What a finder says about one face."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Activations:
    """Two inner maps of the mesh network for one face, for linear probes of what the face shows.

    fine: float32 [64, 24, 24], coarse: float32 [128, 12, 12], of the level crop that the network saw.
    places: float32 [468, 2], the mesh's points in that crop, 0 to 1 from its upper left corner.
    """

    fine: Floats
    coarse: Floats
    places: Floats


@dataclass(frozen=True)
class Face:
    """One face in a picture; all places in pixels of that picture, (0, 0) its upper left corner.

    box: [x, y, width, height] upright in the picture, forehead to chin; may reach over the edge.
    size: geometric mean of the face's width and height measured along its own axes, whatever its roll.
    score: 0 to 1, how sure the finder is. eye_left, eye_right, mouth_left, mouth_right: the viewer's left
    and right for an upright face. points: float32 [468, 3] of the mesh finder, else None. activations: what
    its network saw, else None. yaw: degrees, of a head found without its mesh (see `averted`), else None.
    """

    box: tuple[float, float, float, float]
    size: float
    score: float
    eye_left: Point
    eye_right: Point
    nose: Point
    mouth_left: Point
    mouth_right: Point
    points: Floats | None = None
    activations: Activations | None = field(default=None, repr=False, compare=False)
    yaw: float | None = None

    @property
    def mouth(self) -> Point:
        """Midway between the corners of the mouth."""
        (x0, y0), (x1, y1) = self.mouth_left, self.mouth_right
        return (x0 + x1) / 2, (y0 + y1) / 2

    @property
    def landmarks(self) -> dict[str, Point]:
        """The five named points."""
        names = ("eye_left", "eye_right", "nose", "mouth_left", "mouth_right")
        return {name: getattr(self, name) for name in names}


class Finder(Protocol):
    """Finds faces. Not thread-safe: one object per thread or process."""

    name: str

    def find(self, image: Bytes, *, most: int = 8) -> list[Face]:
        """Up to `most` faces in an RGB picture uint8 [H, W, 3], largest first; [] if there is none."""
