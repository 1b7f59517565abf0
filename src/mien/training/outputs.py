"""Outputs of a run besides its log and states: networks, grids and scores; each kind has its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mien import TOOL
from mien.core.atomic import write_bytes
from mien.core.checkpoint import DatasetInfo, NetworkHeader, save_generator
from mien.core.events import Events
from mien.core.image import evenly_spaced, grid
from mien.core.labels import spread_rows
from mien.core.packed import encode_png
from mien.core.run import RunFolder
from mien.core.types import Dataset, Lesson
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
