"""Scores on the terminal: the kernel distance first, with its interval; the Fréchet distance beside it."""

from collections.abc import Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from mien.core.score import Score

_TITLES: dict[str, str] = {"generator": "generator", "noise": "noise", "real-halves": "real:real"}
_CAPTION = (
    "in brackets: 95 % intervals; real:real: one half of the reals against the other, each half as many"
)
_FIRST = ("kernel", "frechet")


def table(scores: Sequence[Score]) -> Table:
    """One row a metric and network; a column for each subject that was scored."""
    subjects = [name for name in _TITLES if any(score.subject == name for score in scores)]
    rows: dict[tuple[str, str], dict[str, Score]] = {}
    for score in in_order(scores):
        rows.setdefault((score.metric, score.network or "pixels"), {})[score.subject] = score
    grid = Table(title=_title(scores), caption=_CAPTION, box=box.SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("metric", "seen through", "better"):
        grid.add_column(heading, no_wrap=True, overflow="fold")
    for subject in subjects:
        grid.add_column(_TITLES[subject], justify="right")
    grid.add_column("images", justify="right", no_wrap=True)
    for (metric, network), row in rows.items():
        any_score = row.get("generator") or next(iter(row.values()))
        values = [_value(row[subject]) if subject in row else "" for subject in subjects]
        counts = f"{any_score.num_fake}:{any_score.num_real}"
        grid.add_row(metric, escape(network), any_score.better or "-", *values, counts)
    return grid


def in_order(scores: Sequence[Score]) -> list[Score]:
    """The kernel distance first, then the Fréchet distance, then the others as they come."""
    return sorted(
        scores, key=lambda score: _FIRST.index(score.metric) if score.metric in _FIRST else len(_FIRST)
    )


def _value(score: Score) -> str:
    if score.low is None or score.high is None:
        return f"{score.value:.4g}"
    return f"{score.value:.4g} ({score.low:.3g} to {score.high:.3g})"


def _title(scores: Sequence[Score]) -> str:
    if not scores:
        return "no scores"
    models = dict.fromkeys(score.model_id for score in scores if score.model_id)
    return f"{', '.join(models) or 'baselines'} against {escape(scores[0].dataset_name)}"
