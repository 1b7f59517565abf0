"""Histograms with thresholds and bars by reason, as inline SVG in the colours of the page's style sheet."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from mien.apps.charts import number, ticks

Values = NDArray[np.float64]

_WIDTH, _HEIGHT = 400, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 18, 20
_NUM_BINS = 40
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


def histogram(kept: Values, dropped: Values, thresholds: Sequence[Threshold], *, title: str) -> Histogram:
    """Draw finite values, dropped ones stacked upon kept ones, and the thresholds among them."""
    values = np.concatenate([kept, dropped])
    if not len(values):
        return Histogram(Markup())
    edges, drawn = _edges(values, thresholds)
    low, high = edges[0], edges[-1]
    counts = [np.histogram(np.clip(part, low, high), edges)[0] for part in (kept, dropped)]
    top = max(int((counts[0] + counts[1]).max()), 1)
    span = f"from {number(low)} to {number(high)}"
    label = f"{title}: {len(kept):,} kept and {len(dropped):,} dropped pictures, {span}"
    parts = [
        Markup('<svg class="chart hist" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            _WIDTH, _HEIGHT, label
        ),
        *_shades(drawn, edges),
        *_scale(edges, top),
        *_bars(counts[0], counts[1], edges, top),
        *_threshold_lines(drawn, edges),
        Markup("</svg>"),
    ]
    beyond = int(((values < low) | (values > high)).sum())
    return Histogram(Markup("").join(parts), beyond, tuple(line for line in thresholds if line not in drawn))


def reason_bar(count: int, most: int, *, kept: bool = False) -> Markup:
    """A bar of `count` out of `most`, as wide as its cell."""
    width = max(100 * count / max(most, 1), 0.6)
    return Markup(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="{}" width="{:.2f}" height="10"/></svg>'
    ).format("kept" if kept else "lost", width)


def _edges(values: Values, thresholds: Sequence[Threshold]) -> tuple[Values, list[Threshold]]:
    """Edges of the bins and the thresholds that lie among them."""
    low, high = (float(edge) for edge in np.quantile(values, (_OUTER, 1 - _OUTER), method="nearest"))
    if _is_counting(values):
        low, high = low - 0.5, max(high, low + 1) + 0.5
        drawn = [line for line in thresholds if low - 1 <= line.value <= high + 1]
        return np.arange(min([low, *(math.floor(line.value) - 0.5 for line in drawn)]), high + 0.1), drawn
    span = high - low or max(abs(high) * 0.1, 1e-3)
    near = (low - _FAR * span, high + _FAR * span)
    drawn = [line for line in thresholds if near[0] <= line.value <= near[1]]
    ends = [low, high, *(line.value for line in drawn)]
    margin = (max(ends) - min(ends) or span) / 40
    start = min(ends) if min(ends) == 0 else min(ends) - margin
    return np.linspace(start, max(ends) + margin, _NUM_BINS + 1), drawn


def _is_counting(values: Values) -> bool:
    """Whether they are few whole numbers, each of which gets a bar."""
    whole = bool((values == np.round(values)).all())
    return whole and float(values.max()) - float(values.min()) < _NUM_BINS


def _x(value: float, edges: Values) -> float:
    share = (value - float(edges[0])) / (float(edges[-1]) - float(edges[0]))
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _tall(count: int, top: int) -> float:
    return max(count / top * (_HEIGHT - _TOP - _BOTTOM), _LEAST_BAR if count else 0.0)


def _scale(edges: Values, top: int) -> Iterator[Markup]:
    """Grid lines with counts at the left, values below."""
    foot = _HEIGHT - _BOTTOM
    for count in (tick for tick in ticks(0, top, 4) if tick == round(tick)):
        y = foot - count / top * (foot - _TOP)
        line = '<path class="rule" d="M{} {:.1f}H{}"/><text class="end" x="{}" y="{:.1f}">{}</text>'
        yield Markup(line).format(_LEFT, y, _WIDTH - _RIGHT, _LEFT - 6, y + 4, f"{round(count):,}")
    for value in ticks(float(edges[0]), float(edges[-1]), 6):
        place = _x(value, edges)
        if place < _WIDTH - 14:
            text = '<text class="mid" x="{:.1f}" y="{}">{}</text>'
            yield Markup(text).format(place, foot + 14, number(value))


def _bars(kept: Values, dropped: Values, edges: Values, top: int) -> Iterator[Markup]:
    bar = '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
    for index, (some, lost) in enumerate(zip(kept, dropped, strict=True)):
        if not some + lost:
            continue
        left, right = _x(float(edges[index]), edges), _x(float(edges[index + 1]), edges)
        x, width = left + 0.4, max(right - left - 0.8, 0.6)
        below, above = _tall(int(some), top), _tall(int(lost), top)
        foot = _HEIGHT - _BOTTOM
        between = f"{number(float(edges[index]))} to {number(float(edges[index + 1]))}"
        yield Markup("<g><title>{}: {:,} kept, {:,} dropped</title>").format(between, int(some), int(lost))
        if some:
            yield Markup(bar).format("kept", x, foot - below, width, below)
        if lost:
            yield Markup(bar).format("lost", x, foot - below - above, width, above)
        yield Markup("</g>")


def _shades(lines: Sequence[Threshold], edges: Values) -> Iterator[Markup]:
    """The side of each threshold on which pictures are dropped."""
    for line in lines:
        x = _x(line.value, edges)
        start, end = (_LEFT, x) if line.is_low else (x, _WIDTH - _RIGHT)
        yield Markup('<rect class="shade" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>').format(
            start, _TOP, max(end - start, 0), _HEIGHT - _TOP - _BOTTOM
        )


def _threshold_lines(lines: Sequence[Threshold], edges: Values) -> Iterator[Markup]:
    for line in lines:
        x = _x(line.value, edges)
        side = "end" if x > _WIDTH * 0.6 else "start"
        yield Markup(
            '<g class="threshold"><path d="M{:.1f} {}V{}"/><text class="{}" x="{:.1f}" y="{}">{}</text></g>'
        ).format(x, _TOP - 6, _HEIGHT - _BOTTOM, side, x + (-4 if side == "end" else 4), _TOP - 6, line.words)
