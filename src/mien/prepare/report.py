"""The report page of `mien prepare`: what was dropped and why, every measurement, both sides of each rule."""

import base64
import io
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien import TOOL
from mien.core.atomic import write_bytes
from mien.core.errors import InputError
from mien.core.manifest import Record
from mien.core.picture import BadPicture, read_picture
from mien.prepare import dedupe
from mien.prepare.dedupe import DUPLICATE
from mien.prepare.judge import Bound
from mien.prepare.report_charts import Threshold, Values, balance, histogram, reason_bar
from mien.reports.charts import number
from mien.reports.page import render
from mien.reports.sentences import times

Thumb = Callable[[Record], bytes | None]

_SIDE = 112  # pixels of a thumbnail
_MOST_BYTES = 1_700_000  # of all thumbnails together; they grow by a third on the page
_PER_SIDE = 6
_NUM_PAIRS = 24
_NUM_OTHERS = 12
_MOST_NAME = 160
_MOST_VALUE = 1e15  # no measurement comes near; beyond it, charts lose their footing
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
    "highlights": ("Highlights", "brightness that the brightest twentieth of the face reaches, 0 to 1"),
    "shadows": ("Shadows", "brightness below which the darkest twentieth of the face lies, 0 to 1"),
    "tint": ("Tint", "mean chroma that follows from brightness; 0: gray, sepia 0.05 to 0.4"),
    "drawing": ("Drawing", "chance that it is drawn, painted or engraved, 0 to 1"),
    "padding": ("Padding", "share of the crop that lies outside the photo and was filled in, 0 to 1"),
}


@dataclass(frozen=True)
class Example:
    """A thumbnail with what stands below it. uri: data:..., "" where there is no picture to show."""

    uri: str
    width: int
    height: int
    name: str
    caption: str


@dataclass(frozen=True)
class Edge:
    """Examples on both sides of a threshold, by rising value. num_dropped: all that lie on the wrong side."""

    measurement: str
    threshold: Threshold
    reason: str
    dropped: list[Example]
    kept: list[Example]
    num_dropped: int


class Thumbs:
    """Makes thumbnails of records, each once, until they would make the page too heavy."""

    def __init__(self, thumb: Thumb) -> None:
        self._thumb = thumb
        self._made: dict[int, tuple[str, int, int]] = {}
        self._room = _MOST_BYTES

    @property
    def is_full(self) -> bool:
        return self._room <= 0

    def show(self, record: Record, caption: str) -> Example:
        """`record` as an example."""
        key = id(record)
        if key not in self._made:
            self._made[key] = self._draw(record)
        return Example(*self._made[key], name_of(record), caption)

    def _draw(self, record: Record) -> tuple[str, int, int]:
        data = self._thumb(record) if self._room > 0 else None
        if not data:
            return "", 0, 0
        try:
            picture = Image.fromarray(read_picture(data))
        except BadPicture:
            return "", 0, 0
        picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        picture.save(buffer, format="WEBP", quality=80, method=4)
        self._room -= buffer.tell()
        uri = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
        return uri, picture.width, picture.height


def name_of(record: Record) -> str:
    """The source's name, or the member's; a long one loses its middle."""
    name = str(record.get("source") or record.get("file") or "?")
    return name if len(name) <= _MOST_NAME else f"{name[: _MOST_NAME // 2]}…{name[-_MOST_NAME // 2 :]}"


