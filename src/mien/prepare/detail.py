"""How many pixels of a picture are real: an enlarged or blurred copy has more than it has detail for."""

import math

import numpy as np

from mien.core.picture import Pixels
from mien.faces.crop import Square, cut
from mien.faces.face import Face
from mien.faces.measure_light import sharpness

_IN_FOCUS = 0.45  # sharpness, at its own size, of what has a detail for nearly every pixel
_SIDES = (40, 56, 80, 112, 160, 224)  # at which sharpness is asked for
_LARGEST = 320  # pixels along the side that `own_sharpness` looks at
_COSTS, _BLURRED = 2.5, 0.02  # tuned on `official` and `old-photos` by benchmarks/copy_quality.py


def face_square(face: Face) -> Square:
    """The level square around a face, forehead to chin."""
    x, y, width, height = face.box
    right = np.subtract(face.eye_right, face.eye_left)
    right *= face.size / max(float(np.hypot(*right)), 1e-6)
    return Square((x + width / 2, y + height / 2), (float(right[0]), float(right[1])))


def real_size(image: Pixels, square: Square) -> tuple[float, bool]:
    """Pixels along the side of `square` in an RGB picture that show detail of their own, at most all of them.

    The second value says that it is all. The picture is made smaller until it is sharp at its own size;
    between the last two sizes the logarithm is interpolated. Beyond 224 pixels nothing is looked at.
    """
    side = square.side
    usable = [size for size in _SIDES if size <= side]
    last = None
    for size in reversed(usable):
        value = sharpness(cut(image, square, size))
        if value >= _IN_FOCUS:
            if last is None:
                return side, True
            share = (value - _IN_FOCUS) / max(value - last[1], 1e-6)
            return math.exp(math.log(size) + share * math.log(last[0] / size)), False
        last = size, value
    if last is None:
        return side, True
    return last[0] * max(last[1], 0.05) / _IN_FOCUS, False


def own_sharpness(image: Pixels, square: Square) -> float:
    """Sharpness of what `square` shows of an RGB picture at the picture's own size, at most 320 pixels."""
    return sharpness(cut(image, square, max(1, min(round(square.side), _LARGEST))))


def copy_quality(measurements: dict[str, float]) -> float:
    """What decides between copies of one picture: its pixels, if it is sharp at its own size.

    Enlarging by a factor costs sharpness faster than the 2.5th root of the factor, shrinking hardly adds any.
    A picture prepared before `own_sharpness` was measured goes by `real_size`, one before that by sharpness,
    one that was not measured by size.
    """
    side = measurements.get("face_size", measurements.get("crop_side", 0.0))
    sharp = measurements.get("sharpness")
    real, own = measurements.get("real_size"), measurements.get("own_sharpness")
    if own is not None:
        return float(side * max(own, _BLURRED) ** _COSTS)
    if real is None or not side:
        return float(side if sharp is None else sharp)
    return float(real * math.sqrt(min(real / side, 1.0)) * (0.9 + 0.2 * (sharp or 0.0)))
