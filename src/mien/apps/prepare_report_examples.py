"""Which pictures the report of `mien prepare` shows: nearest to each threshold, duplicates, other drops."""

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from mien.apps.charts import number
from mien.apps.prepare_report_charts import Threshold
from mien.core.errors import InputError
from mien.core.manifest import Record
from mien.core.picture import BadPicture, read_picture
from mien.prepare import dedupe
from mien.prepare.judge import Bound

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


def is_dropped(record: Record) -> bool:
    """Whether its verdict is "dropped"."""
    return record.get("verdict") == "dropped"


def value_of(record: Record, measurement: str) -> float:
    """A measurement; NaN where it is absent or no sensible number."""
    value: Any = (record.get("measurements") or {}).get(measurement)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value) if abs(value) < _MOST_VALUE else math.nan


def thresholds(bound: Bound) -> list[Threshold]:
    """The one or two values of a bound."""
    both = ((bound.low, True), (bound.high, False))
    return [Threshold(value, is_low) for value, is_low in both if value is not None]


def edges(records: Sequence[Record], bound: Bound, thumbs: Thumbs) -> list[Edge]:
    """Examples for each threshold of `bound`; none where nothing has its measurement."""
    name = bound.measurement
    known = [(value_of(record, name), at) for at, record in enumerate(records)]
    known = sorted((value, at) for value, at in known if not math.isnan(value))
    return [_edge(records, known, name, line, bound.reason, thumbs) for line in thresholds(bound) if known]


def _edge(
    records: Sequence[Record],
    known: Sequence[tuple[float, int]],
    name: str,
    line: Threshold,
    reason: str,
    thumbs: Thumbs,
) -> Edge:
    below = [(value, at) for value, at in known if value < line.value]
    above = [(value, at) for value, at in known if value > line.value]
    at_it = [(value, at) for value, at in known if value == line.value]  # kept: bounds include their ends
    wrong, right = (below, at_it + above) if line.is_low else (above, below + at_it)
    lost = [(value, at) for value, at in wrong if is_dropped(records[at])]
    kept = [(value, at) for value, at in right if not is_dropped(records[at])]
    if line.is_low:
        lost_near, kept_near = lost[-_PER_SIDE:], kept[:_PER_SIDE]
    else:
        lost_near, kept_near = lost[:_PER_SIDE], kept[-_PER_SIDE:]
    shown = [
        [thumbs.show(records[at], number(value)) for value, at in side] for side in (lost_near, kept_near)
    ]
    return Edge(name, line, reason, shown[0], shown[1], len(lost))


def pairs(records: Sequence[Record], thumbs: Thumbs) -> list[tuple[Example, Example, str]]:
    """Some duplicates, evenly chosen: the kept picture, the dropped one, how much they differ."""
    copies = [record for record in records if record.get("reason") == dedupe.DUPLICATE and record.get("hash")]
    originals = [record for record in records if not is_dropped(record) and record.get("hash")]
    chosen = [copies[i * len(copies) // _NUM_PAIRS] for i in range(_NUM_PAIRS)]
    if len(copies) <= _NUM_PAIRS:
        chosen = copies
    if not chosen or not originals:
        return []
    try:
        found = dedupe.nearest(_hashes(chosen), _hashes(originals))
    except InputError:  # a manifest from elsewhere
        return []
    return [
        (thumbs.show(originals[at], "kept"), thumbs.show(copy, "dropped"), f"{distance} bits apart")
        for copy, (at, distance) in zip(chosen, found, strict=True)
    ]


def others(
    records: Sequence[Record], reasons: Sequence[str], thumbs: Thumbs
) -> list[tuple[str, list[Example]]]:
    """For each reason, some of what was dropped for it, if there are pictures to show."""
    groups = []
    for reason in reasons:
        lost = [record for record in records if is_dropped(record) and record.get("reason") == reason]
        few = [lost[i * len(lost) // _NUM_OTHERS] for i in range(_NUM_OTHERS)] if lost else []
        shown = [
            thumbs.show(record, name_of(record)) for record in (few if len(lost) > _NUM_OTHERS else lost)
        ]
        if any(example.uri for example in shown):
            groups.append((reason, [example for example in shown if example.uri]))
    return groups


def _hashes(records: Sequence[Record]) -> list[str]:
    return [str(record["hash"]) for record in records]
