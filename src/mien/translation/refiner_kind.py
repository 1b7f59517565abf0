"""The kind "refiner": makes computer-generated images look real; what its runs leave behind."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mien.core.image import evenly_spaced, to_float
from mien.models import simgan
from mien.training.kinds import Kind
from mien.training.outputs import Snapshot
from mien.translation.images import apply_network
from mien.translation.outputs import ChangeOutputs
from mien.translation.refiner_scores import RefinerExamination, evaluate
from mien.translation.report import write_report

_MOST_REALS = 5000  # among which the nearest is looked for
_REDUCED = 16  # pixels a side at which images are compared: what counts is the whole, not the grain


class RefinerOutputs(ChangeOutputs):
    """The outputs of a run of the family `simgan`: rows of input | refined | nearest real.

    The film begins with the first update of the pretraining.
    """

    kind, product = simgan.KIND, simgan.PRODUCT

    def _choose(self) -> None:
        lesson = self._lesson
        assert lesson.others is not None
        self._inputs = lesson.train.images(evenly_spaced(lesson.train))
        self._reals = lesson.others.images(evenly_spaced(lesson.others, _MOST_REALS))

    def show(self) -> Snapshot:
        """A strip of the chosen inputs, and how far they were moved."""
        moved = np.abs(self._draw().astype(np.int16) - self._inputs).mean() / 127.5
        return Snapshot({"Eval/l1": float(moved)})

    def end(self) -> None:
        """The last strip, and all of them in one film."""
        super().end()
        last = self._run.all_fakes()[-1]
        self._events.note(f"input, refined and nearest real side by side: {last}")

    def _draw(self) -> np.ndarray:
        """Write the strip as training stands; return the refined."""
        refined = apply_network(self._network, self._inputs)
        self._write_strip(self._inputs, refined, self._reals[nearest(refined, self._reals)])
        return refined


def nearest(pictures: np.ndarray, reals: np.ndarray) -> np.ndarray:
    """For each of `pictures` the index of the nearest real one, by pixels of both reduced to 16 x 16.

    Both are uint8 [N, C, H, W].
    """
    one, two = (_reduced(images) for images in (pictures, reals))
    return torch.cdist(one, two).argmin(dim=1).numpy()


def _reduced(pixels: np.ndarray) -> Tensor:
    return F.adaptive_avg_pool2d(to_float(torch.from_numpy(pixels)), _REDUCED).flatten(1)


KIND = Kind("refiner", write_report, RefinerOutputs, evaluate, RefinerExamination)
