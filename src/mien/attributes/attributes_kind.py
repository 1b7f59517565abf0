"""The kind "attributes": reads labels off images; what its runs leave behind, and their report."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from mien.attributes.agreement import Bin, Number, OneOf, YesNo
from mien.attributes.scores import (
    AttributeExamination,
    evaluate,
    evaluation_set,
    examine,
    load,
    quick_scores,
    read,
    strongest_first,
    summary,
)
from mien.core.checkpoint import model_id
from mien.core.errors import MienError
from mien.core.events import Tick
from mien.core.network import LoadedNetwork
from mien.core.run import RunFolder
from mien.core.score import value_and_interval
from mien.core.types import Dataset
from mien.datasets.opening import open_dataset
from mien.models import attributes
from mien.models.attributes import Reader
from mien.reports.charts import number
from mien.reports.inline_images import Shown, show_real
from mien.reports.log import Log, read_log
from mien.reports.page import attempt, report_path, run_parts, write_html
from mien.reports.sentences import dig, facts
from mien.training.kinds import Kind
from mien.training.outputs import ProductOutputs, Snapshot

_GLANCE = 512  # held-out pictures that are looked at during training
_GOOD, _POOR = 0.9, 0.7  # AUC
_NUM_WORST = 8  # labels whose mistakes are shown
_NUM_MISTAKES = 4
_NUM_CURVES = 18
_SIDE, _MARGIN = 120, 14  # of a reliability curve


class AttributeOutputs(ProductOutputs):
    """The outputs of a run of the family `attributes`; see `training.outputs.Outputs`."""

    kind, product = attributes.KIND, attributes.PRODUCT

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        assert self._lesson.held_out is not None
        self._held_out = self._lesson.held_out

    @property
    def _network(self) -> Reader:
        network = super()._network
        assert isinstance(network, Reader)
        return network

    def show(self) -> Snapshot:
        """The main scores on up to 512 held-out images; nothing is selected by them."""
        return Snapshot(quick_scores(self._network, self._held_out, _GLANCE))

    def end(self) -> None:
        """Evaluate the model on all held-out people, and store and show the result."""
        path = self._run.newest_product(self.kind)
        examination = examine(
            self._network,
            self._held_out,
            model_id(path),
            self._training.nimg,
            kept_out=True,
            how=f"kept out of training {self._lesson.how}",
        )
        examination.append(self._run)
        for event in examination.tables():
            self._events.send(event)


def write_report(
    run: Path, *, data: str | None = None, out: Path | None = None, progress: Tick | None = None
) -> Path:
    """Write the report of a run folder as one HTML page and return its path; arguments as of `mien report`.

    The scores are those of the newest line of `metric-attributes.jsonl` about held-out people;
    the mistakes are computed anew. What is missing costs its part of the page, which says so.
    Raises InputError.
    """
    folder = RunFolder.open(run)
    path = report_path(folder, out)
    write_html(path, "attributes.html.j2", _context(folder, data, progress))
    return path


def _context(run: RunFolder, data: str | None, progress: Tick | None) -> dict[str, Any]:
    """The template's variables by name."""
    config, config_note = attempt(run.read_config, {})
    loaded, loaded_note = attempt(lambda: load(run.path), None)
    examinations, damage = attempt(lambda: AttributeExamination.of_run(run), [])
    kept_out = [one for one in examinations if one.kept_out]
    examination = (kept_out or examinations or [None])[-1]
    log = read_log(run)
    newest = run.products(attributes.KIND)[-1:]
    products = [(path, f"model at {number(int(path.stem[-6:]))} kimg") for path in newest]
    source = data or dig(config, "dataset", "source")
    mistakes, mistakes_note = _mistakes(loaded, examination, source, progress)
    yes_nos = [] if examination is None else strongest_first(examination)
    binary = [*yes_nos, *(value for label in _all(examination, OneOf) for value in label.each)]
    return {
        "lead": _lead(config, loaded, log),
        "verdict": list(_verdict(examination, yes_nos, log)),
        "facts": facts(config, log) + ([("Model", loaded.model)] if loaded else []),
        "examination": examination,
        "note": " ".join(filter(None, (loaded_note, damage))),
        "rows": [_row(label) for label in yes_nos],
        "confusions": [_confusion(label) for label in _all(examination, OneOf)],
        "numbers_read": [_number(label) for label in _all(examination, Number)],
        "curves": [
            (label.name, f"{label.ece:.3f}", reliability_chart(label.name, label.curve))
            for label in sorted(binary, key=lambda label: -label.ece)[:_NUM_CURVES]
        ],
        "mistakes": mistakes,
        "mistakes_note": mistakes_note,
        **run_parts(run, log, config, products),
        "config_note": config_note,
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
    line = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in map(place, curve))
    return Markup(
        '<svg class="chart" viewBox="0 0 {0} {0}" role="img" aria-label="{1}">'
        '<path class="rule" d="M{2} {3}L{3} {2}"/><path class="s0" d="{4}"/>{5}</svg>'
    ).format(_SIDE, f"reliability of {name}", _MARGIN, _SIDE - _MARGIN, line, dots)


def _all(examination: AttributeExamination | None, kind: type[Any]) -> list[Any]:
    return [reading for reading in (examination.readings if examination else ()) if isinstance(reading, kind)]


def _lead(config: Mapping[str, Any], loaded: LoadedNetwork[Reader] | None, log: Log) -> str:
    size, name = dig(config, "spec", "resolution"), dig(config, "dataset", "name")
    of_size = f" of {size} pixels" if size else ""
    labels = f" that reads {len(loaded.network.targets)} labels" if loaded else ""
    minutes = f" for {log.seconds / 60:.1f} minutes" if log.seconds else ""
    return f"A model{labels} off faces{of_size}, trained on {name or 'unknown pictures'}{minutes}."


