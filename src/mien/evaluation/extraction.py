"""Features of images by networks: here, or on a cluster, whose workers get the images from this process."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mien.core import cluster
from mien.core.cluster import Shard
from mien.core.errors import MienError
from mien.core.events import Tick
from mien.evaluation.classifiers import DEFAULT, open_classifier
from mien.faces.expressions import ARTEFACT
from mien.metrics.features import FeatureNetwork, is_file, needs_of, open_network


@dataclass
class ImageSet:
    """A set of images as metrics take it: the features of all, and the first images themselves."""

    count: int
    features: dict[str, np.ndarray] = field(default_factory=dict)
    images: Tensor = field(default_factory=lambda: torch.zeros(0, 3, 1, 1, dtype=torch.uint8))

    def part(self, start: int) -> "ImageSet":
        """Every second image, from `start` (0 or 1) on."""
        features = {name: rows[start::2] for name, rows in self.features.items()}
        return ImageSet(len(range(start, self.count, 2)), features, self.images[start::2])


class Ticker:
    """Counts images for a progress bar."""

    def __init__(self, progress: Tick | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)


Passed = Callable[[Iterable[Tensor], Sequence[FeatureNetwork]], Iterator[tuple[Tensor, Sequence[np.ndarray]]]]


def in_turn(
    batches: Iterable[Tensor], networks: Sequence[FeatureNetwork]
) -> Iterator[tuple[Tensor, Sequence[np.ndarray]]]:
    """Each batch, and its features by every network."""
    for batch in batches:
        yield batch, [network.features(batch) for network in networks]


def extract(
    batches: Iterable[Tensor],
    networks: Sequence[FeatureNetwork],
    count: int,
    keep: int,
    tick: Ticker,
    passed: Passed = in_turn,
) -> ImageSet:
    """Pass each batch through every network once; keep the first `keep` images. passed: how it goes."""
    extracted: dict[str, list[np.ndarray]] = {network.name: [] for network in networks}
    kept: list[Tensor] = []
    for batch, rows in passed(batches, networks):
        for network, features_of_batch in zip(networks, rows, strict=True):
            extracted[network.name].append(features_of_batch)
        kept.append(batch[: max(keep - sum(map(len, kept)), 0)].clone())
        tick(len(batch))
    features = {name: np.concatenate(rows) for name, rows in extracted.items()}
    return ImageSet(count, features, torch.cat(kept))


@contextmanager
def extraction(
    address: str | None,
    sources: Sequence[str],
    networks: Sequence[FeatureNetwork],
    classifier: str | None,
    device: torch.device,
) -> Iterator[Passed]:
    """In this context, the way images go through networks: here, or by the cluster at `address`.

    sources: the name or file of each network; classifier: of the last one; None where there is none.
    """
    if address is None:
        yield in_turn
        return
    needs = [artefact for source in sources for artefact in needs_of(source)]
    needs += [ARTEFACT] if classifier == DEFAULT else []
    openers = [("features", _absolute(source)) for source in sources]
    openers += [] if classifier is None else [("classifier", _absolute(classifier))]
    opener_of = {network.name: opener for network, opener in zip(networks, openers, strict=True)}
    with cluster.opened(address, needs=needs) as pool:

        def passed(
            batches: Iterable[Tensor], networks: Sequence[FeatureNetwork]
        ) -> Iterator[tuple[Tensor, Sequence[np.ndarray]]]:
            setup = [[*opener_of[network.name], network.hash, str(device)] for network in networks]
            under_way: deque[Tensor] = deque()

            def shards() -> Iterator[Shard]:
                for batch in batches:
                    under_way.append(batch)
                    yield Shard((setup, list(batch.shape), batch.cpu().numpy().tobytes()))

            if not networks:  # all of them came out of the cache
                yield from in_turn(batches, networks)
                return
            for rows in pool.map(features_of_shard, shards()):
                yield under_way.popleft(), rows

        yield passed


def features_of_shard(setup: list[list[str]], shape: list[int], pixels: bytes) -> list[np.ndarray]:
    """The features of a batch by each network. Raises MienError where a worker has another one."""
    images = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).view(shape)
    return [_opened(*network).features(images) for network in setup]


@lru_cache(maxsize=16)
def _opened(kind: str, source: str, sha256: str, device: str) -> FeatureNetwork:
    network = open_classifier(source, device) if kind == "classifier" else open_network(source, device=device)
    if network.hash != sha256:
        raise MienError(f"{source}: another network on a worker than here")
    return network


def _absolute(source: str) -> str:
    """A file's name from anywhere, with what follows after "?"; other names as they are."""
    path, mark, options = source.partition("?")
    return f"{Path(path).resolve()}{mark}{options}" if is_file(source) or Path(path).exists() else source
