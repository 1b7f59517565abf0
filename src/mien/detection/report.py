"""`mien report` of a run that trained a detector: one page with its newest scores."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from mien import TOOL
from mien.attributes.agreement import Interval
from mien.core.atomic import write_text
from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.run import RunFolder
from mien.detection.scores import DetectorExamination, SourceScore, evaluate
from mien.reports.page import render

_CALIBRATED = 0.05  # calibration error up to which probabilities are called calibrated


def write_report(run: Path, *, data: str | None, out: Path | None, progress: Tick | None = None) -> Path:
    """Write the page of the newest evaluation, of a new one on `data` where that is given. InputError."""
    folder = RunFolder.open(run)
    target = out or folder.report
    if target.is_dir():
        raise InputError(f"{target}: is a folder; give --out the name of a file")
    if data is not None:
        evaluate(run, data, device=torch.device("cpu"), progress=progress)
    examination = DetectorExamination.newest(folder)
    if examination is None:
        raise InputError(f"{run}: it was not evaluated yet; name a set with --data, or let its training end")
    write_text(target, render("detector.html.j2", _context(folder, examination)))
    return target


def _context(folder: RunFolder, examination: DetectorExamination) -> dict[str, Any]:
    promised = f"{examination.false_alarms:.0%}"
    return {
        "run": folder.path.name,
        "lead": f"{examination.model_id} on {examination.dataset_name}: {examination.how}.",
        "verdict": _verdict(examination),
        "tables": [
            _table(
                examination, True, "Synthetic faces", "AUC against all real faces of this set, 95 % interval."
            ),
            _table(
                examination, False, "False alarms", f"Real faces called synthetic; {promised} is promised."
            ),
        ],
        "tool": TOOL,
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _verdict(examination: DetectorExamination) -> list[tuple[str, str]]:
    error = examination.calibration
    alarms = [score for score in examination.scores if not score.synthetic]
    worst = max(alarms, key=lambda score: score.called.value)
    bad = worst.called.low > 2 * examination.false_alarms
    return [
        (
            "good" if examination.accuracy >= 0.9 else "plain",
            f"accuracy {examination.accuracy:.1%} (balanced)",
        ),
        ("good" if error <= _CALIBRATED else "doubt", f"calibration error {error:.3f}"),
        (
            "doubt" if bad else "plain",
            f"most false alarms: {worst.called.value:.1%} of {worst.source}, {worst.history}",
        ),
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
        return f"{score.auc.value:.3f}", _ends(score.auc, "{:.3f}")
    return f"{score.called.value:.1%}", _ends(score.called, "{:.1%}")


def _ends(interval: Interval, form: str) -> str:
    return f"{form.format(interval.low)} to {form.format(interval.high)}"
