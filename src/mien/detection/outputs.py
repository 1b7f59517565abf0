"""Outputs of a run that trains a detector: the calibrated network, and its scores on faces it never saw."""

import copy

import numpy as np
import torch

from mien.core.atomic import write_bytes
from mien.core.checkpoint import model_id
from mien.core.events import Events
from mien.core.image import grid
from mien.core.network import load_network
from mien.core.packed import encode_png
from mien.core.run import RunFolder
from mien.core.types import Dataset, Lesson
from mien.detection.scores import calibrate, examine, log_odds, part_of, parts_of
from mien.models.detector import KIND, PRODUCT
from mien.nn.forensic import ForensicNet
from mien.training.loop import Training
from mien.training.outputs import Snapshot, save_product

_GLANCE = 512  # held-out faces that are looked at during training


class DetectorOutputs:
    """The outputs of a run of the family `detector`; see `training.outputs.Outputs`."""

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
        self._run, self._training, self._dataset = run, training, dataset
        self._family, self._events, self._train = family, events, lesson.train
        assert lesson.held_out is not None
        self._held_out = lesson.held_out
        assert self._held_out.labels is not None
        self._synthetic = self._held_out.labels[:, 0] > 0.5
        self._val = part_of(self._held_out, "val")

    @property
    def _network(self) -> ForensicNet:
        network = self._training.averages.networks[PRODUCT]
        assert isinstance(network, ForensicNet)
        return network

    def begin(self) -> None:
        """Write `reals.png`, a grid of training faces of both classes."""
        where = np.linspace(0, len(self._train) - 1, min(64, len(self._train))).astype(int)
        write_bytes(self._run.reals, encode_png(grid(torch.from_numpy(self._train.images(where)))))

    def show(self) -> Snapshot:
        """Accuracy on up to 512 of the faces to calibrate by; nothing is selected by it."""
        where = self._val[np.linspace(0, len(self._val) - 1, min(_GLANCE, len(self._val))).astype(int)]
        odds = log_odds(self._network, parts_of(self._network, self._pixels(where)))
        truth = self._synthetic[where]
        correct = (odds[truth] >= 0).mean() / 2 + (odds[~truth] < 0).mean() / 2 if truth.any() else 0.5
        return Snapshot({"Eval/accuracy": float(correct)})

    def save(self) -> None:
        """Write the averaged network, calibrated."""
        network = copy.deepcopy(self._network)
        calibrate(network, self._pixels(self._val), self._synthetic[self._val])
        averages = self._training.averages.networks
        before, averages[PRODUCT] = averages[PRODUCT], network
        try:
            save_product(
                self._run, self._training, self._dataset, family=self._family, kind=KIND, network=PRODUCT
            )
        finally:
            averages[PRODUCT] = before

    def end(self) -> None:
        """Score the calibrated detector on the faces that nothing was fitted to."""
        path = self._run.newest_product(KIND)
        network = load_network(path, KIND).network
        chosen = part_of(self._held_out, "test")
        examination = examine(network, self._held_out, chosen, model_id(path), self._training.nimg)
        examination.append(self._run)
        for event in examination.tables():
            self._events.send(event)

    def _pixels(self, where: np.ndarray) -> np.ndarray:
        return self._held_out.images(where).transpose(0, 2, 3, 1)
