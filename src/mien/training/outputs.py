"""Outputs of a run besides its log and states: networks, grids and scores; each kind has its own."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from mien import TOOL
from mien.core.atomic import write_bytes
from mien.core.checkpoint import DatasetInfo, NetworkHeader, save_generator
from mien.core.events import Events
from mien.core.image import evenly_spaced, grid, to_float
from mien.core.labels import spread_rows
from mien.core.packed import encode_png
from mien.core.picture import Pixels
from mien.core.provenance import Provenance, save_animation, save_picture
from mien.core.run import RunFolder
from mien.core.sampling import draw, latents
from mien.core.types import Dataset, Generator, Lesson
from mien.training.loop import Training

_REALS = 64  # shown in `reals.png`


@dataclass(frozen=True)
class Snapshot:
    """A snapshot of a run. values: scalars for the log, by name.

    fakes: images of different seeds, float [N, C, H, W] in [-1, 1], which the monitor checks for collapse.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    fakes: Tensor | None = None


class Outputs:
    """Writer of a run's outputs, under the run's lock; it may not change training or global random state.

    This one writes nothing: it is that of a rank which does not lead.
    """

    def begin(self) -> None:
        """Called before the first step of a new run."""

    def show(self) -> Snapshot:
        """Called now and then, ever more rarely: write images or scores of the current state."""
        return Snapshot()

    def save(self) -> None:
        """Called at every checkpoint: write the network."""

    def end(self) -> None:
        """Called when the budget is spent, after the last `save`."""


class ProductOutputs(Outputs):
    """What a run of one network leaves behind, whatever its kind; each kind adds `show` and `end`.

    kind, product: as the family's module says.
    """

    kind: str
    product: str

    def __init__(
        self,
        run: RunFolder,
        training: Training,
        dataset: Dataset,
        lesson: Lesson,
        *,
        family: str,
        events: Events,
    ) -> None:
        self._run, self._training, self._dataset, self._lesson = run, training, dataset, lesson
        self._family, self._events = family, events

    @property
    def _network(self) -> nn.Module:
        return self._training.averages.networks[self.product]

    def begin(self) -> None:
        """Write `reals.png`: images of the training set, of its targets where it has such."""
        images = self._lesson.train if self._lesson.others is None else self._lesson.others
        shown = images.images(evenly_spaced(images, _REALS))
        write_bytes(self._run.reals, encode_png(grid(torch.from_numpy(shown))))

    def save(self) -> None:
        """Write the averaged network."""
        save_product(
            self._run,
            self._training,
            self._dataset,
            family=self._family,
            kind=self.kind,
            network=self.product,
            roles=self._lesson.roles,
        )


def save_product(
    run: RunFolder,
    training: Training,
    dataset: Dataset | None,
    *,
    family: str,
    kind: str = "generator",
    network: str = "g",
    labels: np.ndarray | None = None,
    roles: tuple[str, ...] = (),
) -> Path:
    """Write the averaged network named `network` as a file of its own, `<kind>-<kimg>.safetensors`.

    labels: float32 [N, label_dim] of all pictures, of which the file keeps some; None: it keeps none.
    roles: what it turns into what, of a translator.
    """
    product, info = training.averages.networks[network], None
    if dataset is not None:
        info = DatasetInfo(name=dataset.name, content_hash=dataset.content_hash, num_images=len(dataset))
    header = NetworkHeader(
        kind=kind,
        family=family,
        config=training.trainable.config.model_dump(),
        spec=product.spec,
        nimg=training.nimg,
        tool=TOOL,
        dataset=info,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        label_rows=() if labels is None else spread_rows(labels),
        roles=roles,
    )
    path = run.product(kind, training.nimg)
    save_generator(path, product.state_dict(), header)
    return path


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
        self._labels: Tensor | None = None
        if conditional and dataset.labels is not None:
            shuffled = np.random.default_rng(0).permutation(len(dataset))
            rows = dataset.labels[shuffled[np.arange(count) % len(dataset)]]
            self._labels = torch.from_numpy(rows).to(training.device)

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


def is_grid_due(tick: int) -> bool:
    """Whether to draw a grid at this tick: each of the first 64, then ever fewer (32 to a doubling)."""
    interval: int = 2 ** max(0, int(math.log2(max(tick, 1))) - 5)
    return tick % interval == 0
