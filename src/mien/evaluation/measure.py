"""Metrics of generators and sets of pictures against a dataset: extract features of both, compare them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from mien import TOOL
from mien.core import artefacts, discover
from mien.core.errors import InputError, MienError
from mien.core.events import Tick
from mien.core.run import RunFolder
from mien.core.score import Score, Subject, append_results
from mien.core.seeds import check_psi
from mien.evaluation.extraction import DEFAULT, ImageSet, Ticker, extract, extraction, open_classifier
from mien.evaluation.image_sets import (
    Fakes,
    Model,
    Reals,
    Reference,
    check_alike,
    noise,
    open_fakes,
    open_reals,
)
from mien.metrics.features import FeatureNetwork, open_network, usual_networks

Announce = Callable[[str], None]

_MOST_FAKES = 5_000
_MOST_REALS = 50_000
_MOST_PIXELS = 2_000  # pictures that pixel metrics get; beyond it they only become slower
_PIXEL_BYTES = 1 << 30
_LEAST_HALVED = 16  # reals that are scored half against half
_PATHS = 500  # of the path length
_BASELINE: dict[str, object] = {"model_id": None, "nimg": None, "seeds": None, "psi": None}
_SOURCE = ("network", "network_hash", "resize")  # of a score: the feature network, None for metrics of pixels


@dataclass(frozen=True)
class Measured:
    """The scores of one source and of its baselines. label: what it is called beside others."""

    label: str
    scores: list[Score]
    fake: ImageSet
    real: ImageSet


@dataclass(frozen=True)
class _Context:
    """What all scores of one evaluation share."""

    reals: Reals
    networks: Sequence[FeatureNetwork]
    classifiers: Sequence[FeatureNetwork]
    modules: dict[str, ModuleType]
    announce: Announce
    device: torch.device
    scored: Ticker


def measure(source: str | Path | None, data: str, **options: Any) -> list[Score]:
    """The scores of one source, and of its baselines: `measure_all` of one."""
    return measure_all([source], data, **options)[0].scores


def measure_all(
    sources: Sequence[str | Path | None],
    data: str,
    *,
    networks: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    classifier: str | None = None,
    num_fake: int | None = None,
    num_real: int | None = None,
    seed: int = 0,
    psi: float = 1.0,
    device: str | torch.device = "cpu",
    noise_baseline: bool = False,
    floor: bool = True,
    fetch: bool = True,
    progress: Tick | None = None,
    scoring: Tick | None = None,
    announce: Announce | None = None,
    cluster: str | None = None,
) -> list[Measured]:
    """Measure generators or pictures against `data`, all with as many images and the same networks.

    sources: run folders (their newest generator), generator files, None for the packaged one, or pictures as
    `open_dataset` takes them. data: a dataset, or a file of `save_reference`. networks: names of feature
    networks or ONNX files (`mien.metrics.features.open_network`); by default lite0 and mesh (fetched if
    `fetch`), inception where its weights are, and vgg-random where neither of the first two can be had; of
    saved statistics those that they hold. metrics: files of mien.metrics; by default all but those with
    ASKED_FOR. num_fake: fakes drawn, from seeds `seed`, `seed` + 1, ...; by default as many as there are
    reals, at most 5,000. num_real: a fixed random choice of the data; all by default, at most 50,000. Metrics
    of pixels get 2,000 at most. noise_baseline: score pure noise alike. floor: score one half of the reals
    against the other. progress(done, total) counts images, scoring(done, total) metrics; announce(line) gets
    what was left out or is doubtful. cluster: a Dask cluster that extracts the features
    (`core.cluster.opened`). In a run folder the scores are appended to `metric-<module>.jsonl`.
    Raises InputError when data and sources do not fit, or there are too few pictures.
    """
    psi = check_psi(psi)
    opened = [open_fakes(source, device) for source in sources]
    reals = open_reals(data)
    say = announce or (lambda line: None)
    for fakes in opened:
        for note in fakes.notes:
            say(note)
        check_alike(fakes.spec, reals.spec, fakes.label, data)
    count = _fake_count(opened, num_fake, reals)
    num = min(_count("real pictures", num_real, min(len(reals), _MOST_REALS)), len(reals))
    modules = _modules([_named_here(name, say) for name in metrics or ()], fetch, say)
    if not reals.has_images:
        modules = _without_pixels(modules, bool(metrics), say)
    needs = {module.NEEDS for module in modules.values()}
    names: Sequence[str] = []
    if "features" in needs:
        names = networks or (list(reals.networks) if isinstance(reals, Reference) else [])
        names = names or usual_networks(fetch=fetch, announce=say)
    classifier = (classifier or DEFAULT) if "probabilities" in needs else None
    context = _Context(
        reals,
        _opened(names, device),
        [] if classifier is None else [open_classifier(classifier, device)],
        modules,
        say,
        torch.device(device),
        Ticker(scoring, len(modules) * (len(opened) + noise_baseline + (floor and num >= _LEAST_HALVED))),
    )
    keep = 0
    if "images" in needs:
        keep = min(count, num, _MOST_PIXELS, _PIXEL_BYTES // (reals.spec.channels * reals.spec.resolution**2))
    tick = Ticker(progress, num + count * (len(opened) + noise_baseline))
    every = [*context.networks, *context.classifiers]
    measured = []
    with extraction(cluster, names, every, classifier, context.device) as passed:
        real = reals.extract(every, num, keep, tick, passed)
        baselines: list[Score] = []
        if noise_baseline:
            drawn = extract(noise(reals.spec, count, seed), every, count, keep, tick, passed)
            baselines += _score(context, real, drawn, "noise", {"seeds": f"{seed}-{seed}"})
        if floor and num >= _LEAST_HALVED:
            halves = real.part(0), real.part(1)
            baselines += _score(context, *halves, "real-halves", {}, most=min(num, count))
        for label, fakes in zip(_labels(opened), opened, strict=True):
            batches = fakes.batches(reals, count, seed=seed, psi=psi, device=context.device)
            fake = extract(batches, every, count, keep, tick, passed)
            scores = _score(context, real, fake, "generator", fakes.about(count, seed, psi))
            scores += _of_generator(context, fakes, seed)
            scores += baselines
            if fakes.run is not None:
                append_scores(fakes.run, scores)
            measured.append(Measured(label, scores, fake, real))
    return measured


def append_scores(run: RunFolder, scores: Sequence[Score]) -> None:
    """Add each score as a line to its module's `metric-<module>.jsonl` in `run`, atomically."""
    for module in dict.fromkeys(score.module for score in scores):
        append_results(run, module, *(score for score in scores if score.module == module))


