"""Metrics of a generator against a dataset: draw fakes, extract features of reals and fakes, compare them."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

import mien
from mien.core import artefacts, discover, ledger
from mien.core.atomic import replacing
from mien.core.cache import cache_root
from mien.core.checkpoint import NetworkHeader, model_id
from mien.core.errors import InputError, MienError
from mien.core.events import Tick
from mien.core.network import read_network
from mien.core.packaged import source_of
from mien.core.run import RunFolder
from mien.core.sampling import check_psi, draw, latents
from mien.core.score import Score, Subject
from mien.core.types import Dataset, Generator
from mien.datasets.opening import open_dataset
from mien.labels.conditions import rows_for
from mien.metrics.features import FeatureNetwork, open_network, usual_networks

Announce = Callable[[str], None]

_BATCH = 64
_MOST_FAKES = 5_000
_MOST_REALS = 50_000
_MOST_PIXELS = 2_000  # pictures that pixel metrics get; beyond it they only become slower
_PIXEL_BYTES = 1 << 30


@dataclass
class _ImageSet:
    """A set of images as metrics take it: the features of all, and the first images themselves."""

    count: int
    features: dict[str, np.ndarray] = field(default_factory=dict)
    images: Tensor = field(default_factory=lambda: torch.zeros(0, 3, 1, 1, dtype=torch.uint8))

    def part(self, start: int) -> "_ImageSet":
        """Every second image, from `start` (0 or 1) on."""
        features = {name: rows[start::2] for name, rows in self.features.items()}
        return _ImageSet(len(range(start, self.count, 2)), features, self.images[start::2])


class _FeatureSource(NamedTuple):
    """The feature network of a metric, by name, hash and resize rule; None for metrics of pixels."""

    network: str | None = None
    network_hash: str | None = None
    resize: str | None = None


_BASELINE: dict[str, object] = {"model_id": None, "nimg": None, "seeds": None, "psi": None}


@dataclass(frozen=True)
class _Context:
    """What all scores of one evaluation share."""

    dataset: Dataset
    networks: Sequence[FeatureNetwork]
    modules: dict[str, ModuleType]
    announce: Announce


def measure(
    run_or_file: Path | None,
    data: str,
    *,
    networks: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    num_fake: int | None = None,
    num_real: int | None = None,
    seed: int = 0,
    psi: float = 1.0,
    device: str | torch.device = "cpu",
    noise_baseline: bool = False,
    floor: bool = True,
    fetch: bool = True,
    progress: Tick | None = None,
    announce: Announce | None = None,
) -> list[Score]:
    """Measure a generator (a file, a run folder's newest, or for None the packaged one) against `data`.

    networks: names of feature networks or ONNX files (`mien.metrics.features.open_network`); by default lite0
    and mesh (fetched if `fetch`), inception where its weights are, and vgg-random where neither of the first
    two can be had. metrics: files of mien.metrics; all by default. num_fake: fakes drawn,
    from seeds `seed`, `seed` + 1, ...; by default as many as there are reals, at most 5,000. num_real: a
    fixed random choice of the data; all by default, at most 50,000. Metrics of pixels get 2,000 at most.
    noise_baseline: score pure noise alike. floor: score one half of the reals against the other.
    progress(done, total) counts images; announce(line) gets what was left out or is doubtful.
    In a run folder the scores are appended to `metric-<module>.jsonl`.
    Raises InputError when data and generator do not fit, or there are too few pictures.
    """
    psi = check_psi(psi)
    run, file = _locate(source_of(run_or_file))
    network, header = read_network(file)
    generator = cast(Generator, network.to(device))
    dataset = open_dataset(data)
    _check_fit(file, generator, dataset, data)
    fakes = _count("num_fake", num_fake, min(len(dataset), _MOST_FAKES))
    reals = min(_count("num_real", num_real, min(len(dataset), _MOST_REALS)), len(dataset))
    say = announce or (lambda line: None)
    modules = _modules(metrics, fetch, say)
    opened = _opened(networks, device, fetch, say) if _any_needs(modules, "features") else []
    context = _Context(dataset, opened, modules, say)
    keep = _pixel_count(context, min(fakes, reals))
    tick = _Ticker(progress, reals + fakes * (2 if noise_baseline else 1))
    real = _extract_reals(context, reals, keep, tick)
    labels = _labels(header, dataset, fakes, seed)
    drawn = _draw(generator, labels, fakes, seed, psi, torch.device(device))
    fake = _extract(drawn, opened, fakes, keep, tick)
    about = {
        "model_id": model_id(file),
        "nimg": header.nimg,
        "seeds": f"{seed}-{seed + fakes - 1}",
        "psi": psi,
    }
    scores = _score(context, real, fake, "generator", about)
    if noise_baseline:
        noise = _extract(_noise(dataset, fakes, seed), opened, fakes, keep, tick)
        scores += _score(context, real, noise, "noise", {"seeds": f"{seed}-{seed}"})
    if floor and reals >= 16:
        scores += _score(context, real.part(0), real.part(1), "real-halves", {}, most=min(reals, fakes))
    if run is not None:
        append_scores(run, scores)
    return scores


def append_scores(run: RunFolder, scores: Sequence[Score]) -> None:
    """Add each score as a line to its module's `metric-<module>.jsonl` in `run`, atomically."""
    for module in dict.fromkeys(score.module for score in scores):
        ledger.append(run, module, *(score for score in scores if score.module == module))


def read_scores(run: RunFolder) -> list[Score]:
    """All scores of a run, oldest first within a metric. Raises InputError naming a damaged line."""
    scores = []
    for path in sorted(run.path.glob("metric-*.jsonl")):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            try:
                scores.append(Score.model_validate_json(line))
            except ValueError as error:
                raise InputError(f"{path}: line {number} is not a score") from error
    return scores


class _Ticker:
    """Counts images for a progress bar."""

    def __init__(self, progress: Tick | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)


def _locate(path: Path) -> tuple[RunFolder | None, Path]:
    if path.is_dir():
        run = RunFolder.open(path)
        return run, run.newest_generator()
    if not path.is_file():
        raise InputError(f"{path}: there is no such run folder or generator file")
    return None, path


def _count(name: str, requested: int | None, default: int) -> int:
    count = default if requested is None else requested
    if count < 8:
        raise InputError(f"{name} is {count}: measuring needs 8 pictures or more on each side")
    return count


def _check_fit(file: Path, generator: Generator, dataset: Dataset, data: str) -> None:
    drawn, data_spec = generator.spec, dataset.spec
    for what, left, right in (
        ("pixels a side", drawn.resolution, data_spec.resolution),
        ("channels", drawn.channels, data_spec.channels),
    ):
        if left != right:
            raise InputError(
                f"{file}: draws pictures of {left} {what}, but {data} has {right}; prepare it so"
            )


def _opened(
    names: Sequence[str] | None, device: str | torch.device, fetch: bool, announce: Announce
) -> list[FeatureNetwork]:
    opened = [
        open_network(name, device=device) for name in names or usual_networks(fetch=fetch, announce=announce)
    ]
    twice = [name for name, times in Counter(network.name for network in opened).items() if times > 1]
    if twice:
        raise InputError(f"two feature networks are called {twice[0]}: name each once, or rename a file")
    return opened


def _modules(names: Sequence[str] | None, fetch: bool, announce: Announce) -> dict[str, ModuleType]:
    """The metrics by name, the kernel distance first; of all, those lacking an artefact are left out."""
    requested = names or sorted(discover.names("mien.metrics"), key=lambda name: (name != "kernel", name))
    modules = {name: discover.load("mien.metrics", name) for name in requested}
    for name, module in list(modules.items()):
        try:
            for artefact in getattr(module, "ARTEFACTS", ()):
                if fetch:
                    artefacts.obtain(artefact, announce=announce)
                else:
                    artefacts.require(artefact)
        except MienError as error:
            if names:
                raise
            announce(f"left out the metric {name}: {error}")
            del modules[name]
    return modules


def _any_needs(modules: Mapping[str, ModuleType], what: str) -> bool:
    return any(what == module.NEEDS for module in modules.values())


def _pixel_count(context: _Context, available: int) -> int:
    if not _any_needs(context.modules, "images"):
        return 0
    spec = context.dataset.spec
    return min(available, _MOST_PIXELS, _PIXEL_BYTES // (spec.channels * spec.resolution**2))


def _extract(
    batches: Iterable[Tensor], networks: Sequence[FeatureNetwork], count: int, keep: int, tick: _Ticker
) -> _ImageSet:
    """Pass each batch through every network once; keep the first `keep` images."""
    extracted: dict[str, list[np.ndarray]] = {network.name: [] for network in networks}
    kept: list[Tensor] = []
    for batch in batches:
        for network in networks:
            extracted[network.name].append(network.features(batch))
        kept.append(batch[: max(keep - sum(map(len, kept)), 0)].clone())
        tick(len(batch))
    features = {name: np.concatenate(rows) for name, rows in extracted.items()}
    return _ImageSet(count, features, torch.cat(kept))


def _extract_reals(context: _Context, count: int, keep: int, tick: _Ticker) -> _ImageSet:
    """As `_extract`, with features from the cache where the same images were processed before."""
    dataset = context.dataset
    # Always the same choice, so that it can be cached and scores of different days agree.
    chosen = np.random.RandomState(0).permutation(len(dataset))[:count]
    cached = {
        network.name: _load_features(_cache_path(dataset, network, count)) for network in context.networks
    }
    ready = {name: rows for name, rows in cached.items() if rows is not None and len(rows) == count}
    missing = [network for network in context.networks if network.name not in ready]
    needed = count if missing else keep
    images = _extract(_reals(dataset, chosen[:needed]), missing, count, keep, tick)
    tick(count - needed)
    for network in missing:
        _save_features(_cache_path(dataset, network, count), images.features[network.name])
    images.features.update(ready)
    return images


def _reals(dataset: Dataset, indexes: np.ndarray) -> Iterator[Tensor]:
    for start in range(0, len(indexes), _BATCH):
        # Rising indexes read a memory-mapped cache in order.
        yield torch.from_numpy(np.array(dataset.images(indexes[start : start + _BATCH])))
    if not len(indexes):
        spec = dataset.spec
        yield torch.zeros(0, spec.channels, spec.resolution, spec.resolution, dtype=torch.uint8)


def _cache_path(dataset: Dataset, network: FeatureNetwork, count: int) -> Path:
    network_digest = hashlib.sha256(f"{network.hash} {network.resize}".encode()).hexdigest()[:16]
    name = f"{dataset.content_hash}-{network_digest}-{count}.npy"
    return cache_root() / "features" / name


def _load_features(path: Path) -> np.ndarray | None:
    try:
        return np.asarray(np.load(path, allow_pickle=False), np.float32)
    except (OSError, ValueError, EOFError):  # absent, or damaged: computing again costs only time
        return None


def _save_features(path: Path, features: np.ndarray) -> None:
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, features, allow_pickle=False)


def _draw(
    generator: Generator, labels: Tensor | None, count: int, seed: int, psi: float, device: torch.device
) -> Iterator[Tensor]:
    for start in range(0, count, _BATCH):
        stop = min(start + _BATCH, count)
        z = latents(list(range(seed + start, seed + stop)), generator.z_dim).to(device)
        yield draw(generator, z, None if labels is None else labels[start:stop].to(device), psi=psi)


def _labels(header: NetworkHeader, dataset: Dataset, count: int, seed: int) -> Tensor | None:
    """Labels drawn from the data's label distribution, since a metric compares whole distributions.

    Of a dataset without labels: from those that the generator was trained on.
    """
    if not header.spec.label_dim:
        return None
    rows = rows_for(header.spec, dataset)
    if rows is None and header.label_rows:
        rows = np.array(header.label_rows, np.float32)
    if rows is None:
        width = 0 if dataset.labels is None else dataset.labels.shape[1]
        raise InputError(
            f"the generator takes labels of width {header.spec.label_dim}, {dataset.name} has width {width}"
        )
    return torch.from_numpy(rows[np.random.RandomState(seed).randint(0, len(rows), count)])


def _noise(dataset: Dataset, count: int, seed: int) -> Iterator[Tensor]:
    """Images of uniform noise: the baseline that a generator must beat by far."""
    rng = np.random.RandomState(seed)
    spec = dataset.spec
    for start in range(0, count, _BATCH):
        shape = (min(_BATCH, count - start), spec.channels, spec.resolution, spec.resolution)
        yield torch.from_numpy(rng.randint(0, 256, shape, dtype=np.uint8))


def _score(
    context: _Context,
    real: _ImageSet,
    fake: _ImageSet,
    subject: Subject,
    about: dict[str, object],
    *,
    most: int | None = None,
) -> list[Score]:
    """Compute every metric, with every feature network where it takes features.

    most: images a side for metrics that are reported at fixed counts, so that a baseline has no more of them
    than what it stands beside.
    """
    scores = []
    for name, module in context.modules.items():
        shared = {**_BASELINE, **about, "subject": subject, "module": name}
        if module.NEEDS == "features":
            for network in context.networks:
                features = _feature_pair(context, module, network, (real, fake), subject, most)
                if features is None:
                    continue
                source = _FeatureSource(network.name, network.hash, network.resize)
                scores += _measure(context, module, features, source, network.dims, shared)
        else:
            source = (
                _FeatureSource(*module.provenance()) if hasattr(module, "provenance") else _FeatureSource()
            )
            most = getattr(module, "MOST", _MOST_PIXELS)
            scores += _measure(context, module, (real.images[:most], fake.images[:most]), source, 0, shared)
    return scores


def _feature_pair(
    context: _Context,
    module: ModuleType,
    network: FeatureNetwork,
    image_sets: tuple[_ImageSet, _ImageSet],
    subject: Subject,
    most: int | None,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Features of reals and fakes, cut to the metric's fixed count; None where that is not reached."""
    real, fake = (images.features[network.name] for images in image_sets)
    if not hasattr(module, "fixed_count"):
        return real, fake
    num_real, num_fake = (min(len(rows), most or len(rows)) for rows in (real, fake))
    count = module.fixed_count(num_real, num_fake, network.dims)
    if count is None:
        if subject == "generator":
            name = module.__name__.rpartition(".")[2]
            warning = module.advice(num_real, num_fake, network.dims)
            context.announce(f"{name} through {network.name} is left out: {warning}")
        return None
    return real[:count], fake[:count]


def _measure(
    context: _Context,
    module: ModuleType,
    inputs: tuple[Any, Any],
    source: _FeatureSource,
    dims: int,
    shared: dict[str, object],
) -> list[Score]:
    """Compute one metric from reals and fakes, and give each of its values the provenance."""
    num_real, num_fake = map(len, inputs)
    warning = module.advice(num_real, num_fake, dims)
    if warning is not None and shared["subject"] == "generator":
        through = f" through {source.network}" if source.network else ""
        context.announce(f"{shared['module']}{through}: {warning}")
    provenance = {
        **shared,
        **source._asdict(),
        "num_real": num_real,
        "num_fake": num_fake,
        "dataset_name": context.dataset.name,
        "dataset_hash": context.dataset.content_hash,
        "tool": f"mien {mien.__version__}",
        "warnings": () if warning is None else (warning,),
    }
    values = module.compute(*inputs)
    bounds = {f"{metric}_{bound}" for metric in values for bound in ("low", "high")}
    return [
        Score.model_validate(
            {
                **provenance,
                "metric": metric,
                "value": value,
                "low": values.get(f"{metric}_low"),
                "high": values.get(f"{metric}_high"),
                "better": module.BETTER.get(metric),
            }
        )
        for metric, value in values.items()
        if metric not in bounds
    ]
