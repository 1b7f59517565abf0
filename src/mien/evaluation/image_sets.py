"""The sides of an evaluation: reals (a dataset or saved statistics), fakes (a generator or pictures)."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from mien import TOOL
from mien.core import storage
from mien.core.atomic import open_replacing
from mien.core.cache import cache_root
from mien.core.checkpoint import FOREIGN, NetworkHeader, model_id
from mien.core.errors import InputError
from mien.core.network import load_network
from mien.core.packaged import named, source_of
from mien.core.run import RunFolder, find_runs
from mien.core.sampling import draw, latents
from mien.core.types import Dataset, Generator, Spec
from mien.datasets.opening import open_dataset
from mien.evaluation.extraction import ImageSet, Networks, Passed, Ticker, extract, in_turn
from mien.labels.conditions import rows_for
from mien.metrics.features import FeatureNetwork

BATCH = 64
_NETWORKS = (".safetensors", *FOREIGN)
_VERSION = 1  # of files of statistics
_PRIVATE = "identity"  # a network whose features are made to recognise a person


def open_reals(data: str) -> "Reals":
    """A dataset, or a file of `save_reference`. Raises InputError."""
    return Reference.read(Path(data)) if is_reference(Path(data)) else DatasetReals(open_dataset(data))


def data_of(models: Sequence[str | None], data: str | None, note: Callable[[str], None]) -> str:
    """`data`, else the dataset that the models' runs were trained on, with a note. Raises InputError."""
    if data is not None:
        return storage.local(data)
    recorded = {_trained_on(model) for model in models}
    if len(recorded) > 1:
        raise InputError(
            "--data is missing, and these were trained on different data: say what to compare with"
        )
    source = next(iter(recorded), None)
    if source is None:
        raise InputError("--data is missing: which pictures to compare with (a zip, a folder, as for train)")
    if Path(source).is_absolute() and not Path(source).exists():
        raise InputError(f"--data is missing, and {source}, which it was trained on, is not there any more")
    note(f"compared with {source}, which it was trained on (--data names another)")
    return source


def _trained_on(model: str | None) -> str | None:
    """The dataset that a run's configuration names, given its folder or one of its networks."""
    path = Path(model or "")
    folder = path if path.is_dir() else path.parent
    if model is None or not (folder / "config.json").is_file():
        return None
    dataset = RunFolder.open(folder).read_config().get("dataset")
    source = dataset.get("source") if isinstance(dataset, dict) else None
    return source if isinstance(source, str) else None


@dataclass(frozen=True)
class _OfDataset:
    """What either side of pictures says of its dataset."""

    dataset: Dataset

    @property
    def name(self) -> str:
        return self.dataset.name

    @property
    def content_hash(self) -> str:
        return self.dataset.content_hash

    @property
    def spec(self) -> Spec:
        return self.dataset.spec

    def __len__(self) -> int:
        return len(self.dataset)


class DatasetReals(_OfDataset):
    """The pictures of a dataset."""

    has_images: ClassVar[bool] = True

    def label_rows(self, spec: Spec) -> np.ndarray | None:
        return rows_for(spec, self.dataset)

    def extract(
        self, networks: Networks, count: int, keep: int, tick: Ticker, passed: Passed = in_turn
    ) -> ImageSet:
        """With features from the cache where the same images were processed before."""
        chosen = choice(len(self.dataset), count)
        ready: dict[str, np.ndarray] = {}
        for network in networks:
            with suppress(OSError, ValueError, EOFError):  # absent, or damaged: that costs only time
                rows = np.asarray(np.load(self._cache(network, count), allow_pickle=False), np.float32)
                ready |= {network.name: rows} if len(rows) == count else {}
        missing = [network for network in networks if network.name not in ready]
        needed = count if missing else keep
        images = extract(pictures(self.dataset, chosen[:needed]), missing, count, keep, tick, passed)
        tick(count - needed)
        for network in missing:
            with open_replacing(self._cache(network, count)) as file:
                np.save(file, images.features[network.name], allow_pickle=False)
        images.features.update(ready)
        return images

    def _cache(self, network: FeatureNetwork, count: int) -> Path:
        digest = hashlib.sha256(f"{network.hash} {network.resize}".encode()).hexdigest()[:16]
        return cache_root() / "features" / f"{self.content_hash}-{digest}-{count}.npy"


