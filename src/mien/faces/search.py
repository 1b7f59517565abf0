"""Where in a picture faces may be, and which way up: the whole, then turned, then ever smaller tiles.

The detector is sure of its turn only where a face takes an eighth of the view or more: smaller ones score
nothing upright and .5 to .75 turned over. So whatever is not sure at once is looked at close up in all four
turns, each of which then shows the same pixels; there upright faces scored at least .11 more upright than
turned over, of 98 real ones between .2 and .75 of the view.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien.faces.detector import VIEW, distinct, merge
from mien.faces.face import Bytes, Floats
from mien.faces.views import View, tiles, window

# Upright faces of an eighth of the view or more score 0.80 to 0.99 (one in twenty under 0.88), heads upside
# down up to 0.85: from here on upright needs no comparison.
SURE = 0.88
_TURNED_BETTER = 0.04  # by which a turned close-up must beat the upright one
_CLOSE = 0.3  # of a close-up is the detection's box
_NEAR = 0.75  # of the box's longer side: a close-up's detection this near the middle is the same head
_MOST = 16  # heads looked at close up in one round, the likeliest first
_LEAST = 0.5  # of a close-up's score where the whole picture showed the head
_LEAST_IN_TILES = 0.75  # and where only tiles did: they show far more that is no face
_TILES = (0.43, 0.19, 0.085)  # sides as shares of the picture's longer side: faces from 5, 2.3 and 1 %
_SMALL_PICTURE = (0.6,)  # where the first of these had fewer pixels than the view


class Detects(Protocol):
    """A face detector; see `detector.Detector`."""

    def detect(self, view: Bytes) -> Floats:
        """Faces in an RGB view uint8 [128, 128, 3] as float32 [K, 9], in shares of the view."""


class Search:
    """Finds heads for the mesh to measure. Not thread-safe."""

    def __init__(self, detector: Detects) -> None:
        self._detector = detector

    def rounds(self, image: Bytes) -> Iterator[Floats]:
        """Detections [K, 9] in pixels of the picture, eyes the right way up, from ever closer looks."""
        whole = View.of_whole(image)
        pixels = window(image, whole)
        upright = self._look(pixels, whole)
        if upright[:, 0].max(initial=0) >= SURE:
            sure = upright[:, 0] >= SURE
            yield distinct(np.concatenate([upright[sure], self._confirmed(image, upright[~sure], _LEAST)]))
        turned = [self._look(pixels, whole, turns) for turns in (1, 2, 3)]
        yield self._confirmed(image, np.concatenate([upright, *turned]), _LEAST)
        for share in _tile_shares(max(image.shape[:2])):
            found = [np.zeros((0, 9), np.float32)]
            found += [self._look(pixels, view) for view, pixels in tiles(image, share)]
            yield self._confirmed(image, np.concatenate(found), _LEAST_IN_TILES)

    def close_up(self, image: Bytes, head: NDArray[np.float32]) -> Floats:
        """The head [9] seen close up, the right way up: [1, 9], or [0, 9] if there is none."""
        x, y, longer = float(head[1]), float(head[2]), max(float(head[3]), float(head[4]), 2.0)
        view = View.about(x, y, longer / _CLOSE)
        pixels = window(image, view)
        seen = [self._middle_one(pixels, view, 0)]
        if seen[0][:, 0].max(initial=0) < SURE:
            seen += [self._middle_one(pixels, view, turns) for turns in (1, 2, 3)]
        return seen[right_turn([float(one[:, 0].max(initial=0)) for one in seen])]

    def _confirmed(self, image: Bytes, found: Floats, least: float) -> Floats:
        """Those of the detections [K, 9] that a close-up shows too, with at least this score."""
        close = [np.zeros((0, 9), np.float32)]
        close += [self.close_up(image, head) for head in distinct(found)[:_MOST]]
        seen = np.concatenate(close)
        return distinct(seen[seen[:, 0] >= least])

    def _middle_one(self, pixels: Bytes, view: View, turns: int) -> Floats:
        """The surest detection about the middle of a close-up: [1, 9] or [0, 9]."""
        found = self._look(pixels, view, turns)
        off = np.hypot(found[:, 1] - view.x - view.side / 2, found[:, 2] - view.y - view.side / 2)
        near: Floats = found[off <= _NEAR * _CLOSE * view.side]
        return near[:1]

    def _look(self, pixels: Bytes, view: View, turns: int = 0) -> Floats:
        """Detections in one view turned by quarters against the clock, in pixels of the picture."""
        return view.to_picture(merge(self._detector.detect(np.rot90(pixels, turns))), turns)


def right_turn(scores: Sequence[float]) -> int:
    """Which turn is right by the scores of the same view upright and, perhaps, turned by 1, 2, 3 quarters.

    Upright (0), unless another is clearly better.
    """
    best = int(np.argmax(scores))
    return best if scores[best] > scores[0] + _TURNED_BETTER else 0


def _tile_shares(longer: int) -> tuple[float, ...]:
    """Sides of the tiles worth looking at: a tile of fewer pixels than the view shows nothing new."""
    shares = _TILES if _TILES[0] * longer >= VIEW else _SMALL_PICTURE
    return tuple(share for share in shares if share * longer >= VIEW)
