"""Where in a picture faces may be, and which way up: first the whole, then ever smaller tiles.

The detector tells up from down only where a face takes an eighth of its view or more. Smaller ones score .1
to .5 upright and often more turned over: a hint of where to look, no more. So whatever the whole picture does
not show for sure is looked at close up, upright and in the three other turns, which then see the same pixels.
Upright faces score there at least .1 more upright than turned over (98 portraits, even indexes, a fifth to
three quarters of the view).
"""

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien.faces.detector import distinct, merge
from mien.faces.face import Bytes, Floats
from mien.faces.views import View, tiles, window

# Upright faces of a fifth of the view or more score .87 to .99 (one in twenty under .9), heads upside down up
# to .85: from here on upright needs no comparison.
SURE = 0.88
ENOUGH = 1140  # pixels of the longer side from which the smallest tiles are searched
_BETTER = 0.04  # by which a turned or a nearer close-up must beat the first one
_TURNED_LEAST = 0.65  # what a turned one must score: lying and hanging heads reach .87 when turned back
_CLOSE = 0.3  # of a close-up is the box of what is looked at
_NEAR = 0.75  # of the box's longer side: a close-up's detection this near the middle is the same head
_NEARER = 0.6  # the same of a second one: a box twice too large can look right to the first, not for sure
_LOOKS = 4  # close-ups of one head: the box of a hint may be thrice as large as the face
_FRAMED = 0.3  # logarithm of two boxes' ratio up to which they agree
_PERHAPS = 0.3  # under this in an upright close-up no other turn shows a face
_LIKELY = 0.5  # a detection that counts without a hint beside it
_HINT = 0.1  # 19 of 20 faces of a fourteenth of the view score this, and one or two spots of a background
_LEAST = 0.5  # of a close-up's score
# Sides of the tiles over the picture's longer side, the least pixels of the latter, hints looked at, least
# score of a close-up: faces down to 3 and 1 % of the longer side. Small tiles show far more that is no face.
_TILES = ((0.6, 214, 8, _LEAST), (0.4, 320, 16, _LEAST), (0.14, ENOUGH, 40, 0.75))
_SMALL = 320  # up to this longer side the first tiles serve, beyond it the others
_HINTS = 8  # hints of the whole picture looked at


class Detects(Protocol):
    """A face detector; see `detector.Detector`."""

    def detect(self, view: Bytes, least: float) -> Floats:
        """Faces in an RGB view uint8 [128, 128, 3] as float32 [K, 9], in shares of the view."""


class Search:
    """Finds heads for the mesh to measure. Not thread-safe."""

    def __init__(self, detector: Detects) -> None:
        self._detector = detector

    def rounds(self, image: Bytes) -> Iterator[Floats]:
        """Detections [K, 9] in pixels of the picture, eyes the right way up, from ever closer looks."""
        whole = View.of_whole(image)
        detections = self._look(window(image, whole), whole)
        sure = detections[:, 0] >= SURE
        if sure.any():
            likely = detections[~sure & (detections[:, 0] >= _LIKELY)]
            yield distinct(np.concatenate([detections[sure], self._confirmed(image, likely, _LEAST, _HINTS)]))
        yield self._confirmed(image, detections, _LEAST, _HINTS)
        for share, hints, least in _tile_rounds(max(image.shape[:2])):
            per_tile = [self._look(pixels, view) for view, pixels in tiles(image, share)]
            detections = np.concatenate([np.zeros((0, 9), np.float32), *per_tile])
            yield self._confirmed(image, detections, least, hints)

    def close_up(self, image: Bytes, head: NDArray[np.float32]) -> Floats:
        """The head [9] seen close up, the right way up: [1, 9], or [0, 9] if there is none."""
        best = head[np.newaxis]
        for _ in range(_LOOKS):
            best = self._settled(image, head)
            if not len(best) or best[0, 0] >= SURE:
                return best
            nearer = best
            if _framed(head, best[0]):
                nearer = self._middle_one(image, _about(best[0], _NEARER), 0)
                if nearer[:, 0].max(initial=0) <= best[0, 0] + _BETTER:
                    return best
            head = nearer[0]
        return best

    def _settled(self, image: Bytes, head: NDArray[np.float32]) -> Floats:
        """What a close-up of the head [9] shows, in the right turn if it is framed well: [1, 9] or [0, 9]."""
        view = _about(head)
        upright = self._middle_one(image, view, 0)
        score = upright[:, 0].max(initial=0)
        if not _PERHAPS <= score < SURE or not _framed(head, upright[0]):
            return upright
        per_turn = [upright, *(self._middle_one(image, view, turns) for turns in (1, 2, 3))]
        return per_turn[right_turn([float(one[:, 0].max(initial=0)) for one in per_turn])]

    def _confirmed(self, image: Bytes, detections: Floats, least: float, hints: int) -> Floats:
        """Those of the detections [K, 9] that a close-up shows too, with at least this score.

        All likely ones are looked at, and, until one of them is confirmed, so many hints.
        """
        confirmed = [np.zeros((0, 9), np.float32)]
        for number, head in enumerate(distinct(detections)):
            if head[0] < _LIKELY and (len(confirmed) > 1 or number >= hints):
                break
            close = self.close_up(image, head)
            confirmed += [close] if close[:, 0].max(initial=0) >= least else []
        return distinct(np.concatenate(confirmed))

    def _middle_one(self, image: Bytes, view: View, turns: int) -> Floats:
        """The surest detection about the middle of a close-up: [1, 9] or [0, 9]."""
        detections = self._look(window(image, view), view, turns)
        off = np.hypot(detections[:, 1] - view.x - view.side / 2, detections[:, 2] - view.y - view.side / 2)
        near: Floats = detections[off <= _NEAR * _CLOSE * view.side]
        return near[:1]

    def _look(self, pixels: Bytes, view: View, turns: int = 0) -> Floats:
        """Detections in one view turned by quarters against the clock, in pixels of the picture."""
        return view.to_picture(merge(self._detector.detect(np.rot90(pixels, turns), _HINT)), turns)


def _side(head: NDArray[np.float32]) -> float:
    return max(float(head[3]), float(head[4]), 2.0)


def _about(head: NDArray[np.float32], share: float = _CLOSE) -> View:
    """The close-up of a head [9] whose box takes this share of it."""
    return View.about(float(head[1]), float(head[2]), _side(head) / share)


def _framed(assumed: NDArray[np.float32], detected: NDArray[np.float32]) -> bool:
    """Whether the box that a close-up was cut for is about as large as the one that it shows."""
    return abs(math.log(_side(detected) / _side(assumed))) <= _FRAMED


def right_turn(scores: Sequence[float]) -> int:
    """Which turn is right by the scores of the same view upright and, perhaps, turned by 1, 2, 3 quarters.

    Upright (0), unless another is clearly better.
    """
    best = int(np.argmax(scores))
    return best if scores[best] >= max(scores[0] + _BETTER, _TURNED_LEAST) else 0


def _tile_rounds(longer: int) -> list[tuple[float, int, float]]:
    """Tiles worth looking at: sides as shares of the longer side, how many hints, least score.

    Tiles of fewer pixels than the view, or faces of fewer than eleven, show nothing new.
    """
    usable = _TILES[:1] if longer < _SMALL else _TILES[1:]
    return [(share, hints, least) for share, needed, hints, least in usable if longer >= needed]
