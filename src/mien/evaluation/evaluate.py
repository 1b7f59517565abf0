"""`mien evaluate`: compute models' metrics with confidence intervals, show them as tables, rank several."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from cyclopts import Parameter

from mien.core import discover
from mien.core.errors import InputError
from mien.core.events import Column, Events, Table, job
from mien.core.family import GENERATOR
from mien.core.score import Interval, Score, comparable
from mien.core.seeds import Seed
from mien.evaluation.extraction import Ticker, extraction
from mien.evaluation.image_sets import data_of, open_reals, save_reference
from mien.evaluation.measure import Measured, feature_networks, measure_all
from mien.evaluation.psi_curve import curve_tables, psi_curve
from mien.metrics import kernel
from mien.training.kinds import kind, kind_at
from mien.training.settings import pick_device

_TITLES: dict[str, str] = {"generator": "generator", "noise": "noise", "real-halves": "reals"}
_ARROWS = {"lower": " \N{DOWNWARDS ARROW}", "higher": " \N{UPWARDS ARROW}"}
_CAPTION = (
    "\N{DOWNWARDS ARROW} lower is better, \N{UPWARDS ARROW} higher is better; in brackets: 95 % intervals;"
    " images: generated:real; reals: one half of them against the other, each half as many"
)
_FIRST = ("kernel", "frechet", "precision", "recall", "density", "coverage")
_METRICS = (
    f"Metric: {', '.join(discover.names('mien.metrics'))}; may be repeated. By default all but"
    " classifier_score and path_length."
)


@job
def evaluate(
    events: Events,
    *run: str,
    data: str | None = None,
    features: Annotated[tuple[str, ...], Parameter(name=("--features", "--network"), negative="")] = (),
    metric: Annotated[tuple[str, ...], Parameter(help=_METRICS)] = (),
    classifier: str | None = None,
    count: int | None = None,
    seed: Seed = 0,
    trunc: float = 1.0,
    curve: Annotated[bool, Parameter(name="--psi-curve", negative="")] = False,
    noise_baseline: bool = False,
    save: Annotated[Path | None, Parameter(name="--save-reference")] = None,
    device: str = "auto",
    cluster: str | None = None,
) -> Any:
    """Measure models against a dataset; every score says what it was computed with; several are ranked.

    A generator, or pictures that somebody drew, is compared with the dataset. Every other model is tried on
    what was kept out of its training, and takes no option but --data and --device. Returns the scores, in a
    run folder appended to its `metric-*.jsonl` too; with --psi-curve the scores at each psi. Raises
    InputError when data and model do not fit, or there are too few pictures.

    Parameters
    ----------
    run
        Run folders (the newest generator of each), .safetensors files, or pictures: a folder, a zip, an .npy
        or .npz, as for --data; by default the model that comes with mien. Several are ranked.
    data
        The dataset to compare with, as for train, or a file of --save-reference; s3://... will do. By default
        the one that a run was trained on.
    features
        Feature network: lite0, mesh, vgg16, alexnet, identity, vgg-random, inception, or an ONNX file of your
        own (FILE.onnx?range=0..1&size=224; ranges: -1..1, 0..1, 0..255, imagenet); may be repeated. lite0 and
        mesh by default, vgg-random where neither is here nor can be fetched.
    classifier
        For --metric classifier_score: expressions (the default), an attribute model, or FILE.onnx.
    count
        How many fakes to draw of each; by default as many as there are reals, at most 5,000.
    seed
        Seed of the first fake.
    trunc
        Truncation psi from 0 to 1.
    curve
        Score psi .3, .5, .7, .85 and 1 instead: what truncation buys in quality and costs in variety.
    noise_baseline
        Score pure noise too, to see how bad bad is.
    save
        Write statistics of --data to this .npz, which hold no pictures; without a model nothing else is done.
    device
        cpu, cuda, mps or auto.
    cluster
        Let a Dask cluster pass the images through feature networks: tcp://HOST:PORT, or local for processes
        of this machine. They go out from here, so its workers need the networks alone.
    """
    sources: list[str | None] = [*run]
    data = data_of(sources, data, events.note)
    place = pick_device(device)
    if save is not None:
        _save(events, save, data, features, place, cluster)
        if not sources:
            return []
    progress = events.progress("measuring")
    others = [source for source in sources if source is not None and _kind(source) != GENERATOR]
    if others:
        if len(sources) > 1 or features or metric or count is not None or noise_baseline or curve or cluster:
            raise InputError(
                f"{others[0]}: holds '{_kind(others[0])}'; it is evaluated alone, and --features, --metric,"
                " --count, --cluster are for generators"
            )
        return _other_kind(events, Path(others[0]), data, place)
    options: dict[str, Any] = {
        "networks": features or None,
        "num_fake": count,
        "seed": seed,
        "device": place,
        "progress": progress,
        "scoring": events.progress("computing metrics", "metrics"),
        "announce": events.note,
        "cluster": cluster,
    }
    if curve:
        if len(sources) > 1 or metric or noise_baseline:
            raise InputError("--psi-curve takes one generator, and neither --metric nor --noise-baseline")
        scores = psi_curve(sources[0] if sources else None, data, **options)
        for each in curve_tables(scores):
            events.send(each)
        return scores
    options |= {"metrics": metric or None, "classifier": classifier, "noise_baseline": noise_baseline}
    measured = measure_all(sources or [None], data, psi=trunc, **options)
    for one in measured:
        events.send(table(one.scores, one.label if len(measured) > 1 else ""))
    if len(measured) > 1 and (rows := ranking(measured)):
        events.send(ranking_table(rows))
    # Baselines are the same for all.
    own = [score for one in measured[:-1] for score in one.scores if score.subject == "generator"]
    return [*own, *measured[-1].scores]


def _kind(source: str) -> str:
    """The kind of network at `source`; pictures count as a generator's."""
    path = Path(source)
    is_network = path.suffix == ".safetensors" or (path / "config.json").is_file()
    return kind_at(path) if path.exists() and is_network else GENERATOR


