"""Outputs of a run that trains an attribute model: the model, and its scores on held-out people."""

import numpy as np
import torch

from mien.attributes.scores import examine, quick_scores
from mien.core.atomic import write_bytes
from mien.core.checkpoint import model_id
from mien.core.events import Events
from mien.core.image import grid
from mien.core.packed import encode_png
from mien.core.run import RunFolder
from mien.core.types import Dataset, Lesson
from mien.models.attributes import KIND, PRODUCT, Reader
from mien.training.loop import Training
from mien.training.outputs import Snapshot, save_product

_GLANCE = 512  # held-out pictures that are looked at during training


class AttributeOutputs:
    """The outputs of a run of the family `attributes`; see `training.outputs.Outputs`."""

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
        assert lesson.held_out is not None
        self._held_out = lesson.held_out

    @property
    def _network(self) -> Reader:
        network = self._training.averages.networks[PRODUCT]
        assert isinstance(network, Reader)
        return network

    def begin(self) -> None:
        """Write `reals.png`, a grid of training images."""
        train = self._lesson.train
        where = np.linspace(0, len(train) - 1, min(64, len(train))).astype(int)
        write_bytes(self._run.reals, encode_png(grid(torch.from_numpy(train.images(where)))))

    def show(self) -> Snapshot:
        """The main scores on up to 512 held-out images; nothing is selected by them."""
        return Snapshot(quick_scores(self._network, self._held_out, _GLANCE))

    def save(self) -> None:
        """Write the averaged network."""
        save_product(
            self._run, self._training, self._dataset, family=self._family, kind=KIND, network=PRODUCT
        )

    def end(self) -> None:
        """Evaluate the model on all held-out people, and store and show the result."""
        path = self._run.newest_product(KIND)
        examination = examine(
            self._network,
            self._held_out,
            model_id(path),
            self._training.nimg,
            kept_out=True,
            how=f"kept out of training {self._lesson.how}",
        )
        examination.append(self._run)
        for event in examination.tables():
            self._events.send(event)
