"""Charts of lines and intervals as inline SVG: no script, no outside font, colours of the style sheet."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from mien.core.score import Interval

Point = tuple[float, float]
IntervalRow = tuple[str, Interval, Sequence[float]]  # name, value with its interval, single values

MAX_POINTS = 400  # of one line; what is drawn is 400 units wide
NUM_STYLES = 6  # classes s0 ... s5 of the style sheet: colour and dashes
_WIDTH, _HEIGHT = 400, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 10, 16, 34
_WIDE, _NAMES, _ROW_HEIGHT, _ABOVE, _BELOW = 470, 125, 28, 8, 26  # of a chart of intervals
_HEAD = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">')
_LETTER = 7.8  # width of a letter of a name, on phones at least
_LOG_FROM = 20.0  # spread of the values beyond which a linear axis hides the small ones


@dataclass(frozen=True)
class Series:
    """One line. points: (x, y) with rising x; a y that is not finite is a gap in the line."""

    name: str
    points: Sequence[Point]

    @property
    def num_gaps(self) -> int:
        return sum(not math.isfinite(y) for _, y in self.points)


@dataclass(frozen=True)
class Mark:
    """A marked point at `x`. kind: "warning" or "rescue"; text: its tooltip."""

    x: float
    kind: str
    text: str


@dataclass(frozen=True)
class _Axis:
    """Maps values to places between `start` and `stop` of the drawing."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def place(self, value: float) -> float:
        low, high, at = (math.log10(x) if self.log else x for x in (self.low, self.high, value))
        # Halved before subtracting: the ends may be as far apart as floats go.
        share = (at / 2 - low / 2) / (high / 2 - low / 2)
        return self.start + share * (self.stop - self.start)


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    unit: str = "",
    marks: Sequence[Mark] = (),
    over: str = "thousand images seen",
) -> Markup:
    """Draw `series` over what `over` says; an empty Markup where no value is finite.

    title: read out by screen readers. unit: of the values. The value axis is logarithmic
    where all values are positive and spread widely, and then says so.
    """
    values = [y for line in series for _, y in line.points if math.isfinite(y)]
    if not values:
        return Markup()
    xs = [x for line in series for x, _ in line.points]
    log = wants_log(values)
    # From zero, so that charts of one run line up and nothing is cut off its beginning.
    x_axis = _Axis(0.0, max(*xs, 1e-9), _LEFT, _WIDTH - _RIGHT)
    y_axis = _Axis(*(_log_span(values) if log else _padded(values)), _HEIGHT - _BOTTOM, _TOP, log)
    label = f"{title}: {', '.join(line.name for line in series)} over {over}"
    parts = [
        _HEAD.format(_WIDTH, _HEIGHT, label),
        *_grid_lines(x_axis, y_axis),
        *_captions(over, ", ".join(filter(None, (unit, "log scale" if log else "")))),
        *(_mark(mark, x_axis) for mark in marks if x_axis.low <= mark.x <= x_axis.high),
        *(_line(line, index, x_axis, y_axis) for index, line in enumerate(series)),
        Markup("</svg>"),
    ]
    return Markup("").join(parts)


