"""Which pictures the report of `mien prepare` shows: nearest to each threshold, duplicates, other drops."""

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.core.errors import InputError
from mien.core.manifest import Record
from mien.core.picture import BadPicture, read_picture
from mien.prepare import dedupe
from mien.prepare.judge import Bound
from mien.prepare.report_charts import Threshold, Values
from mien.reports.charts import number
from mien.reports.sentences import times

Thumb = Callable[[Record], bytes | None]

_SIDE = 112  # pixels of a thumbnail
_MOST_BYTES = 1_700_000  # of all thumbnails together; they grow by a third on the page
_PER_SIDE = 6
_NUM_PAIRS = 24
_NUM_OTHERS = 12
_MOST_NAME = 160
_MOST_VALUE = 1e15  # no measurement comes near; beyond it, charts lose their footing


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
        """Whether there was no room left for more pictures."""
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
    table: Table,
    bound: Bound,
    line: Threshold,
    values: Values,
    order: NDArray[np.int64],
    thumbs: Thumbs,
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
        found = dedupe.nearest(_hashes(copies), _hashes(originals))
    except InputError:  # a manifest from elsewhere
        return []
    return [
        (thumbs.show(originals[at], "kept"), thumbs.show(copy, "dropped"), f"{times(distance, 'bit')} apart")
        for copy, (at, distance) in zip(copies, found, strict=True)
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


def _hashes(records: Sequence[Record]) -> list[str]:
    return [str(record["hash"]) for record in records]
