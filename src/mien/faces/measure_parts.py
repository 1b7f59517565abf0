"""Are eyes and mouth open?"""

import numpy as np

from mien.faces import probes
from mien.faces.face import Activations, Floats

# Inner edge of the lips: corners, then points of the upper lip over those of the lower.
_LIP_CORNERS, _UPPER_LIP, _LOWER_LIP = (78, 308), (82, 13, 312), (87, 14, 317)


def mouth_open(points: Floats) -> float:
    """How far the lips are parted, over the mouth's inner width: 0.1 parted, 0.3 open, 1 a round O."""
    upper, lower = points[list(_UPPER_LIP), :2], points[list(_LOWER_LIP), :2]
    left, right = points[list(_LIP_CORNERS), :2]
    gap = float(np.linalg.norm(upper - lower, axis=1).mean())
    return min(gap / max(float(np.linalg.norm(right - left)), 1e-6), 1.0)


def eyes_open(seen: Activations) -> float:
    """Chance, 0 to 1, that the eyes are not both shut; under 0.35 is sure.

    The mesh's points follow lids badly, but the network's map tells an iris, even a shaded, faded or
    spectacled one, from the line of lashes that a shut eye is.
    """
    return 1 - probes.shut_eyes().chance(seen)
