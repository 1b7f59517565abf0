"""What the detector is given of a picture: square windows, whole, turned, tiled or close up."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from mien.faces.detector import VIEW
from mien.faces.face import Bytes, Floats

_OVERLAP = 0.24  # of neighbouring tiles: a face too small for the tiles before lies whole in one of them
_FLAT = 24  # brightest minus darkest green in a tile under which there is nothing to see


@dataclass(frozen=True)
class View:
    """A square window of a picture: upper left corner and side in pixels; may reach over the edge."""

    x: float
    y: float
    side: float

    @staticmethod
    def of_whole(image: Bytes) -> "View":
        """The smallest square about the middle that holds the whole picture."""
        height, width = image.shape[:2]
        longer = max(width, height)
        return View((width - longer) / 2, (height - longer) / 2, longer)

    @staticmethod
    def about(x: float, y: float, side: float) -> "View":
        """The square of this side about a place."""
        return View(x - side / 2, y - side / 2, side)

    def to_picture(self, detections: Floats, turns: int) -> Floats:
        """Detections [K, N] in shares of this view, turned by quarters against the clock, in pixels."""
        for _ in range(turns):
            detections = _turn_back(detections)
        placed = detections.copy()
        placed[:, 1:] *= self.side
        placed[:, [1, *range(5, detections.shape[1], 2)]] += self.x
        placed[:, [2, *range(6, detections.shape[1], 2)]] += self.y
        return placed


def window(image: Bytes, view: View) -> Bytes:
    """The view's pixels as uint8 [128, 128, 3]; black beyond the picture's edge."""
    height, width = image.shape[:2]
    pixels = np.zeros((VIEW, VIEW, 3), np.uint8)
    x0, y0 = max(0, round(view.x)), max(0, round(view.y))
    x1, y1 = min(width, round(view.x + view.side)), min(height, round(view.y + view.side))
    if x1 <= x0 or y1 <= y0:
        return pixels
    scale = VIEW / view.side
    left, top = (
        int(np.clip(round((low - start) * scale), 0, VIEW - 1)) for low, start in ((x0, view.x), (y0, view.y))
    )
    inner = (max(1, min(VIEW - left, round((x1 - x0) * scale))),
             max(1, min(VIEW - top, round((y1 - y0) * scale))))  # fmt: skip
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    pixels[top : top + inner[1], left : left + inner[0]] = cv2.resize(
        image[y0:y1, x0:x1], inner, interpolation=how
    )
    return pixels


def tiles(image: Bytes, share: float) -> Iterator[tuple[View, Bytes]]:
    """Overlapping tiles that cover the picture, `share` of its longer side large, and their pixels.

    Flat ones are left out. The picture is made smaller once, not tile by tile.
    """
    height, width = image.shape[:2]
    side = share * max(height, width)
    shape = max(1, round(width * VIEW / side)), max(1, round(height * VIEW / side))
    small = np.asarray(cv2.resize(image, shape, interpolation=cv2.INTER_AREA), np.uint8)
    step = np.array((width, height)) / shape
    for y in _starts(shape[1]):
        for x in _starts(shape[0]):
            pixels = _padded(small, x, y)
            if np.ptp(pixels[..., 1]) >= _FLAT:
                yield View(x * step[0], y * step[1], side), pixels


def _starts(length: int) -> list[int]:
    """Where tiles of VIEW pixels begin so that they cover `length` evenly; before 0 if it is shorter."""
    if length <= VIEW:
        return [(length - VIEW) // 2]
    count = math.ceil((length - VIEW) / (VIEW * (1 - _OVERLAP))) + 1
    return [round(start) for start in np.linspace(0, length - VIEW, count)]


def _padded(small: Bytes, x: int, y: int) -> Bytes:
    """VIEW x VIEW pixels from (x, y) on, black where the picture is too narrow."""
    part = small[max(y, 0) : y + VIEW, max(x, 0) : x + VIEW]
    if part.shape[:2] == (VIEW, VIEW):
        return part
    pixels = np.zeros((VIEW, VIEW, 3), np.uint8)
    top, left = max(-y, 0), max(-x, 0)
    pixels[top : top + part.shape[0], left : left + part.shape[1]] = part
    return pixels


def _turn_back(detections: Floats) -> Floats:
    """Undo one quarter turn against the clock of a square view, in shares of the view."""
    back = detections.copy()
    for x in (1, *range(5, detections.shape[1], 2)):
        back[:, x], back[:, x + 1] = 1 - detections[:, x + 1], detections[:, x]
    back[:, 3], back[:, 4] = detections[:, 4], detections[:, 3]
    return back
