"""The kind "translator": how near it comes to true pictures of held-out people, and what its runs leave."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel
from sklearn.metrics import roc_auc_score

from mien.attributes.agreement import mean_of
from mien.core import discover
from mien.core.errors import InputError
from mien.core.events import Column, Event, Notice, Table, Tick
from mien.core.image import evenly_spaced
from mien.core.network import LoadedNetwork, load_network
from mien.core.run import RunFolder
from mien.core.score import Examination, Interval
from mien.core.types import Dataset
from mien.labels.split import person_of
from mien.metrics import frechet
from mien.metrics.features import FALLBACK, FeatureNetwork, is_here, open_network
from mien.metrics.ms_ssim import ms_ssim, ssim
from mien.models import pix2pix
from mien.training.kinds import Kind
from mien.training.outputs import Snapshot
from mien.training.paired_data import EvaluationData, evaluation_pairs
from mien.translation.outputs import ChangeOutputs, apply_network, l1, psnr
from mien.translation.report import write_report


def distances(probes: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Features [N, D] and [M, D] -> [N, M]: one minus the cosine, seen from the gallery's mean.

    Features share most of their length, whoever is shown; from the mean, what differs is left.
    """
    centre = gallery.mean(axis=0, dtype=np.float64)
    one, two = (_unit(side - centre) for side in (probes, gallery))
    return np.asarray(1 - one @ two.T)


def rank_one(far: np.ndarray, people: Sequence[str], among: int) -> np.ndarray:
    """For each probe, how likely its own picture is the nearest among `among`, the others drawn at random.

    far: [N, N], own pictures on the diagonal; people: of either side. Others are pictures of other people;
    each must have `among` - 1 of them or more. Exact: no draw is made. One that is as near counts as nearer.
    """
    others = _others(people)
    own = np.diagonal(far)[:, None]
    nearer = (others & (far <= own)).sum(axis=1)
    count = others.sum(axis=1)
    drawn = among - 1
    if among < 1 or count.min(initial=drawn) < drawn:
        raise ValueError(f"not everyone has {drawn} pictures of others")
    chances = [
        math.comb(int(n - k), drawn) / math.comb(int(n), drawn) for n, k in zip(count, nearer, strict=True)
    ]
    return np.array(chances)


def verification_auc(far: np.ndarray, people: Sequence[str]) -> float:
    """The chance that a probe is nearer to its own picture than some probe is to another person's.

    Arguments as of `rank_one`; two people or more.
    """
    other = far[_others(people)]
    own = np.diagonal(far)
    truth = np.r_[np.ones(len(own)), np.zeros(len(other))]
    return float(roc_auc_score(truth, -np.r_[own, other]))


def fewest_others(people: Sequence[str]) -> int:
    """How many pictures of others everyone has at least."""
    return int(_others(people).sum(axis=1).min(initial=len(people)))


def _others(people: Sequence[str]) -> np.ndarray:
    names = np.asarray(people)
    return np.asarray(names[:, None] != names[None])


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


AMONG = 100  # people of whom one is looked for, where there are as many
_MOST = 2000  # pairs that are looked at, evenly spread over all
_FEWEST = 4  # pairs of different people, for a figure to mean anything
_BATCH = 64
_GLANCE = 128  # held-out pairs that are looked at during training


class Closeness(BaseModel, frozen=True):
    """How near to their targets pictures are, pixel by pixel. way: "translated", "input", "mean target".

    l1: as a share of the range. psnr: in dB, the mean over pictures. ms_ssim, ssim: None under 11 px.
    """

    way: str
    l1: Interval
    psnr: float
    ssim: float | None
    ms_ssim: float | None


class Likeness(BaseModel, frozen=True):
    """How like their targets pictures are to a feature network.

    distance: mean distance to the own target (`distances`). rank1: how often that is the nearest
    among `among` people's. auc: how often it is nearer than anyone else's. doubt: of the Frechet distance.
    """

    way: str
    network: str
    network_hash: str
    resize: str
    distance: float
    frechet: float
    rank1: Interval
    auc: float
    doubt: str | None