def _other_kind(events: Events, run: Path, data: str, device: Any) -> Any:
    examine = kind(kind_at(run)).evaluate
    assert examine is not None
    examination = examine(run, data, device=device, progress=events.progress("measuring"))
    for event in examination.tables():
        events.send(event)
    return examination


def _save(
    events: Events, path: Path, data: str, features: Sequence[str], device: Any, cluster: str | None
) -> None:
    networks = feature_networks(features or None, device, events.note)
    count = len(open_reals(data))
    tick = Ticker(events.progress("extracting features"), count)
    with extraction(cluster, features or [each.name for each in networks], networks, None, device) as passed:
        save_reference(path, data, networks, count, tick, passed)
    events.wrote(path, "statistics of the reals, without pictures")


def table(scores: Sequence[Score], label: str = "") -> Table:
    """One row a metric and network; a column for each subject that was scored. label: what it is called."""
    subjects = [name for name in _TITLES if any(score.subject == name for score in scores)]
    rows: dict[tuple[str, str], dict[str, Score]] = {}
    for score in in_order(scores):
        rows.setdefault((score.metric, score.network or "pixels"), {})[score.subject] = score
    cells = []
    for (metric, network), row in rows.items():
        any_score = row.get("generator") or next(iter(row.values()))
        values = [_value(row[subject]) if subject in row else "" for subject in subjects]
        arrow, images = _ARROWS.get(any_score.better or "", ""), f"{any_score.num_fake}:{any_score.num_real}"
        cells.append((metric + arrow, network, *values, images))
    columns = (
        *map(Column, ("metric", "features")),
        *(Column(_TITLES[subject], numbers=True, wraps=True) for subject in subjects),
        Column("images", numbers=True),
    )
    title = f"{label}, {_title(scores)}" if label else _title(scores)
    return Table(columns, tuple(cells), title, _CAPTION)


def in_order(scores: Sequence[Score]) -> list[Score]:
    """The scores sorted: distances, precision and recall, then the others."""
    return sorted(
        scores, key=lambda score: _FIRST.index(score.metric) if score.metric in _FIRST else len(_FIRST)
    )


def _value(score: Score) -> str:
    if score.low is None or score.high is None:
        return f"{score.value:.3g}"
    # Short enough for four columns on a narrow terminal.
    low, high = (f"{end:.2g}" if abs(end) < 0.01 else f"{end:.3g}" for end in (score.low, score.high))
    return f"{score.value:.3g}\n[{low}, {high}]"


def _title(scores: Sequence[Score]) -> str:
    if not scores:
        return "no scores"
    models = dict.fromkeys(score.model_id for score in scores if score.model_id)
    return f"{', '.join(models) or 'baselines'} against {scores[0].dataset_name}"


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
    kernels = [
        [score for score in one.scores if score.metric == "kernel" and score.subject == "generator"]
        for one in measured
    ]
    scores = [estimates[0] for estimates in kernels if estimates]
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
    cells = []
    for at, row in enumerate(rows, start=1):
        low, high = row.places
        place = f"{at}" if low == high == at else f"{at} ({low} to {high})"
        distance = _text(row.score.value, row.score.low or 0.0, row.score.high or 0.0)
        behind = "" if at == 1 else _text(row.behind.value, row.behind.low, row.behind.high)
        cells.append((place, row.label, distance, behind))
    first = rows[0].score
    return Table(
        columns,
        tuple(cells),
        f"ranked by kernel distance through {first.network}, {first.num_fake:,} images each",
        "in brackets: 95 % intervals, and the places a model may have; where 'behind' holds 0 the two may be"
        " equally good",
    )


def _text(value: float, low: float, high: float) -> str:
    return f"{value:.4g} ({low:.3g} to {high:.3g})"
