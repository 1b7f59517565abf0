"""`mien evaluate`: compute a model's metrics with confidence intervals, and show them as a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from mien.core import discover
from mien.core.errors import InputError
from mien.core.events import Column, Events, Table, job
from mien.core.family import GENERATOR
from mien.core.score import Score
from mien.evaluation.measure import measure
from mien.training.kinds import kind, kind_at
from mien.training.settings import pick_device

_TITLES: dict[str, str] = {"generator": "generator", "noise": "noise", "real-halves": "real:real"}
_CAPTION = (
    "in brackets: 95 % intervals; real:real: one half of the reals against the other, each half as many"
)
_FIRST = ("kernel", "frechet")
_METRICS = f"Metric: {', '.join(discover.names('mien.metrics'))}; may be repeated. By default all."


@job
def evaluate(
    events: Events,
    run: Path | None = None,
    /,
    *,
    data: str,
    features: Annotated[tuple[str, ...], Parameter(name=("--features", "--network"), negative="")] = (),
    metric: Annotated[tuple[str, ...], Parameter(help=_METRICS)] = (),
    count: int | None = None,
    seed: int = 0,
    trunc: float = 1.0,
    noise_baseline: bool = False,
    device: str = "auto",
) -> Any:
    """Measure a run's model against a dataset; every score says what it was computed with.

    A generator is compared with the pictures. Every other model is tried on what was kept out of its
    training, and takes no option but --data and --device. Returns the scores, in a run folder appended to its
    `metric-*.jsonl` too. Raises InputError when data and model do not fit, or there are too few pictures.

    Parameters
    ----------
    run
        A run folder (its newest generator) or a .safetensors file; the model that comes with mien by default.
    data
        The dataset to compare with, as for train.
    features
        Feature network: lite0, mesh, vgg16, alexnet, identity, vgg-random, inception, or an ONNX file of your
        own (FILE.onnx?range=0..1&size=224; ranges: -1..1, 0..1, 0..255, imagenet); may be repeated. lite0 and
        mesh by default, vgg-random where neither is here nor can be fetched.
    count
        How many fakes to draw; by default as many as there are reals, at most 5,000.
    seed
        Seed of the first fake.
    trunc
        Truncation psi from 0 to 1.
    noise_baseline
        Score pure noise too, to see how bad bad is.
    device
        cpu, cuda, mps or auto.
    """
    name = GENERATOR if run is None else kind_at(run)
    progress = events.progress("measuring")
    evaluate_kind = None if run is None else kind(name).evaluate
    if run is not None and evaluate_kind is not None:
        if features or metric or count is not None or noise_baseline:
            raise InputError(f"{run}: holds '{name}'; --features, --metric, --count are for generators")
        examination = evaluate_kind(run, data, device=pick_device(device), progress=progress)
        for event in examination.tables():
            events.send(event)
        return examination
    measured = measure(
        run,
        data,
        networks=features or None,
        metrics=metric or None,
        num_fake=count,
        seed=seed,
        psi=trunc,
        device=pick_device(device),
        noise_baseline=noise_baseline,
        progress=progress,
        announce=events.note,
    )
    events.send(table(measured))
    return measured


def table(scores: Sequence[Score]) -> Table:
    """One row a metric and network; a column for each subject that was scored."""
    subjects = [name for name in _TITLES if any(score.subject == name for score in scores)]
    rows: dict[tuple[str, str], dict[str, Score]] = {}
    for score in in_order(scores):
        rows.setdefault((score.metric, score.network or "pixels"), {})[score.subject] = score
    columns = (
        *map(Column, ("metric", "seen through", "better")),
        *(Column(_TITLES[subject], numbers=True, wraps=True) for subject in subjects),
        Column("images", numbers=True),
    )
    return Table(
        columns, tuple(_row(key, row, subjects) for key, row in rows.items()), _title(scores), _CAPTION
    )


def _row(key: tuple[str, str], row: dict[str, Score], subjects: Sequence[str]) -> tuple[str, ...]:
    any_score = row.get("generator") or next(iter(row.values()))
    values = [_value(row[subject]) if subject in row else "" for subject in subjects]
    return (*key, any_score.better or "-", *values, f"{any_score.num_fake}:{any_score.num_real}")


def in_order(scores: Sequence[Score]) -> list[Score]:
    """The scores sorted: kernel distance, Fréchet distance, then the others."""
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
    return f"{', '.join(models) or 'baselines'} against {scores[0].dataset_name}"
