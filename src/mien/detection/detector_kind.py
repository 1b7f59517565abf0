"""The kind "detector": tells synthetic faces from photographs; what its runs leave behind."""

import copy
from typing import Any

import numpy as np

from mien.core.checkpoint import model_id
from mien.core.image import evenly_spaced
from mien.core.network import load_network
from mien.detection.report import write_report
from mien.detection.scores import (
    DetectorExamination,
    calibrate,
    evaluate,
    examine,
    log_odds,
    part_of,
    parts_of,
)
from mien.models import detector
from mien.nn.forensic import ForensicNet
from mien.training.kinds import Kind
from mien.training.outputs import ProductOutputs, Snapshot

_GLANCE = 512  # held-out faces that are looked at during training


class DetectorOutputs(ProductOutputs):
    """The outputs of a run of the family `detector`; see `training.outputs.Outputs`."""

    kind, product = detector.KIND, detector.PRODUCT

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        assert self._lesson.held_out is not None
        self._held_out = self._lesson.held_out
        assert self._held_out.labels is not None
        self._synthetic = self._held_out.labels[:, 0] > 0.5
        self._val = part_of(self._held_out, "val")

    @property
    def _network(self) -> ForensicNet:
        network = super()._network
        assert isinstance(network, ForensicNet)
        return network

    def show(self) -> Snapshot:
        """Accuracy on up to 512 of the faces to calibrate by; nothing is selected by it."""
        where = self._val[evenly_spaced(self._val, _GLANCE)]
        odds = log_odds(self._network, parts_of(self._network, self._pixels(where)))
        truth = self._synthetic[where]
        correct = (odds[truth] >= 0).mean() / 2 + (odds[~truth] < 0).mean() / 2 if truth.any() else 0.5
        return Snapshot({"Eval/accuracy": float(correct)})

    def save(self) -> None:
        """Write the averaged network, calibrated."""
        network = copy.deepcopy(self._network)
        calibrate(network, self._pixels(self._val), self._synthetic[self._val])
        averages = self._training.averages.networks
        before, averages[self.product] = averages[self.product], network
        try:
            super().save()
        finally:
            averages[self.product] = before

    def end(self) -> None:
        """Score the calibrated detector on the faces that nothing was fitted to."""
        path = self._run.newest_product(self.kind)
        network = load_network(path, self.kind).network
        chosen = part_of(self._held_out, "test")
        examination = examine(network, self._held_out, chosen, model_id(path), self._training.nimg)
        examination.append(self._run)
        for event in examination.tables():
            self._events.send(event)

    def _pixels(self, where: np.ndarray) -> np.ndarray:
        return self._held_out.images(where).transpose(0, 2, 3, 1)


KIND = Kind("detector", write_report, DetectorOutputs, evaluate, DetectorExamination)
