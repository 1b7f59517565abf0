"""Photos in, a packed dataset of aligned faces out, with a verdict on every input."""

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.core import artefacts
from mien.core.errors import InputError, MienError
from mien.core.labels import Label
from mien.core.manifest import Record
from mien.core.packed import PackWriter
from mien.faces.finder import FINDERS, needed_artefacts
from mien.prepare import judge
from mien.prepare.align import ALIGNMENTS
from mien.prepare.pool import Answer, Pool
from mien.prepare.sheet import Shot, write_sheet
from mien.prepare.sources import Input, Inputs, list_inputs, readable
from mien.prepare.work import Job, dropped

_SHEET_KEPT, _SHEET_DROPPED = 96, 96  # examples on the sheet
_SHEET_PER_REASON, _SHEET_BLANKS = 24, 4  # of one reason, with a picture to show and without
_MOST_DROPS = 1000
_TROUBLES = {
    "crashed": "the process that prepared it died (out of memory, or a defect in a decoder)",
    "timed-out": "preparing it took too long and was stopped",
}


@dataclass(frozen=True)
class PrepareResult:
    """What came of a run.

    kept: number of faces packed. dropped: count for each reason, most frequent first. drops: records of
    the first 1000 dropped inputs (the manifest in the zip has all). class_names: of folder labels, or ().
    notes: lines the user should see.
    """

    kept: int
    dropped: dict[str, int]
    seconds: float
    drops: list[Record]
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Inputs looked at."""
        return self.kept + sum(self.dropped.values())


@dataclass
class _Tally:
    """What is gathered on the way for the result and the sheet; bounded."""

    total: int
    reasons: Counter[str] = field(default_factory=Counter)
    drops: list[Record] = field(default_factory=list)
    kept_shots: list[Shot] = field(default_factory=list)
    dropped_shots: list[Shot] = field(default_factory=list)
    kept: int = 0

    def keep(self, index: int, name: str, png: bytes) -> None:
        """Count a kept picture; take examples evenly over the source."""
        self.kept += 1
        if index * _SHEET_KEPT // self.total != (index - 1) * _SHEET_KEPT // self.total:
            self.kept_shots.append(Shot(png, name))

    def drop(self, record: dict[str, Any], thumb: bytes) -> None:
        """Count a dropped input; take the first examples of each reason."""
        reason = record["reason"]
        self.reasons[reason] += 1
        if len(self.drops) < _MOST_DROPS:
            self.drops.append(Record(**record))  # type: ignore[typeddict-item]
        room = _SHEET_PER_REASON if thumb else _SHEET_BLANKS
        if self.reasons[reason] <= room and len(self.dropped_shots) < _SHEET_DROPPED:
            self.dropped_shots.append(Shot(thumb, record["source"], reason))

    @property
    def counts(self) -> dict[str, int]:
        """Reasons by frequency, then name."""
        return dict(sorted(self.reasons.items(), key=lambda item: (-item[1], item[0])))


def prepare(
    source: Path,
    out: Path,
    *,
    size: int = 64,
    finder: str = "mesh",
    align: str = "ffhq",
    min_coverage: float = judge.DEFAULT_MIN_COVERAGE,
    max_coverage: float = judge.DEFAULT_MAX_COVERAGE,
    min_face: float | None = None,
    workers: int | None = None,
    sheet: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    announce: Callable[[str], None] | None = None,
) -> PrepareResult:
    """Find, align, judge and pack the largest face of every picture in folder or zip `source`.

    size: side of the packed pictures, a power of two. finder: "mesh" or "haar". align: "ffhq" or
    "center". min_coverage, max_coverage: bounds on the share of the picture that the face covers.
    min_face: smallest face in pixels (default 0.35 x size). workers: processes (default one a core).
    sheet: where to draw the contact sheet, None for none. progress: told (done, total) after each input.
    announce: told when something is downloaded.
    The same input gives a byte-identical `out`, for any number of workers. Raises InputError for bad
    arguments or a bad source, MienError if no face was kept or a download fails; `out` is then untouched.
    """
    begun = time.monotonic()
    job = _checked_job(out, size, finder, align, min_coverage, max_coverage, min_face, sheet is not None)
    own = [path for path in (out, sheet) if path is not None]
    inputs = list_inputs(source, without=own)
    for name in needed_artefacts(finder):
        artefacts.obtain(name, announce=announce)
    tally = _pack(inputs, source, out, job, workers or _cores(), progress)
    if sheet is not None:
        kept, lost = tally.kept_shots, tally.dropped_shots
        write_sheet(sheet, kept=kept, dropped=lost, num_kept=tally.kept, reasons=tally.counts)
    seconds = time.monotonic() - begun
    return PrepareResult(tally.kept, tally.counts, seconds, tally.drops, inputs.class_names, inputs.notes)


def _checked_job(
    out: Path,
    size: int,
    finder: str,
    align: str,
    min_coverage: float,
    max_coverage: float,
    min_face: float | None,
    thumbs: bool,
) -> Job:
    if size < 8 or size > 4096 or size & (size - 1):
        raise InputError(f"size {size} is no power of two from 8 to 4096")
    if out.suffix.lower() != ".zip" or out.is_dir():
        raise InputError(f"{out}: the dataset is written as a zip; give a file name ending in .zip")
    for value, known, what in ((finder, FINDERS, "finder"), (align, ALIGNMENTS, "alignment")):
        if value not in known:
            raise InputError(f"{value!r} is no {what}; choose from: {', '.join(known)}")
    least = judge.MIN_FACE_SHARE * size if min_face is None else min_face
    return Job(size, judge.Rules(least, min_coverage, max_coverage), align, finder, thumbs)


def _cores() -> int:
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _pack(
    inputs: Inputs,
    source: Path,
    out: Path,
    job: Job,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> _Tally:
    files = inputs.files
    tally = _Tally(len(files))
    setup = {"source": str(source), "job": job.to_dict()}
    tasks = [{"name": file.name, "at": file.at} for file in files]
    with PackWriter(out, class_names=inputs.class_names) as pack, Pool(setup, count=workers) as pool:
        for index, answer in enumerate(pool.run(tasks)):
            _take(index, files[index], answer, inputs, pack, tally)
            if progress is not None:
                progress(index + 1, len(files))
        if not tally.kept:
            counts = ", ".join(f"{count} {reason}" for reason, count in tally.counts.items())
            raise MienError(
                f"{source}: no face was kept of {len(files)} files ({counts}); nothing was written"
            )
    return tally


def _take(index: int, file: Input, answer: Answer, inputs: Inputs, pack: PackWriter, tally: _Tally) -> None:
    """Write one answer into the dataset and the tally."""
    if answer.record is None:
        drop = judge.Drop(answer.trouble, _TROUBLES[answer.trouble])
        record = {"source": readable(file.name), "sha256": None} | dropped(drop)
    else:
        record = answer.record
    label = None if inputs.labels is None else inputs.labels.get(file.name)
    if record["verdict"] == "kept" and inputs.labels is not None and label is None:
        record |= dropped(judge.Drop("no-label", "it lies outside the class folders that label the others"))
    record["labels"] = _label_values(label, inputs.class_names)
    record["licence"] = None
    if record["verdict"] == "kept":
        pack.add_png(answer.png, label, record)
        tally.keep(index, record["source"], answer.png)
    else:
        pack.add_record(record)
        tally.drop(record, answer.thumb)


def _label_values(label: Label | None, class_names: tuple[str, ...]) -> dict[str, Any]:
    if label is None:
        return {}
    if isinstance(label, int):
        return {"class": class_names[label] if label < len(class_names) else label}
    names = class_names or tuple(f"label{number}" for number in range(len(label)))
    return dict(zip(names, label, strict=True))
