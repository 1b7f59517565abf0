"""The face-mesh network: 468 points of a face, and its inner activations as features for metrics."""

import hashlib

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.core import artefacts
from mien.faces.face import Activations

INPUT_SIZE = 192
NUM_POINTS = 468

# Indexes into the 468 points. "Left" and "right" are the viewer's, for a face that stands upright.
EYE_LEFT = (33, 160, 158, 133, 153, 144)
EYE_RIGHT = (362, 385, 387, 263, 373, 380)
MOUTH_LEFT, MOUTH_RIGHT = 61, 291
NOSE_TIP = 1

# The last 6x6 map and the last 3x3 map before the trunk forks into points and presence. The former knows
# skin, hair and edges; the latter how the parts lie. Either alone ranks disturbances as well, but 256
# numbers separate a mixture of two sets a little better than 128 and still need only some 1,000 pictures.
FEATURE_LAYERS = ("p_re_lu_15", "p_re_lu_17")
_PRESENCE, _POINTS = "conv2d_31", "conv2d_21"
_FINE, _COARSE = "p_re_lu_9", "p_re_lu_12"  # the last maps of 24x24 and of 12x12: a lid, a lip fills a cell
_BATCH = 16  # beyond it a picture costs more time, not less: the activations leave the cache

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


class MeshNetwork:
    """`face_landmark.tflite` through OpenCV. Not thread-safe: one object per thread or process.

    name: "mesh". num_features: width of a feature vector. identity: what a score computed with the
    features must carry: the file's SHA-256, layers and resize rule in one hash of 16 hexadecimal digits.
    resize_rule: how pictures are brought to the input size, in words.
    Raises MienError when the artefact is not cached, saying how to get it.
    """

    name = "mesh"
    num_features = 256
    resize_rule = "to 192 px: area average when larger, bicubic when smaller; range 0 to 1"

    def __init__(self) -> None:
        path = artefacts.require("face-mesh")
        self._net = cv2.dnn.readNetFromTFLite(str(path))
        parts = (str(artefacts.artefact_sha256("face-mesh")), *FEATURE_LAYERS, "mean", self.resize_rule)
        self.identity = hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]

    def points(self, crop: Bytes) -> tuple[Floats, float]:
        """Points of the face in an RGB crop uint8 [192, 192, 3] whose eyes are level.

        Returns float32 [468, 3] (x and y in crop pixels, z in the same unit, smaller is nearer) and the
        presence of a face in 0..1.
        """
        points, presence, _ = self.look(crop)
        return points, presence

    def look(self, crop: Bytes) -> tuple[Floats, float, Activations]:
        """What `points` returns, and the inner maps, which cost nothing more."""
        self._net.setInput(_blob(crop[np.newaxis]))
        presence, landmarks, fine, coarse = self._net.forward((_PRESENCE, _POINTS, _FINE, _COARSE))
        chance = 1 / (1 + float(np.exp(-np.clip(presence.ravel()[0], -50, 50))))
        points = np.asarray(landmarks, np.float32).reshape(NUM_POINTS, 3)
        return points, chance, Activations(fine[0], coarse[0], points[:, :2] / np.float32(INPUT_SIZE))

    def features(self, images: Bytes) -> Floats:
        """Activations for whole aligned face pictures, uint8 [N, H, W, 3] (or 1 channel), any size.

        Returns float32 [N, 256]: the mean over space of the layers FEATURE_LAYERS, one after the other.
        A picture's features do not depend on which others stand in the batch.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
            raise TypeError("features takes uint8 [N, H, W, 3] or [N, H, W, 1]")
        rows = [np.zeros((0, self.num_features), np.float32)]
        for start in range(0, len(images), _BATCH):
            crops = np.stack([_to_input(image) for image in images[start : start + _BATCH]])
            self._net.setInput(_blob(crops))
            maps = self._net.forward(FEATURE_LAYERS)
            rows.append(np.concatenate([layer.mean(axis=(2, 3)) for layer in maps], axis=1))
        return np.concatenate(rows)


def _to_input(image: Bytes) -> Bytes:
    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    if image.shape[:2] == (INPUT_SIZE, INPUT_SIZE):
        return image
    shrinks = min(image.shape[:2]) > INPUT_SIZE
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (INPUT_SIZE, INPUT_SIZE), interpolation=how), np.uint8)


def _blob(crops: Bytes) -> Floats:
    """uint8 [N, H, W, 3] to float32 [N, 3, H, W] in 0..1, as the network was trained."""
    scaled = np.multiply(crops.transpose(0, 3, 1, 2), np.float32(1 / 255), dtype=np.float32)
    return np.ascontiguousarray(scaled)
