"""What is measured of a face: numbers that rules judge, the report draws and curators sort by."""

import math

from mien.core.picture import Picture
from mien.faces.crop import Square
from mien.faces.face import Face


def measure(picture: Picture, face: Face, square: Square, *, num_faces: int) -> dict[str, float]:
    """All measurements of `face` in `picture`, rounded; lengths in pixels of the file, angles in degrees.

    square: what will be cut out. num_faces: how many faces the picture shows.
    """
    size = face.size * picture.scale
    return {
        "coverage": round(size**2 / (picture.width * picture.height), 4),
        "crop_side": round(square.side * picture.scale, 2),
        "face_size": round(size, 2),
        "num_faces": num_faces,
        "roll": round(_roll(face), 2),
        "score": round(face.score, 4),
    }


def _roll(face: Face) -> float:
    """Degrees by which the line from eye to eye is turned, clockwise positive."""
    (x0, y0), (x1, y1) = face.eye_left, face.eye_right
    return math.degrees(math.atan2(y1 - y0, x1 - x0))
