"""What every run of an image-to-image network writes; each kind adds its own figures."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import nn

from mien import TOOL
from mien.core.atomic import write_bytes
from mien.core.events import Events
from mien.core.image import grid
from mien.core.packed import encode_png
from mien.core.provenance import Provenance, SourceType, save_picture
from mien.core.run import RunFolder
from mien.core.types import Dataset, Lesson
from mien.training.loop import Training
from mien.training.outputs import Snapshot, save_product
from mien.training.snapshots import write_timelapse
from mien.translation.images import evenly_spaced, side_by_side

_REALS = 64  # shown in `reals.png`


class ChangeOutputs(ABC):
    """The network, strips of the same pictures as training goes on, and a film of them; see `Outputs`.

    kind, product: as the family's module says. source_type: of what is made.
    """

    kind: str
    product: str
    source_type = SourceType.COMPOSITE

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
        self._choose()

    @property
    def _network(self) -> nn.Module:
        return self._training.averages.networks[self.product]

    @abstractmethod
    def _choose(self) -> None:
        """Take the pictures that every strip shows from the lesson."""

    @abstractmethod
    def _draw(self) -> np.ndarray:
        """Write the strip as training stands; return the outputs, uint8 [N, C, H, W]."""

    @abstractmethod
    def show(self) -> Snapshot:
        """A strip, and a figure; nothing is chosen by it."""

    def begin(self) -> None:
        """Some of the targets, and the output before any training."""
        targets = self._lesson.train if self._lesson.others is None else self._lesson.others
        shown = targets.images(evenly_spaced(targets, _REALS))
        write_bytes(self._run.reals, encode_png(grid(torch.from_numpy(shown))))
        self._draw()

    def save(self) -> None:
        """The averaged network."""
        save_product(
            self._run,
            self._training,
            self._dataset,
            family=self._family,
            kind=self.kind,
            network=self.product,
            roles=self._lesson.roles,
        )

    def end(self) -> None:
        """The last strip, and all of them in one film."""
        self._draw()
        write_timelapse(self._run, self._provenance())

    def _write_strip(self, *columns: np.ndarray) -> None:
        """A row a picture, all uint8 [N, C, H, W]."""
        save_picture(self._run.fakes(self._training.nimg), side_by_side(*columns), self._provenance())

    def _provenance(self) -> Provenance:
        model = f"{self._family}-{self._run.name}-{self._training.nimg}"
        return Provenance(model, None, TOOL, self.source_type)