class Table:
    """Records with their measurements as columns, each read once."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records
        self.dropped = np.array([record.get("verdict") == "dropped" for record in records], bool)
        self.measured = np.array([bool(record.get("measurements")) for record in records], bool)
        self._columns: dict[str, Values] = {}

    def column(self, measurement: str) -> Values:
        """Float64 [N]; NaN where the measurement is absent or no sensible number."""
        if measurement not in self._columns:
            values = [_value(record, measurement) for record in self.records]
            self._columns[measurement] = np.array(values, np.float64)
        return self._columns[measurement]


def _value(record: Record, measurement: str) -> float:
    value: Any = (record.get("measurements") or {}).get(measurement)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value) if abs(value) < _MOST_VALUE else math.nan


def thresholds(bound: Bound) -> list[Threshold]:
    """The one or two values of a bound."""
    both = ((bound.low, True), (bound.high, False))
    return [Threshold(value, is_low) for value, is_low in both if value is not None]


def edges(table: Table, bound: Bound, thumbs: Thumbs) -> list[Edge]:
    """Examples for each threshold of `bound`; none where nothing has its measurement."""
    values = table.column(bound.measurement)
    order = np.argsort(values, kind="stable")[: int(np.isfinite(values).sum())]  # NaN sorts last
    return [_edge(table, bound, line, values, order, thumbs) for line in thresholds(bound) if len(order)]


def _edge(
    table: Table, bound: Bound, line: Threshold, values: Values, order: NDArray[np.int64], thumbs: Thumbs
) -> Edge:
    # Bounds include their ends: a value on the threshold is on the kept side.
    cut = int(np.searchsorted(values[order], line.value, "left" if line.is_low else "right"))
    wrong, right = (order[:cut], order[cut:]) if line.is_low else (order[cut:], order[:cut])
    lost, kept = wrong[table.dropped[wrong]], right[~table.dropped[right]]
    first, last = slice(_PER_SIDE), slice(-_PER_SIDE, None)
    shown = [
        [thumbs.show(table.records[at], number(float(values[at]))) for at in side]
        for side in ((lost[last], kept[first]) if line.is_low else (lost[first], kept[last]))
    ]
    return Edge(bound.measurement, line, bound.reason, shown[0], shown[1], len(lost))


def pairs(table: Table, thumbs: Thumbs) -> list[tuple[Example, Example, str]]:
    """Some duplicates, evenly chosen: the kept picture, the dropped one, how much they differ."""
    hashed = [record for record in table.records if record.get("hash")]
    copies = _spread([record for record in hashed if record.get("reason") == dedupe.DUPLICATE], _NUM_PAIRS)
    originals = [record for record in hashed if record.get("verdict") != "dropped"]
    if not copies or not originals:
        return []
    try:
        hashes = ([str(record["hash"]) for record in side] for side in (copies, originals))
        nearest = dedupe.nearest(*hashes)
    except InputError:  # a manifest from elsewhere
        return []
    return [
        (thumbs.show(originals[at], "kept"), thumbs.show(copy, "dropped"), f"{times(distance, 'bit')} apart")
        for copy, (at, distance) in zip(copies, nearest, strict=True)
    ]


def others(lost: Sequence[Record], reasons: Sequence[str], thumbs: Thumbs) -> list[tuple[str, list[Example]]]:
    """For each reason, some of what was dropped for it, if there are pictures to show."""
    groups = []
    for reason in reasons:
        few = _spread([record for record in lost if record.get("reason") == reason], _NUM_OTHERS)
        shown = [thumbs.show(record, name_of(record)) for record in few]
        if any(example.uri for example in shown):
            groups.append((reason, [example for example in shown if example.uri]))
    return groups


def _spread(records: Sequence[Record], most: int) -> list[Record]:
    """At most `most` of them, evenly chosen."""
    count = min(most, len(records))
    return [records[number * len(records) // count] for number in range(count)]


def write_prepare_report(
    path: Path, *, records: Sequence[Record], bounds: Sequence[Bound], thumb: Thumb, title: str
) -> None:
    """Write the page atomically: one self-contained file of at most about 3 MB, without any script.

    records: one for each input, as the manifest has them. bounds: the rules they were judged by.
    thumb: an encoded picture to show for a record, None for none; asked only for what is shown.
    The same arguments give the same bytes. Raises MienError where the place cannot be written.
    """
    table, thumbs = Table(records), Thumbs(thumb)
    lost = [record for record, dropped in zip(records, table.dropped, strict=True) if dropped]
    broken = [record for record in lost if "width" not in record]  # those that were never decoded
    reasons = Counter(_reason(record) for record in lost)
    rare = set(reasons) - {bound.reason for bound in bounds} - {DUPLICATE}
    ruled = sorted({bound.measurement for bound in bounds if thresholds(bound)})
    shown_edges = [edge for bound in bounds for edge in edges(table, bound, thumbs)]
    context = {
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
        "unmeasured": [_title(name) for name in ruled if not np.isfinite(table.column(name)).any()],
        "edges": [(_title(edge.measurement), edge, _side_words(edge)) for edge in shown_edges],
        "pairs": pairs(table, thumbs),
        "num_copies": reasons[DUPLICATE],
        "others": others([record for record in lost if "width" in record], sorted(rare), thumbs),
        "no_pictures": thumbs.is_full,
    }
    page = render("prepare.html.j2", context, styles=("report.css", "prepare.css"))
    # File names may hold lone surrogates, which UTF-8 cannot.
    write_bytes(path, page.encode("utf-8", "replace"))


def _rows(lost: Sequence[Record], reasons: Counter[str], total: int) -> list[dict[str, Any]]:
    """The reasons, most frequent first, each with the first sentence said of it."""
    details: dict[str, str] = {}
    for record in lost:
        details.setdefault(_reason(record), _detail(record))
    most = max(reasons.values(), default=0)
    rows = []
    for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
        about = f"for example: {details[reason]}" if count > 1 and details[reason] else details[reason]
        row = {"reason": reason, "count": count, "share": f"{count / total:.1%}"}
        rows.append(row | {"bar": reason_bar(count, most), "about": about})
    return rows


def _measures(table: Table, bounds: Sequence[Bound]) -> list[dict[str, Any]]:
    """A histogram of each measurement that any record has, the known ones first."""
    measured = {name for record in table.records for name in (record.get("measurements") or {})}
    names = [name for name in MEASURES if name in measured] + sorted(measured - set(MEASURES))
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
        measures.append(
            {
                "title": _title(name),
                "about": MEASURES[name][1] if name in MEASURES else "",
                "chart": chart,
                "rules": [(line.words, reason) for line, reason in rules],
                "num_unknown": int((table.measured & ~known).sum()),
            }
        )
    return measures


def _side_words(edge: Edge) -> tuple[str, str]:
    """What the dropped and the kept side are called."""
    value = number(edge.threshold.value)
    if edge.threshold.is_low:
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
