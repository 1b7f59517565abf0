"""Linear probes: what a face shows, read off inner maps of the mesh network (Alain and Bengio 2016).

The network looks at every face anyway, and its maps know lids, lips and nostrils through beards, shade, tints
and halftones that mislead any rule on pixels. A probe is a logistic regression on a map at some of the mesh's
points. Its weights stand in `probe_weights`, with what they were fitted on.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from mien.faces import probe_weights
from mien.faces.face import Activations, Floats

_EYES = ((33, 133), (362, 263))  # mesh points of the corners, left to right
# Where an eye is looked at, in distances of its corners, along and across it, from midway between them.
_EYE_GRID = ((0, -0.35), (-0.5, 0), (-0.25, 0), (0, 0), (0.25, 0), (0.5, 0), (0, 0.35))
_LOWER_FACE = (1, 13, 199, 205, 425)  # tip of the nose, lips, chin, cheeks


def sample(maps: Floats, places: Floats) -> Floats:
    """Values of maps [C, H, W] at places [N, 2] (x, y, 0 to 1), bilinear, the edge continued: [N, C]."""
    height, width = maps.shape[1:]
    x = np.clip(places[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip(places[:, 1] * height - 0.5, 0, height - 1)
    x0, y0 = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    right, down = x - x0, y - y0
    upper = maps[:, y0, x0] * (1 - right) + maps[:, y0, x0 + 1] * right
    lower = maps[:, y0 + 1, x0] * (1 - right) + maps[:, y0 + 1, x0 + 1] * right
    return np.asarray((upper * (1 - down) + lower * down).T, np.float32)


def eye_signs(activations: Activations) -> Floats:
    """The fine map about both eyes: [2 * 7 * 64]."""
    grid = np.asarray(_EYE_GRID, np.float32)
    places = []
    for left, right in _EYES:
        along = activations.places[right] - activations.places[left]
        axes = np.stack([along, np.array([-along[1], along[0]])])
        places.append((activations.places[left] + activations.places[right]) / 2 + grid @ axes)
    return sample(activations.fine, np.concatenate(places)).ravel()


def lower_face_signs(activations: Activations) -> Floats:
    """The coarse map at nose, lips, chin and cheeks: [5 * 128]."""
    return sample(activations.coarse, activations.places[list(_LOWER_FACE)]).ravel()


def texture_signs(activations: Activations) -> Floats:
    """The mean of the fine map over the box of the face: [64]."""
    cells = activations.fine.shape[1]
    low = np.clip((activations.places.min(axis=0) * cells).astype(int), 0, cells - 2)
    high = np.clip((activations.places.max(axis=0) * cells).astype(int) + 1, low + 1, cells)
    return np.asarray(activations.fine[:, low[1] : high[1], low[0] : high[0]].mean(axis=(1, 2)), np.float32)


@dataclass(frozen=True)
class Probe:
    """A logistic regression on signs of a face. weights: float32 [N]."""

    signs: Callable[[Activations], Floats]
    weights: Floats
    bias: float

    def chance(self, activations: Activations) -> float:
        """0 to 1."""
        logit = float(self.weights @ self.signs(activations)) + self.bias
        return float(1 / (1 + np.exp(-np.clip(logit, -50, 50))))


@cache
def shut_eyes() -> Probe:
    """Are both eyes shut?"""
    return Probe(eye_signs, unpack(probe_weights.SHUT_EYES, probe_weights.SHUT_EYES_SCALE),
                 probe_weights.SHUT_EYES_BIAS)  # fmt: skip


@cache
def mask() -> Probe:
    """Does a mask cover nose and mouth?"""
    return Probe(lower_face_signs, unpack(probe_weights.MASK, probe_weights.MASK_SCALE),
                 probe_weights.MASK_BIAS)  # fmt: skip


@cache
def drawing() -> Probe:
    """Is it drawn or engraved in lines? Fine engravings and paintings pass for photographs."""
    return Probe(texture_signs, unpack(probe_weights.DRAWING, probe_weights.DRAWING_SCALE),
                 probe_weights.DRAWING_BIAS)  # fmt: skip


def pack(weights: Floats) -> tuple[str, float]:
    """Weights as base-85 text of int8, and the value of one step."""
    step = float(np.abs(weights).max()) / 127
    return base64.b85encode(np.round(weights / step).astype(np.int8).tobytes()).decode(), step


def unpack(text: str, step: float) -> Floats:
    """The inverse of `pack`, within half a step."""
    return np.frombuffer(base64.b85decode(text), np.int8).astype(np.float32) * np.float32(step)
