"""Heads that the mesh cannot follow: profiles, faces drawn in lines. Six points of the detector stand for it.

The mesh was trained on faces that look at the camera and denies profiles, while the detector scores them .6
to .9. So where nothing else is found, a head counts that the detector sees in six close-ups, three of them
mirrored. Of the 32 of 300 old photographs without a mesh's face, 16 score .71 or more in the mean; of 1,032
pictures without a face (landscapes, clothes, backgrounds, eyes, made scenes) the first scores .67.
"""

import math

import numpy as np
from numpy.typing import NDArray

from mien.faces.detector import Detector, distinct, merge
from mien.faces.face import Bytes, Face, Floats, Point
from mien.faces.views import View, window

_LIKELY = 0.4  # score in the whole picture from which a head is looked at close up
_CLOSE = (0.3, 0.24, 0.38)  # of a close-up is the head's box; the first places the points
_NEAR = 0.25  # of a close-up's side: as near its middle lies the head it was cut for
_LEAST = 0.7  # mean score of the close-ups
_SIZE = 0.97  # of a face over the detector's box, median
_MOUTH_HALF = 0.4  # of the distance between the eyes
_NOSE_BEFORE = 0.68  # how far a nose stands before the ears, over their distance


def averted_faces(image: Bytes, detector: Detector) -> list[Face]:
    """Faces without a mesh in an RGB picture uint8 [H, W, 3], largest first."""
    whole = View.of_whole(image)
    likely = whole.to_picture(merge(detector.landmarks(window(image, whole), _LIKELY)), 0)
    faces = [_confirmed(image, head, detector) for head in distinct(likely)]
    return sorted((face for face in faces if face is not None), key=lambda face: -face.size)


def _confirmed(image: Bytes, head: NDArray[np.float32], detector: Detector) -> Face | None:
    """The head [17] as the first close-up shows it, None unless the others show it too."""
    looks = []
    for share in _CLOSE:
        side = max(float(head[3]), float(head[4])) / share
        view = View.about(float(head[1]), float(head[2]), side)
        pixels = window(image, view)
        for look in (pixels, np.ascontiguousarray(pixels[:, ::-1])):
            looks.append(view.to_picture(_in_middle(detector.landmarks(look, _LIKELY)), 0))
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
