"""The kind "detector": tells synthetic faces from photographs; what its runs leave, and their report."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.image import evenly_spaced
from mien.core.network import load_network
from mien.core.run import RunFolder
from mien.core.score import value_and_interval
from mien.detection.scores import (
    DetectorExamination,
    SourceScore,
    calibrate,
    evaluate,
    examine,
    log_odds,
    part_of,
    parts_of,
)
from mien.models import detector
from mien.nn.forensic import ForensicNet
from mien.reports.page import report_path, write_html
from mien.training.kinds import Kind
from mien.training.outputs import ProductOutputs, Snapshot

_GLANCE = 512  # held-out faces that are looked at during training
_CALIBRATED = 0.05  # calibration error up to which probabilities are called calibrated


class DetectorOutputs(ProductOutputs):
    """The outputs of a run of the family `detector`; see `training.outputs.Outputs`."""

    kind, product = detector.KIND, detector.PRODUCT

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        assert self._lesson.held_out is not None
        self._held_out = self._lesson.held_out
        assert self._held_out.labels is not None
        self._synthetic = self._held_out.labels[:, 0] > 0.5
        self._val = part_of(self._held_out, "val")

    @property
    def _network(self) -> ForensicNet:
        network = super()._network
        assert isinstance(network, ForensicNet)
        return network

    def show(self) -> Snapshot:
        """Accuracy on up to 512 of the faces to calibrate by; nothing is selected by it."""
        where = self._val[evenly_spaced(self._val, _GLANCE)]
        odds = log_odds(self._network, parts_of(self._network, self._pixels(where)))
        truth = self._synthetic[where]
        correct = (odds[truth] >= 0).mean() / 2 + (odds[~truth] < 0).mean() / 2 if truth.any() else 0.5
        return Snapshot({"Eval/accuracy": float(correct)})

    def save(self) -> None:
        """Write the averaged network, calibrated."""
        network = copy.deepcopy(self._network)
        calibrate(network, self._pixels(self._val), self._synthetic[self._val])
        averages = self._training.averages.networks
        before, averages[self.product] = averages[self.product], network
        try:
            super().save()
        finally:
            averages[self.product] = before

    def end(self) -> None:
        """Score the calibrated detector on the faces that nothing was fitted to."""
        loaded = load_network(self._run.newest_product(self.kind), self.kind)
        examination = examine(loaded, self._held_out, part_of(self._held_out, "test"))
        examination.append(self._run)
        for event in examination.tables():
            self._events.send(event)

    def _pixels(self, where: np.ndarray) -> np.ndarray:
        return self._held_out.images(where).transpose(0, 2, 3, 1)


def write_report(run: Path, *, data: str | None, out: Path | None, progress: Tick | None = None) -> Path:
    """Write the page of the newest evaluation, of a new one on `data` where that is given. InputError."""
    folder = RunFolder.open(run)
    path = report_path(folder, out)
    if data is not None:
        evaluate(run, data, device=torch.device("cpu"), progress=progress)
    examination = DetectorExamination.newest(folder)
    if examination is None:
        raise InputError(f"{run}: it was not evaluated yet; name a set with --data, or let its training end")
    write_html(path, "detector.html.j2", _context(folder, examination))
    return path


def _context(folder: RunFolder, examination: DetectorExamination) -> dict[str, Any]:
    areas = "AUC against all real faces of this set, 95 % interval."
    alarms = f"Real faces called synthetic; {examination.false_alarms:.0%} is promised."
    synthetic = _table(examination, True, "Synthetic faces", areas)
    return {
        "run": folder.path.name,
        "lead": f"{examination.model_id} on {examination.dataset_name}: {examination.how}.",
        "verdict": _verdict(examination),
        "tables": [synthetic, _table(examination, False, "False alarms", alarms)],
    }


def _verdict(examination: DetectorExamination) -> list[tuple[str, str]]:
    error = examination.calibration
    alarms = [score for score in examination.scores if not score.synthetic]
    worst = max(alarms, key=lambda score: score.called.value)
    accurate, bad = examination.accuracy >= 0.9, worst.called.low > 2 * examination.false_alarms
    most = f"{worst.called.value:.1%} of {worst.source}, {worst.history}"
    return [
        ("good" if accurate else "plain", f"accuracy {examination.accuracy:.1%} (balanced)"),
        ("good" if error <= _CALIBRATED else "doubt", f"calibration error {error:.3f}"),
        ("doubt" if bad else "plain", f"most false alarms: {most}"),
        ("plain", "how it does on generators that it never met, these figures do not tell"),
    ]


def _table(examination: DetectorExamination, synthetic: bool, title: str, about: str) -> tuple[Any, ...]:
    scores = [score for score in examination.scores if score.synthetic == synthetic]
    histories = list(dict.fromkeys(score.history for score in scores))
    rows = [
        (name, f"{own[0].count:,}", [_cell(score) for score in own])
        for name in dict.fromkeys(score.source for score in scores)
        if (own := [score for score in scores if score.source == name])
    ]
    return title, about, histories, rows


def _cell(score: SourceScore) -> tuple[str, str]:
    if score.auc is not None:
        return value_and_interval(score.auc, ".3f")
    return value_and_interval(score.called, ".1%")


KIND = Kind("detector", write_report, DetectorOutputs, evaluate, DetectorExamination)
