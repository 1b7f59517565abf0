"""How often raters are right as exposure grows: a psychometric function and the exposure at which 75 % are.

p(t) = 1/2 + (1/2 - lapse) / (1 + (t / midpoint) ** -slope), fitted by maximum likelihood (Wichmann and
Hill 2001). The likelihood is computed on a grid: no start value matters, a thousand resamples take a second.
"""

import itertools
from typing import NamedTuple

import numpy as np

TARGET = 0.75
_MIDPOINTS, _SLOPES, _LAPSES = 240, np.geomspace(0.4, 12, 24), (0.0, 0.02, 0.05)
_BEYOND = 4.0  # how far outside of the shown exposures a midpoint may lie, as a factor
_AT_ONCE = 2_000_000


class Curve(NamedTuple):
    """A fitted function. midpoint in ms."""

    midpoint: float
    slope: float
    lapse: float

    def at(self, exposures_ms: np.ndarray) -> np.ndarray:
        """The share of right answers."""
        with np.errstate(over="ignore"):
            rise = 1 / (1 + (exposures_ms / self.midpoint) ** -self.slope)
        return np.asarray(0.5 + (0.5 - self.lapse) * rise)

    @property
    def threshold(self) -> float:
        """The exposure in ms at which `TARGET` are right."""
        share = (TARGET - 0.5) / (0.5 - self.lapse)
        return float(self.midpoint * (share / (1 - share)) ** (1 / self.slope))


class Fits:
    """Fits to right and wrong answers at some exposures. exposures_ms: float [L], rising, all different."""

    def __init__(self, exposures_ms: np.ndarray) -> None:
        low, high = exposures_ms[0] / _BEYOND, exposures_ms[-1] * _BEYOND
        midpoints = np.geomspace(low, high, _MIDPOINTS)
        self.curves = [Curve(*values) for values in itertools.product(midpoints, _SLOPES, _LAPSES)]
        share = np.stack([curve.at(exposures_ms) for curve in self.curves], axis=1)
        share = np.clip(share, 1e-6, 1 - 1e-6)
        self._log_right, self._log_wrong = np.log(share), np.log1p(-share)
        self.thresholds = np.array([curve.threshold for curve in self.curves])

    def best(self, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
        """Index of the likeliest curve for each row of counts, float [B, L] each: int [B]."""
        step = max(1, _AT_ONCE // len(self.curves))
        thresholds = [
            np.argmax(right[i : i + step] @ self._log_right + wrong[i : i + step] @ self._log_wrong, axis=1)
            for i in range(0, len(right), step)
        ]
        return np.concatenate(thresholds)


def levels(exposures_ms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different exposures, to the millisecond, and which of them each trial had: float [L], int [N]."""
    distinct, owner = np.unique(np.maximum(np.round(exposures_ms), 1.0), return_inverse=True)
    return distinct, owner
