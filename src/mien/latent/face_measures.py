"""Measures of a face by its mesh: shape, free of pose and of the head's size; colours of skin and hair."""

import cv2
import numpy as np

from mien.core.picture import Pixels
from mien.faces.crop import Square, cut
from mien.faces.face import Face, Floats

SHAPES = (
    "mouth_width",
    "mouth_corners",
    "mouth_open",
    "lips_height",
    "upper_lip_raised",
    "lower_lip_dropped",
    "lip_corner_depth",
    "jaw_dropped",
    "brow_inner_raised",
    "brow_middle_raised",
    "brow_outer_raised",
    "brows_apart",
    "lids_apart",
    "upper_lid_raised",
    "lower_lid_raised",
    "nostrils_width",
    "nostrils_raised",
    "cheeks_raised",
    "face_width",
    "jaw_width",
)
COLOURS = ("skin_lightness", "skin_redness", "hair_lightness", "hair_redness", "lips_redness")
# Mesh points, the viewer's left then right.
_EYE_OUTER, _EYE_INNER = (33, 263), (133, 362)
_FOREHEAD, _NOSE_BASE, _CHIN = 10, 2, 152
_CORNERS, _LIP_TOP, _LIP_BOTTOM, _GAP_TOP, _GAP_BOTTOM = (61, 291), 0, 17, 13, 14
_BROW_INNER, _BROW_MIDDLE, _BROW_OUTER = (55, 285), (105, 334), (70, 300)
_LID_UPPER, _LID_LOWER = (159, 386), (145, 374)
_NOSTRILS, _CHEEKS, _TEMPLES, _JAW = (129, 358), (205, 425), (127, 356), (58, 288)
_SIZE, _FRAME = 96, 2.0  # pixels of a level square about the face; its side in sizes of the face
_CHEEKS_FOREHEAD = (50, 280, 101, 330, 205, 425, 151, 108, 337, 69, 299)
_LIPS = (0, 37, 267, 17, 84, 314)
_HAIR_FROM, _HAIR_TO = 0.14, 0.34  # heights of the face above its top between which the hair lies
_HAIR_WIDTH = 0.3  # widths of the face to either side of the middle


def frontal(points: Floats) -> Floats:
    """Mesh points [468, 3] in the head's own frame: x to the viewer's right, y up, z towards the viewer.

    The origin lies midway between the outer corners of the eyes, the unit is the distance of the two. The
    axes follow from eyes, forehead and the base of the nose, which no expression moves much.
    """
    own = points.astype(np.float64) * (1.0, -1.0, -1.0)
    left, right = own[list(_EYE_OUTER)]
    unit = max(float(np.linalg.norm(right - left)), 1e-6)
    x = (right - left) / unit
    up = own[_FOREHEAD] - own[_NOSE_BASE]
    y = up - x * (up @ x)
    y /= max(float(np.linalg.norm(y)), 1e-6)
    axes = np.stack([x, y, np.cross(x, y)], axis=1)
    return np.asarray((own - (left + right) / 2) @ axes / unit, np.float32)


def face_shape(points: Floats) -> dict[str, float]:
    """The measures SHAPES of a mesh [468, 3], in distances of the outer corners of the eyes.

    A value named "raised" grows as the part moves up the face, "dropped" as it moves down; mouth_corners
    grows as the corners rise over the middle of the lips, which a smile does.
    """
    at = frontal(points)
    mouth = (at[_GAP_TOP] + at[_GAP_BOTTOM]) / 2
    corners, inner = at[list(_CORNERS)].mean(0), at[list(_EYE_INNER)].mean(0)
    upper, lower = at[list(_LID_UPPER)].mean(0), at[list(_LID_LOWER)].mean(0)
    nostrils = at[list(_NOSTRILS)].mean(0)
    values = (
        _across(at, _CORNERS),
        corners[1] - mouth[1],
        at[_GAP_TOP, 1] - at[_GAP_BOTTOM, 1],
        at[_LIP_TOP, 1] - at[_LIP_BOTTOM, 1],
        at[_LIP_TOP, 1] - at[_NOSE_BASE, 1],
        at[_NOSE_BASE, 1] - at[_LIP_BOTTOM, 1],
        mouth[2] - corners[2],
        at[_NOSE_BASE, 1] - at[_CHIN, 1],
        at[list(_BROW_INNER), 1].mean() - inner[1],
        at[list(_BROW_MIDDLE), 1].mean(),
        at[list(_BROW_OUTER), 1].mean(),
        _across(at, _BROW_INNER),
        upper[1] - lower[1],
        upper[1] - inner[1],
        lower[1] - inner[1],
        _across(at, _NOSTRILS),
        nostrils[1] - at[_NOSE_BASE, 1],
        at[list(_CHEEKS), 1].mean() - at[_NOSE_BASE, 1],
        _across(at, _TEMPLES),
        _across(at, _JAW),
    )
    return dict(zip(SHAPES, map(float, values), strict=True))


def _across(at: Floats, pair: tuple[int, int]) -> float:
    return float(np.linalg.norm(at[pair[1]] - at[pair[0]]))


def face_colours(image: Pixels, face: Face) -> dict[str, float]:
    """The measures COLOURS of a face with mesh points in an RGB picture uint8 [H, W, 3].

    Lightness is L* of CIE Lab (0 black to 100 white), redness its a* (green below 0, red above). Skin:
    the median of cheeks and forehead. Hair: the median of a patch over the forehead, whatever is there (a
    bald head's skin, a hat).
    """
    assert face.points is not None
    square = _about(face)
    view = cv2.GaussianBlur(cut(image, square, _SIZE), (0, 0), 1.0)
    lab = cv2.cvtColor(view.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    places = square.to_square(face.points[:, :2].astype(np.float64)) * _SIZE
    skin, lips = (np.median(_at(lab, places[list(p)]), axis=0) for p in (_CHEEKS_FOREHEAD, _LIPS))
    hair = np.median(_at(lab, _hair_places(places)), axis=0)
    values = (skin[0], skin[1], hair[0], hair[1], lips[1] - skin[1])
    return dict(zip(COLOURS, map(float, values), strict=True))


def _about(face: Face) -> Square:
    """A level square whose middle is that of the face's box."""
    x, y, width, height = face.box
    right = np.subtract(face.eye_right, face.eye_left)
    right *= _FRAME * face.size / max(float(np.hypot(*right)), 1e-6)
    return Square((x + width / 2, y + height / 2), (float(right[0]), float(right[1])))


def _hair_places(places: np.ndarray) -> np.ndarray:
    """A grid [N, 2] of places in the view above the forehead."""
    top, chin = places[_FOREHEAD], places[_CHIN]
    left, right = places[list(_TEMPLES)]
    up, across = top - chin, right - left
    rises = np.linspace(_HAIR_FROM, _HAIR_TO, 5)
    steps = np.linspace(-_HAIR_WIDTH, _HAIR_WIDTH, 7)
    return np.array([top + rise * up + step * across for rise in rises for step in steps])


def _at(lab: np.ndarray, places: np.ndarray) -> Floats:
    """The colours at `places` [N, 2]; those outside the view count at its edge."""
    x, y = np.clip(places, 0, _SIZE - 1).astype(np.intp).T
    return np.asarray(lab[y, x], np.float32)
