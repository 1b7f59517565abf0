"""The kind "translator": turns images of one side of pairs into the other; what its runs leave behind."""

import numpy as np

from mien.core.image import evenly_spaced
from mien.models import pix2pix
from mien.training.kinds import Kind
from mien.training.outputs import Snapshot
from mien.translation.images import apply_network
from mien.translation.outputs import ChangeOutputs
from mien.translation.report import write_report
from mien.translation.translator_scores import TranslatorExamination, evaluate

_GLANCE = 128  # held-out pairs that are looked at during training


class TranslatorOutputs(ChangeOutputs):
    """The outputs of a run of the family `pix2pix`: rows of input | output | target."""

    kind, product = pix2pix.KIND, pix2pix.PRODUCT

    def _choose(self) -> None:
        lesson = self._lesson
        assert lesson.held_out is not None
        assert lesson.held_out_others is not None
        where = evenly_spaced(lesson.held_out, _GLANCE)
        self._inputs, self._targets = (
            side.images(where) for side in (lesson.held_out, lesson.held_out_others)
        )
        self._rows = evenly_spaced(where)

    def show(self) -> Snapshot:
        """A strip, and the mean L1 error on held-out pairs; nothing is chosen by it."""
        error = np.abs(self._draw().astype(np.int16) - self._targets).mean() / 255
        return Snapshot({"Eval/l1": float(error)})

    def end(self) -> None:
        """The last strip, and all of them in one film."""
        super().end()
        strip = self._run.all_fakes()[-1]
        self._events.note(f"input, output and target of people kept out, side by side: {strip}")
        self._events.note(f"how near and how alike they are: mien evaluate {self._run.path} --data DATA")

    def _draw(self) -> np.ndarray:
        """Write the strip as training stands; return the outputs for all held-out inputs."""
        outputs = apply_network(self._network, self._inputs)
        self._write_strip(*(side[self._rows] for side in (self._inputs, outputs, self._targets)))
        return outputs


KIND = Kind("translator", write_report, TranslatorOutputs, evaluate, TranslatorExamination)
