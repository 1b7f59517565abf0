"""Features of images by a cluster: this process opens or draws them, workers pass them through networks."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mien.core import cluster
from mien.core.cluster import Shard
from mien.core.errors import MienError
from mien.evaluation.classifiers import DEFAULT, open_classifier
from mien.evaluation.image_sets import Passed, in_turn
from mien.faces.expressions import ARTEFACT
from mien.metrics.features import FeatureNetwork, is_file, needs_of, open_network


@contextmanager
def spread(
    address: str,
    sources: Sequence[str],
    networks: Sequence[FeatureNetwork],
    classifier: str | None,
    device: str,
) -> Iterator[Passed]:
    """In this context, a way to extract features on a cluster; the result is that of `in_turn`.

    sources: the name or file of each network; classifier: of the last one; None where there is none.
    """
    needs = [artefact for source in sources for artefact in needs_of(source)]
    needs += [ARTEFACT] if classifier == DEFAULT else []
    openers = [("features", _absolute(source)) for source in sources]
    openers += [] if classifier is None else [("classifier", _absolute(classifier))]
    opener_of = {network.name: opener for network, opener in zip(networks, openers, strict=True)}
    with cluster.opened(address, needs=needs) as pool:

        def passed(
            batches: Iterable[Tensor], networks: Sequence[FeatureNetwork]
        ) -> Iterator[tuple[Tensor, Sequence[np.ndarray]]]:
            setup = [[*opener_of[network.name], network.hash, device] for network in networks]
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
