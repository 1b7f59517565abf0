"""The psi curve: what truncation buys in quality and costs in variety."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mien.core.errors import InputError
from mien.core.events import Column, Table
from mien.core.score import Score
from mien.evaluation.image_sets import Model, open_fakes
from mien.evaluation.measure import measure_all

PSIS = (0.3, 0.5, 0.7, 0.85, 1.0)
METRICS = ("kernel", "prdc")
_SHOWN = ("kernel", "precision", "recall", "density", "coverage")


def psi_curve(source: str | Path | None, data: str, **options: Any) -> dict[float, list[Score]]:
    """Scores at each of PSIS, of the same seeds. options: as of `measure_all`. Raises InputError."""
    fakes = open_fakes(source)
    if not isinstance(fakes, Model):
        raise InputError(f"{fakes.label}: --psi-curve needs a generator, and these are pictures")
    curve = {}
    for psi in PSIS:
        (measured,) = measure_all([fakes.file], data, metrics=METRICS, floor=False, psi=psi, **options)
        curve[psi] = measured.scores
    return curve


def curve_tables(curve: dict[float, list[Score]]) -> list[Table]:
    """A table for each feature network: a row a psi."""
    any_scores = next(iter(curve.values()))
    networks = dict.fromkeys(score.network for score in any_scores)
    return [_table(curve, str(network)) for network in networks]


def _table(curve: dict[float, list[Score]], network: str) -> Table:
    columns = (Column("psi", numbers=True), *(Column(name, numbers=True, wraps=True) for name in _SHOWN))
    rows = []
    for psi, scores in curve.items():
        values = {score.metric: score for score in scores if score.network == network}
        rows.append((f"{psi:g}", *(_text(values[name]) for name in _SHOWN)))
    first = any_of(curve)
    return Table(
        columns,
        tuple(rows),
        f"psi curve through {network}: {first.num_fake:,} fakes at each, against {first.dataset_name}",
        "precision and density: quality; recall and coverage: variety; in brackets: 95 % intervals",
    )


def any_of(curve: dict[float, Sequence[Score]] | dict[float, list[Score]]) -> Score:
    return next(iter(curve.values()))[0]


def _text(score: Score) -> str:
    if score.low is None or score.high is None:
        return f"{score.value:.3g}"
    return f"{score.value:.3g} ({score.low:.2g} to {score.high:.2g})"
