"""Heads that the mesh cannot follow: profiles, faces drawn in lines. Six points of the detector stand for it.

The mesh was trained on faces that look at the camera and denies profiles, while the detector scores them .6
to .9. So where nothing else is found, a head counts that the detector sees in six close-ups, three of them
mirrored. Of the 32 of 300 old photographs without a mesh's face, 16 score .71 or more in the mean; of 1,032
pictures without a face (landscapes, clothes, backgrounds, eyes, made scenes) the first scores .67.

What still shows none may have a face that only a softened view shows: hatching blurs to shading, which the
detector knows. Such a face is a guess, scored under .5, so that rules can tell it from a find. Of the other
17 photographs, by which it was chosen, 16 are guessed, of 154 other pictures without a face 14 %.
"""

import math
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.detector import Detector, distinct, merge
from mien.faces.face import Bytes, Face, Floats, Point
from mien.faces.views import View, tiles, window

_LIKELY = 0.4  # score in the whole picture from which a head is looked at close up
_CLOSE = (0.3, 0.24, 0.38)  # of a close-up is the head's box; the first places the points
_NEAR = 0.25  # of a close-up's side: as near its middle lies the head it was cut for
_LEAST = 0.7  # mean score of the close-ups
_SIZE = 0.97  # of a face over the detector's box, median
_MOUTH_HALF = 0.4  # of the distance between the eyes
_NOSE_BEFORE = 0.68  # how far a nose stands before the ears, over their distance
_EYES_AND_EARS = (2, 3, 0, 1, 4, 5, 6, 7, 10, 11, 8, 9)  # columns of points once left and right have changed
# Guesses: tiles over the longer side, blurs of a view in its pixels (None: none), least score there, heads
# looked at close up, blur of the close-ups, least mean of the first score and of theirs. Half of that mean
# is the guess's score: under .5, where finds begin.
_TILES, _BLURS, _HINT, _TRIED, _BLUR, _GUESS = (0.7, 0.45), (None, 1.0, 2.5), 0.35, 6, 1.0, 0.55
_FLAT = 24.0  # grays between which a softened view is never stretched further


def averted_faces(image: Bytes, detector: Detector) -> list[Face]:
    """Faces without a mesh in an RGB picture uint8 [H, W, 3], largest first."""
    whole = View.of_whole(image)
    likely = whole.to_picture(merge(detector.landmarks(window(image, whole), _LIKELY)), 0)
    faces = [_confirmed(image, head, detector) for head in distinct(likely)]
    return sorted((face for face in faces if face is not None), key=lambda face: -face.size)


def guessed_faces(image: Bytes, detector: Detector) -> list[Face]:
    """The likeliest face that no other look confirms, at most one, scored under .5."""
    heads = distinct(np.concatenate([np.zeros((0, 17), np.float32), *_hints(image, detector)]))[:_TRIED]
    guesses = [(_guess(image, head, detector), head) for head in heads]
    score, head = max(guesses, key=lambda guess: guess[0], default=(0.0, None))
    return [] if head is None or score < _GUESS else [_face(head, score / 2)]


def _hints(image: Bytes, detector: Detector) -> Iterator[Floats]:
    """Detections [K, 17] in the whole and in tiles, each as it is and softened, either way round."""
    whole = View.of_whole(image)
    views = [(whole, window(image, whole)), *(tile for share in _TILES for tile in tiles(image, share))]
    for view, pixels in views:
        for blur in _BLURS:
            look = pixels if blur is None else _softened(pixels, blur)
            yield view.to_picture(merge(detector.landmarks(look, _HINT)), 0)
            turned_round = merge(detector.landmarks(np.ascontiguousarray(look[:, ::-1]), _HINT))
            yield view.to_picture(_mirrored(turned_round), 0)


