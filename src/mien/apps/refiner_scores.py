"""How real a refiner makes pictures look to a classifier that never saw it, and what it leaves alone."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from scipy import stats

from mien import TOOL
from mien.apps.fresh_classifier import accuracy, split
from mien.apps.products import Product, load
from mien.apps.pupils import known_pupils, moved
from mien.apps.refiner_strips import refine
from mien.apps.sides import check_alike
from mien.core.atomic import write_text
from mien.core.errors import InputError
from mien.core.run import RunFolder
from mien.core.types import Dataset
from mien.datasets._open import open_dataset
from mien.metrics._reading import Interval
from mien.models.simgan import KIND

Tick = Callable[[int, int], None]
METRIC = "refiner"
SEEDS = 3
_FEWEST = 10  # pictures of either kind, to train a classifier on
_FAR = 2.0  # pixels that a pupil may move


class Moved(BaseModel):
    """How far refining moved pupils. count: of pupils. median, p95: in pixels. near: share within 2 px."""

    model_config = ConfigDict(frozen=True)

    count: int
    median: float
    p95: float
    near: float


class Examination(BaseModel):
    """What was found of a refiner; a line of `metric-refiner.jsonl`.

    raw, refined: balanced accuracy of a fresh classifier, real against raw and against refined, of each seed.
    fall: what the second has less than the first. l1: mean change of a value, in shares of its whole range.
    pupils: None where no place of a pupil is known. learnt_from: are these the pictures that it learnt from?
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model_id: str
    nimg: int
    dataset_name: str
    dataset_hash: str
    num_pictures: int
    real_name: str
    real_hash: str
    num_reals: int
    learnt_from: bool
    raw: tuple[float, ...]
    refined: tuple[float, ...]
    fall: Interval
    l1: float
    pupils: Moved | None
    tool: str = TOOL


def evaluate(source: Path, data: str, *, device: torch.device, progress: Tick | None = None) -> Examination:
    """Examine a run's refiner on `data`, against the real pictures that the run was told of.

    The result is appended to the run's `metric-refiner.jsonl`. Raises InputError.
    """
    if not source.is_dir():
        raise InputError(f"{source}: give the run's folder, which says which pictures were the real ones")
    run = RunFolder.open(source)
    product = load(source, KIND, device)
    real = run.read_config().get("options", {}).get("real")
    if not isinstance(real, str):
        raise InputError(f"{source}/config.json: does not say which pictures were the real ones")
    found = examine(product, open_dataset(data), open_dataset(real), progress=progress)
    append(run, found)
    return found


def examine(
    product: Product, dataset: Dataset, real: Dataset, *, seeds: int = SEEDS, progress: Tick | None = None
) -> Examination:
    """Compare `dataset`, raw and refined, with `real`. Raises InputError where they do not fit together."""
    check_alike(dataset, real)
    if dataset.spec.channels != product.header.spec.channels:
        raise InputError(f"{dataset.name}: {product.model} refines pictures of other colours (gray or not)")
    if min(len(dataset), len(real)) < _FEWEST:
        raise InputError(f"{dataset.name}, {real.name}: a classifier needs {_FEWEST} pictures of each")
    raw, reals = (side.images(np.arange(len(side))) for side in (dataset, real))
    refined = refine(product.network, raw)
    kinds = (raw, refined)
    found: list[list[float]] = [[], []]
    for seed in range(seeds):
        sides, others = split(dataset, seed), split(real, seed)
        for number, (pictures, values) in enumerate(zip(kinds, found, strict=True)):
            tests = pictures[sides.test], reals[others.test]
            values.append(accuracy(pictures[sides.train], reals[others.train], tests, seed=seed))
            if progress:
                progress(seed * len(kinds) + number + 1, seeds * len(kinds))
    header = product.header
    return Examination(
        model_id=product.model,
        nimg=header.nimg,
        dataset_name=dataset.name,
        dataset_hash=dataset.content_hash,
        num_pictures=len(dataset),
        real_name=real.name,
        real_hash=real.content_hash,
        num_reals=len(real),
        learnt_from=header.dataset is not None and header.dataset.content_hash == dataset.content_hash,
        raw=tuple(found[0]),
        refined=tuple(found[1]),
        fall=mean_of(np.array(found[0]) - found[1]),
        l1=float(np.abs(raw.astype(np.int16) - refined).mean() / 255),
        pupils=_pupils(dataset, raw, refined),
    )


def mean_of(values: np.ndarray) -> Interval:
    """The mean and its 95 % interval by Student's t over the seeds; of one value, no more than that."""
    mean, count = float(np.mean(values)), len(values)
    error = float(np.std(values, ddof=1)) / math.sqrt(count) if count > 1 else 0.0
    half = float(stats.t.ppf(0.975, count - 1)) * error if count > 1 else 0.0
    return Interval(value=mean, low=mean - half, high=mean + half)


def _pupils(dataset: Dataset, raw: np.ndarray, refined: np.ndarray) -> Moved | None:
    where, places = known_pupils(dataset)
    far = moved(raw[where], refined[where], places)
    if not len(far):
        return None
    return Moved(
        count=len(far),
        median=float(np.median(far)),
        p95=float(np.quantile(far, 0.95)),
        near=float((far <= _FAR).mean()),
    )


def append(run: RunFolder, found: Examination) -> None:
    """Add a line to the run's `metric-refiner.jsonl`, atomically."""
    path = run.metric(METRIC)
    old = path.read_text("utf-8") if path.exists() else ""
    write_text(path, old + found.model_dump_json() + "\n")


def newest(run: RunFolder) -> Examination | None:
    """What was found last, None where nothing was. Raises InputError for a damaged line."""
    path = run.metric(METRIC)
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    if not lines:
        return None
    try:
        return Examination.model_validate_json(lines[-1])
    except ValidationError as error:
        raise InputError(f"{path}: line {len(lines)} is not an examination") from error


def table(found: Examination) -> RenderableType:
    """Both accuracies by seed, and what was left alone."""
    grid = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    grid.add_column("fresh classifier, real against")
    for seed in range(len(found.raw)):
        grid.add_column(f"seed {seed}", justify="right")
    grid.add_column("mean", justify="right")
    for name, values in (("raw", found.raw), ("refined", found.refined)):
        grid.add_row(name, *(f"{value:.1%}" for value in values), f"{np.mean(values):.1%}")
    whose = "which it learnt from" if found.learnt_from else "which it did not learn from"
    lines: list[RenderableType] = [
        f"[bold]{found.model_id}[/] on {found.num_pictures:,} pictures of {found.dataset_name}, {whose};"
        f" {found.num_reals:,} reals of {found.real_name}",
        grid,
        f"balanced accuracy on pictures kept from it (50 %: a coin's); it falls by {_points(found)}",
        f"pictures change by {found.l1:.1%} of the range on average",
    ]
    if found.pupils is not None:
        lines.append(_told(found.pupils))
    return Group(*lines)


def _points(found: Examination) -> str:
    fall = found.fall
    return f"{100 * fall.value:.1f} points ({100 * fall.low:.1f} to {100 * fall.high:.1f})"


def _told(pupils: Moved) -> str:
    return (
        f"{pupils.count:,} pupils whose place is known move by {pupils.median:.2f} px (median),"
        f" {pupils.p95:.2f} px (95 %); {pupils.near:.1%} by {_FAR:g} px at most"
    )
