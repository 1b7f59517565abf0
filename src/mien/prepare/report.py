"""The report page of `mien prepare`: what was dropped and why, every measurement, both sides of each rule."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from mien import TOOL
from mien.core.atomic import write_bytes
from mien.core.manifest import Record
from mien.prepare.dedupe import DUPLICATE
from mien.prepare.judge import Bound
from mien.prepare.report_charts import Histogram, Threshold, balance, histogram, reason_bar
from mien.prepare.report_examples import Edge, Table, Thumb, Thumbs, edges, name_of, others, pairs, thresholds
from mien.reports.charts import number
from mien.reports.page import render

_MOST_NAMED = 300  # broken files listed by name
_MOST_SENTENCE = 240
_MOST_MEASURES = 40  # a foreign manifest may hold any number

# What is measured: its name for people, and what the number says.
MEASURES = {
    "coverage": ("Coverage", "share of the picture that the face covers"),
    "face_size": ("Face size", "pixels of the file, mean of width and height"),
    "crop_side": ("Side of the crop", "pixels of the file"),
    "own_sharpness": ("Own sharpness", "sharpness at the picture's own size: an enlarged one has less"),
    "real_size": ("Real size", "pixels across the face that show detail of their own"),
    "num_faces": ("Faces in the picture", "how many were found"),
    "score": ("Finder's score", "how sure it is that this is a face, 0 to 1"),
    "yaw": ("Yaw", "degrees, positive: turned to the picture's right"),
    "pitch": ("Pitch", "degrees, positive: looking up"),
    "roll": ("Roll", "degrees, positive: tilted clockwise"),
    "sharpness": ("Sharpness", "focus of the face, 0 (blurred) to 1"),
    "exposure": ("Exposure", "mean brightness of the face, 0 (black) to 1 (white)"),
    "contrast": ("Contrast", "of the face, 0 to 1"),
    "colour": ("Colour", "0: gray picture"),
    "eyes_open": ("Eyes open", "0 (shut) to 1"),
    "mouth_open": ("Mouth open", "0 (shut) to 1"),
    "mask": ("Face mask", "0 (none) to 1 (mouth and nose covered)"),
    "glasses": ("Glasses", "a guess, 0 to 1"),
}


@dataclass(frozen=True)
class _Measure:
    """One histogram. rules: what is kept, in words, with the reason for which the rest is dropped."""

    title: str
    about: str
    chart: Histogram
    rules: list[tuple[str, str]]
    num_unknown: int


@dataclass(frozen=True)
class _Row:
    """One bar: how many were dropped for a reason, and a sentence about it."""

    reason: str
    count: int
    share: str
    bar: Markup
    about: str


def write_prepare_report(
    path: Path, *, records: Sequence[Record], bounds: Sequence[Bound], thumb: Thumb, title: str
) -> None:
    """Write the page atomically: one self-contained file of at most about 3 MB, without any script.

    records: one for each input, as the manifest has them. bounds: the rules they were judged by.
    thumb: an encoded picture to show for a record, None for none; asked only for what is shown.
    The same arguments give the same bytes. Raises MienError where the place cannot be written.
    """
    context = _gather(records, bounds, Thumbs(thumb), title)
    page = render("prepare.html.j2", context, styles=("report.css", "prepare.css"))
    # File names may hold lone surrogates, which UTF-8 cannot.
    write_bytes(path, page.encode("utf-8", "replace"))


def _gather(records: Sequence[Record], bounds: Sequence[Bound], thumbs: Thumbs, title: str) -> dict[str, Any]:
    """All that the template shows, by name."""
    table = Table(records)
    lost = [record for record, dropped in zip(records, table.dropped, strict=True) if dropped]
    broken = [record for record in lost if "width" not in record]  # those that were never decoded
    reasons = Counter(_reason(record) for record in lost)
    rare = set(reasons) - {bound.reason for bound in bounds} - {DUPLICATE}
    shown_edges = [edge for bound in bounds for edge in edges(table, bound, thumbs)]
    return {
        "title": title,
        "tool": TOOL,
        "total": len(records),
        "num_kept": len(records) - len(lost),
        "num_lost": len(lost),
        "balance": balance(len(records) - len(lost), len(lost)),
        "rows": _rows(lost, reasons, len(records)),
        "broken": [(name_of(record), _reason(record), _detail(record)) for record in broken[:_MOST_NAMED]],
        "num_broken": len(broken),
        "measures": _measures(table, bounds),
        "unmeasured": _unmeasured(table, bounds),
        "edges": [(_title(edge.measurement), edge, _side_words(edge)) for edge in shown_edges],
        "pairs": pairs(table, thumbs),
        "num_copies": reasons[DUPLICATE],
        "others": others([record for record in lost if "width" in record], sorted(rare), thumbs),
        "no_pictures": thumbs.is_full,
    }


def _rows(lost: Sequence[Record], reasons: Counter[str], total: int) -> list[_Row]:
    """The reasons, most frequent first, each with the first sentence said of it."""
    details: dict[str, str] = {}
    for record in lost:
        details.setdefault(_reason(record), _detail(record))
    most = max(reasons.values(), default=0)
    rows = []
    for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
        about = f"for example: {details[reason]}" if count > 1 and details[reason] else details[reason]
        rows.append(_Row(reason, count, f"{count / total:.1%}", reason_bar(count, most), about))
    return rows


def _measures(table: Table, bounds: Sequence[Bound]) -> list[_Measure]:
    """A histogram of each measurement that any record has, the known ones first."""
    found = {name for record in table.records for name in (record.get("measurements") or {})}
    names = [name for name in MEASURES if name in found] + sorted(found - set(MEASURES))
    measures = []
    for name in names[:_MOST_MEASURES]:
        values = table.column(name)
        known = np.isfinite(values)
        if not known.any():
            continue
        rules = [
            (line, bound.reason)
            for bound in bounds
            if bound.measurement == name
            for line in thresholds(bound)
        ]
        kept, lost = values[known & ~table.dropped], values[known & table.dropped]
        chart = histogram(kept, lost, [line for line, _ in rules], title=_title(name))
        about = MEASURES[name][1] if name in MEASURES else ""
        told = [(line.words, reason) for line, reason in rules]
        num_unknown = int((table.measured & ~known).sum())
        measures.append(_Measure(_title(name), about, chart, told, num_unknown))
    return measures


def _unmeasured(table: Table, bounds: Sequence[Bound]) -> list[str]:
    """Measurements that a rule is about and no record has."""
    names = sorted({bound.measurement for bound in bounds if thresholds(bound)})
    return [_title(name) for name in names if not np.isfinite(table.column(name)).any()]


def _side_words(edge: Edge) -> tuple[str, str]:
    """What the dropped and the kept side are called."""
    line: Threshold = edge.threshold
    value = number(line.value)
    if line.is_low:
        return f"Dropped: below {value}", f"Kept: {value} and above"
    return f"Dropped: above {value}", f"Kept: {value} and below"


def _title(name: str) -> str:
    return MEASURES[name][0] if name in MEASURES else _clipped(name, 60)


def _reason(record: Mapping[str, Any]) -> str:
    return _clipped(str(record.get("reason") or "no reason given"), 60)


def _detail(record: Mapping[str, Any]) -> str:
    return _clipped(str(record.get("detail") or ""), _MOST_SENTENCE)


def _clipped(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
