"""Balance: which groups of people are rarer or more frequent among fakes than among the reals."""

import numpy as np
import torch
from torch import Tensor

from mien.core.errors import InputError
from mien.core.image import to_hwc
from mien.faces.age_sex import AGE, SEX, AgeSexNetworks
from mien.faces.expressions import ARTEFACT as EXPRESSIONS_FILE
from mien.faces.expressions import EXPRESSIONS, ExpressionNetwork
from mien.faces.finder import needed_artefacts, open_finder
from mien.faces.measure_worn import glasses
from mien.faces.pose import head_pose
from mien.metrics._intervals import around, named
from mien.metrics.faces import prepared

NEEDS = "images"
ARTEFACTS = (AGE, SEX, EXPRESSIONS_FILE, *needed_artefacts("mesh"))
MOST = 500  # pictures a side: some 60 ms each

_AGES = ((0, 25), (25, 40), (40, 55), (55, 200))
_TURNED = 15.0  # degrees
_DARK = 0.4  # of the brightness of a picture's middle: dim pictures and dark skin, which it cannot tell apart
GROUPS = {
    "women": "women",
    "men": "men",
    "under_25": "under 25 years",
    "25_to_40": "25 to 40 years",
    "40_to_55": "40 to 55 years",
    "over_55": "over 55 years",
    "smiling": "smiling",
    "glasses": "with glasses",
    "turned": f"turned by more than {_TURNED:g}°",
    "dark": "dark in the middle",
}
BETTER: dict[str, str] = {}  # 1 is best; neither direction is good
TITLES = {f"balance_{name}": f"{words}, times their share among real" for name, words in GROUPS.items()}
_LOST, _FLOODED = 0.5, 2.0


def compute(real: Tensor, fake: Tensor) -> dict[str, float]:
    """For each of GROUPS `balance_NAME`: its share among fakes over that among reals, with a 95 % interval.

    real, fake: uint8 [N, C, S, S], aligned faces. Groups are what networks guess; both sides are guessed
    alike, so a difference is one of the pictures and not of the networks. Groups that no real belongs to are
    left out. Values and intervals are of counts with half a case added (Walter 1975), so that 0 has one too.
    """
    if min(len(real), len(fake)) < 2:
        raise InputError("balance needs two pictures or more on each side")
    return ratios(memberships(real), memberships(fake))


def ratios(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """As `compute`, of memberships [N, groups] and [M, groups], NaN where not known."""
    result: dict[str, float] = {}
    for name, ours, theirs in zip(GROUPS, real.T, fake.T, strict=True):
        (members_r, count_r), (members_f, count_f) = _counts(ours), _counts(theirs)
        if not members_r or not count_f:
            continue
        a, n, b, m = (count + 0.5 for count in (members_f, count_f, members_r, count_r))
        logarithm = float(np.log(a / n / (b / m)))
        ends = around(logarithm, float(np.sqrt(1 / a - 1 / n + 1 / b - 1 / m)))
        interval = (float(np.exp(ends[0])), float(np.exp(ends[1])))
        result |= named(f"balance_{name}", float(np.exp(logarithm)), interval)
    return result


def findings(values: dict[str, float]) -> list[str]:
    """Groups that are surely lost or too frequent, in words. values: of `compute`."""
    lines = []
    for name, words in GROUPS.items():
        value, low, high = (values.get(f"balance_{name}{end}", 1.0) for end in ("", "_low", "_high"))
        if high < _LOST:
            lines.append(f"group lost: {words}, {value:.2g} times their share among the real")
        elif low > _FLOODED:
            lines.append(f"group too frequent: {words}, {value:.2g} times their share among the real")
    return lines


def advice(num_real: int, num_fake: int, dims: int) -> str | None:
    """A warning in words when a share is coarse, else None."""
    fewest = min(num_real, num_fake)
    return None if fewest >= 300 else f"shares of {fewest} pictures are coarse: use 300 or more"


def memberships(images: Tensor) -> np.ndarray:
    """Which of GROUPS each face belongs to: float64 [N, groups] of 0 and 1, NaN where no face is found."""
    guess = AgeSexNetworks.load().guess(images)
    with torch.random.fork_rng(devices=[]):
        expressions = ExpressionNetwork.load()
    happy = expressions.probabilities(images)[:, EXPRESSIONS.index("happy")] > 0.5
    finder = open_finder("mesh")
    rows = np.full((len(images), len(GROUPS)), np.nan)
    for index, image in enumerate(images):
        female, years = guess.female[index] > 0.5, guess.years[index]
        rows[index, :7] = (female, not female, *(low <= years < high for low, high in _AGES), happy[index])
        pixels = prepared(to_hwc(image))
        rows[index, 9] = _middle(pixels) < _DARK
        faces = finder.find(pixels, most=1)
        if faces and faces[0].points is not None:
            rows[index, 7] = glasses(pixels, faces[0]) > 0.5
            rows[index, 8] = abs(head_pose(faces[0].points)[0]) > _TURNED
    return rows


def _middle(pixels: np.ndarray) -> float:
    """The mean brightness of the middle quarter, 0 to 1: mostly skin in an aligned face."""
    height, width = pixels.shape[:2]
    return float(pixels[height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8].mean()) / 255


def _counts(members: np.ndarray) -> tuple[int, int]:
    """How many belong to the group, and of how many it is known."""
    known = members[~np.isnan(members)]
    return int(known.sum()), len(known)