class TranslatorExamination(Examination):
    """How well a translator does.

    among: people of whom one is looked for; rank1 of pure chance is one in so many. mean target: the mean of
    the targets examined, which is nearer to them than a mean of others could be.
    """

    metric = "translator"

    roles: tuple[str, ...]
    num_pairs: int
    num_people: int
    among: int
    closeness: tuple[Closeness, ...]
    likeness: tuple[Likeness, ...]

    def tables(self) -> list[Event]:
        """Pixel by pixel, then through each feature network; the translated above what must be beaten."""
        direction = " to ".join(self.roles) or "input to target"
        pixels = tuple(
            (one.way, _share(one.l1), f"{one.psnr:.2f} dB", _decimals(one.ssim), _decimals(one.ms_ssim))
            for one in self.closeness
        )
        events: list[Event] = [
            Notice(
                f"{self.model_id}, {direction}, on {self.num_pairs:,} pairs of {self.num_people:,} people"
                f" ({self.dataset_name}), {self.how}"
            ),
            Table(_columns("pixels", "L1", "PSNR", "SSIM", "MS-SSIM"), pixels),
        ]
        for network in dict.fromkeys(one.network for one in self.likeness):
            mine = [one for one in self.likeness if one.network == network]
            rows = tuple(
                (one.way, _share(one.rank1), f"{one.auc:.3f}", f"{one.distance:.3f}", f"{one.frechet:.4g}")
                for one in mine
            )
            columns = _columns(f"through {network}", "rank 1", "AUC", "distance", "Frechet")
            events.append(Table(columns, rows))
            events += map(Notice, sorted({f"Frechet: {one.doubt}" for one in mine if one.doubt}))
        chance = f"{1 / self.among:.1%}"
        events.append(
            Notice(
                f"rank 1: how often the own target is the nearest of {self.among} people's (chance:"
                f" {chance}); AUC: how often it is nearer than another's; in brackets: 95 % intervals"
            )
        )
        return events


def evaluate(
    source: Path, data: str, *, device: torch.device, progress: Tick | None = None
) -> TranslatorExamination:
    """Examine a run's newest translator, or a file, on the pairs `data`: those kept out, if it learnt them.

    In a run folder the result is appended to `metric-translator.jsonl`. Raises InputError.
    """
    loaded = load_network(source, pix2pix.KIND, device)
    config = discover.load("mien.models", loaded.header.family).Config(**loaded.header.config)
    pairs = evaluation_pairs(loaded.header, config, data, progress=None)
    ours, theirs = loaded.header.spec, pairs.inputs.spec
    for what in ("resolution", "channels"):
        one, two = getattr(ours, what), getattr(theirs, what)
        if one != two:
            raise InputError(f"{data}: its pictures have {what} {two}, {loaded.model} learnt from {one}")
    examination = examine(loaded, pairs, open_networks(device), progress=progress)
    if source.is_dir():
        examination.append(RunFolder.open(source))
    return examination


def open_networks(device: torch.device) -> list[FeatureNetwork]:
    """identity and mesh where their files are, and inception; where neither of the first two is, vgg-random.

    vgg-random knows people by clothes and light, and loses them when only the inner face is left.
    """
    there = [name for name in ("identity", "mesh") if is_here(name)] or [FALLBACK]
    there += ["inception"] if is_here("inception") else []
    return [open_network(name, device=device) for name in there]


def examine(
    loaded: LoadedNetwork[Any],
    pairs: EvaluationData[Dataset],
    networks: Sequence[FeatureNetwork],
    *,
    progress: Tick | None = None,
) -> TranslatorExamination:
    """Compare with the targets: the network's outputs, the inputs, and the mean of all targets."""
    every = evenly_spaced(pairs.inputs, _MOST)
    people = [person_of(pairs.inputs.records[index]) or f"pair {index}" for index in every.tolist()]
    others = fewest_others(people)
    if len(people) < _FEWEST or others < 1:
        raise InputError(f"{pairs.inputs.name}: {len(people)} pairs are too few to examine a model on")
    inputs, targets = pairs.inputs.images(every), pairs.targets.images(every)
    mean = np.rint(targets.mean(axis=0)).astype(np.uint8)
    candidates = {
        "translated": apply_network(loaded.network, inputs),
        "input": inputs,
        "mean target": np.broadcast_to(mean, targets.shape),
    }
    among = min(AMONG, others + 1)
    likeness: list[Likeness] = []
    for number, network in enumerate(networks, 1):
        likeness += _likeness(network, candidates, targets, people, among)
        if progress:
            progress(number, len(networks))
    header = loaded.header
    return TranslatorExamination(
        model_id=loaded.model,
        nimg=header.nimg,
        dataset_name=pairs.inputs.name,
        dataset_hash=pairs.inputs.content_hash,
        roles=header.roles,
        num_pairs=len(people),
        num_people=len(set(people)),
        kept_out=pairs.kept_out,
        how=pairs.how,
        among=among,
        closeness=tuple(_closeness_of(way, one, targets, people) for way, one in candidates.items()),
        likeness=tuple(likeness),
    )


