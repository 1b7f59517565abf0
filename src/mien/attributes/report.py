"""`mien report` of a run that trained an attribute model: one page that stands alone."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from mien import TOOL
from mien.attributes.agreement import Bin, Number, OneOf, YesNo
from mien.attributes.scores import (
    AttributeExamination,
    load,
    read,
    strongest_first,
    summary,
    test_side,
    value_and_interval,
)
from mien.core.atomic import write_bytes
from mien.core.errors import InputError, MienError
from mien.core.events import Tick
from mien.core.network import LoadedNetwork
from mien.core.run import RunFolder
from mien.core.types import Dataset
from mien.datasets.opening import open_dataset
from mien.models.attributes import KIND, Reader
from mien.reports.charts import number
from mien.reports.inline_images import Shown, show_real
from mien.reports.log import Log, read_log
from mien.reports.page import files_of, log_parts, render
from mien.reports.sentences import dig, facts
from mien.training.settings import pick_device

_GOOD, _POOR = 0.9, 0.7  # AUC
_NUM_WORST = 8  # labels whose mistakes are shown
_NUM_MISTAKES = 4
_NUM_CURVES = 18
_SIDE, _MARGIN = 120, 14  # of a reliability curve


def write_report(
    run: Path,
    *,
    data: str | None = None,
    out: Path | None = None,
    device: str = "cpu",
    progress: Tick | None = None,
) -> Path:
    """Write the report of a run folder as one HTML page and return its path; arguments as of `mien report`.

    The figures are those of the newest line of `metric-attributes.jsonl` about people the model never saw;
    the mistakes are read anew. What is missing costs its part of the page, which says so. Raises InputError.
    """
    folder = RunFolder.open(run)
    pick_device(device)
    target = out or folder.report
    if target.is_dir():
        raise InputError(f"{target}: is a folder; give --out the name of a file")
    page = render("attributes.html.j2", _gather(folder, data, progress))
    write_bytes(target, page.encode("utf-8", "replace"))
    return target


def _gather(run: RunFolder, data: str | None, progress: Tick | None) -> dict[str, Any]:
    """All that the template shows, by name."""
    config, config_note = _tried(run.read_config, {})
    loaded, loaded_note = _tried(lambda: load(run.path), None)
    examinations, damage = _tried(lambda: AttributeExamination.of_run(run), [])
    found = _newest(examinations)
    log = read_log(run)
    mistakes, mistakes_note = _mistakes(loaded, found, data or dig(config, "dataset", "source"), progress)
    yes_nos = [] if found is None else strongest_first(found)
    every = [*yes_nos, *(value for one in _all(found, OneOf) for value in one.each)]
    return {
        "run": run.name,
        "tool": TOOL,
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "lead": _lead(config, loaded, log),
        "verdict": list(_verdict(found, yes_nos, log)),
        "facts": [pair for pair in facts(config, None, log) if pair[0] != "Newest generator"]
        + ([("Model", loaded.model)] if loaded else []),
        "found": found,
        "note": " ".join(filter(None, (loaded_note, damage))),
        "rows": [_row(one) for one in yes_nos],
        "confusions": [_confusion(one) for one in _all(found, OneOf)],
        "numbers_read": [_number(one) for one in _all(found, Number)],
        "curves": [
            (one.name, f"{one.ece:.3f}", reliability_chart(one.name, one.curve))
            for one in sorted(every, key=lambda one: -one.ece)[:_NUM_CURVES]
        ],
        "mistakes": mistakes,
        "mistakes_note": mistakes_note,
        **log_parts(log),
        "config": json.dumps(config, indent=2, ensure_ascii=False, default=str) if config else "",
        "config_note": config_note,
        "files": files_of(_files(run)),
    }


def reliability_chart(name: str, curve: Sequence[Bin]) -> Markup:
    """A small reliability curve as inline SVG; the area of a dot is the share of pictures in its bin."""

    def place(bin_: Bin) -> tuple[float, float]:
        inner = _SIDE - 2 * _MARGIN
        return _MARGIN + bin_.predicted * inner, _SIDE - _MARGIN - bin_.observed * inner

    total = sum(one.count for one in curve)
    dots = Markup("").join(
        Markup('<circle class="dot s0" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"><title>{}</title></circle>').format(
            *place(one),
            1.5 + 5 * (one.count / total) ** 0.5,
            f"said {one.predicted:.2f}, true {one.observed:.2f}, {one.count} pictures",
        )
        for one in curve
    )
    line = " ".join(
        f"{'M' if index == 0 else 'L'}{x:.1f} {y:.1f}" for index, (x, y) in enumerate(map(place, curve))
    )
    return Markup(
        '<svg class="chart" viewBox="0 0 {0} {0}" role="img" aria-label="{1}">'
        '<path class="rule" d="M{2} {3}L{3} {2}"/><path class="s0" d="{4}"/>{5}</svg>'
    ).format(_SIDE, f"reliability of {name}", _MARGIN, _SIDE - _MARGIN, line, dots)


def _tried(action: Callable[[], Any], otherwise: Any) -> tuple[Any, str]:
    """What `action` gives, or `otherwise` and why not."""
    try:
        return action(), ""
    except MienError as error:
        return otherwise, f"{error}."


def _newest(found: Sequence[AttributeExamination]) -> AttributeExamination | None:
    """The last one about people who were kept out of training, else the last."""
    kept_out = [one for one in found if one.kept_out]
    return (kept_out or list(found) or [None])[-1]  # type: ignore[list-item]


def _all(found: AttributeExamination | None, kind: type[Any]) -> list[Any]:
    return [one for one in (found.readings if found else ()) if isinstance(one, kind)]


def _lead(config: Mapping[str, Any], loaded: LoadedNetwork[Reader] | None, log: Log) -> str:
    size, name = dig(config, "spec", "resolution"), dig(config, "dataset", "name")
    of_size = f" of {size} pixels" if size else ""
    labels = f" that reads {len(loaded.network.targets)} labels" if loaded else ""
    minutes = f" for {log.seconds / 60:.1f} minutes" if log.seconds else ""
    return f"A model{labels} off faces{of_size}, trained on {name or 'unknown pictures'}{minutes}."


def _verdict(
    found: AttributeExamination | None, yes_nos: Sequence[YesNo], log: Log
) -> Iterator[tuple[str, str]]:
    """Sentences with a tone: "good", "doubt" or "plain"."""
    if log.diverged or log.count("rescue"):
        yield "doubt", "Training diverged on the way; see the warnings."
    if found is None:
        yield "plain", "How well it reads has not been measured yet."
    else:
        yield from _yes_no_verdict(found, yes_nos)
        yield from _other_verdict(found)


def _yes_no_verdict(found: AttributeExamination, yes_nos: Sequence[YesNo]) -> Iterator[tuple[str, str]]:
    mean, count = found.mean_auc
    if mean is not None:
        tone = "good" if mean >= _GOOD else "plain" if mean >= _POOR else "doubt"
        whom = "people it never saw" if found.kept_out else "other pictures"
        yield (
            tone,
            f"On {whom} its mean AUC is {mean:.3f}, over {count} labels with 20 or more of either answer.",
        )
    if guessed := [one.name for one in yes_nos if one.auc and one.auc.low <= 0.5]:
        yield "doubt", f"Not told from guessing: {', '.join(guessed)}."
    if poor := [
        f"{one.name} {one.auc.value:.2f}" for one in yes_nos if one.auc and 0.5 < one.auc.low < _POOR
    ]:
        yield "doubt", f"Read poorly: {', '.join(poor)}."


def _other_verdict(found: AttributeExamination) -> Iterator[tuple[str, str]]:
    for other in found.readings:
        if isinstance(other, Number):
            beaten = other.mae.high < other.mae_of_median
            yield "good" if beaten else "doubt", f"{other.name}: {summary(other)}."
        elif isinstance(other, OneOf):
            yield (
                "good" if other.accuracy.low > other.most_common else "doubt",
                f"{other.name}: {summary(other)}.",
            )
    if not found.kept_out:
        yield "doubt", f"These pictures are {found.how}."
    if found.how.endswith("flatter"):
        yield "doubt", "No person is known, so the same face may be on both sides; the figures may flatter."


Cell = tuple[str, str]  # a value, and its interval or ""


def _row(one: YesNo) -> tuple[str, list[Cell]]:
    (right_no, wrong_yes), (missed, right_yes) = one.confusion
    figures = [value_and_interval(figure) for figure in (one.auc, one.precision, one.recall, one.f1)]
    before = _cells(f"{one.count:,}", f"{one.base_rate:.1%}")
    counts = [f"{count:,}" for count in (right_no, wrong_yes, missed, right_yes)]
    return one.name, [*before, *figures, *_cells(*counts, f"{one.ece:.3f}", f"{one.brier:.3f}")]


def _confusion(one: OneOf) -> dict[str, Any]:
    rows = []
    for value, counts, reading in zip(one.values, one.confusion, one.each, strict=True):
        figures = [value_and_interval(figure) for figure in (reading.auc, reading.precision, reading.recall)]
        rows.append((value, [*_cells(*map(str, counts)), *figures]))
    return {"name": one.name, "about": summary(one), "values": one.values, "rows": rows}


def _number(one: Number) -> tuple[str, list[Cell]]:
    rest = ["-" if value is None else f"{value:.2f}" for value in (one.r2, one.correlation)]
    errors = [value_and_interval(one.mae), (f"{one.mae_of_median:.3g}", ""), value_and_interval(one.rmse)]
    return one.name, [*_cells(f"{one.count:,}"), *errors, *_cells(f"{one.bias:+.3g}", *rest)]


def _cells(*texts: str) -> list[Cell]:
    return [(text, "") for text in texts]


def _mistakes(
    loaded: LoadedNetwork[Reader] | None,
    found: AttributeExamination | None,
    source: Any,
    progress: Tick | None,
) -> tuple[list[tuple[str, list[Shown]]], str]:
    """For the labels read worst, the held-out pictures whose answer was farthest from the label."""
    if loaded is None or found is None or not isinstance(source, str):
        return [], "There is nothing to show without a model, its figures and the pictures."
    try:
        dataset = open_dataset(source, progress=progress)
        side, _, _ = test_side(loaded, dataset)
        predicted = read(loaded.network, side, np.arange(len(side)), progress=progress)
    except MienError as error:
        return [], f"The pictures are not at hand: {error}."
    assert side.labels is not None
    worst = [one.name for one in strongest_first(found) if one.auc][-_NUM_WORST:][::-1]
    targets = {target.name: target.start for target in loaded.network.targets if target.kind == "yes-no"}
    return [
        (name, _surest(side, side.labels[:, targets[name]], predicted[:, targets[name]]))
        for name in worst
        if name in targets
    ], ""


def _surest(side: Dataset, truth: np.ndarray, predicted: np.ndarray) -> list[Shown]:
    known = np.flatnonzero(~np.isnan(truth))
    order = known[np.argsort(-np.abs(truth[known] - predicted[known]), kind="stable")][:_NUM_MISTAKES]
    words = {0.0: "no", 1.0: "yes"}
    return [
        show_real(
            side, int(index), f"said {predicted[index]:.2f}, label {words.get(float(truth[index]), '?')}"
        )
        for index in order
    ]


def _files(run: RunFolder) -> list[tuple[Path, str]]:
    wanted: list[tuple[Path, str]] = [(run.path / "config.json", "configuration"), (run.log, "log")]
    wanted += [(path, f"model at {number(int(path.stem[-6:]))} kimg") for path in run.products(KIND)[-1:]]
    return [*wanted, *((path, "figures") for path in sorted(run.path.glob("metric-*.jsonl")))]
