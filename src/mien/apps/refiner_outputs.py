"""What a run leaves behind that trains a refiner: the refiner, and strips of the same inputs all along."""

import numpy as np
import torch
from rich.console import Console

from mien import TOOL
from mien.apps.nearest_reals import nearest
from mien.apps.strips import changed, chosen, side_by_side
from mien.core.atomic import write_bytes
from mien.core.image import grid
from mien.core.packed import encode_png
from mien.core.provenance import Provenance, SourceType, save_picture
from mien.core.run import RunFolder
from mien.core.types import Dataset, Lesson
from mien.models.simgan import KIND, PRODUCT
from mien.training.loop import Training
from mien.training.outputs import Shown, save_product
from mien.training.snapshots import write_timelapse

_REALS = 64  # shown in `reals.png`
_MOST_REALS = 5000  # among which the nearest is looked for


class RefinerOutputs:
    """The outputs of a run of the family `simgan`; see `training.outputs.Outputs`."""

    def __init__(
        self,
        run: RunFolder,
        training: Training,
        dataset: Dataset,
        lesson: Lesson,
        *,
        family: str,
        console: Console,
    ) -> None:
        self._run, self._training, self._dataset, self._family = run, training, dataset, family
        self._console = console
        assert lesson.others is not None
        self._others = lesson.others
        self._inputs = lesson.train.images(chosen(lesson.train))
        self._reals = lesson.others.images(chosen(lesson.others, _MOST_REALS))

    def begin(self) -> None:
        """Some of the real pictures, and the inputs as they are refined before anything was learnt."""
        reals = self._others.images(chosen(self._others, _REALS))
        write_bytes(self._run.reals, encode_png(grid(torch.from_numpy(reals))))
        self._draw()

    def show(self) -> Shown:
        """A strip of the chosen inputs, and how far they were moved."""
        refined = self._draw()
        moved = np.abs(refined.astype(np.int16) - self._inputs).mean() / 127.5
        return Shown({"Eval/l1": float(moved)})

    def save(self) -> None:
        """The averaged refiner."""
        save_product(
            self._run, self._training, self._dataset, family=self._family, kind=KIND, network=PRODUCT
        )

    def end(self) -> None:
        """The last strip, and all of them in one film, from the first update of the pretraining on."""
        self._draw()
        write_timelapse(self._run, self._provenance())
        last = self._run.all_fakes()[-1]
        self._console.print(f"input, refined and nearest real side by side: {last}")

    def _draw(self) -> np.ndarray:
        """Write rows of input | refined | nearest real, as training stands; return the refined."""
        refined = changed(self._training.averages.networks[PRODUCT], self._inputs)
        near = self._reals[nearest(refined, self._reals)]
        picture = side_by_side(self._inputs, refined, near)
        save_picture(self._run.fakes(self._training.nimg), picture, self._provenance())
        return refined

    def _provenance(self) -> Provenance:
        model = f"{self._family}-{self._run.name}-{self._training.nimg}"
        return Provenance(model, None, TOOL, SourceType.COMPOSITE)