@dataclass(frozen=True)
class Reference:
    """Statistics of reals that hold no pictures: the features of each through some networks.

    networks: of each, its hash and resize rule. Rows are shuffled and have no names.
    """

    path: Path
    name: str
    content_hash: str
    spec: Spec
    networks: dict[str, dict[str, str]]
    features: dict[str, np.ndarray]
    has_images: ClassVar[bool] = False

    def __len__(self) -> int:
        return min(map(len, self.features.values()))

    def label_rows(self, spec: Spec) -> np.ndarray | None:
        return None

    def extract(
        self, networks: Networks, count: int, keep: int, tick: Ticker, passed: Passed = in_turn
    ) -> ImageSet:
        for network in networks:
            known = self.networks.get(network.name)
            if known is None:
                raise InputError(
                    f"{self.path}: holds features of {', '.join(self.networks)}, none of {network.name}"
                )
            for what in ("hash", "resize"):
                if known[what] != getattr(network, what):
                    raise InputError(
                        f"{self.path}: its {network.name} is another one ({what} {known[what][:16]}, here"
                        f" {getattr(network, what)[:16]}); save the statistics anew"
                    )
        tick(count)
        return ImageSet(count, {network.name: self.features[network.name][:count] for network in networks})

    @classmethod
    def read(cls, path: Path) -> "Reference":
        """Raises InputError where the file is damaged or of a newer version."""
        try:
            with np.load(path, allow_pickle=False) as file:
                about = json.loads(str(file["mien"]))
                features = {
                    name: np.asarray(file[f"features.{name}"], np.float32) for name in about["networks"]
                }
            if about["version"] != _VERSION or not features:
                raise InputError(f"{path}: statistics of version {about['version']}; save them anew")
            spec = Spec(int(about["resolution"]), int(about["channels"]))
            return cls(path, about["name"], about["content_hash"], spec, about["networks"], features)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: the file of statistics is damaged ({str(error)[:80]})") from error


def is_reference(path: Path) -> bool:
    """Whether `path` is a file of `save_reference`."""
    if path.suffix.lower() != ".npz" or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as file:
            return "mien.npy" in file.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def save_reference(
    path: Path, data: str, networks: Networks, count: int, tick: Ticker, passed: Passed = in_turn
) -> None:
    """Write statistics of `data` that `--data` takes in its place; whole or not at all. Raises InputError."""
    if path.suffix.lower() != ".npz":
        raise InputError(f"--save-reference {path}: name a file that ends in .npz")
    private = [network.name for network in networks if network.name == _PRIVATE]
    if private:
        raise InputError(f"--save-reference: features of {_PRIVATE} recognise people and are not passed on")
    reals = open_reals(data)
    extracted = reals.extract(networks, count, 0, tick, passed)
    about = {
        "version": _VERSION,
        "tool": TOOL,
        "name": reals.name,
        "content_hash": reals.content_hash,
        "resolution": reals.spec.resolution,
        "channels": reals.spec.channels,
        "networks": {n.name: {"hash": n.hash, "resize": n.resize} for n in networks},
    }
    arrays = {f"features.{name}": rows for name, rows in extracted.features.items()}
    with open_replacing(path) as file:
        np.savez(file, mien=np.array(json.dumps(about)), **cast(Any, arrays))


def open_fakes(source: str | Path | None, device: str | torch.device = "cpu") -> "Model | Pictures":
    """A generator (run folder, file, None for the packaged one), or pictures as `open_dataset` takes them.

    Raises InputError where `source` is neither.
    """
    path = None if source is None else Path(source)
    if path is None or named(path) or (path / "config.json").is_file() or path.suffix.lower() in _NETWORKS:
        return Model.open(source_of(path), device)
    text = str(source)
    if find_runs(path):
        RunFolder.open(path)  # says that it is a folder of runs, not pictures
    if is_reference(path):
        raise InputError(f"{text}: holds statistics of reals; give it as --data")
    if not path.exists() and not text.partition(":")[1]:
        raise InputError(f"{text}: there is no such run folder or generator file, nor pictures")
    return Pictures(open_dataset(text))


