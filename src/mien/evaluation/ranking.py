"""Models ranked by kernel distance, with the certainty of each place."""

from collections.abc import Sequence
from typing import NamedTuple

from mien.attributes.agreement import Interval
from mien.core.errors import InputError
from mien.core.events import Column, Table
from mien.core.score import Score, comparable
from mien.evaluation.measure import Measured
from mien.metrics import kernel


class Ranked(NamedTuple):
    """A model's place. behind: its distance less the best's.

    places: those that it may have, since 95 % intervals of differences say which models are surely better or
    worse.
    """

    label: str
    score: Score
    places: tuple[int, int]
    behind: Interval


def ranking(measured: Sequence[Measured]) -> list[Ranked]:
    """The models, best first; [] without kernel distances.

    Raises InputError where their scores must not be compared.
    """
    scores = [score for one in measured for score in [next(filter(_counts, one.scores), None)] if score]
    if len(scores) < len(measured):
        return []
    network = str(scores[0].network)
    for one, score in zip(measured, scores, strict=True):
        if reasons := comparable(scores[0], score):
            raise InputError(f"{measured[0].label} and {one.label} cannot be compared: {'; '.join(reasons)}")
    reals, *_ = (one.real.features[network] for one in measured)
    apart = kernel.differences(reals, [one.fake.features[network] for one in measured])
    order = sorted(range(len(measured)), key=lambda index: scores[index].value)
    rows = []
    for index in order:
        surely_better, surely_worse = (apart[index, :, 1] > 0).sum(), (apart[index, :, 2] < 0).sum()
        places = (1 + int(surely_better), len(measured) - int(surely_worse))
        value, low, high = apart[index, order[0]].tolist()
        interval = Interval(value=value, low=low, high=high)
        rows.append(Ranked(measured[index].label, scores[index], places, interval))
    return rows


def ranking_table(rows: Sequence[Ranked]) -> Table:
    """A row a model; a difference whose interval holds 0 may be chance."""
    columns = (
        Column("place", numbers=True),
        Column("model", wraps=True),
        Column("kernel distance", numbers=True, wraps=True),
        Column("behind the best", numbers=True, wraps=True),
    )
    cells = [_row(at, row) for at, row in enumerate(rows, start=1)]
    first = rows[0].score
    return Table(
        columns,
        tuple(cells),
        f"ranked by kernel distance through {first.network}, {first.num_fake:,} images each",
        "in brackets: 95 % intervals, and the places a model may have; where 'behind' holds 0 the two may be"
        " equally good",
    )


def _row(at: int, row: Ranked) -> tuple[str, ...]:
    low, high = row.places
    behind = "" if at == 1 else _text(row.behind.value, row.behind.low, row.behind.high)
    score = row.score
    place = f"{at}" if low == high == at else f"{at} ({low} to {high})"
    return place, row.label, _text(score.value, score.low or 0.0, score.high or 0.0), behind


def _text(value: float, low: float, high: float) -> str:
    return f"{value:.4g} ({low:.3g} to {high:.3g})"


def _counts(score: Score) -> bool:
    return score.metric == "kernel" and score.subject == "generator"
