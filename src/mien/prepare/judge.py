"""Keep or drop: a table of rules with thresholds, each drop with a code and a sentence.

Rules take measurements, not pixels, so that a manifest can be judged again with others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from mien.core.errors import InputError

# All that may be measured; see `measure`.
MEASUREMENTS = (
    *("coverage", "face_size", "crop_side", "num_faces", "score", "roll", "yaw", "pitch", "sharpness"),
    *("exposure", "contrast", "eyes_open", "mouth_open", "mask", "glasses", "colour", "real_size"),
    "own_sharpness",
    *("shadows", "highlights", "tint", "padding", "drawing"),
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
        How sure the finder must be, 0 to 1; under 0.5 it has only guessed where a face may be.
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
    max_shadows
        Drop faces lost in light: the brightness of the face's darkest twentieth, 0 to 1.
    min_highlights
        Drop faces lost in the dark: the brightness of the face's brightest twentieth, 0 to 1.
    min_contrast
        Flattest face, 0 to 1.
    min_colour
        Drop gray, sepia and toned pictures: 0 is monochrome, 0.02 already coloured.
    max_drawing
        Drop line drawings and engravings: a guess, 0 (a photograph) to 1.
    max_padding
        Largest share of the crop that lies off the picture and is made up, 0 to 1.
    single_face
        Drop pictures with several faces instead of taking the largest.
    """

    min_face: float | None = None
    min_crop_side: float | None = None
    min_score: float | None = 0.5  # less are guesses; see `averted`
    min_coverage: float | None = 0.001  # of 4000 by 3000 pixels, a face of 110: whole, upright and sharp
    max_coverage: float | None = 0.75
    min_sharpness: float | None = 0.25
    max_yaw: float | None = 45.0
    max_pitch: float | None = 35.0
    max_roll: float | None = None
    min_eyes_open: float | None = 0.35
    max_mouth_open: float | None = None
    max_mask: float | None = 0.9
    max_glasses: float | None = None
    min_exposure: float | None = None
    max_exposure: float | None = None
    max_shadows: float | None = 0.88
    min_highlights: float | None = 0.1
    min_contrast: float | None = None
    min_colour: float | None = None
    max_drawing: float | None = None
    max_padding: float | None = None
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

    def asked(self) -> "Rules":
        """Only those that differ from the defaults, which are for faces."""
        defaults = [rule.name for rule in fields(self) if getattr(self, rule.name) == rule.default]
        return replace(self, **(dict.fromkeys(defaults) | {"single_face": False}))  # type: ignore[arg-type]

    def bounds(self) -> tuple[Bound, ...]:
        """Those that ask for something, in the order in which they are tried."""
        bounds = []
        for entry in _TABLE:
            value = getattr(self, entry.rule)
            if value is None or value is False:
                continue
            limit = float(value)
            low, high = {"min": (limit, None), "max": (None, limit), "both": (-limit, limit)}[entry.side]
            bounds.append(Bound(entry.measurement, low, high, entry.reason))
        return tuple(bounds)


@dataclass(frozen=True)
class _Entry:
    """One line of the table. side: "min", "max" or "both" (plus and minus).

    words: with {it} and {limit}, which are written in `form`.
    """

    rule: str
    measurement: str
    side: str
    reason: str
    words: str
    form: str = ".2f"


_TABLE = (
    _Entry("min_score", "score", "min", "unsure",
           "the finder is {it} sure that this is a face (averted, drawn or shaded?), at least {limit}"),
    _Entry("min_face", "face_size", "min", "too-small",
           "the face is {it} pixels large, {limit} are needed", ".0f"),
    _Entry("min_crop_side", "crop_side", "min", "too-small",
           "the crop is {it} pixels wide, {limit} are needed", ".0f"),
    _Entry("single_face", "num_faces", "max", "several-faces",
           "{it} faces were found, one is asked for", ".0f"),
    _Entry("min_coverage", "coverage", "min", "covers-too-little",
           "the face covers {it} of the picture, at least {limit}", ".1%"),
    _Entry("max_coverage", "coverage", "max", "covers-too-much",
           "the face covers {it} of the picture, at most {limit}", ".1%"),
    _Entry("max_padding", "padding", "max", "padded",
           "{it} of the crop lies off the picture, at most {limit}", ".1%"),
    _Entry("max_yaw", "yaw", "both", "turned", "turned by {it} degrees, at most {limit} to a side", ".0f"),
    _Entry("max_pitch", "pitch", "both", "nodding", "nods by {it} degrees, at most {limit}", ".0f"),
    _Entry("max_roll", "roll", "both", "tilted", "tilted by {it} degrees, at most {limit}", ".0f"),
    _Entry("min_sharpness", "sharpness", "min", "blurred", "sharpness {it}, at least {limit}"),
    _Entry("max_mask", "mask", "max", "masked", "mask {it}, at most {limit}"),
    _Entry("min_eyes_open", "eyes_open", "min", "eyes-closed", "eyes open {it}, at least {limit}"),
    _Entry("max_mouth_open", "mouth_open", "max", "mouth-open", "mouth open {it}, at most {limit}"),
    _Entry("max_glasses", "glasses", "max", "glasses", "glasses {it}, at most {limit}"),
    _Entry("min_highlights", "highlights", "min", "too-dark",
           "even the brightest parts have brightness {it}, at least {limit}"),
    _Entry("max_shadows", "shadows", "max", "too-bright",
           "even the darkest parts have brightness {it}, at most {limit}"),
    _Entry("min_exposure", "exposure", "min", "too-dark", "mean brightness {it}, at least {limit}"),
    _Entry("max_exposure", "exposure", "max", "too-bright", "mean brightness {it}, at most {limit}"),
    _Entry("min_contrast", "contrast", "min", "flat", "contrast {it}, at least {limit}"),
    _Entry("max_drawing", "drawing", "max", "drawn", "drawing {it}, at most {limit}"),
    _Entry("min_colour", "colour", "min", "gray", "colour {it}, at least {limit}", ".3f"),
)  # fmt: skip

RULE_REASONS = frozenset(entry.reason for entry in _TABLE)


def judge(measurements: Mapping[str, float], rules: Rules) -> Drop | None:
    """The first rule that the measurements of a face break, or None. What was not measured breaks none."""
    for entry in _TABLE:
        limit, value = getattr(rules, entry.rule), measurements.get(entry.measurement)
        if limit is None or limit is False or value is None:
            continue
        broken = {"min": value < limit, "max": value > limit, "both": abs(value) > limit}[entry.side]
        if broken:
            return Drop(entry.reason, _sentence(entry, value, float(limit)) + _of_group(entry, measurements))
    return None


def _of_group(entry: _Entry, measurements: Mapping[str, float]) -> str:
    """What to do where a photo of several people was judged as if it were of one."""
    count = measurements.get("num_faces", 1)
    if count < 2 or entry.rule not in ("min_coverage", "single_face"):
        return ""
    among = "" if entry.rule == "single_face" else f" and is one of {count:.0f}"
    return f"{among}; --faces all takes every face"


_MOST_DIGITS = 12


def _sentence(entry: _Entry, value: float, limit: float) -> str:
    """Value and limit in as many digits as tell them apart: never "0.35, at least 0.35"."""
    first, kind = int(entry.form[1]), entry.form[2]
    for digits in range(first, _MOST_DIGITS):
        it, most = f"{value:.{digits}{kind}}", f"{limit:.{digits}{kind}}"
        if it.lstrip("-") != most:
            break
    return entry.words.format(it=it, limit=most)
