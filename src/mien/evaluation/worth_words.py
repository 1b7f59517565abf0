"""What `mien worth` found, in a table and in plain sentences."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from mien.attributes.agreement import Interval
from mien.evaluation.worth_scores import ArmScore, Gain, Scale, Worth
from mien.evaluation.worth_sets import AUGMENTED, BESIDE, REAL

_ADDED = ("helps", "makes no difference that can be seen", "hurts")
_OTHER = ("is better than", "is neither better nor worse, as far as can be seen, than", "is worse than")
_PLACE = {"better": 0, "unclear": 1, "worse": 2}


def verdict(arm: str, found: Gain, scale: Scale) -> str:
    """A sentence: "adding refined helps: MAE better by 1.20° than with real alone (0.80° to 1.60°)"."""
    place, by = _PLACE[found.verdict], f"{scale.names[0]} {_by(found.gain, scale)}"
    if found.over == REAL and (arm == AUGMENTED or arm.startswith(BESIDE)):
        what = "classical augmentation" if arm == AUGMENTED else f"adding {arm.removeprefix(BESIDE)}"
        return f"{what} {_ADDED[place]}: {by} than {REAL} alone"
    return f"{arm} {_OTHER[place]} {found.over}: {by}"


def _by(gain: Interval, scale: Scale) -> str:
    """ "better by 1.20° (0.80° to 1.60°)"."""
    word, sign = ("better", 1) if gain.value >= 0 else ("worse", -1)
    low, high = sorted((sign * gain.low, sign * gain.high))
    return f"{word} by {scale.told(abs(gain.value))} ({scale.told(low)} to {scale.told(high)})"


def told(figure: Interval, scale: Scale, *, signed: bool = False) -> tuple[str, str]:
    """ "6.21°" and "6.02° to 6.40°"."""
    ends = " to ".join(scale.told(end, signed=signed) for end in (figure.low, figure.high))
    return scale.told(figure.value, signed=signed), ends


def compared(found: Worth) -> list[str]:
    """The arms that others are held against, real first, as they are named in the table."""
    return list(dict.fromkeys(_short(gain.over) for arm in found.arms for gain in arm.gains))


def gain_over(arm: ArmScore, against: str) -> Gain | None:
    """The arm's gain over what stands in the column `against`, if it was compared with that."""
    return next((gain for gain in arm.gains if _short(gain.over) == against), None)


def about(found: Worth) -> str:
    """What all figures are of, in a line."""
    guess = found.scale.told(found.guess[found.figures[0]])
    return (
        f"{found.label}: {found.seeds} models of each kind with {found.updates:,} updates each, tested on"
        f" {found.num_test:,} real pictures of {found.num_people:,} people ({found.real}), {found.how};"
        f" always saying the same: {found.figures[0]} {guess}"
    )


def table(found: Worth) -> Group:
    """A row for each kind of training pictures, then the verdicts."""
    grid = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    grid.add_column("learnt from", no_wrap=True)
    for heading in ("pictures", *found.figures, f"gain over {REAL}"):
        grid.add_column(heading, justify="right", no_wrap=True)
    for arm in found.arms:
        figures = [_cell(figure, found.scale) for figure in arm.figures.values()]
        gain = gain_over(arm, REAL)
        said = "" if gain is None else _cell(gain.gain, found.scale, signed=True)
        grid.add_row(arm.name, f"{arm.num_real:,} + {arm.num_synthetic:,}", *figures, said)
    lines: list[RenderableType] = [
        about(found),
        grid,
        "pictures: real + synthetic; under a figure: its 95 % interval over seeds and test people; a gain"
        " above 0 is better",
        *(f"- {sentence}" for sentence in found.verdicts),
        *found.warnings,
    ]
    return Group(*lines)


def _short(over: str) -> str:
    return over.removeprefix(BESIDE)


def _cell(figure: Interval, scale: Scale, *, signed: bool = False) -> str:
    """The figure, and its interval in a second line, narrow enough for a terminal of 80 columns."""
    value, ends = told(figure, scale, signed=signed)
    return f"{value}\n{ends.replace(scale.unit, '') if scale.unit else ends}"
