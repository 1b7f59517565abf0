"""The result of `mien worth` as a table, as sentences, and as the page `worth.html`."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from mien.core.events import Column, Event, Notice, Table
from mien.core.image import evenly_spaced
from mien.core.provenance import SourceType
from mien.core.score import Interval
from mien.core.types import Dataset
from mien.evaluation.worth_scores import ArmScore, Gain, Scale, Worth
from mien.evaluation.worth_sets import AUGMENTED, BESIDE, REAL, Sets
from mien.reports.charts import interval_chart
from mien.reports.inline_images import Shown, show_strip
from mien.reports.page import write_html

_PICTURES = 12
_TONES = {"better": "good", "unclear": "plain", "worse": "doubt"}

_ADDED = ("helps", "makes no difference that can be seen", "hurts")
_OTHER = ("is better than", "is neither better nor worse, as far as can be seen, than", "is worse than")
_PLACE = {"better": 0, "unclear": 1, "worse": 2}


def verdict(arm: str, result: Gain, scale: Scale) -> str:
    """A sentence: "adding refined helps: MAE better by 1.20° than with real alone (0.80° to 1.60°)"."""
    place, by = _PLACE[result.verdict], f"{scale.names[0]} {_by(result.gain, scale)}"
    if result.over == REAL and (arm == AUGMENTED or arm.startswith(BESIDE)):
        what = "classical augmentation" if arm == AUGMENTED else f"adding {arm.removeprefix(BESIDE)}"
        return f"{what} {_ADDED[place]}: {by} than {REAL} alone"
    return f"{arm} {_OTHER[place]} {result.over}: {by}"


def _by(gain: Interval, scale: Scale) -> str:
    """A gain in words: "better by 1.20° (0.80° to 1.60°)"."""
    word, sign = ("better", 1) if gain.value >= 0 else ("worse", -1)
    low, high = sorted((sign * gain.low, sign * gain.high))
    return f"{word} by {scale.formatted(abs(gain.value))} ({scale.formatted(low)} to {scale.formatted(high)})"


def value_and_interval(score: Interval, scale: Scale, *, signed: bool = False) -> tuple[str, str]:
    """Score and interval as two texts: "6.21°" and "6.02° to 6.40°"."""
    interval = " to ".join(scale.formatted(bound, signed=signed) for bound in (score.low, score.high))
    return scale.formatted(score.value, signed=signed), interval


def compared(result: Worth) -> list[str]:
    """The arms that others are compared with, real first, as they are named in the table."""
    return list(dict.fromkeys(_short(gain.over) for arm in result.arms for gain in arm.gains))


def gain_over(arm: ArmScore, against: str) -> Gain | None:
    """The arm's gain over the arm `against`, if they were compared."""
    return next((gain for gain in arm.gains if _short(gain.over) == against), None)


def summary(result: Worth) -> str:
    """Test set, seeds and baseline in one line."""
    guess = result.scale.formatted(result.guess[result.figures[0]])
    return (
        f"{result.label}: {result.seeds} models of each kind with {result.updates:,} updates each, tested on"
        f" {result.num_test:,} real pictures of {result.num_people:,} people ({result.real}), {result.how};"
        f" always saying the same: {result.figures[0]} {guess}"
    )


def result_events(result: Worth) -> list[Event]:
    """A table with a row for each arm, then the verdicts."""
    columns = (
        Column("learnt from"),
        *(Column(name, numbers=True) for name in ("pictures", *result.figures, f"gain over {REAL}")),
    )
    rows = []
    for arm in result.arms:
        scores = [_cell(score, result.scale) for score in arm.figures.values()]
        over = gain_over(arm, REAL)
        gained = "" if over is None else _cell(over.gain, result.scale, signed=True)
        rows.append((arm.name, f"{arm.num_real:,} + {arm.num_synthetic:,}", *scores, gained))
    lines = (
        "pictures: real + synthetic; under a figure: its 95 % interval over seeds and test people; a gain"
        " above 0 is better",
        *(f"- {sentence}" for sentence in result.verdicts),
        *result.warnings,
    )
    return [Notice(summary(result)), Table(columns, tuple(rows)), *map(Notice, lines)]


def _short(over: str) -> str:
    return over.removeprefix(BESIDE)


def _cell(score: Interval, scale: Scale, *, signed: bool = False) -> str:
    """The score, and its interval in a second line, narrow enough for a terminal of 80 columns."""
    value, interval = value_and_interval(score, scale, signed=signed)
    return f"{value}\n{interval.replace(scale.unit, '') if scale.unit else interval}"


def write_page(result: Worth, sets: Sets, path: Path) -> None:
    """Write the page, whole or not at all."""
    against = compared(result)
    context = {
        "label": result.label,
        "about": summary(result),
        "verdict": [
            (_TONES[gain.verdict], verdict(arm.name, gain, result.scale))
            for arm in result.arms
            for gain in arm.gains
        ]
        + [("doubt", warning) for warning in result.warnings],
        "facts": _facts(result),
        "headings": [*result.figures, *(f"gain over {name}" for name in against)],
        "rows": _rows(result, against),
        "charts": _charts(result, against),
        "pictures": _pictures(sets),
        "notes": result.notes,
        "settings": sorted(result.config.items()),
    }
    write_html(path, "worth.html.j2", context)


def _charts(result: Worth, against: Sequence[str]) -> list[tuple[str, Markup]]:
    """The main score of every arm, and the gains over each arm of comparison."""
    first = result.figures[0]
    rows = [(arm.name, arm.figures[first], arm.each) for arm in result.arms]
    direction = "more" if result.higher else "less"
    title = f"{first} on real test people; {direction} is better"
    charts = [(title, interval_chart(rows, title=title, unit=result.unit, zero=False))]
    for name in against:
        gains = [
            (arm.name, gain.gain, ()) for arm in result.arms if (gain := gain_over(arm, name)) is not None
        ]
        title = f"gain over {name}; right of 0 is better"
        charts.append((title, interval_chart(gains, title=title, unit=result.unit, zero=True)))
    return charts


def _rows(result: Worth, against: Sequence[str]) -> list[tuple[str, list[tuple[str, str]]]]:
    rows = []
    for arm in result.arms:
        cells = [(f"{arm.num_real:,}", ""), (f"{arm.num_synthetic:,}", "")]
        cells += [value_and_interval(score, result.scale) for score in arm.figures.values()]
        gains = [gain_over(arm, name) for name in against]
        cells += [
            ("", "") if gain is None else value_and_interval(gain.gain, result.scale, signed=True)
            for gain in gains
        ]
        rows.append((arm.name, cells))
    return rows


def _facts(result: Worth) -> list[tuple[str, str]]:
    return [
        ("Label", result.label),
        ("Real pictures to learn from", f"{result.arms[0].num_real:,}"),
        ("Real test pictures", f"{result.num_test:,} of {result.num_people:,} people"),
        ("Models of each kind", str(result.seeds)),
        ("Updates of each", f"{result.updates:,}"),
        (
            f"{result.figures[0]} of always saying the same",
            result.scale.formatted(result.guess[result.figures[0]]),
        ),
    ]


def _pictures(sets: Sets) -> list[tuple[str, Shown]]:
    """Some images of each set, the real test images first; the others are marked as synthetic."""
    shown: list[tuple[str, Dataset, SourceType | None]] = [(REAL, sets.test, None)]
    shown += [(name, view, SourceType.TRAINED) for name, view in sets.synthetic.items()]
    return [
        (name, show_strip(view.images(evenly_spaced(view, _PICTURES)), f"pictures of {name}", made=made))
        for name, view, made in shown
    ]
