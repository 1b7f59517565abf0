"""Labels of images turned left to right: angles change their sign, left and right their places."""

import re
from collections.abc import Sequence

import numpy as np

from mien.labels.bins import bounds_of
from mien.labels.encoding import NUMBER, Target

_ANGLES = ("yaw", "roll")  # their sign changes with the image's sides
_SWAPS = {"left": "right", "Left": "Right", "LEFT": "RIGHT"}
_SWAPS |= {right: left for left, right in _SWAPS.items()}


def mirrored(targets: Sequence[Target], rows: np.ndarray) -> np.ndarray:
    """The labels of the same pictures turned left to right: turned angles, left for right."""
    turned = rows.copy()
    names = [name for target in targets for name in target.column_names]
    for target in targets:
        if target.kind == "one-of" and _is_angle(target.name):
            turned[:, target.columns] = _mirrored_bins(target, rows[:, target.columns])
    for place, name in enumerate(names):
        if _is_angle(name) and name.endswith(NUMBER):
            turned[:, place] = -rows[:, place]
        elif (other := _swapped(name)) != name:
            # Without a partner it is not known what the mirrored picture shows.
            turned[:, place] = rows[:, names.index(other)] if other in names else np.nan
    return turned


def _is_angle(name: str) -> bool:
    return any(part in _ANGLES for part in re.split(r"[^a-z]+", name.lower()))


def _mirrored_bins(target: Target, rows: np.ndarray) -> np.ndarray:
    """Bins of an angle that changes sign; a row whose bin has no counterpart is not known."""
    bounds = [bounds_of(value) for value in target.values]
    out = np.full_like(rows, np.nan)
    for place, bound in enumerate(bounds):
        other = None if bound is None else (-bound[1], -bound[0])
        if other in bounds:
            hot = rows[:, place] == 1
            out[hot] = 0
            out[hot, bounds.index(other)] = 1
    return out


def _swapped(name: str) -> str:
    return re.sub("|".join(_SWAPS), lambda match: _SWAPS[match[0]], name)
