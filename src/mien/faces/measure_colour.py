"""Colour or monochrome, and if so, tinted? Chroma that luma explains is a tint, what is left is colour."""

import cv2
import numpy as np

from mien.core.picture import Pixels

SIDE = 32  # pixels that the face is looked at: JPEG keeps chroma no finer, and noise in it is no colour
_SMOOTH = 0.6  # of them
_LEAST_SPREAD = 5.0  # of luma, in levels: a flat face has no cubic
_RIDGE = 1e-9
_FULL = 112.0  # levels that a chroma of YCbCr reaches (BT.601)


def measure_colour(view: Pixels, inside: np.ndarray) -> dict[str, float]:
    """tint and colour of a face, each 0 to 1. view: uint8 [S, S, 3]; inside: bool [SIDE, SIDE], what counts.

    A print of one ink, however toned, has one chroma for each luma: Cb and Cr follow as cubics of it. tint:
    mean chroma of these cubics; gray pictures have 0, sepia 0.05 to 0.4, skin 0.1 to 0.35. colour: root mean
    square of the chroma they leave; tinted monochrome has under 0.02, portraits in colour 0.02 to 0.1.
    """
    small = cv2.GaussianBlur(cv2.resize(view, (SIDE, SIDE), interpolation=cv2.INTER_AREA), (0, 0), _SMOOTH)
    coded = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb)[inside].astype(np.float64)
    chroma = (coded[:, 1:] - 128) / _FULL
    fitted = _cubics(coded[:, 0], chroma)
    rest = chroma - fitted
    return {
        "tint": min(float(np.hypot(fitted[:, 0], fitted[:, 1]).mean()), 1.0),
        "colour": min(float(np.sqrt((rest**2).sum(axis=1).mean())), 1.0),
    }


def _cubics(luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Least-squares cubics of luma [N], one for each column of chroma [N, 2], at each luma."""
    centred = (luma - luma.mean()) / max(float(luma.std()), _LEAST_SPREAD)
    square = centred * centred
    powers = np.stack([np.ones_like(centred), centred, square, square * centred], axis=1)
    ridge = _RIDGE * len(luma) * np.eye(4)  # a flat face leaves powers that are all 0
    return np.asarray(powers @ np.linalg.solve(powers.T @ powers + ridge, powers.T @ chroma))
