"""Cut a rotated square out of a picture, antialiased."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.face import Bytes, Point


@dataclass(frozen=True)
class Square:
    """A square, possibly rotated, in a picture's pixels.

    centre: its middle. across: the vector from the middle of its left side to the middle of its right
    side; its length is the side, its direction the square's "right".
    """

    centre: Point
    across: Point

    @property
    def side(self) -> float:
        """Length of a side in pixels."""
        return math.hypot(*self.across)

    @property
    def corners(self) -> NDArray[np.float64]:
        """float64 [4, 2]: upper left, upper right, lower right, lower left as the square sees them."""
        unit = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
        return self.to_picture(unit)

    def to_picture(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map places [N, 2] inside the square (0..1, from its upper left corner) to the picture."""
        x = np.asarray(self.across)
        y = np.array([-x[1], x[0]])  # a quarter turn: y points down in pictures
        return np.asarray(np.asarray(self.centre) + (places - 0.5) @ np.stack([x, y]), np.float64)

    def to_square(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inverse of `to_picture`."""
        x = np.asarray(self.across)
        axes = np.stack([x, np.array([-x[1], x[0]])], axis=1)
        return np.asarray((places - np.asarray(self.centre)) @ axes / self.side**2 + 0.5, np.float64)

    def overhang(self, width: int, height: int) -> float:
        """How far the square reaches over the edge of the picture, as a share of its side (0: not)."""
        low = float(-self.corners.min())
        high = float((self.corners - (width, height)).max())
        return max(low, high, 0.0) / self.side


def scaled(square: Square, factor: float) -> Square:
    """The same square where the picture has `factor` times as many pixels along a side."""
    centre, across = np.multiply(square.centre, factor), np.multiply(square.across, factor)
    return Square((float(centre[0]), float(centre[1])), (float(across[0]), float(across[1])))


def padding(square: Square, width: int, height: int) -> float:
    """Share of the square, 0 to 1, that lies off a picture of width x height pixels and has to be made up."""
    picture = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    held, _ = cv2.intersectConvexConvex(square.corners.astype(np.float32), picture)
    return float(np.clip(1 - held / square.side**2, 0, 1))


def cut(image: Bytes, square: Square, size: int) -> Bytes:
    """The pixels of `square` as uint8 [size, size, 3]; beyond the picture's edge it is mirrored.

    A larger square is first averaged down by a whole factor, so that sampling bilinearly after it, in
    steps of at most 1.35 pixels, misses none.
    """
    factor = whole_step(square.side / size)
    part, offset, scale = _reduced(image, square, factor)
    step = square.to_picture(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    origin = step[0]
    axes = np.stack([step[1] - origin, step[2] - origin], axis=1) / size
    matrix = np.empty((2, 3))
    matrix[:, :2] = axes / scale[:, np.newaxis]
    matrix[:, 2] = (origin + axes @ (0.5, 0.5) - offset) / scale - 0.5  # pixel centres lie at one half
    sampling = cv2.INTER_LINEAR if square.side > 0.65 * size else cv2.INTER_CUBIC
    flags = sampling | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(part, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(warped, np.uint8)


def whole_step(ratio: float) -> int:
    """The whole factor, at least 1, that leaves of `ratio` source pixels a pixel no more than 1.35."""
    return max(1, math.ceil(ratio - 0.35))


def _reduced(
    image: Bytes, square: Square, factor: int
) -> tuple[Bytes, NDArray[np.float64], NDArray[np.float64]]:
    """The part of the picture under the square, made smaller by about `factor`; its origin and scale."""
    height, width = image.shape[:2]
    margin = 2 * factor + 2
    low = np.floor(square.corners.min(axis=0)).astype(int) - margin
    high = np.ceil(square.corners.max(axis=0)).astype(int) + margin
    low = np.clip(low, 0, (max(width - 1, 0), max(height - 1, 0)))
    high = np.clip(high, low + 1, (width, height))
    part = image[low[1] : high[1], low[0] : high[0]]
    scale = np.ones(2)
    if factor > 1:
        shape = np.maximum(1, (high - low) // factor)
        scale = (high - low) / shape
        part = np.asarray(
            cv2.resize(part, (int(shape[0]), int(shape[1])), interpolation=cv2.INTER_AREA), np.uint8
        )
    return np.ascontiguousarray(part), low.astype(float), scale
