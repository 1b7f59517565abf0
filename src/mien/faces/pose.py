"""Which way a face is turned: the mesh fitted by a rotation to a mean face that looks at the camera."""

import numpy as np
from numpy.typing import NDArray

from mien.faces.face import Floats

Array = NDArray[np.float64]

# The mean face: mesh points whose places change little with expression. x to the picture's right, y up,
# z towards the camera; unit: the distance of the outer corners of the eyes. It is the mean of 268 meshes
# found on our own rendered heads, each turned back by its true pose, made symmetric, then tilted by
# 1.5 degrees: halfway between pitch 0 of the renderer and the median pitch of real portraits.
_PAIRS = (  # point on the viewer's left, its mirror point, then x, y, z of the latter
    (109, 338, 0.212, 0.819, 0.270),
    (103, 332, 0.556, 0.737, 0.075),
    (21, 251, 0.718, 0.523, -0.211),
    (127, 356, 0.760, 0.233, -0.493),
    (93, 323, 0.737, -0.084, -0.589),
    (58, 288, 0.667, -0.442, -0.544),
    (136, 365, 0.522, -0.713, -0.345),
    (149, 378, 0.337, -0.892, -0.187),
    (33, 263, 0.500, 0.251, 0.040),
    (133, 362, 0.189, 0.227, 0.098),
    (70, 300, 0.630, 0.435, 0.045),
    (107, 336, 0.172, 0.513, 0.301),
    (129, 358, 0.236, -0.207, 0.166),
    (50, 280, 0.534, -0.128, 0.066),
    (205, 425, 0.444, -0.235, 0.113),
    (61, 291, 0.304, -0.525, 0.021),
)
_MIDDLE = (  # point, y, z
    (10, 0.822, 0.287),
    (151, 0.650, 0.304),
    (168, 0.288, 0.276),
    (195, -0.003, 0.417),
    (1, -0.285, 0.458),
    (2, -0.342, 0.279),
    (164, -0.387, 0.256),
    (18, -0.749, 0.117),
    (152, -1.022, -0.045),
)
_DEEPEN = 1.3  # the network's depths are too shallow: without this a yaw of 40 degrees reads as 35


def _mean_face() -> tuple[NDArray[np.intp], Array]:
    rows = [(mirror, x, y, z) for _, mirror, x, y, z in _PAIRS]
    rows += [(point, -x, y, z) for point, _, x, y, z in _PAIRS]
    rows += [(point, 0.0, y, z) for point, y, z in _MIDDLE]
    table = np.array(rows)
    places = table[:, 1:]
    return table[:, 0].astype(np.intp), places - places.mean(axis=0)


_INDEXES, _MEAN = _mean_face()


def head_pose(points: Floats) -> tuple[float, float]:
    """Yaw and pitch in degrees of a mesh [468, 3] in picture pixels (x right, y down, z smaller is nearer).

    yaw + turns the face to the picture's right, pitch + looks up; signs as in `mien.render.heads`. The
    rotation is the least-squares fit of the mean face (Kabsch 1976, "A solution for the best rotation to
    relate two sets of vectors").
    """
    own = points[_INDEXES].astype(np.float64) * (1.0, -1.0, -_DEEPEN)
    left, _, right = np.linalg.svd((own - own.mean(axis=0)).T @ _MEAN)
    turn = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    x, y, z = (left * turn) @ right[:, 2]  # where the mean face's nose points to
    return float(np.degrees(np.arctan2(x, z))), float(np.degrees(np.arcsin(np.clip(y, -1.0, 1.0))))
