"""What a face does, measured on its mesh: mouth, brows, eyes, jaw, free of pose and of the head's size."""

import numpy as np

from mien.faces.face import Floats

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
# Mesh points, the viewer's left then right.
_EYE_OUTER, _EYE_INNER = (33, 263), (133, 362)
_FOREHEAD, _NOSE_BASE, _CHIN = 10, 2, 152
_CORNERS, _LIP_TOP, _LIP_BOTTOM, _GAP_TOP, _GAP_BOTTOM = (61, 291), 0, 17, 13, 14
_BROW_INNER, _BROW_MIDDLE, _BROW_OUTER = (55, 285), (105, 334), (70, 300)
_LID_UPPER, _LID_LOWER = (159, 386), (145, 374)
_NOSTRILS, _CHEEKS, _TEMPLES, _JAW = (129, 358), (205, 425), (127, 356), (58, 288)


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
