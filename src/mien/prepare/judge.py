"""Keep or drop: rules with thresholds, each drop with a code and a sentence."""

from collections.abc import Mapping
from dataclasses import dataclass

from mien.core.errors import InputError

DEFAULT_MIN_COVERAGE = 0.01
DEFAULT_MAX_COVERAGE = 0.75
# A crop is about 1.7 times the face, so this lets small faces be enlarged by two thirds and no more.
MIN_FACE_SHARE = 0.35


@dataclass(frozen=True)
class Drop:
    """Why an input is not kept. reason: a short code. detail: one sentence for people."""

    reason: str
    detail: str


@dataclass(frozen=True)
class Bound:
    """One rule: `measurement` must lie in low..high (None: open), else the input is dropped for `reason`."""

    measurement: str
    low: float | None
    high: float | None
    reason: str


@dataclass(frozen=True)
class Rules:
    """Bounds on a found face.

    min_face: smallest face in pixels of the source (geometric mean of its width and height).
    min_coverage, max_coverage: share of the picture that the face covers (its size squared over the
    picture's area), 0 to 1.
    """

    min_face: float
    min_coverage: float = DEFAULT_MIN_COVERAGE
    max_coverage: float = DEFAULT_MAX_COVERAGE

    def __post_init__(self) -> None:
        if not 0 <= self.min_coverage < self.max_coverage:
            bounds = f"{self.min_coverage:g} and {self.max_coverage:g}"
            raise InputError(f"coverage bounds must be 0 <= min < max (shares of the picture), not {bounds}")
        if not self.min_face >= 0:
            raise InputError(f"the smallest face must be 0 pixels or more, not {self.min_face:g}")


def judge(measurements: Mapping[str, float], rules: Rules) -> Drop | None:
    """The first rule that the measurements of a face break, or None.

    Takes measurements, not pixels, so that a manifest can be judged again with other rules.
    """
    face, coverage = measurements["face_size"], measurements["coverage"]
    if face < rules.min_face:
        return Drop("too-small", f"the face is {face:.0f} pixels large, {rules.min_face:.0f} are needed")
    if coverage < rules.min_coverage:
        least = f"{rules.min_coverage:.1%}"
        return Drop("covers-too-little", f"the face covers {coverage:.1%} of the picture, at least {least}")
    if coverage > rules.max_coverage:
        most = f"{rules.max_coverage:.1%}"
        return Drop("covers-too-much", f"the face covers {coverage:.1%} of the picture, at most {most}")
    return None


NO_FACE = Drop("no-face", "no face was found")
