"""Outputs of a generator's run: grids of fixed seeds, generator files, and a timelapse."""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mien import TOOL
from mien.core.atomic import write_bytes
from mien.core.image import grid, to_float
from mien.core.packed import encode_png
from mien.core.picture import Pixels
from mien.core.provenance import Provenance, save_animation, save_picture
from mien.core.run import RunFolder
from mien.core.sampling import draw, latents
from mien.core.types import Dataset, Generator
from mien.training.loop import Training
from mien.training.outputs import Outputs, Snapshot, save_product

_TIMELAPSE_FRAMES = 120
_TIMELAPSE_SIDE = 768  # pixels at most


class Snapshots(Outputs):
    """The outputs of a run that trains a generator; the caller holds the folder's lock.

    conditional: draw the fakes with labels taken from the dataset, always the same ones.
    """

    def __init__(
        self, run: RunFolder, training: Training, dataset: Dataset, *, family: str, conditional: bool
    ) -> None:
        self._run, self._training, self._dataset, self._family = run, training, dataset, family
        count = max(min(512 // dataset.spec.resolution, 10), 4) ** 2  # a grid of about 512 to 1024 pixels
        self._z = latents(list(range(count)), self._generator.z_dim).to(training.device)
        self._labels = _grid_labels(dataset, count, training.device) if conditional else None

    @property
    def _generator(self) -> Generator:
        network = self._training.averages.networks["g"]
        if not isinstance(network, Generator):
            raise TypeError("the network named 'g' is not a generator")
        return network

    def begin(self) -> None:
        """Write a grid of reals, evenly spread, as many as of fakes, and the first grid of fakes."""
        indexes = np.linspace(0, len(self._dataset) - 1, len(self._z)).astype(int)
        images = torch.from_numpy(np.ascontiguousarray(self._dataset.images(indexes)))
        write_bytes(self._run.reals, encode_png(grid(images)))
        self.draw_fakes()

    def show(self) -> Snapshot:
        """Write a grid of fakes."""
        return Snapshot(fakes=self.draw_fakes())

    def save(self) -> None:
        """Write the averaged generator as a file of its own."""
        labels = None if self._labels is None else self._dataset.labels
        save_product(self._run, self._training, self._dataset, family=self._family, labels=labels)

    def end(self) -> None:
        """Write the last grid, and the timelapse of all grids."""
        self.draw_fakes()
        write_timelapse(self._run, self._provenance())

    def draw_fakes(self) -> Tensor:
        """Write the grid of fixed seeds; return its images as floats in [-1, 1]."""
        images = draw(self._generator, self._z, self._labels)
        path = self._run.fakes(self._training.nimg)
        save_picture(path, grid(images), self._provenance(), png_level=1)  # a third of the time of 6
        return to_float(images)

    def _provenance(self) -> Provenance:
        return Provenance(f"{self._family}-{self._run.name}-{self._training.nimg}", None, TOOL)


def write_timelapse(run: RunFolder, provenance: Provenance) -> None:
    """Write the grids of a run as one animated WebP, of at most so many frames."""
    paths = run.all_fakes()
    if paths:
        count = min(len(paths), _TIMELAPSE_FRAMES)
        chosen = [paths[i] for i in np.linspace(0, len(paths) - 1, count).astype(int)]
        save_animation(run.timelapse, [_frame(path) for path in chosen], provenance, milliseconds=120)


def _frame(path: Path) -> Pixels:
    with Image.open(path, formats=["PNG"]) as picture:
        frame = picture.convert("RGB")
    frame.thumbnail((_TIMELAPSE_SIDE, _TIMELAPSE_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(frame)


def _grid_labels(dataset: Dataset, count: int, device: torch.device) -> Tensor | None:
    if dataset.labels is None:
        return None
    shuffled = np.random.default_rng(0).permutation(len(dataset))
    return torch.from_numpy(dataset.labels[shuffled[np.arange(count) % len(dataset)]]).to(device)


def is_grid_due(tick: int) -> bool:
    """Whether to draw a grid at this tick: each of the first 64, then ever fewer (32 to a doubling)."""
    interval: int = 2 ** max(0, int(math.log2(max(tick, 1))) - 5)
    return tick % interval == 0
