"""What every run of an image-to-image network writes; each kind adds its own figures."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from mien import TOOL
from mien.core.provenance import Provenance, SourceType, save_picture
from mien.training.outputs import ProductOutputs, Snapshot
from mien.training.snapshots import write_timelapse
from mien.translation.images import side_by_side


class ChangeOutputs(ProductOutputs, ABC):
    """The network, strips of the same pictures as training goes on, and a film of them; see `Outputs`.

    source_type: of what is made.
    """

    source_type = SourceType.COMPOSITE

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._choose()

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
        super().begin()
        self._draw()

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