def feature_networks(
    names: Sequence[str] | None, device: str | torch.device, announce: Announce
) -> list[FeatureNetwork]:
    """The networks by name, or the usual ones. Raises InputError."""
    return _opened(names or usual_networks(fetch=True, announce=announce), device)


def _labels(opened: Sequence[Fakes]) -> list[str]:
    """A name for each source, numbered where two are called alike."""
    names = [fakes.label for fakes in opened]
    return [
        name if names.count(name) == 1 else f"{name} ({names[: at + 1].count(name)})"
        for at, name in enumerate(names)
    ]


def _fake_count(opened: Sequence[Fakes], requested: int | None, reals: Reals) -> int:
    """Fakes of each source: as many of all, since scores depend on it. Raises InputError."""
    sizes = {fakes.label: fakes.most for fakes in opened if fakes.most is not None}
    most = min([_MOST_FAKES, *sizes.values()])
    if requested is not None and sizes and requested > most:
        smallest = min(sizes, key=lambda label: sizes[label])
        raise InputError(f"{smallest} holds {most:,} pictures: --count {requested:,} is more")
    return _count("fakes", requested, min(len(reals), most))


def _count(name: str, requested: int | None, default: int) -> int:
    count = default if requested is None else requested
    if count < 8:
        raise InputError(f"measuring needs 8 pictures or more on each side; there are {count} {name}")
    return count


def _without_pixels(modules: dict[str, ModuleType], named: bool, announce: Announce) -> dict[str, ModuleType]:
    """The metrics that features alone do. Raises InputError where others were named."""
    pixels = [name for name, module in modules.items() if module.NEEDS in ("images", "probabilities")]
    if pixels and named:
        raise InputError(f"the file of statistics holds no pictures, which {', '.join(pixels)} needs")
    if pixels:
        announce(f"left out {', '.join(pixels)}: the file of statistics holds no pictures")
    return {name: module for name, module in modules.items() if name not in pixels}


def _opened(names: Sequence[str], device: str | torch.device) -> list[FeatureNetwork]:
    opened = [open_network(name, device=device) for name in names]
    twice = [name for name, times in Counter(network.name for network in opened).items() if times > 1]
    if twice:
        raise InputError(f"two feature networks are called {twice[0]}: name each once, or rename a file")
    return opened


