"""Where the pupil is in a picture of an eye, and how far refining moved it."""

import numpy as np

from mien.core.types import Dataset

_WINDOW = 0.08  # of the picture's side: most of an iris' radius in pictures of `mien render --eyes`
_SURE = 1.0  # pixels: a pupil that is measured farther from where it is known to be is not measured well
_DARKEST = 0.25  # share of the window's pixels that count as pupil and iris


def known_pupils(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Pictures in which a pupil can be seen whose place is known: indexes [M], and places [M, 2] (x, y).

    As `mien render` writes them: `landmarks` of a record, with the names of those not seen in its labels.
    """
    found: list[tuple[int, tuple[float, float]]] = []
    for index, record in enumerate(dataset.records):
        hidden = (record.get("labels") or {}).get("hidden", ())
        marks = record.get("landmarks")
        for name, place in marks.items() if isinstance(marks, dict) else ():
            if name.startswith("pupil") and name not in hidden:
                found.append((index, (float(place[0]), float(place[1]))))
    return (
        np.array([index for index, _ in found], np.int64),
        np.array([place for _, place in found], np.float64).reshape(-1, 2),
    )


def pupil_centre(picture: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(x, y) of the middle of what is dark around `near`, in a picture uint8 [C, H, W].

    The darkest quarter of a round window weighs by how much darker it is than the rest. A pixel's middle is
    at half a pixel.
    """
    gray = picture.mean(axis=0)
    height, width = gray.shape
    y, x = np.mgrid[:height, :width] + 0.5
    window = np.hypot(x - near[0], y - near[1]) <= _WINDOW * width
    limit = np.quantile(gray[window], _DARKEST)
    weight = np.where(window, np.clip(limit - gray, 0, None), 0)
    total = weight.sum()
    if total == 0:  # all alike: there is nothing to see
        return np.asarray(near, np.float64)
    return np.array([(x * weight).sum() / total, (y * weight).sum() / total])


def moved(before: np.ndarray, after: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Pixels between the pupil's middle in pictures uint8 [M, C, H, W] before and after.

    Only of pupils that are measured within 1 px of their known places before: lids, lashes and bright
    reflections hide others from the measure.
    """
    far = []
    for old, new, place in zip(before, after, places, strict=True):
        middle = pupil_centre(old, place)
        if np.hypot(*(middle - place)) <= _SURE:
            far.append(np.hypot(*(middle - pupil_centre(new, place))))
    return np.array(far)