def check_alike(spec: Spec, reals: Spec, name: str, data: str) -> None:
    """Raises InputError where `name` has pictures of another size or number of channels than the data."""
    for what, left, right in (
        ("pixels a side", spec.resolution, reals.resolution),
        ("channel" if spec.channels == 1 else "channels", spec.channels, reals.channels),
    ):
        if left != right:
            raise InputError(f"{name}: pictures of {left} {what}, but {data} has {right}; prepare it so")


@dataclass(frozen=True)
class Model:
    """A generator from a run or a file. notes: on newer files of the run that had to be passed over."""

    label: str
    generator: Generator
    header: NetworkHeader
    file: Path
    run: RunFolder | None
    notes: tuple[str, ...] = ()
    most: ClassVar[None] = None

    @classmethod
    def open(cls, path: Path, device: str | torch.device) -> "Model":
        loaded = load_network(path)
        run = RunFolder(path) if path.is_dir() else None
        generator = cast(Generator, loaded.network.to(device))
        return cls(path.name, generator, loaded.header, loaded.path, run, loaded.notes)

    @property
    def spec(self) -> Spec:
        return self.generator.spec

    def about(self, count: int, seed: int, psi: float) -> dict[str, object]:
        seeds = f"{seed}-{seed + count - 1}"
        return {"model_id": model_id(self.file), "nimg": self.header.nimg, "seeds": seeds, "psi": psi}

    def batches(
        self, reals: "Reals", count: int, *, seed: int, psi: float, device: torch.device
    ) -> Iterator[Tensor]:
        labels = self.labels(reals, count, seed)
        for start in range(0, count, BATCH):
            stop = min(start + BATCH, count)
            z = latents(list(range(seed + start, seed + stop)), self.generator.z_dim).to(device)
            yield draw(self.generator, z, None if labels is None else labels[start:stop].to(device), psi=psi)

    def labels(self, reals: "Reals", count: int, seed: int) -> Tensor | None:
        """Labels drawn from the data's label distribution, since a metric compares whole distributions.

        Of a dataset without labels: from those that the generator was trained on.
        """
        width = self.header.spec.label_dim
        if not width:
            return None
        rows = reals.label_rows(self.header.spec)
        if rows is None and self.header.label_rows:
            rows = np.array(self.header.label_rows, np.float32)
        if rows is None:
            theirs = reals.spec.label_dim
            raise InputError(f"the generator takes labels of width {width}, {reals.name} has width {theirs}")
        return torch.from_numpy(rows[np.random.RandomState(seed).randint(0, len(rows), count)])


class Pictures(_OfDataset):
    """Pictures that somebody drew: a folder, a zip, an array."""

    run: ClassVar[None] = None
    notes: ClassVar[tuple[str, ...]] = ()

    @property
    def label(self) -> str:
        return self.name

    @property
    def most(self) -> int:
        return len(self)

    def about(self, count: int, seed: int, psi: float) -> dict[str, object]:
        model = f"pictures-{self.content_hash[:12]}"
        return {"model_id": model, "nimg": None, "seeds": None, "psi": None}

    def batches(
        self, reals: "Reals", count: int, *, seed: int, psi: float, device: torch.device
    ) -> Iterator[Tensor]:
        return pictures(self.dataset, choice(len(self.dataset), count))


Reals = DatasetReals | Reference
Fakes = Model | Pictures


def choice(total: int, count: int) -> np.ndarray:
    """A random choice, always the same, so that it can be cached and scores of different days agree."""
    return np.random.RandomState(0).permutation(total)[:count]


def pictures(dataset: Dataset, indexes: np.ndarray) -> Iterator[Tensor]:
    """Batches of a dataset's images; one empty batch of no indexes."""
    for start in range(0, max(len(indexes), 1), BATCH):
        yield torch.from_numpy(np.array(dataset.images(indexes[start : start + BATCH])))


def noise(spec: Spec, count: int, seed: int) -> Iterator[Tensor]:
    """Images of uniform noise: the baseline that a generator must beat by far."""
    rng = np.random.RandomState(seed)
    for start in range(0, count, BATCH):
        shape = (min(BATCH, count - start), spec.channels, spec.resolution, spec.resolution)
        yield torch.from_numpy(rng.randint(0, 256, shape, dtype=np.uint8))