def wants_log(values: Sequence[float]) -> bool:
    """Whether a logarithmic axis shows `values` (finite) better."""
    if min(values) <= 0 or len(values) < 3:
        return False
    ordered = sorted(values)
    middle = ordered[len(ordered) // 2]
    # The highest value presses the others flat; low ones matter only where many are low.
    return ordered[-1] / middle > _LOG_FROM or middle / ordered[len(ordered) // 20] > _LOG_FROM


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most about MAX_POINTS: the minimum and maximum of each stretch, so that no spike is lost.

    A stretch with a gap keeps one gap.
    """
    if len(points) <= MAX_POINTS:
        return list(points)
    kept: list[Point] = []
    stretches = MAX_POINTS // 2
    for number in range(stretches):
        start, stop = number * len(points) // stretches, (number + 1) * len(points) // stretches
        kept += _extremes(points[start:stop])
    return kept


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from `low` to `high`, about that many."""
    if not high > low:
        return [low]
    raw = (high / about) - (low / about)
    power = 10.0 ** math.floor(math.log10(raw)) if raw > 1e-300 else raw
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [(first + i) * step for i in range(4 * about) if (first + i) * step <= high + step * 1e-9]


def number(value: float) -> str:
    """A short number for axes and tables: 1,200, 0.25, 3e-05."""
    if not math.isfinite(value):
        return "not finite"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e6 or size < 1e-3:
        return f"{value:.3g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _extremes(stretch: Sequence[Point]) -> list[Point]:
    finite = [point for point in stretch if math.isfinite(point[1])]
    gaps = [point for point in stretch if not math.isfinite(point[1])]
    chosen = {min(finite, key=lambda p: p[1]), max(finite, key=lambda p: p[1])} if finite else set()
    return sorted(chosen | set(gaps[:1]), key=lambda point: point[0])


def _padded(values: Sequence[float]) -> tuple[float, float]:
    # From zero where that is possible, so that noise does not look like drama.
    low, high = min(values), max(values)
    if 0 <= low < high:
        low = 0.0
    if low == high:
        return low - max(abs(low) * 0.1, 0.5), high + max(abs(high) * 0.1, 0.5)
    margin = high / 20 - low / 20
    return (low if low == 0 else low - margin), high + margin


def _log_span(values: Sequence[float]) -> tuple[float, float]:
    low = 10.0 ** max(math.floor(math.log10(min(values))), -300)
    high = 10.0 ** min(math.ceil(math.log10(max(values)) + 1e-12), 300)
    return low, high if high > low else low * 10


def _y_ticks(axis: _Axis) -> list[float]:
    if not axis.log:
        return ticks(axis.low, axis.high, 5)
    first, last = round(math.log10(axis.low)), round(math.log10(axis.high))
    every = max(1, math.ceil((last - first) / 5))
    return [10.0**exponent for exponent in range(first, last + 1, every)]


def _grid_lines(x_axis: _Axis, y_axis: _Axis) -> Iterator[Markup]:
    rule = Markup('<line class="rule" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>')
    for value in _y_ticks(y_axis):
        y = y_axis.place(value)
        yield rule.format(_LEFT, _WIDTH - _RIGHT, y)
        yield Markup('<text class="end" x="{}" y="{:.1f}">{}</text>').format(_LEFT - 6, y + 4, number(value))
    text = Markup('<text class="mid" x="{:.1f}" y="{}">{}</text>')
    for value in ticks(x_axis.low, x_axis.high, 5):
        x = min(x_axis.place(value), _WIDTH - _RIGHT - 8)
        yield text.format(x, _HEIGHT - _BOTTOM + 16, number(value))


def _captions(over: str, about_values: str) -> Iterator[Markup]:
    yield Markup('<text class="end" x="{}" y="{}">{}</text>').format(_WIDTH - _RIGHT, _HEIGHT - 4, over)
    if about_values:
        yield Markup('<text x="2" y="{}">{}</text>').format(_HEIGHT - 4, about_values)


def _mark(mark: Mark, axis: _Axis) -> Markup:
    x = axis.place(mark.x)
    kind = "rescue" if mark.kind == "rescue" else "warning"
    # Shapes differ too, for those who do not tell the colours apart: a diamond and a triangle.
    shape = "0,-7 5,-1 0,5 -5,-1" if kind == "rescue" else "0,5 -5,-4 5,-4"
    return Markup(
        '<g class="mark {}" transform="translate({:.1f} {})"><title>{}</title>'
        '<line y1="0" y2="{}"/><polygon points="{}"/></g>'
    ).format(kind, x, _TOP - 7, f"{number(mark.x)} kimg: {mark.text}", _HEIGHT - _BOTTOM - _TOP + 7, shape)


def _line(line: Series, index: int, x_axis: _Axis, y_axis: _Axis) -> Markup:
    style, segments, dots = index % NUM_STYLES, "", Markup("")
    dot = Markup('<circle class="s{} dot" cx="{:.1f}" cy="{:.1f}" r="2.5"/>')
    for run in _runs(thinned(line.points)):
        places = [(x_axis.place(x), y_axis.place(y)) for x, y in run]
        if len(places) == 1:  # a line of one point would be invisible
            dots += dot.format(style, *places[0])
        segments += "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    path = Markup('<path class="s{}" data-series="{}" d="{}"><title>{}</title></path>')
    return path.format(style, line.name, segments, line.name) + dots


def _runs(points: Sequence[Point]) -> Iterator[list[Point]]:
    """Stretches of finite points."""
    for is_finite, run in groupby(points, key=lambda point: math.isfinite(point[1])):
        if is_finite:
            yield list(run)


def interval_chart(
    rows: Sequence[IntervalRow],
    *,
    title: str,
    unit: str,
    zero: bool,
    span: tuple[float, float] | None = None,
) -> Markup:
    """A line for each row over its interval, a bar at its value, and a dot for each single value.

    zero: the axis reaches 0, where a line stands. span: what the axis shows at least. Empty without rows.
    """
    if not rows:
        return Markup()
    ends = [end for _, score, each in rows for end in (score.low, score.high, *each)]
    ends += [*([0.0] if zero else []), *(span or ())]
    names = min(max(_NAMES, 14 + _LETTER * max(len(name) for name, _, _ in rows)), _WIDE / 2)
    margin = (max(ends) - min(ends)) / 20 or 0.5
    low, high = min(ends) - margin, max(ends) + margin
    bottom = _ABOVE + _ROW_HEIGHT * len(rows)

    def place(value: float) -> float:
        return names + (value - low) / (high - low) * (_WIDE - names - 20)

    parts = [_HEAD.format(_WIDE, bottom + _BELOW, title)]
    for value in ticks(low, high, 6):
        heavy = zero and abs(value) < (high - low) / 1e6
        parts += _interval_tick(value, place(value), bottom, unit, heavy=heavy)
    for index, row in enumerate(rows):
        parts += _interval_row(row, names, _ABOVE + _ROW_HEIGHT * index + _ROW_HEIGHT / 2, place)
    return Markup("").join([*parts, Markup("</svg>")])


def _interval_tick(value: float, x: float, bottom: float, unit: str, *, heavy: bool) -> Iterator[Markup]:
    kind = "zero" if heavy else "rule"
    line = Markup('<line class="{}" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>')
    yield line.format(kind, x, x, _ABOVE, bottom)
    text = number(0.0 if heavy else round(value, 9)) + unit
    yield Markup('<text class="mid" x="{:.1f}" y="{}">{}</text>').format(x, bottom + 16, text)


def _interval_row(
    row: IntervalRow, names: float, y: float, place: Callable[[float], float]
) -> Iterator[Markup]:
    name, score, each = row
    yield Markup('<text class="end" x="{:.1f}" y="{:.1f}">{}</text>').format(names - 10, y + 4, name)
    whole = Markup('<line class="span" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>')
    yield whole.format(place(score.low), place(score.high), y, y)
    bar = Markup('<line class="at" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>')
    yield bar.format(place(score.value), y - 8, y + 8)
    for value in each:
        yield Markup('<circle class="s1 dot" cx="{:.1f}" cy="{:.1f}" r="2.5"/>').format(place(value), y)
