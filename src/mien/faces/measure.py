"""What is measured of a face: numbers that rules judge, the report draws and curators sort by."""

import math

from mien.core.picture import Picture
from mien.faces.crop import Square
from mien.faces.face import Face
from mien.faces.measure_light import face_view, measure_light
from mien.faces.measure_parts import measure_parts
from mien.faces.measure_worn import measure_worn
from mien.faces.pose import head_pose

# Lowest and highest value to keep of each measurement, None: no bound. Mild on purpose. Of 1,883 portraits of
# four clean sets (photos, portraits-cc0, expressions and 600 of faces) these drop two, rightly: one whose
# eyes are shut and one who looks over her shoulder.
SUGGESTED: dict[str, tuple[float | None, float | None]] = {
    "sharpness": (0.25, None),  # the softest of the 1,883 has 0.34; see `sharpness` for what blur does
    "yaw": (-45.0, 45.0),  # beyond it one eye hides and the mesh guesses
    "pitch": (-35.0, 35.0),  # the farthest of the 1,883 is 32: a singer's head thrown back
    "eyes_open": (0.35, None),  # the least open eyes of the 1,883 have 0.40, the shut ones 0.30
    "mask": (None, 0.9),  # painted masks lie above in 19 of 20 cases, bare faces and beards below
    "exposure": (0.15, 0.85),  # the 1,883 span 0.24 to 0.73
    "colour": (None, None),  # gray portraits are good portraits; see GRAY
}
GRAY = 0.02  # a face with less "colour" is gray: the bound to use when gray pictures are not wanted


def measure(picture: Picture, face: Face, square: Square, *, num_faces: int) -> dict[str, float]:
    """All measurements of `face` in `picture`, rounded; lengths in pixels of the file, angles in degrees.

    square: what will be cut out. num_faces: how many faces the picture shows. What needs the mesh (yaw,
    pitch, eyes, mouth, mask, glasses) is absent for a face without `points`.
    """
    size = face.size * picture.scale
    measured = {
        "coverage": size**2 / (picture.width * picture.height),
        "score": face.score,
        **measure_light(face_view(picture.pixels, face)),
    }
    if face.points is not None:
        measured |= measure_parts(picture.pixels, face.points) | measure_worn(picture.pixels, face)
    rounded = {name: round(value, 4) for name, value in measured.items()}
    rounded |= {
        "crop_side": round(square.side * picture.scale, 2),
        "face_size": round(size, 2),
        "num_faces": num_faces,
        "roll": round(_roll(face), 2),
    }
    if face.points is not None:
        yaw, pitch = head_pose(face.points)
        rounded |= {"yaw": round(yaw, 2), "pitch": round(pitch, 2)}
    return dict(sorted(rounded.items()))


def _roll(face: Face) -> float:
    """Degrees by which the line from eye to eye is turned, clockwise positive."""
    (x0, y0), (x1, y1) = face.eye_left, face.eye_right
    return math.degrees(math.atan2(y1 - y0, x1 - x0))
