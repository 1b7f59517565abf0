"""The psychometric function as inline SVG: shares of right answers with intervals, and the fitted curve."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from markupsafe import Markup

from mien.reports.charts import number
from mien.study.intervals import Figure
from mien.study.psychometric import TARGET, Curve

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 470, 250, 46, 14, 12, 40
_TICKS_MS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


class _Place:
    """Places on the drawing: exposure on a logarithmic axis, share of right answers below."""

    def __init__(self, low_ms: float, high_ms: float, least: float) -> None:
        self.low, self.high, self.least = math.log(low_ms), math.log(high_ms), least

    def x(self, exposure_ms: float) -> float:
        share = (math.log(exposure_ms) - self.low) / (self.high - self.low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, percent: float) -> float:
        share = (percent - self.least) / (100 - self.least)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)


def exposure_chart(points: Sequence[Figure], curve: Curve, threshold: Figure | None, *, title: str) -> Markup:
    """points: percent right, their column the exposure in ms. threshold: drawn with its interval."""
    shown = [float(point.column) for point in points]
    least = min([40.0, *(point.interval.low for point in points)])
    low, high = min(shown) / 1.3, max(shown) * 1.3
    place = _Place(low, high, max(0.0, least))
    head = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">')
    parts = [head.format(_WIDTH, _HEIGHT, title), *_axes(place, low, high)]
    if threshold is not None:
        parts += _threshold(place, threshold, low, high)
    xs = np.geomspace(low, high, 100)
    line = "L".join(f"{place.x(x):.1f} {place.y(100 * y):.1f}" for x, y in zip(xs, curve.at(xs), strict=True))
    parts.append(Markup('<path class="s0" d="M{}"/>').format(line))
    for point, exposure in zip(points, shown, strict=True):
        parts += _point(place, point, exposure)
    return Markup("").join([*parts, Markup("</svg>")])


def _axes(place: _Place, low: float, high: float) -> Iterator[Markup]:
    for percent in (0, 25, 50, 75, 100):
        if percent >= place.least:
            y = place.y(percent)
            kind = "zero" if percent == 100 * TARGET else "rule"
            yield Markup('<line class="{}" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
                kind, _LEFT, _WIDTH - _RIGHT, y, y
            )
            yield Markup('<text class="end" x="{}" y="{:.1f}">{} %</text>').format(_LEFT - 6, y + 4, percent)
    for exposure in (tick for tick in _TICKS_MS if low <= tick <= high):
        yield Markup('<text class="mid" x="{:.1f}" y="{}">{}</text>').format(
            place.x(exposure), _HEIGHT - _BOTTOM + 16, number(exposure)
        )
    yield Markup('<text class="end" x="{}" y="{}">exposure in ms</text>').format(_WIDTH - _RIGHT, _HEIGHT - 6)


def _threshold(place: _Place, threshold: Figure, low: float, high: float) -> Iterator[Markup]:
    ends = threshold.interval
    left, right = (place.x(min(max(end, low), high)) for end in (ends.low, ends.high))
    y = place.y(100 * TARGET)
    yield Markup('<line class="span" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(
        left, right, y, y
    )
    if low <= ends.value <= high:
        x = place.x(ends.value)
        yield Markup('<line class="at" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(
            x, x, y - 8, y + 8
        )


def _point(place: _Place, point: Figure, exposure: float) -> Iterator[Markup]:
    x, ends = place.x(exposure), point.interval
    yield Markup('<line class="rule" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(
        x, x, place.y(ends.low), place.y(ends.high)
    )
    yield Markup('<circle class="s1 dot" cx="{:.1f}" cy="{:.1f}" r="3.5"><title>{}</title></circle>').format(
        x, place.y(ends.value), f"{exposure:g} ms: {ends.value:.0f} % of {point.count}"
    )
