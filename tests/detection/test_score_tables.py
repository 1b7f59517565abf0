"""The tables of a detector's scores."""

import io

from rich.console import Console

from mien.core.events import Table
from mien.core.reencode import HISTORIES
from mien.core.score import Interval
from mien.detection.scores import DetectorExamination, SourceScore
from mien.terminal import rich_table


def _score(source: str, synthetic: bool, history: str, value: float) -> SourceScore:
    called = Interval(value=value, low=value - 0.02, high=value + 0.02)
    area = Interval(value=0.867, low=0.847, high=0.881) if synthetic else None
    return SourceScore(source=source, synthetic=synthetic, history=history, count=87, called=called, auc=area)


def test_eighty_columns_hold_every_source_and_number() -> None:
    scores = [
        _score(source, synthetic, history, 0.1 + 0.1 * number)
        for number, history in enumerate(HISTORIES)
        for source, synthetic in (("faces", True), ("foreign-dcgan", True), ("photos", False))
    ]
    examination = DetectorExamination(
        model_id="mine", nimg=1, dataset_name="set", dataset_hash="0", kept_out=False, how="87 faces",
        false_alarms=0.05, calibration=0.1, accuracy=0.9, scores=tuple(scores),
    )  # fmt: skip
    console = Console(width=80, file=io.StringIO())
    for event in examination.tables():
        if isinstance(event, Table):
            console.print(rich_table(event))
    lines = console.file.getvalue().splitlines()
    assert [sum(name in line for line in lines) for name in ("faces ", "foreign-dcgan", "photos")] == [
        1,
        1,
        1,
    ]
    for number, history in enumerate(HISTORIES):
        shares = f"{10 + 10 * number}.0% ({8 + 10 * number}.0%-{12 + 10 * number}.0%)"
        rows = [line for line in lines if f"{history}  " in line and shares in line]
        assert len(rows) == 3, history
        assert sum("0.867 (0.847-0.881)" in row for row in rows) == 2
