"""A generator as `mien generate` opens it, and its images in batches."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, cast

from torch import Tensor

from mien.core.checkpoint import NetworkHeader
from mien.core.events import Tick
from mien.core.network import load_network
from mien.core.sampling import batch_for, draw, latents
from mien.core.types import Generator


class LoadedGenerator(NamedTuple):
    """A generator that torch or onnxruntime runs."""

    generator: Generator
    header: NetworkHeader
    model: str
    path: Path
    notes: tuple[str, ...] = ()


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

    def observe(self, looks: "Looks") -> None:
        """Take one image into account."""
        self._first = looks.digest if self._first is None else self._first
        self._count += 1
        self._same += looks.digest == self._first
        self._flat += looks.flat

    def note(self) -> str:
        """A warning; "" where images differ."""
        if self._flat:
            return (
                f"{self._flat} of {self._count} pictures are of one colour: the model has learnt nothing yet"
            )
        alike = self._count > 1 and self._same == self._count
        return f"all {self._count} pictures are the same: the model has collapsed" if alike else ""


def open_generator(source: Path) -> LoadedGenerator:
    if source.suffix == ".onnx":
        from mien.interop.onnx_file import OnnxGenerator  # here, since few need it and it costs every start

        exported = OnnxGenerator(source)
        return LoadedGenerator(exported, exported.header, exported.model, source)
    loaded = load_network(source)
    return LoadedGenerator(
        cast(Generator, loaded.network), loaded.header, loaded.model, loaded.path, loaded.notes
    )


def batches_of(
    drawing: LoadedGenerator,
    seeds: list[int],
    labels: Tensor | None,
    psi: float,
    progress: Tick,
) -> Iterator[tuple[list[int], Tensor]]:
    """Seeds and their pictures, uint8 [n, C, H, W], a batch at a time; progress after each."""
    size = batch_for(drawing.header.spec.resolution)
    for start in range(0, len(seeds), size):
        batch_seeds = seeds[start : start + size]
        batch_labels = None if labels is None else labels[start : start + size]
        yield (
            batch_seeds,
            draw(drawing.generator, latents(batch_seeds, drawing.generator.z_dim), batch_labels, psi=psi),
        )
        progress(start + len(batch_seeds), len(seeds))
