"""A run's training log: curves, warnings and rescues."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mien.core.run import RunFolder
from mien.reports.charts import Mark, Series

_NOT_CURVES = frozenset({"nimg", "step", "Progress/kimg", "Timing/total_sec", "event", "undone"})
_FATAL = ("nonfinite", "penalty", "exploded")  # the monitor's kinds that call for a rescue


@dataclass(frozen=True)
class Incident:
    """A warning or rescue, or several of one kind. kimgs: when. undone: it was rolled back."""

    event: str
    kind: str
    text: str
    kimgs: tuple[float, ...]
    undone: bool


@dataclass(frozen=True)
class Group:
    """Curves that share a chart."""

    title: str
    unit: str
    about: str
    series: tuple[Series, ...]


@dataclass(frozen=True)
class Log:
    """A parsed log. num_damaged: lines that could not be read. diverged: the run ended by diverging."""

    ticks: tuple[Mapping[str, Any], ...]
    incidents: tuple[Incident, ...]
    marks: tuple[Mark, ...]
    num_damaged: int
    diverged: bool

    @property
    def nimg(self) -> float:
        return max((kimg_of(tick) or 0.0 for tick in self.ticks), default=0.0) * 1000

    @property
    def seconds(self) -> float:
        totals = [_float(tick.get("Timing/total_sec")) for tick in self.ticks]
        return max((value for value in totals if value is not None and math.isfinite(value)), default=0.0)

    def count(self, event: str) -> int:
        """How many warnings ("warning") or rescues ("rescue") there were."""
        return sum(len(incident.kimgs) for incident in self.incidents if incident.event == event)


def read_log(run: RunFolder) -> Log:
    """Read `log.jsonl`; lines that are damaged or have no time are left out and counted."""
    try:
        lines, records = run.log.read_bytes().split(b"\n"), run.read_log()
    except (OSError, RecursionError):
        lines, records = [], []
    timed = [record for record in records if kimg_of(record) is not None]
    damaged = sum(bool(line.strip()) for line in lines) - len(timed)
    events = [record for record in timed if "event" in record]
    ticks = [record for record in timed if "event" not in record]
    ticks.sort(key=lambda tick: kimg_of(tick) or 0.0)
    marks = tuple(
        Mark(kimg_of(event) or 0.0, str(event["event"]), str(event.get("text", ""))) for event in events
    )
    # A rescue would stand behind the symptom; a run that goes on has ticks behind it.
    last = records[-1] if records else {}
    diverged = last.get("kind") in _FATAL and last.get("event") in ("warning", "diverged")
    return Log(tuple(ticks), tuple(_grouped(events)), marks, damaged, diverged)


def groups(ticks: Sequence[Mapping[str, Any]]) -> list[Group]:
    """The logged curves by topic, in the order of the report; only those that exist."""
    names = [name for tick in ticks for name in tick if name not in _NOT_CURVES]
    by_topic: dict[str, list[Series]] = {}
    for name in dict.fromkeys(names):
        values = [(kimg_of(tick) or 0.0, _float(tick.get(name))) for tick in ticks]
        points = [(kimg, value) for kimg, value in values if value is not None]
        if points:
            by_topic.setdefault(_topic(name), []).append(Series(_short(name), points))
    return [Group(*_TOPICS[topic], tuple(by_topic[topic])) for topic in _TOPICS if topic in by_topic]


_TOPICS = {
    "scores": (
        "Discriminator's scores",
        "",
        "How real the discriminator finds real and generated pictures. A gap that grows without end means"
        " that it has won; lines that stay near each other mean a fair game.",
    ),
    "losses": (
        "Losses",
        "",
        "Generator and discriminator show a balance, not quality: they need not fall. Any other should.",
    ),
    "signs": (
        "Sign of the discriminator's score on real pictures",
        "",
        "Its mean: near 1 the discriminator knows its training pictures by heart. ADA holds it near 0.6.",
    ),
    "penalties": (
        "Gradient penalties",
        "",
        "How steep the discriminator is. A jump by a factor of 20 or more is the sign of divergence.",
    ),
    "gradients": (
        "Gradient norms",
        "",
        "How strongly each update pulls. Far-apart lines mean that one network outruns the other.",
    ),
    "evaluation": (
        "On people kept out",
        "",
        "What is read right of people who are not learnt from. AUC: 1 is perfect, 0.5 is guessing.",
    ),
    "errors": ("Mean absolute error on people kept out", "", "Of numbers, in their own unit."),
    "speed": ("Speed", "images a second", "The whole loop: grids and checkpoints included."),
    "others": ("Other figures", "", "What else the family logs."),
}


def _topic(name: str) -> str:
    if name.startswith("Loss/scores/"):
        return "scores"
    if name.startswith("Loss/signs/"):
        return "signs"
    if name.endswith("_penalty"):
        return "penalties"
    if name.startswith("Loss/"):
        return "losses"
    if name.startswith("Grad/"):
        return "gradients"
    if name.startswith("Eval/"):
        return "errors" if name.startswith("Eval/mae/") else "evaluation"
    return "speed" if name == "Timing/img_per_sec" else "others"


def _short(name: str) -> str:
    """The curve's name without the words of the chart's title."""
    known = {"g": "generator", "d": "discriminator", "penalty": "penalty"}
    if name.startswith("Grad/"):
        return known.get(name[5:], name[5:])
    if name.startswith(("Loss/scores/", "Loss/signs/")):
        what = name.rpartition("/")[2]
        return {"real": "real pictures", "fake": "generated pictures"}.get(what, what)
    if name.endswith("_penalty"):
        return name.rpartition("/")[2].removesuffix("_penalty").upper()
    if name.startswith("Loss/") and name.endswith("/loss"):
        return known.get(name[5:-5].lower(), name[5:-5])
    if name.startswith("Eval/"):
        return name[5:].removeprefix("mae/").replace("auc", "mean AUC").replace("accuracy/", "accuracy of ")
    return "whole loop" if name == "Timing/img_per_sec" else name


def _grouped(events: Sequence[Mapping[str, Any]]) -> Iterator[Incident]:
    """Events in order of their first appearance; warnings of one kind become one entry."""
    by_kind: dict[object, list[Mapping[str, Any]]] = {}
    for index, event in enumerate(events):
        kind = (str(event.get("kind")), bool(event.get("undone")))
        by_kind.setdefault(kind if event["event"] == "warning" else index, []).append(event)
    for group in by_kind.values():
        newest = group[-1]
        yield Incident(
            event=str(newest["event"]),
            kind=str(newest.get("kind", "")),
            text=str(newest.get("text", json.dumps(newest, default=str))),
            kimgs=tuple(kimg_of(event) or 0.0 for event in group),
            undone=bool(newest.get("undone")),
        )


def kimg_of(record: Mapping[str, Any]) -> float | None:
    """The time of a record in thousands of training images; None where it has none."""
    nimg = _float(record.get("nimg"))
    kimg = nimg / 1000 if nimg is not None else _float(record.get("Progress/kimg"))
    return kimg if kimg is not None and math.isfinite(kimg) and kimg >= 0 else None


def _float(value: object) -> float | None:
    """A number of the log as a float (NaN and infinities included), None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
