"""The verdict on one face: probability, whether it stands under mild re-encoding, and why, in words."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from scipy.special import expit

from mien.core import packaged
from mien.core.errors import InputError
from mien.core.network import load_network
from mien.core.picture import Pixels
from mien.core.reencode import MILD
from mien.detection.scores import FALSE_ALARMS, log_odds, parts_of
from mien.models.detector import KIND
from mien.nn.forensic import TRACES, ForensicNet

NAME = "faces-64.detector.safetensors"
Verdict = Literal["synthetic", "unsure", "no sign"]
_SMALLEST = 32.0  # pixels of a face's square under which nothing is left to judge
_SPOT = 16  # side of what is covered at a time, in pixels of the crop
_TELLING = 0.5  # log-odds from which a trace is worth a word
_WORDS = {"shapes": "shapes and textures", "traces": "up-sampling traces", "spectrum": "spectrum"}
# Of a crop as FFHQ aligns it: name, left, top, right, bottom, as shares of the side.
_PLACES = (
    ("the eyes", 0.25, 0.38, 0.75, 0.53),
    ("the nose", 0.38, 0.5, 0.62, 0.68),
    ("the mouth", 0.33, 0.66, 0.67, 0.82),
    ("forehead and hair", 0.2, 0.0, 0.8, 0.38),
    ("the left edge", 0.0, 0.0, 0.2, 1.0),
    ("the right edge", 0.8, 0.0, 1.0, 1.0),
    ("chin and neck", 0.2, 0.82, 0.8, 1.0),
)


def source_of(source: Path | None) -> Path:
    """Where to load a detector from: `source`, or the packaged one. InputError where there is none."""
    if source is not None:
        return source
    path = packaged.folder() / NAME
    if not path.is_file():
        raise InputError("this copy of mien comes without a detector; train one: mien detector train")
    return path


@dataclass(frozen=True)
class Judgement:
    """What a detector says of a face. probability: of being synthetic, were both equally frequent.

    lowest, highest: of it under mild re-encodings. parts: log-odds of each trace, less what real faces have.
    heat: float32 [S, S], the log-odds that are lost where the face is covered there. reasons: in words,
    with the log-odds of each trace.
    """

    verdict: Verdict
    probability: float
    lowest: float
    highest: float
    parts: dict[str, float]
    heat: np.ndarray
    reasons: tuple[str, ...]


class Detector:
    """A detector with a threshold. false_alarms: the share of real faces that may be called synthetic.

    path: its file; None of the one that comes with mien.
    """

    def __init__(
        self, network: ForensicNet, model: str, false_alarms: float = FALSE_ALARMS, path: Path | None = None
    ) -> None:
        self.network, self.model, self.false_alarms, self.path = network, model, false_alarms, path
        self.threshold = network.threshold(false_alarms)

    def judge(self, face: Pixels, side: float, *, explain: bool = True) -> Judgement:
        """The verdict on a crop uint8 [S, S, 3] of a face whose square has `side` pixels in its picture.

        explain: compute the heat map, which takes fifty faces more.
        """
        faces = np.stack([face, *(change(face) for change in MILD.values())])
        parts = parts_of(self.network, faces)
        odds = log_odds(self.network, parts)
        heat = self._heat(face, odds[0]) if explain else np.zeros(face.shape[:2], np.float32)
        verdict: Verdict = "no sign"
        if (odds >= self.threshold).all():
            verdict = "synthetic"
        elif (odds >= self.threshold).any() or odds[0] >= 0:
            verdict = "unsure"
        centred = (parts[0] - self.network.centre.double().numpy()) * float(self.network.slope)
        evidence = dict(zip(TRACES, centred.round(3).tolist(), strict=True))
        reasons = _reasons(verdict, odds, self.threshold, evidence, heat)
        if side < _SMALLEST:
            verdict = "unsure"
            small = f"the face's square has {side:.0f} pixels a side, {_SMALLEST:.0f} are needed"
            reasons = (small, *reasons)
        chances = expit(odds)
        return Judgement(
            verdict, float(chances[0]), float(chances.min()), float(chances.max()), evidence, heat, reasons
        )

    def _heat(self, face: Pixels, whole: float) -> np.ndarray:
        """What is lost where a spot is blurred out, spread over the crop."""
        side = face.shape[0]
        blurred = cv2.GaussianBlur(face, (0, 0), side / 12)
        starts = range(0, side - _SPOT + 1, _SPOT // 2)
        places = [(top, left) for top in starts for left in starts]
        covered = np.repeat(face[None], len(places), axis=0)
        for one, (top, left) in zip(covered, places, strict=True):
            spot = slice(top, top + _SPOT), slice(left, left + _SPOT)
            one[spot] = blurred[spot]
        lost = whole - log_odds(self.network, parts_of(self.network, covered))
        total, count = np.zeros((2, side, side), np.float32)
        for value, (top, left) in zip(lost, places, strict=True):
            total[top : top + _SPOT, left : left + _SPOT] += value
            count[top : top + _SPOT, left : left + _SPOT] += 1
        return np.asarray(cv2.GaussianBlur(total / np.maximum(count, 1), (0, 0), _SPOT / 4), np.float32)


def open_detector(source: Path | None, *, false_alarms: float) -> Detector:
    """Load a run's newest detector, a file of one, or the one that comes with mien. Raises InputError."""
    if not 0.001 <= false_alarms <= 0.5:
        raise InputError(f"--false-alarms {false_alarms:g}: between 0.001 and 0.5")
    loaded = load_network(source_of(source), KIND, torch.device("cpu"))
    return Detector(loaded.network, loaded.model, false_alarms, None if source is None else loaded.path)


