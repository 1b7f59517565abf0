"""Features of images by networks, probabilities by classifiers: here, or on a cluster."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mien.core import artefacts, cluster
from mien.core.cluster import Shard
from mien.core.errors import InputError, MienError
from mien.core.events import Tick
from mien.core.image import to_float
from mien.core.network import load_network
from mien.faces.expressions import ARTEFACT, EXPRESSIONS, ExpressionNetwork
from mien.metrics.features import FeatureNetwork, is_file, needs_of, open_network
from mien.models.attributes import KIND

DEFAULT = "expressions"
_BATCH = 64


def open_classifier(source: str, device: str | torch.device = "cpu") -> FeatureNetwork:
    """ "expressions", an attribute model (run or file; its first label with several values), or a FILE.onnx.

    An ONNX file's outputs are probabilities where they add to 1, else logits. Raises InputError.
    """
    if source == DEFAULT:
        artefacts.obtain(ARTEFACT, announce=lambda line: None)
        return _Expressions(device)
    if is_file(source):
        return _Onnx(open_network(source))
    if not Path(source).exists():
        raise InputError(f"--classifier {source}: {DEFAULT}, an attribute model, or a FILE.onnx")
    return _Attribute(Path(source))


class _Expressions:
    name, dims, resize = DEFAULT, len(EXPRESSIONS), "the face cut out, bicubic"

    def __init__(self, device: str | torch.device) -> None:
        with torch.random.fork_rng(devices=[]):
            self._network = ExpressionNetwork.load(device)
        self.hash = str(artefacts.artefact_sha256(ARTEFACT))

    def features(self, images: Tensor) -> np.ndarray:
        return self._network.probabilities(images)


class _Onnx:
    def __init__(self, network: FeatureNetwork) -> None:
        self._network = network
        self.name, self.hash = network.name, network.hash
        self.dims, self.resize = network.dims, network.resize

    def features(self, images: Tensor) -> np.ndarray:
        rows = torch.from_numpy(self._network.features(images)).double()
        adds = bool((rows >= 0).all()) and bool((rows.sum(1) - 1).abs().max() < 1e-3) if len(rows) else True
        return np.asarray(rows if adds else rows.softmax(1), np.float32)


class _Attribute:
    resize = "none"

    def __init__(self, source: Path) -> None:
        self._loaded = load_network(source, KIND)
        target = next((t for t in self._loaded.network.targets if t.kind == "one-of"), None)
        if target is None:
            raise InputError(f"--classifier {source}: the model reads no label that has several values")
        self._columns = target.columns
        self.name, self.hash = target.name, self._loaded.model
        self.dims = len(target.column_names)

    def features(self, images: Tensor) -> np.ndarray:
        network = self._loaded.network
        if images.shape[2] != network.spec.resolution or images.shape[1] != network.spec.channels:
            side, channels = network.spec.resolution, network.spec.channels
            raise InputError(
                f"the classifier takes {channels} x {side} x {side}, not {list(images.shape[1:])}"
            )
        parts = [network.read(to_float(part))[:, self._columns] for part in torch.split(images, _BATCH)]
        return torch.cat(parts).numpy() if parts else np.zeros((0, self.dims), np.float32)


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


Networks = Sequence[FeatureNetwork]
Batches = Iterator[tuple[Tensor, Sequence[np.ndarray]]]  # each batch, and its features by every network
Passed = Callable[[Iterable[Tensor], Networks], Batches]


def in_turn(batches: Iterable[Tensor], networks: Networks) -> Batches:
    """Here, one batch after the other."""
    for batch in batches:
        yield batch, [network.features(batch) for network in networks]


def extract(
    batches: Iterable[Tensor],
    networks: Networks,
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
    networks: Networks,
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

        def passed(batches: Iterable[Tensor], networks: Networks) -> Batches:
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
