"""The short-range face detector: boxes and six points out of a 128-pixel view.

Anchors and box code as FORMATS.md gives them: 16x16 cells with two and 8x8 cells with six anchors at the
cell centres; boxes and points are offsets from the anchor in pixels of the 128-pixel view.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.core import artefacts
from mien.faces.face import Bytes, Floats

VIEW = 128
_CELLS = ((16, 2), (8, 6))
_MIN_SCORE = 0.5
_SAME_FACE = 0.3  # intersection over union from which two boxes of one view are one face
_SAME_HEAD = 0.4  # intersection over the smaller box from which boxes of two views are one head


class Detector:
    """`face_detection_short_range.tflite` through OpenCV. Not thread-safe."""

    def __init__(self) -> None:
        self._net = cv2.dnn.readNetFromTFLite(str(artefacts.require("face-finder")))
        self._anchors = _anchors()

    def detect(self, view: Bytes, least: float = _MIN_SCORE) -> Floats:
        """Faces of at least this score in an RGB view uint8 [128, 128, 3], unmerged.

        Returns float32 [K, 9]: score, centre x, y, width, height, left eye x, y, right eye x, y, as shares
        of the view (left and right as the viewer sees an upright face).
        """
        return self.landmarks(view, least)[:, :9]

    def landmarks(self, view: Bytes, least: float = _MIN_SCORE) -> Floats:
        """As `detect`, with x, y of nose, mouth, left and right ear as well: float32 [K, 17]."""
        pixels = np.multiply(view.transpose(2, 0, 1)[np.newaxis], np.float32(1 / 127.5), dtype=np.float32)
        self._net.setInput(np.ascontiguousarray(pixels - np.float32(1)))
        logits, codes = self._net.forward(("classificators", "regressors"))
        scores = 1 / (1 + np.exp(-np.clip(logits.reshape(-1), -50, 50)))
        likely = np.flatnonzero(scores >= least)
        code = codes.reshape(-1, 16)[likely] / VIEW
        anchors = self._anchors[likely]
        centres, points = code[:, :2] + anchors, code[:, 4:] + np.tile(anchors, 6)
        rows = np.concatenate([scores[likely, np.newaxis], centres, code[:, 2:4], points], axis=1)
        return np.asarray(rows, np.float32)


def merge(detections: NDArray[np.float32]) -> Floats:
    """Average overlapping detections [K, N] of one face, weighted by score; the best first.

    The averaged box is steadier than the best one alone (Bazarevsky et al. 2019, "BlazeFace", section 5).
    """
    left = detections[np.argsort(-detections[:, 0], kind="stable")]
    merged = [left[:0].astype(np.float32)]
    while len(left):
        same = _overlap(left[0], left)[0] >= _SAME_FACE
        same[0] = True
        group = left[same]
        mean = (group * group[:, :1]).sum(0) / group[:, 0].sum()
        mean[0] = group[0, 0]
        merged.append(mean[np.newaxis].astype(np.float32))
        left = left[~same]
    return np.concatenate(merged)


def distinct(detections: NDArray[np.float32]) -> Floats:
    """Of overlapping detections [K, N] keep the surest: those of other turns have their eyes elsewhere."""
    left = detections[np.argsort(-detections[:, 0], kind="stable")]
    kept = [left[:0].astype(np.float32)]
    while len(left):
        kept.append(left[:1])
        left = left[1:][_overlap(left[0], left[1:])[1] < _SAME_HEAD]
    return np.concatenate(kept)


def _overlap(one: NDArray[np.float32], many: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """What `one` shares with each of `many`: over their union, and over the smaller of the two."""
    low = np.maximum(one[1:3] - one[3:5] / 2, many[:, 1:3] - many[:, 3:5] / 2)
    high = np.minimum(one[1:3] + one[3:5] / 2, many[:, 1:3] + many[:, 3:5] / 2)
    width, height = np.maximum(high - low, 0).T
    both = width * height
    areas = np.maximum(many[:, 3] * many[:, 4], 1e-9)
    own = max(float(one[3] * one[4]), 1e-9)
    return both / (areas + own - both), both / np.minimum(areas, own)


def _anchors() -> Floats:
    rows = []
    for cells, per_cell in _CELLS:
        middles = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        y, x = np.meshgrid(middles, middles, indexing="ij")
        rows.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), per_cell, axis=0))
    return np.concatenate(rows)