def _reasons(
    verdict: Verdict, odds: np.ndarray, threshold: float, parts: dict[str, float], heat: np.ndarray
) -> tuple[str, ...]:
    """Why, in words: which traces speak for it, where, and what made it flip."""
    telling = sorted(((value, name) for name, value in parts.items() if value >= _TELLING), reverse=True)
    reasons = [f"{_WORDS[name]} {value:+.1f}" for value, name in telling]
    if telling and (place := _place(heat)):
        reasons.append(f"mostly about {place}")
    beyond = odds >= threshold
    flips = [name for name, other in zip(MILD, beyond[1:], strict=True) if other != beyond[0]]
    if flips:
        reasons.append(f"flips when {' or '.join(flips).replace('JPEG', 'saved as JPEG')}")
    elif verdict == "unsure":
        reasons.append(f"likely, but short of the threshold, {expit(threshold):.2%}")
    return tuple(reasons)


def _place(heat: np.ndarray) -> str:
    """The part of the face that the heat map points to, or "" where it points to none."""
    side = heat.shape[0]
    means = {
        name: float(heat[int(y0 * side) : int(y1 * side), int(x0 * side) : int(x1 * side)].mean())
        for name, x0, y0, x1, y1 in _PLACES
    }
    best = max(means, key=lambda name: means[name])
    return best if means[best] > max(0.05, 1.3 * float(heat.mean())) else ""


def heat_picture(face: Pixels, heat: np.ndarray) -> Pixels:
    """The face and, beside it, the face under the map: red speaks for synthetic, blue against."""
    side = face.shape[0] * 6
    large = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
    most = max(float(np.abs(heat).max()), 0.25)
    spread = cv2.resize(heat / most, (side, side), interpolation=cv2.INTER_LINEAR).clip(-1, 1)[..., None]
    plain = np.repeat(cv2.cvtColor(large, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2).astype(np.float32)
    colour = np.where(spread > 0, np.array((230, 40, 30), np.float32), np.array((40, 90, 230), np.float32))
    shade = np.abs(spread) * 0.7
    return np.asarray(np.concatenate([large, (plain * (1 - shade) + colour * shade)], axis=1), np.uint8)