def _named_here(name: str, announce: Announce) -> str:
    """The module of a metric that may be asked for by the name that papers use."""
    module = discover.known_as("mien.metrics", name)
    if module != name:
        remark = discover.load("mien.metrics", module).ALSO[name.lower()]
        announce(f"{name}: {module} here" + f"; {remark}" * bool(remark))
    return module


def _modules(names: Sequence[str], fetch: bool, announce: Announce) -> dict[str, ModuleType]:
    """The metrics by name, the kernel distance first; of all, those lacking an artefact are left out."""
    requested = names or sorted(discover.names("mien.metrics"), key=lambda name: (name != "kernel", name))
    modules = {name: discover.load("mien.metrics", name) for name in requested}
    if not names:
        modules = {name: it for name, it in modules.items() if not getattr(it, "ASKED_FOR", False)}
    left_out: dict[str, MienError] = {}
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
            left_out[name] = error
            del modules[name]
    if left_out and fetch:
        announce(f"left out the metrics {', '.join(left_out)}: {next(iter(left_out.values()))}")
    elif left_out:
        announce(f"left out the metrics {', '.join(left_out)}, whose networks `mien artefacts fetch` brings")
    return modules


def _score(
    context: _Context,
    real: ImageSet,
    fake: ImageSet,
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
        if module.NEEDS in ("features", "probabilities"):
            for network in context.networks if module.NEEDS == "features" else context.classifiers:
                features = _feature_pair(context, module, network, (real, fake), subject, most)
                if features is None:
                    continue
                source = dict(zip(_SOURCE, (network.name, network.hash, network.resize), strict=True))
                scores += _measure(context, module, features, network.dims, shared | source)
        elif module.NEEDS == "images":
            few = getattr(module, "MOST", _MOST_PIXELS)
            images = (real.images[:few], fake.images[:few])
            scores += _measure(context, module, images, 0, shared | _source_of(module))
        context.scored(1)
    return scores


def _source_of(module: ModuleType) -> dict[str, object]:
    known = module.provenance() if hasattr(module, "provenance") else (None, None, None)
    return dict(zip(_SOURCE, known, strict=True))


def _of_generator(context: _Context, fakes: Fakes, seed: int) -> list[Score]:
    """The metrics that walk in the generator's latents; no dataset has a part in them."""
    scores: list[Score] = []
    for name, module in context.modules.items():
        if module.NEEDS != "generator":
            continue
        if not isinstance(fakes, Model):
            context.announce(f"left out {name}: it needs a generator, and {fakes.label} holds pictures")
            continue
        labels = fakes.labels(context.reals, _PATHS, seed)
        values = module.compute(fakes.generator, labels, count=_PATHS, seed=seed, device=context.device)
        about = {**fakes.about(2 * _PATHS, seed, 1.0), "subject": "generator", "module": name}
        scores += _scores(context, module, values, (0, _PATHS), about | _source_of(module), ())
    return scores


def _feature_pair(
    context: _Context,
    module: ModuleType,
    network: FeatureNetwork,
    image_sets: tuple[ImageSet, ImageSet],
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
    context: _Context, module: ModuleType, inputs: tuple[Any, Any], dims: int, shared: dict[str, object]
) -> list[Score]:
    """Compute one metric from reals and fakes, and give each of its values the provenance."""
    num_real, num_fake = map(len, inputs)
    warning = module.advice(num_real, num_fake, dims)
    if warning is not None and shared["subject"] == "generator":
        through = f" through {shared['network']}" if shared["network"] else ""
        context.announce(f"{shared['module']}{through}: {warning}")
    values = module.compute(*inputs)
    findings = module.findings(values) if hasattr(module, "findings") else []
    if shared["subject"] == "generator":
        for line in findings:
            context.announce(f"{shared['model_id']}: {line}")
    warnings = (*(() if warning is None else (warning,)), *findings)
    return _scores(context, module, values, (num_real, num_fake), shared, warnings)


def _scores(
    context: _Context,
    module: ModuleType,
    values: Mapping[str, float],
    counts: tuple[int, int],
    shared: Mapping[str, object],
    warnings: tuple[str, ...],
) -> list[Score]:
    """A score for each value, with its interval and provenance."""
    provenance = {
        **shared,
        "num_real": counts[0],
        "num_fake": counts[1],
        "dataset_name": context.reals.name,
        "dataset_hash": context.reals.content_hash,
        "tool": TOOL,
        "warnings": warnings,
    }
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
