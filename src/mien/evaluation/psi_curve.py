"""The psi curve: what truncation buys in quality and costs in variety."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mien.core.errors import InputError
from mien.core.events import Column, Table
from mien.core.score import Score
from mien.evaluation.image_sets import Model, open_fakes
from mien.evaluation.measure import append_scores, measure_all
from mien.reports.charts import Series, line_chart
from mien.reports.score_tables import title_of

PSIS = (0.3, 0.5, 0.7, 0.85, 1.0)
METRICS = ("kernel", "prdc")
_SHOWN = ("kernel", "precision", "recall", "density", "coverage")
_FEWEST = 3  # psis that make a curve
_ALIKE = ("network_hash", "resize", "num_real", "num_fake", "dataset_hash", "model_id", "seeds")


def psi_curve(source: str | Path | None, data: str, **options: Any) -> dict[float, list[Score]]:
    """Scores at each of PSIS, of the same seeds; in a run folder kept too, for its report.

    options: as of `measure_all`. Raises InputError.
    """
    fakes = open_fakes(source)
    if not isinstance(fakes, Model):
        raise InputError(f"{fakes.label}: --psi-curve needs a generator, and these are pictures")
    curve = {}
    for psi in PSIS:
        (measured,) = measure_all([fakes.file], data, metrics=METRICS, floor=False, psi=psi, **options)
        curve[psi] = measured.scores
    if fakes.run is not None:
        append_scores(fakes.run, [score for scores in curve.values() for score in scores])
    return curve


def curves_of(scores: Sequence[Score]) -> tuple[list[list[Score]], list[Score]]:
    """The newest psi curve through each network, and the scores that belong to none.

    A curve: scores of one generator at three psis or more, alike in all else. Those without truncation are
    among the others too.
    """
    groups: dict[tuple[object, ...], list[Score]] = {}
    for score in scores:
        if score.subject == "generator" and score.module in METRICS:
            groups.setdefault(tuple(getattr(score, name) for name in _ALIKE), []).append(score)
    curves = [group for group in groups.values() if len({score.psi for score in group}) >= _FEWEST]
    in_curves = {id(score) for curve in curves for score in curve if score.psi != 1}
    newest = {curve[0].network: curve for curve in sorted(curves, key=lambda curve: curve[0].nimg or 0)}
    return list(newest.values()), [score for score in scores if id(score) not in in_curves]


def charts_and_table(scores: Sequence[Score]) -> tuple[list[dict[str, Any]], Table]:
    """What a report shows of a curve through one network. scores: of one generator at several psis."""
    curve = {
        psi: [score for score in scores if score.psi == psi]
        for psi in sorted({score.psi for score in scores if score.psi is not None})
    }
    charts = []
    for title, names in (("Kernel distance", _SHOWN[:1]), ("Quality and variety", _SHOWN[1:])):
        lines = []
        for name in names:
            at = {psi: score for psi, scores in curve.items() for score in scores if score.metric == name}
            if at:
                points = [(psi, score.value) for psi, score in at.items()]
                lines.append(Series(title_of(next(iter(at.values()))), points))
        charts.append(
            {
                "title": title,
                "about": f"through {scores[0].network}",
                "names": [line.name for line in lines],
                "svg": line_chart(lines, title=title, over="truncation psi"),
                "gaps": 0,
            }
        )
    (table,) = curve_tables(curve)
    return charts, table


def curve_tables(curve: dict[float, list[Score]]) -> list[Table]:
    """A table for each feature network: a row a psi."""
    columns = (Column("psi", numbers=True), *(Column(name, numbers=True, wraps=True) for name in _SHOWN))
    tables, first = [], next(iter(curve.values()))[0]
    for network in dict.fromkeys(score.network for score in next(iter(curve.values()))):
        rows = []
        for psi, scores in curve.items():
            values = {score.metric: score for score in scores if score.network == network}
            rows.append((f"{psi:g}", *(_text(values[name]) if name in values else "" for name in _SHOWN)))
        title = f"psi curve through {network}: {first.num_fake:,} fakes at each, against {first.dataset_name}"
        about = "precision and density: quality; recall and coverage: variety; in brackets: 95 % intervals"
        tables.append(Table(columns, tuple(rows), title, about))
    return tables


def _text(score: Score) -> str:
    if score.low is None or score.high is None:
        return f"{score.value:.3g}"
    return f"{score.value:.3g} ({score.low:.2g} to {score.high:.2g})"
