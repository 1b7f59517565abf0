"""What a run leaves behind that trains a refiner: the refiner, and strips of the same inputs all along."""

import numpy as np

from mien.models.simgan import KIND, PRODUCT
from mien.training.outputs import Shown
from mien.translation.nearest_reals import nearest
from mien.translation.outputs import ChangeOutputs
from mien.translation.strips import changed, chosen

_MOST_REALS = 5000  # among which the nearest is looked for


class RefinerOutputs(ChangeOutputs):
    """The outputs of a run of the family `simgan`: rows of input | refined | nearest real.

    The film begins with the first update of the pretraining.
    """

    kind, product = KIND, PRODUCT

    def _choose(self) -> None:
        lesson = self._lesson
        assert lesson.others is not None
        self._inputs = lesson.train.images(chosen(lesson.train))
        self._reals = lesson.others.images(chosen(lesson.others, _MOST_REALS))

    def show(self) -> Shown:
        """A strip of the chosen inputs, and how far they were moved."""
        moved = np.abs(self._draw().astype(np.int16) - self._inputs).mean() / 127.5
        return Shown({"Eval/l1": float(moved)})

    def end(self) -> None:
        """The last strip, and all of them in one film."""
        super().end()
        last = self._run.all_fakes()[-1]
        self._console.print(f"input, refined and nearest real side by side: {last}")

    def _draw(self) -> np.ndarray:
        """Write the strip as training stands; return the refined."""
        refined = changed(self._network, self._inputs)
        self._write_strip(self._inputs, refined, self._reals[nearest(refined, self._reals)])
        return refined
