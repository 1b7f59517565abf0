"""How near a translator comes to true pictures of unseen people, and whether it keeps who they are."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from mien.attributes.agreement import mean_of
from mien.core import discover
from mien.core.errors import InputError
from mien.core.network import LoadedNetwork, load_network
from mien.core.run import RunFolder
from mien.labels.split import person_of
from mien.metrics import frechet
from mien.metrics.features import FALLBACK, FeatureNetwork, is_here, open_network
from mien.metrics.ms_ssim import ms_ssim, ssim
from mien.models.pix2pix import KIND
from mien.training.sides import ToExamine, pairs_to_examine
from mien.translation import closeness, identity
from mien.translation.strips import changed, chosen
from mien.translation.translator_figures import Closeness, Examination, Likeness, append, newest, table

__all__ = ["evaluate", "examine", "newest", "table"]

Tick = Callable[[int, int], None]
AMONG = 100  # people of whom one is looked for, where there are as many
_MOST = 2000  # pairs that are looked at, evenly spread over all
_FEWEST = 4  # pairs of different people, for a figure to mean anything
_BATCH = 64


class _Way(NamedTuple):
    """Pictures that are offered for the targets, uint8 [N, C, H, W]."""

    name: str
    pictures: np.ndarray


def evaluate(source: Path, data: str, *, device: torch.device, progress: Tick | None = None) -> Examination:
    """Examine a run's newest translator, or a file, on the pairs `data`: those kept out, if it learnt them.

    In a run folder the result is appended to `metric-translator.jsonl`. Raises InputError.
    """
    loaded = load_network(source, KIND, device)
    config = discover.load("mien.models", loaded.header.family).Config(**loaded.header.config)
    pairs = pairs_to_examine(loaded.header, config, data, progress=None)
    _check_fit(loaded, pairs, data)
    found = examine(loaded, pairs, open_networks(device), progress=progress)
    if source.is_dir():
        append(RunFolder.open(source), found)
    return found


def open_networks(device: torch.device) -> list[FeatureNetwork]:
    """identity and mesh where their files are, and inception; where neither of the first two is, vgg-random.

    vgg-random knows people by clothes and light, and loses them when only the inner face is left.
    """
    there = [name for name in ("identity", "mesh") if is_here(name)] or [FALLBACK]
    there += ["inception"] if is_here("inception") else []
    return [open_network(name, device=device) for name in there]


def examine(
    loaded: LoadedNetwork[Any],
    pairs: ToExamine,
    networks: Sequence[FeatureNetwork],
    *,
    progress: Tick | None = None,
) -> Examination:
    """Compare what is made of the inputs with the targets; and the inputs, and the targets' mean."""
    every = chosen(pairs.inputs, _MOST)
    people = _people(pairs, every)
    others = identity.fewest_others(people)
    if len(people) < _FEWEST or others < 1:
        raise InputError(f"{pairs.inputs.name}: {len(people)} pairs are too few to examine a model on")
    inputs, targets = pairs.inputs.images(every), pairs.targets.images(every)
    mean = np.rint(targets.mean(axis=0)).astype(np.uint8)
    ways = (
        _Way("translated", changed(loaded.network, inputs)),
        _Way("input", inputs),
        _Way("mean target", np.broadcast_to(mean, targets.shape)),
    )
    among = min(AMONG, others + 1)
    likeness: list[Likeness] = []
    for number, network in enumerate(networks, 1):
        likeness += _likeness(network, ways, targets, people, among)
        if progress:
            progress(number, len(networks))
    header = loaded.header
    return Examination(
        model_id=loaded.model,
        nimg=header.nimg,
        dataset_name=pairs.inputs.name,
        dataset_hash=pairs.inputs.content_hash,
        roles=header.roles,
        num_pairs=len(people),
        num_people=len(set(people)),
        unseen=pairs.unseen,
        how=pairs.how,
        among=among,
        closeness=tuple(_closeness_of(way, targets, people) for way in ways),
        likeness=tuple(likeness),
    )


def _closeness_of(way: _Way, targets: np.ndarray, people: Sequence[str]) -> Closeness:
    measures = [closeness.l1, closeness.psnr, *((ssim, ms_ssim) if targets.shape[-1] >= 11 else ())]
    found: list[list[torch.Tensor]] = [[] for _ in measures]
    for start in range(0, len(targets), _BATCH):
        part = slice(start, start + _BATCH)
        one, two = (torch.from_numpy(np.ascontiguousarray(side[part])) for side in (way.pictures, targets))
        for values, measure in zip(found, measures, strict=True):
            values.append(measure(one, two))
    each = [torch.cat(values).double().numpy() for values in found]
    means = [float(values.mean()) for values in each[1:]] + [None] * (4 - len(each))
    return Closeness(
        way=way.name, l1=mean_of(each[0], people), psnr=means[0] or 0.0, ssim=means[1], ms_ssim=means[2]
    )


def _likeness(
    network: FeatureNetwork, ways: Sequence[_Way], targets: np.ndarray, people: Sequence[str], among: int
) -> list[Likeness]:
    wanted = network.features(torch.from_numpy(targets))
    found = []
    for way in ways:
        seen = network.features(torch.from_numpy(np.ascontiguousarray(way.pictures)))
        far = identity.distances(seen, wanted)
        found.append(
            Likeness(
                way=way.name,
                network=network.name,
                network_hash=network.hash,
                resize=network.resize,
                distance=float(np.diagonal(far).mean()),
                frechet=frechet.compute(wanted, seen)["frechet"],
                rank1=mean_of(identity.rank_one(far, people, among), people),
                auc=identity.verification_auc(far, people),
                doubt=frechet.advice(len(wanted), len(seen), network.dims),
            )
        )
    return found


def _people(pairs: ToExamine, where: np.ndarray) -> list[str]:
    """Who is shown in each; a pair of whom nothing is known counts as a person of its own."""
    return [person_of(pairs.inputs.records[index]) or f"pair {index}" for index in where.tolist()]


def _check_fit(loaded: LoadedNetwork[Any], pairs: ToExamine, data: str) -> None:
    ours, theirs = loaded.header.spec, pairs.inputs.spec
    for what in ("resolution", "channels"):
        one, two = getattr(ours, what), getattr(theirs, what)
        if one != two:
            raise InputError(f"{data}: its pictures have {what} {two}, {loaded.model} learnt from {one}")
