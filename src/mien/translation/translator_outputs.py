"""What a run leaves behind that trains a translator: the network, and strips of the same unseen pairs."""

import numpy as np

from mien.models.pix2pix import KIND, PRODUCT
from mien.training.outputs import Shown
from mien.translation.outputs import ChangeOutputs
from mien.translation.strips import changed, chosen

_GLANCE = 128  # unseen pairs that are looked at on the way


class TranslatorOutputs(ChangeOutputs):
    """The outputs of a run of the family `pix2pix`: rows of input | output | target."""

    kind, product = KIND, PRODUCT

    def _choose(self) -> None:
        lesson = self._lesson
        assert lesson.held_out is not None
        assert lesson.held_out_others is not None
        where = chosen(lesson.held_out, _GLANCE)
        self._inputs, self._targets = (
            side.images(where) for side in (lesson.held_out, lesson.held_out_others)
        )
        self._rows = chosen(where)

    def show(self) -> Shown:
        """A strip, and how far from their targets the unseen pairs are; nothing is chosen by it."""
        far = np.abs(self._draw().astype(np.int16) - self._targets).mean() / 255
        return Shown({"Eval/l1": float(far)})

    def end(self) -> None:
        """The last strip, and all of them in one film."""
        super().end()
        strip = self._run.all_fakes()[-1]
        self._console.print(f"input, output and target of people kept out, side by side: {strip}")
        self._console.print(f"how near and how alike they are: mien evaluate {self._run.path} --data DATA")

    def _draw(self) -> np.ndarray:
        """Write the strip as training stands; return what was made of all unseen inputs looked at."""
        made = changed(self._network, self._inputs)
        self._write_strip(*(side[self._rows] for side in (self._inputs, made, self._targets)))
        return made
