"""A generator as `mien generate` opens it, and its images in batches: drawn here, or by a cluster."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mien import TOOL
from mien.core import cluster
from mien.core.atomic import file_sha256, write_bytes
from mien.core.checkpoint import NetworkHeader
from mien.core.cluster import Done, Shard
from mien.core.errors import InputError, MienError
from mien.core.events import Tick
from mien.core.image import to_hwc
from mien.core.network import LoadedNetwork, load_network
from mien.core.provenance import Provenance, encode_picture
from mien.core.sampling import batch_for, draw, latents
from mien.core.storage import on_worker, shared
from mien.generation.files import free_path, with_ending
from mien.labels.vectors import label_vectors

_BATCHES = 4  # of a shard, each drawn as one process would, so that the pictures are the same to the byte


class Looks(NamedTuple):
    """What collapse is told by. digest: of the pixels. flat: of one colour."""

    digest: str
    flat: bool


def looks_of(image: Tensor) -> Looks:
    """Of an image, uint8 [C, H, W]."""
    pixels = image.flatten(1)
    digest = hashlib.sha256(image.contiguous().numpy().data).hexdigest()
    return Looks(digest, bool((pixels.amax(dim=1) == pixels.amin(dim=1)).all()))


class CollapseCheck:
    """Checks generated images for collapse: all the same, or of one colour."""

    def __init__(self) -> None:
        self._first: str | None = None
        self._count = self._same = self._flat = 0

    def watch(self, batches: Iterable[tuple[list[int], Tensor]]) -> Iterator[tuple[list[int], Tensor]]:
        """Yield the batches unchanged."""
        for seeds, drawn in batches:
            for image in drawn:
                self.observe(looks_of(image))
            yield seeds, drawn

    def observe(self, looks: Looks) -> None:
        """Take one image into account."""
        self._first = looks.digest if self._first is None else self._first
        self._count += 1
        self._same += looks.digest == self._first
        self._flat += looks.flat

    def note(self) -> str:
        """A warning; "" where images differ."""
        if self._flat:
            pictures = f"{self._flat} of {self._count} pictures"
            return f"{pictures} are of one colour: the model has learnt nothing yet"
        alike = self._count > 1 and self._same == self._count
        return f"all {self._count} pictures are the same: the model has collapsed" if alike else ""


def open_generator(source: Path, device: torch.device | None = None) -> LoadedNetwork[Any]:
    """A generator that torch or, of an exported .onnx file, onnxruntime runs. Raises InputError.

    device: the CPU by default, where exported files are always run.
    """
    if source.suffix == ".onnx":
        if device is not None and device.type != "cpu":
            raise InputError(f"{source}: exported files are drawn on the CPU; leave --device out")
        from mien.interop.onnx_file import OnnxGenerator  # here, since few need it and it costs every start

        exported = OnnxGenerator(source)
        return LoadedNetwork[Any](exported, exported.header, source, exported.model)
    return load_network(source, device=device)


def batches_of(
    drawing: LoadedNetwork[Any], seeds: list[int], labels: Tensor | None, psi: float, progress: Tick
) -> Iterator[tuple[list[int], Tensor]]:
    """Seeds and their pictures, uint8 [n, C, H, W], a batch at a time; progress after each."""
    size = batch_for(drawing.header.spec.resolution)
    for start in range(0, len(seeds), size):
        batch_seeds = seeds[start : start + size]
        batch_labels = None if labels is None else labels[start : start + size]
        z = latents(batch_seeds, drawing.network.z_dim)
        yield batch_seeds, draw(drawing.network, z, batch_labels, psi=psi)
        progress(start + len(batch_seeds), len(seeds))


class Drawn(NamedTuple):
    """What is drawn. like: "out/seed.png". ending: of names that are taken; see `files`."""

    drawing: LoadedNetwork[Any]
    labels: tuple[str, ...]
    psi: float
    like: Path
    ending: str


def drawn_by_cluster(
    address: str, job: Drawn, seeds: Sequence[int], collapse: CollapseCheck, progress: Tick
) -> list[Path]:
    """Write each seed's picture; shards that an earlier run wrote are not drawn again."""
    size, source = _BATCHES * batch_for(job.drawing.header.spec.resolution), job.drawing.path
    common = (shared(source), file_sha256(source), list(job.labels), job.psi, job.like.suffix)
    parts = [list(seeds[start : start + size]) for start in range(0, len(seeds), size)]
    shards = [Shard((*common, part)) for part in parts]
    done = Done(job.like.parent / ".shards-done")
    there = {seed: _kept(job.like.with_stem(f"seed{seed:04d}"), job.ending) for seed in seeds}
    todo = [
        number
        for number, (shard, part) in enumerate(zip(shards, parts, strict=True))
        if shard.name not in done or not all(there[seed].exists() for seed in part)
    ]
    count = len(seeds) - sum(len(parts[number]) for number in todo)
    with cluster.opened(address) as opened:
        job.like.parent.mkdir(parents=True, exist_ok=True)
        for place, pictures in opened.run(draw_shard, [shards[number] for number in todo]):
            number = todo[place]
            for seed, (data, looks) in zip(parts[number], pictures, strict=True):
                collapse.observe(looks)
                path = job.like.with_stem(f"seed{seed:04d}")
                there[seed] = free_path(path, job.ending, data, job.drawing.model)
                write_bytes(there[seed], data)
            done.add(shards[number].name)
            count += len(parts[number])
            progress(count, len(seeds))
    done.forget()
    return list(there.values())


def _kept(path: Path, ending: str) -> Path:
    """Where an earlier run left a picture, if it did; see `free_path`."""
    own = with_ending(path, ending)
    return own if own.exists() else path


def draw_shard(
    source: tuple[str, str], sha256: str, labels: list[str], psi: float, suffix: str, seeds: list[int]
) -> list[tuple[bytes, Looks]]:
    """Files and looks of some seeds. Raises MienError where a worker has another generator, or none."""
    drawing = _opened(*source, sha256)
    vectors = label_vectors(drawing.header, tuple(labels), seeds)
    return [
        (encode_picture(to_hwc(image), suffix, Provenance(drawing.model, seed, TOOL)), looks_of(image))
        for part, images in batches_of(drawing, seeds, vectors, psi, lambda done, total: None)
        for seed, image in zip(part, images, strict=True)
    ]


@lru_cache(maxsize=1)
def _opened(place: str, version: str, sha256: str) -> LoadedNetwork[Any]:
    path = on_worker(place, version)
    if file_sha256(path) != sha256:
        raise MienError(f"{place}: another file on a worker than here")
    return open_generator(path)


def untrained_labels(header: NetworkHeader, labels: Tensor | None) -> str:
    """A note on requested labels that none of the training images had, or ""."""
    if labels is None or not header.label_rows:
        return ""
    rows = torch.tensor(header.label_rows)
    missing = ((labels > 0).any(dim=0) & ~(rows > 0).any(dim=0)).tolist()
    names = header.spec.column_names
    labels_text = ", ".join(name for name, is_missing in zip(names, missing, strict=True) if is_missing)
    what = f"none of the {len(rows):,} pictures whose labels the file keeps was"
    return f"{what} {labels_text}: what is drawn for it was never learnt" if labels_text else ""