def _verdict(
    examination: AttributeExamination | None, yes_nos: Sequence[YesNo], log: Log
) -> Iterator[tuple[str, str]]:
    """Sentences with a tone: "good", "doubt" or "plain"."""
    if log.diverged or log.count("rescue"):
        yield "doubt", "Training diverged on the way; see the warnings."
    if examination is None:
        yield "plain", "How well it reads has not been measured yet."
    else:
        yield from _yes_no_verdict(examination, yes_nos)
        yield from _other_verdict(examination)


def _yes_no_verdict(examination: AttributeExamination, yes_nos: Sequence[YesNo]) -> Iterator[tuple[str, str]]:
    mean, count = examination.mean_auc
    if mean is not None:
        tone = "good" if mean >= _GOOD else "plain" if mean >= _POOR else "doubt"
        whom = "people it never saw" if examination.kept_out else "other pictures"
        labels = f"{count} labels with 20 or more of either answer"
        yield tone, f"On {whom} its mean AUC is {mean:.3f}, over {labels}."
    if chance_level := [label.name for label in yes_nos if label.auc and label.auc.low <= 0.5]:
        yield "doubt", f"Not told from guessing: {', '.join(chance_level)}."
    if poor := [
        f"{label.name} {label.auc.value:.2f}"
        for label in yes_nos
        if label.auc and 0.5 < label.auc.low < _POOR
    ]:
        yield "doubt", f"Read poorly: {', '.join(poor)}."


def _other_verdict(examination: AttributeExamination) -> Iterator[tuple[str, str]]:
    for label in examination.readings:
        if isinstance(label, Number):
            beaten = label.mae.high < label.mae_of_median
            yield "good" if beaten else "doubt", f"{label.name}: {summary(label)}."
        elif isinstance(label, OneOf):
            better = label.accuracy.low > label.most_common
            yield "good" if better else "doubt", f"{label.name}: {summary(label)}."
    if not examination.kept_out:
        yield "doubt", f"These pictures are {examination.how}."
    if examination.how.endswith("flatter"):
        yield "doubt", "No person is known, so the same face may be on both sides; the figures may flatter."


Cell = tuple[str, str]  # a value, and its interval or ""


def _row(label: YesNo) -> tuple[str, list[Cell]]:
    (true_negatives, false_positives), (false_negatives, true_positives) = label.confusion
    scores = [value_and_interval(score) for score in (label.auc, label.precision, label.recall, label.f1)]
    before = _cells(f"{label.count:,}", f"{label.base_rate:.1%}")
    counts = [f"{count:,}" for count in (true_negatives, false_positives, false_negatives, true_positives)]
    return label.name, [*before, *scores, *_cells(*counts, f"{label.ece:.3f}", f"{label.brier:.3f}")]


def _confusion(label: OneOf) -> dict[str, Any]:
    rows = []
    for value, counts, reading in zip(label.values, label.confusion, label.each, strict=True):
        scores = [value_and_interval(score) for score in (reading.auc, reading.precision, reading.recall)]
        rows.append((value, [*_cells(*map(str, counts)), *scores]))
    return {"name": label.name, "about": summary(label), "values": label.values, "rows": rows}


def _number(label: Number) -> tuple[str, list[Cell]]:
    rest = ["-" if value is None else f"{value:.2f}" for value in (label.r2, label.correlation)]
    count, median = _cells(f"{label.count:,}", f"{label.mae_of_median:.3g}")
    errors = [value_and_interval(label.mae), median, value_and_interval(label.rmse)]
    return label.name, [count, *errors, *_cells(f"{label.bias:+.3g}", *rest)]


def _cells(*texts: str) -> list[Cell]:
    return [(text, "") for text in texts]


def _mistakes(
    loaded: LoadedNetwork[Reader] | None,
    examination: AttributeExamination | None,
    source: Any,
    progress: Tick | None,
) -> tuple[list[tuple[str, list[Shown]]], str]:
    """For the labels with the lowest AUC, the held-out images with the largest errors."""
    if loaded is None or examination is None or not isinstance(source, str):
        return [], "There is nothing to show without a model, its figures and the pictures."
    try:
        dataset = open_dataset(source, progress=progress)
        held_out, _, _ = evaluation_set(loaded, dataset)
        predicted = read(loaded.network, held_out, np.arange(len(held_out)), progress=progress)
    except MienError as error:
        return [], f"The pictures are not at hand: {error}."
    assert held_out.labels is not None
    worst = [label.name for label in strongest_first(examination) if label.auc][-_NUM_WORST:][::-1]
    targets = {target.name: target.start for target in loaded.network.targets if target.kind == "yes-no"}
    return [
        (name, _largest_errors(held_out, held_out.labels[:, targets[name]], predicted[:, targets[name]]))
        for name in worst
        if name in targets
    ], ""


def _largest_errors(dataset: Dataset, truth: np.ndarray, predicted: np.ndarray) -> list[Shown]:
    known = np.flatnonzero(~np.isnan(truth))
    order = known[np.argsort(-np.abs(truth[known] - predicted[known]), kind="stable")][:_NUM_MISTAKES]
    words = {0.0: "no", 1.0: "yes"}
    return [
        show_real(dataset, at, f"said {predicted[at]:.2f}, label {words.get(float(truth[at]), '?')}")
        for at in order.tolist()
    ]


KIND = Kind("attributes", write_report, AttributeOutputs, evaluate, AttributeExamination)
