"""What is measured of a face: numbers that rules judge, the report draws and curators sort by."""

import math

import numpy as np

from mien.core.picture import Picture
from mien.faces import probes
from mien.faces.crop import Square, padding
from mien.faces.face import Activations, Face, Floats
from mien.faces.measure_light import face_view, measure_light
from mien.faces.measure_worn import glasses
from mien.faces.pose import head_pose

# Lowest and highest value to keep of each measurement, None: no bound. Only what is sure is dropped:
# `benchmarks/measure_quality.py` says of every set what that is.
SUGGESTED: dict[str, tuple[float | None, float | None]] = {
    "sharpness": (0.25, None),  # the softest of 1,883 clean portraits has 0.34; see `sharpness` on blur
    "yaw": (-45.0, 45.0),  # beyond it one eye hides and the mesh guesses
    "pitch": (-35.0, 35.0),  # the farthest of the 1,883 is 32: a singer's head thrown back
    "eyes_open": (0.35, None),
    "mask": (None, 0.9),
    "shadows": (None, 0.88),  # a face whose darkest parts are lighter hardly shows; the palest scan has 0.69
    "highlights": (0.1, None),  # one whose brightest parts are darker hardly shows; the darkest has 0.40
    "exposure": (None, None),  # pale and dark portraits show a face as long as the two above hold
    "colour": (None, None),  # gray portraits are good portraits; see GRAY
}
# Degrees to a side up to which a mask and shut eyes can be told; full profiles read as 35 to 65.
_MOUTH_SHOWS, _EYES_SHOW = 30.0, 45.0
# Inner edge of the lips: corners, then points of the upper lip over those of the lower.
_LIP_CORNERS, _UPPER_LIP, _LOWER_LIP = (78, 308), (82, 13, 312), (87, 14, 317)
GRAY = 0.02  # less "colour" is monochrome, tinted or gray: the bound to use when such are not wanted


def measure(picture: Picture, face: Face, square: Square, *, num_faces: int) -> dict[str, float]:
    """All measurements of `face` in `picture`, rounded; lengths in pixels of the file, angles in degrees.

    square: what will be cut out; padding: the share of it that lies off the picture and is made up.
    num_faces: how many faces the picture shows. What needs the mesh (yaw, pitch, eyes, mouth, mask, glasses,
    drawing) is absent for a face without it, but for the yaw of an averted one.
    """
    size = face.size * picture.scale
    yaw, pitch = (face.yaw, None) if face.points is None else head_pose(face.points)
    measured = {
        "coverage": size**2 / (picture.width * picture.height),
        "padding": padding(square, *picture.pixels.shape[1::-1]),
        "score": face.score,
        **measure_light(face_view(picture.pixels, face)),
    }
    if face.points is not None:
        measured |= {"mouth_open": mouth_open(face.points), "glasses": glasses(picture.pixels, face)}
    if face.activations is not None and yaw is not None:
        measured |= _read_off(face.activations, abs(yaw))
    rounded = {name: round(value, 4) for name, value in measured.items()}
    rounded |= {
        "crop_side": round(square.side * picture.scale, 2),
        "face_size": round(size, 2),
        "num_faces": num_faces,
        "roll": round(_roll(face), 2),
    }
    angles = {"yaw": yaw, "pitch": pitch}
    rounded |= {name: round(angle, 2) for name, angle in angles.items() if angle is not None}
    return dict(sorted(rounded.items()))


def _read_off(activations: Activations, yaw: float) -> dict[str, float]:
    """What probes read off the mesh network, of a face turned by `yaw` as far as that shows it.

    mask: chance that one hides nose and mouth; over 0.9 is sure, beards and hats are none. eyes_open: chance
    that the eyes are not both shut; under 0.35 is sure. The mesh's points follow lids badly, but its network
    tells an iris, even a shaded, faded or spectacled one, from the line of lashes that a shut eye is.
    """
    measurements = {"drawing": probes.drawing().chance(activations)}
    if yaw <= _MOUTH_SHOWS:
        measurements["mask"] = probes.mask().chance(activations)
    if yaw <= _EYES_SHOW:
        measurements["eyes_open"] = 1 - probes.shut_eyes().chance(activations)
    return measurements


def mouth_open(points: Floats) -> float:
    """How far the lips are parted, over the mouth's inner width: 0.1 parted, 0.3 open, 1 a round O."""
    upper, lower = points[list(_UPPER_LIP), :2], points[list(_LOWER_LIP), :2]
    left, right = points[list(_LIP_CORNERS), :2]
    gap = float(np.linalg.norm(upper - lower, axis=1).mean())
    return min(gap / max(float(np.linalg.norm(right - left)), 1e-6), 1.0)


def _roll(face: Face) -> float:
    """Degrees by which the line from eye to eye is turned, clockwise positive."""
    (x0, y0), (x1, y1) = face.eye_left, face.eye_right
    return math.degrees(math.atan2(y1 - y0, x1 - x0))
