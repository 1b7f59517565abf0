"""Keep or drop: a table of rules with thresholds, each drop with a code and a sentence.

Rules take measurements, not pixels, so that a manifest can be judged again with others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from mien.core.errors import InputError

# All that may be measured; see `measure`.
MEASUREMENTS = (
    *("coverage", "face_size", "crop_side", "num_faces", "score", "roll", "yaw", "pitch", "sharpness"),
    *("exposure", "contrast", "eyes_open", "mouth_open", "mask", "glasses", "colour"),
)
# A crop may be enlarged by two thirds and no more.
MIN_CROP_SHARE = 0.6


@dataclass(frozen=True)
class Drop:
    """Why an input is not kept. reason: a short code. detail: one sentence for people."""

    reason: str
    detail: str


NO_FACE = Drop("no-face", "no face was found")


@dataclass(frozen=True)
class Bound:
    """One rule: `measurement` must lie in low..high (None: open), else the input is dropped for `reason`."""

    measurement: str
    low: float | None
    high: float | None
    reason: str


@dataclass(frozen=True)
class Rules:
    """What a found face must be like; None asks for nothing. Defaults are those of `measure.SUGGESTED`.

    Parameters
    ----------
    min_face
        Smallest face in pixels of the file, forehead to chin by cheek to cheek.
    min_crop_side
        Smallest crop in pixels of the file; 0.6 of the size unless --min-face is given.
    min_score
        How sure the finder must be, 0 to 1.
    min_coverage
        Smallest share of the picture that the face covers (its size squared over the area), 0 to 1.
    max_coverage
        Largest share of the picture that the face covers, 0 to 1.
    min_sharpness
        Drop blurred faces: 0 (a smear) to 1.
    max_yaw
        Largest turn to either side, in degrees.
    max_pitch
        Largest nod up or down, in degrees.
    max_roll
        Largest tilt of the head, in degrees; "ffhq" and "eyes" level it anyway.
    min_eyes_open
        Drop closed eyes: 0 (shut) to 1.
    max_mouth_open
        Drop open mouths: 0 (shut) to 1.
    max_mask
        Drop covered mouths: 0 (bare) to 1 (a face mask).
    max_glasses
        Drop glasses: 0 (none) to 1.
    min_exposure
        Darkest face, as its mean brightness, 0 to 1.
    max_exposure
        Brightest face, as its mean brightness, 0 to 1.
    min_contrast
        Flattest face, 0 to 1.
    min_colour
        Drop gray pictures: 0 is gray, 0.02 already coloured.
    single_face
        Drop pictures with several faces instead of taking the largest.
    """

    min_face: float | None = None
    min_crop_side: float | None = None
    min_score: float | None = None
    min_coverage: float | None = 0.01
    max_coverage: float | None = 0.75
    min_sharpness: float | None = 0.2
    max_yaw: float | None = 45.0
    max_pitch: float | None = 30.0
    max_roll: float | None = None
    min_eyes_open: float | None = 0.25
    max_mouth_open: float | None = None
    max_mask: float | None = 0.8
    max_glasses: float | None = None
    min_exposure: float | None = 0.12
    max_exposure: float | None = 0.9
    min_contrast: float | None = None
    min_colour: float | None = None
    single_face: bool = False

    def __post_init__(self) -> None:
        for rule in fields(self):
            value = getattr(self, rule.name)
            if value is not None and not 0 <= value < float("inf"):
                flag = rule.name.replace("_", "-")
                raise InputError(f"--{flag} must be a number of 0 or more, not {value:g}")
        for what in ("coverage", "exposure"):
            low, high = getattr(self, f"min_{what}"), getattr(self, f"max_{what}")
            if low is not None and high is not None and low >= high:
                raise InputError(f"{what} bounds must be min < max, not {low:g} and {high:g}")

    def for_size(self, size: int) -> "Rules":
        """The same with a smallest crop that fits pictures of `size` pixels, unless one was asked for."""
        if self.min_face is not None or self.min_crop_side is not None:
            return self
        return replace(self, min_crop_side=MIN_CROP_SHARE * size)

    def bounds(self) -> tuple[Bound, ...]:
        """Those that ask for something, in the order in which they are tried."""
        found = []
        for entry in _TABLE:
            value = getattr(self, entry.rule)
            if value is None or value is False:
                continue
            limit = float(value)
            low, high = {"min": (limit, None), "max": (None, limit), "both": (-limit, limit)}[entry.side]
            found.append(Bound(entry.measurement, low, high, entry.reason))
        return tuple(found)


@dataclass(frozen=True)
class _Entry:
    """One line of the table. side: "min", "max" or "both" (plus and minus). words: with {it}, {limit}."""

    rule: str
    measurement: str
    side: str
    reason: str
    words: str


_TABLE = (
    _Entry("min_face", "face_size", "min", "too-small",
           "the face is {it:.0f} pixels large, {limit:.0f} are needed"),
    _Entry("min_crop_side", "crop_side", "min", "too-small",
           "the crop is {it:.0f} pixels wide, {limit:.0f} are needed"),
    _Entry("min_score", "score", "min", "unsure", "the finder is {it:.2f} sure, at least {limit:.2f}"),
    _Entry("single_face", "num_faces", "max", "several-faces", "{it:.0f} faces were found, one is asked for"),
    _Entry("min_coverage", "coverage", "min", "covers-too-little",
           "the face covers {it:.1%} of the picture, at least {limit:.1%}"),
    _Entry("max_coverage", "coverage", "max", "covers-too-much",
           "the face covers {it:.1%} of the picture, at most {limit:.1%}"),
    _Entry("max_yaw", "yaw", "both", "turned", "turned by {it:.0f} degrees, at most {limit:.0f} to a side"),
    _Entry("max_pitch", "pitch", "both", "nodding", "nods by {it:.0f} degrees, at most {limit:.0f}"),
    _Entry("max_roll", "roll", "both", "tilted", "tilted by {it:.0f} degrees, at most {limit:.0f}"),
    _Entry("min_sharpness", "sharpness", "min", "blurred", "sharpness {it:.2f}, at least {limit:.2f}"),
    _Entry("max_mask", "mask", "max", "masked", "mask {it:.2f}, at most {limit:.2f}"),
    _Entry("min_eyes_open", "eyes_open", "min", "eyes-closed", "eyes open {it:.2f}, at least {limit:.2f}"),
    _Entry("max_mouth_open", "mouth_open", "max", "mouth-open", "mouth open {it:.2f}, at most {limit:.2f}"),
    _Entry("max_glasses", "glasses", "max", "glasses", "glasses {it:.2f}, at most {limit:.2f}"),
    _Entry("min_exposure", "exposure", "min", "too-dark", "mean brightness {it:.2f}, at least {limit:.2f}"),
    _Entry("max_exposure", "exposure", "max", "too-bright", "mean brightness {it:.2f}, at most {limit:.2f}"),
    _Entry("min_contrast", "contrast", "min", "flat", "contrast {it:.2f}, at least {limit:.2f}"),
    _Entry("min_colour", "colour", "min", "gray", "colour {it:.3f}, at least {limit:.3f}"),
)  # fmt: skip


def judge(measurements: Mapping[str, float], rules: Rules) -> Drop | None:
    """The first rule that the measurements of a face break, or None. What was not measured breaks none."""
    for entry in _TABLE:
        limit, value = getattr(rules, entry.rule), measurements.get(entry.measurement)
        if limit is None or limit is False or value is None:
            continue
        broken = {"min": value < limit, "max": value > limit, "both": abs(value) > limit}[entry.side]
        if broken:
            return Drop(entry.reason, entry.words.format(it=value, limit=limit))
    return None
