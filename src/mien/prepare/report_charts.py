"""Histograms with thresholds and bars by reason, as inline SVG in the colours of the page's style sheet."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from mien.reports.charts import number, ticks

Values = NDArray[np.float64]
Counts = NDArray[np.int64]

_WIDTH, _HEIGHT = 400, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 18, 20
_NUM_BINS = 40
_FEW = 4  # whole numbers beside the lowest that are there at least: a single bar looks like a wall
_OUTER = 0.002  # share of the values at either end that may fall beyond the chart
_FAR = 1.5  # a threshold farther off than this many widths of the values is told, not drawn
_LEAST_BAR = 1.2  # so that one picture among thousands is still seen


@dataclass(frozen=True)
class Threshold:
    """A value that splits kept from dropped. is_low: what lies below it is dropped, else what lies above."""

    value: float
    is_low: bool

    @property
    def words(self) -> str:
        """What is kept: "at least 0.3"."""
        return f"at {'least' if self.is_low else 'most'} {number(self.value)}"


@dataclass(frozen=True)
class Histogram:
    """svg: the drawing, empty if there are no values. beyond: how many values its outermost bars gather up
    from farther out. outside: thresholds too far off to be drawn."""

    svg: Markup
    beyond: int = 0
    outside: tuple[Threshold, ...] = ()


@dataclass(frozen=True)
class _Frame:
    """Edges of the bins and the thresholds among them. whole: bins are single whole numbers."""

    edges: Values
    lines: list[Threshold]
    whole: bool

    @property
    def low(self) -> float:
        return float(self.edges[0])

    @property
    def high(self) -> float:
        return float(self.edges[-1])

    def x(self, value: float) -> float:
        """Where a value stands in the drawing."""
        share = (value - self.low) / (self.high - self.low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def at(self, line: Threshold) -> float:
        """Where a threshold stands: between two whole numbers, not within the bar of one."""
        if not self.whole:
            return self.x(line.value)
        return self.x(math.ceil(line.value) - 0.5 if line.is_low else math.floor(line.value) + 0.5)


def histogram(kept: Values, dropped: Values, thresholds: Sequence[Threshold], *, title: str) -> Histogram:
    """Draw finite values, dropped ones stacked upon kept ones, and the thresholds among them."""
    values = np.concatenate([kept, dropped])
    if not len(values):
        return Histogram(Markup())
    frame = _frame(values, thresholds)
    some, lost = (_counts(part, frame) for part in (kept, dropped))
    top = max(int((some + lost).max()), 1)
    span = f"from {number(frame.low)} to {number(frame.high)}"
    label = f"{title}: {len(kept):,} kept and {len(dropped):,} dropped pictures, {span}"
    parts = [
        Markup('<svg class="chart hist" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            _WIDTH, _HEIGHT, label
        ),
        *_shades(frame),
        *_scale(frame, top),
        *_bars(some, lost, frame, top),
        *_threshold_lines(frame),
        Markup("</svg>"),
    ]
    beyond = int(((values < frame.low) | (values > frame.high)).sum())
    outside = tuple(line for line in thresholds if line not in frame.lines)
    return Histogram(Markup("").join(parts), beyond, outside)


def reason_bar(count: int, most: int) -> Markup:
    """A bar of `count` out of `most`, as wide as its place."""
    return Markup(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="lost" width="{:.2f}" height="10"/></svg>'
    ).format(max(100 * count / max(most, 1), 0.6))


def balance(num_kept: int, num_lost: int) -> Markup:
    """One bar, parted into kept and dropped; empty if there is neither."""
    if not num_kept + num_lost:
        return Markup()
    share = 100 * num_kept / (num_kept + num_lost)
    return Markup(
        '<svg class="balance" viewBox="0 0 100 10" preserveAspectRatio="none" role="img"'
        ' aria-label="{:.1f}% kept"><rect class="kept" width="{:.2f}" height="10"/>'
        '<rect class="lost" x="{:.2f}" width="{:.2f}" height="10"/></svg>'
    ).format(share, share, share, 100 - share)


def _frame(values: Values, thresholds: Sequence[Threshold]) -> _Frame:
    low, high = (float(edge) for edge in np.quantile(values, (_OUTER, 1 - _OUTER), method="nearest"))
    whole = bool((values == np.round(values)).all()) and high - low < _NUM_BINS
    span = max(high - low, 1.0 if whole else 1e-6 * max(abs(low), abs(high), 1.0))
    near = (low - _FAR * span, high + _FAR * span)
    lines = [line for line in thresholds if near[0] <= line.value <= near[1]]
    low, high = min([low, *(line.value for line in lines)]), max([high, *(line.value for line in lines)])
    if whole:
        return _Frame(
            np.arange(math.floor(low) - 0.5, max(math.ceil(high), math.floor(low) + _FEW) + 1), lines, whole
        )
    return _Frame(_edges(low, high, span, sorted(line.value for line in lines)), lines, whole)


def _edges(low: float, high: float, span: float, values: Sequence[float]) -> Values:
    """About `_NUM_BINS` bins over low to high; thresholds `values` fall between bins where they can."""
    step = max(high - low, span) / (_NUM_BINS - 2)
    if len(values) > 1 and values[-1] > values[0]:
        apart = values[-1] - values[0]
        step = apart / max(round(apart / step), 1)
    anchor = values[0] if values else low
    first = math.floor((low - anchor) / step + 1e-9) - (low in values)  # its dropped side is seen, if empty
    last = math.floor((high - anchor) / step + 1e-9) + 1
    return np.asarray(anchor + step * np.arange(first, last + 1), np.float64)


def _counts(values: Values, frame: _Frame) -> Counts:
    """How many values each bin holds; the outermost take what lies beyond."""
    return np.histogram(np.clip(values, frame.low, frame.high), frame.edges)[0]


def _tall(count: int, top: int) -> float:
    return max(count / top * (_HEIGHT - _TOP - _BOTTOM), _LEAST_BAR if count else 0.0)


def _scale(frame: _Frame, top: int) -> Iterator[Markup]:
    """Grid lines with counts at the left, values below."""
    foot = _HEIGHT - _BOTTOM
    for count in (tick for tick in ticks(0, top, 4) if tick == round(tick)):
        y = foot - count / top * (foot - _TOP)
        line = '<path class="rule" d="M{} {:.1f}H{}"/><text class="end" x="{}" y="{:.1f}">{}</text>'
        yield Markup(line).format(_LEFT, y, _WIDTH - _RIGHT, _LEFT - 6, y + 4, f"{round(count):,}")
    values = ticks(frame.low, frame.high, 6)
    for value in (tick for tick in values if not frame.whole or tick == round(tick)):
        place = frame.x(value)
        if place < _WIDTH - 14:
            text = '<text class="mid" x="{:.1f}" y="{}">{}</text>'
            yield Markup(text).format(place, foot + 14, number(value))


def _bars(kept: Counts, dropped: Counts, frame: _Frame, top: int) -> Iterator[Markup]:
    bar = '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
    foot = _HEIGHT - _BOTTOM
    for start, end, some, lost in zip(frame.edges, frame.edges[1:], kept, dropped, strict=False):
        if not some + lost:
            continue
        x, width = frame.x(float(start)) + 0.4, frame.x(float(end)) - frame.x(float(start)) - 0.8
        below, above = _tall(int(some), top), _tall(int(lost), top)
        what = (
            number(float(start) + 0.5) if frame.whole else f"{number(float(start))} to {number(float(end))}"
        )
        yield Markup("<g><title>{}: {:,} kept, {:,} dropped</title>").format(what, int(some), int(lost))
        if some:
            yield Markup(bar).format("kept", x, foot - below, width, below)
        if lost:
            yield Markup(bar).format("lost", x, foot - below - above, width, above)
        yield Markup("</g>")


def _shades(frame: _Frame) -> Iterator[Markup]:
    """The side of each threshold on which pictures are dropped."""
    for line in frame.lines:
        x = frame.at(line)
        start, end = (_LEFT, x) if line.is_low else (x, _WIDTH - _RIGHT)
        yield Markup('<rect class="shade" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>').format(
            start, _TOP, max(end - start, 0), _HEIGHT - _TOP - _BOTTOM
        )


def _threshold_lines(frame: _Frame) -> Iterator[Markup]:
    for line in frame.lines:
        x = frame.at(line)
        side = "end" if x > _WIDTH * 0.6 else "start"
        yield Markup(
            '<g class="threshold"><path d="M{:.1f} {}V{}"/><text class="{}" x="{:.1f}" y="{}">{}</text></g>'
        ).format(x, _TOP - 6, _HEIGHT - _BOTTOM, side, x + (-4 if side == "end" else 4), _TOP - 6, line.words)