def _guess(image: Bytes, head: NDArray[np.float32], detector: Detector) -> float:
    """How likely a head [17] is one: the mean of its score and of its softened close-ups'."""
    scores = [_in_middle(detector.landmarks(look, 0.05))[:, 0].max(initial=0)
              for _, look in _close_ups(image, head, _BLUR)]  # fmt: skip
    return float(head[0] + np.mean(scores)) / 2


def _softened(view: Bytes, blur: float) -> Bytes:
    """A view in gray, blurred, from its darkest parts black to its brightest white."""
    gray = cv2.GaussianBlur(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), blur)
    low, high = np.percentile(gray, (2, 98))
    stretched = np.clip((gray - low) / max(high - low, _FLAT) * 255, 0, 255).astype(np.uint8)
    return np.repeat(stretched[..., np.newaxis], 3, axis=2)


def _mirrored(heads: Floats) -> Floats:
    """Detections [K, 17] of a mirrored view, in shares of it, as the view itself would show them."""
    back = heads.copy()
    back[:, [1, *range(5, 17, 2)]] = 1 - back[:, [1, *range(5, 17, 2)]]
    back[:, 5:] = back[:, 5:][:, _EYES_AND_EARS]
    return back


def _close_ups(
    image: Bytes, head: NDArray[np.float32], blur: float | None = None
) -> Iterator[tuple[View, Bytes]]:
    """A head [17] in three close-ups, each either way round."""
    for share in _CLOSE:
        view = View.about(float(head[1]), float(head[2]), max(float(head[3]), float(head[4])) / share)
        pixels = window(image, view) if blur is None else _softened(window(image, view), blur)
        yield view, pixels
        yield view, np.ascontiguousarray(pixels[:, ::-1])


def _confirmed(image: Bytes, head: NDArray[np.float32], detector: Detector) -> Face | None:
    """The head [17] as the first close-up shows it, None unless the others show it too."""
    looks = [view.to_picture(_in_middle(detector.landmarks(look, _LIKELY)), 0)
             for view, look in _close_ups(image, head)]  # fmt: skip
    score = float(np.mean([faces[:, 0].max(initial=0) for faces in looks]))
    return _face(looks[0][0], score) if score >= _LEAST and len(looks[0]) else None


def _in_middle(faces: Floats) -> Floats:
    """The surest of some detections in a close-up [K, 17] near its middle: [1, 17] or [0, 17]."""
    merged = merge(faces)
    near: Floats = merged[np.hypot(merged[:, 1] - 0.5, merged[:, 2] - 0.5) <= _NEAR]
    return near[:1]


def _face(head: NDArray[np.float32], score: float) -> Face:
    """The face of a detection [17] in pixels of the picture."""
    x, y, width, height = (float(value) for value in head[1:5])
    places = [(float(across), float(down)) for across, down in head[5:].reshape(6, 2)]
    eye_left, eye_right, nose, mouth, *ears = places
    half = np.subtract(eye_right, eye_left) * _MOUTH_HALF
    return Face(
        box=(x - width / 2, y - height / 2, width, height),
        size=_SIZE * math.sqrt(width * height),
        score=score,
        eye_left=eye_left,
        eye_right=eye_right,
        nose=nose,
        mouth_left=(mouth[0] - float(half[0]), mouth[1] - float(half[1])),
        mouth_right=(mouth[0] + float(half[0]), mouth[1] + float(half[1])),
        yaw=_yaw(nose, ears[0], ears[1]),
    )


def _yaw(nose: Point, ear_left: Point, ear_right: Point) -> float:
    """Degrees; + to the picture's right. Of how far the nose lies off the middle between the ears.

    Median error against the mesh 3 degrees up to 50 (372 faces, a third of them old photographs).
    """
    along = np.subtract(ear_right, ear_left)
    between = max(float(np.hypot(*along)), 1e-6)
    off = np.subtract(nose, np.add(ear_left, ear_right) / 2) @ along / between**2
    return math.degrees(math.atan(float(off) / _NOSE_BEFORE))