def _closeness_of(way: str, pictures: np.ndarray, targets: np.ndarray, people: Sequence[str]) -> Closeness:
    measures = [l1, psnr, *((ssim, ms_ssim) if targets.shape[-1] >= 11 else ())]
    parts: list[list[torch.Tensor]] = [[] for _ in measures]
    for start in range(0, len(targets), _BATCH):
        part = slice(start, start + _BATCH)
        one, two = (torch.from_numpy(np.ascontiguousarray(side[part])) for side in (pictures, targets))
        for values, measure in zip(parts, measures, strict=True):
            values.append(measure(one, two))
    each = [torch.cat(values).double().numpy() for values in parts]
    means = [float(values.mean()) for values in each[1:]] + [None] * (4 - len(each))
    return Closeness(
        way=way, l1=mean_of(each[0], people), psnr=means[0] or 0.0, ssim=means[1], ms_ssim=means[2]
    )


def _likeness(
    network: FeatureNetwork,
    candidates: Mapping[str, np.ndarray],
    targets: np.ndarray,
    people: Sequence[str],
    among: int,
) -> list[Likeness]:
    of_targets = network.features(torch.from_numpy(targets))
    likeness = []
    for way, pictures in candidates.items():
        features = network.features(torch.from_numpy(np.ascontiguousarray(pictures)))
        far = distances(features, of_targets)
        likeness.append(
            Likeness(
                way=way,
                network=network.name,
                network_hash=network.hash,
                resize=network.resize,
                distance=float(np.diagonal(far).mean()),
                frechet=frechet.compute(of_targets, features)["frechet"],
                rank1=mean_of(rank_one(far, people, among), people),
                auc=verification_auc(far, people),
                doubt=frechet.advice(len(of_targets), len(features), network.dims),
            )
        )
    return likeness


def _columns(first: str, *numbers: str) -> tuple[Column, ...]:
    return (Column(first, wraps=True), *(Column(heading, numbers=True) for heading in numbers))


def _share(figure: Interval) -> str:
    return f"{figure.value:.1%} ({figure.low:.1%}-{figure.high:.1%})"


def _decimals(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


class TranslatorOutputs(ChangeOutputs):
    """The outputs of a run of the family `pix2pix`: rows of input | output | target."""

    kind, product = pix2pix.KIND, pix2pix.PRODUCT

    def _choose(self) -> None:
        lesson = self._lesson
        assert lesson.held_out is not None
        assert lesson.held_out_others is not None
        where = evenly_spaced(lesson.held_out, _GLANCE)
        self._inputs, self._targets = (
            side.images(where) for side in (lesson.held_out, lesson.held_out_others)
        )
        self._rows = evenly_spaced(where)

    def show(self) -> Snapshot:
        """A strip, and the mean L1 error on held-out pairs; nothing is chosen by it."""
        error = np.abs(self._draw().astype(np.int16) - self._targets).mean() / 255
        return Snapshot({"Eval/l1": float(error)})

    def end(self) -> None:
        """The last strip, and all of them in one film."""
        super().end()
        strip = self._run.all_fakes()[-1]
        self._events.note(f"input, output and target of people kept out, side by side: {strip}")
        self._events.note(f"how near and how alike they are: mien evaluate {self._run.path}")

    def _draw(self) -> np.ndarray:
        outputs = apply_network(self._network, self._inputs)
        self._write_strip(*(side[self._rows] for side in (self._inputs, outputs, self._targets)))
        return outputs


KIND = Kind("translator", write_report, TranslatorOutputs, evaluate, TranslatorExamination)
