"""What a run leaves behind that trains a translator: the network, and strips of the same unseen pairs."""

import numpy as np
import torch
from rich.console import Console

from mien import TOOL
from mien.apps.strips import changed, chosen, side_by_side
from mien.core.atomic import write_bytes
from mien.core.image import grid
from mien.core.packed import encode_png
from mien.core.provenance import Provenance, SourceType, save_picture
from mien.core.run import RunFolder
from mien.core.types import Dataset, Lesson
from mien.models.pix2pix import KIND, PRODUCT
from mien.training.loop import Training
from mien.training.outputs import Shown, save_product
from mien.training.snapshots import write_timelapse

_REALS = 64  # targets shown in `reals.png`
_GLANCE = 128  # unseen pairs that are looked at on the way


class TranslatorOutputs:
    """The outputs of a run of the family `pix2pix`; see `training.outputs.Outputs`."""

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
        self._run, self._training, self._dataset, self._lesson = run, training, dataset, lesson
        self._family, self._console = family, console
        assert lesson.held_out is not None
        assert lesson.held_out_others is not None
        where = chosen(lesson.held_out, _GLANCE)
        self._inputs, self._targets = (
            side.images(where) for side in (lesson.held_out, lesson.held_out_others)
        )
        self._rows = chosen(where)

    def begin(self) -> None:
        """Some of the targets that are learnt, and what is made of the unseen inputs before that."""
        targets = self._lesson.others
        assert targets is not None
        reals = torch.from_numpy(targets.images(chosen(targets, _REALS)))
        write_bytes(self._run.reals, encode_png(grid(reals)))
        self._draw()

    def show(self) -> Shown:
        """A strip, and how far from their targets the unseen pairs are; nothing is chosen by it."""
        made = self._draw()
        far = np.abs(made.astype(np.int16) - self._targets).mean() / 255
        return Shown({"Eval/l1": float(far)})

    def save(self) -> None:
        """The averaged network."""
        save_product(
            self._run,
            self._training,
            self._dataset,
            family=self._family,
            kind=KIND,
            network=PRODUCT,
            roles=self._lesson.roles,
        )

    def end(self) -> None:
        """The last strip, and all of them in one film."""
        self._draw()
        write_timelapse(self._run, self._provenance())
        strip = self._run.all_fakes()[-1]
        self._console.print(f"input, output and target of people kept out, side by side: {strip}")
        self._console.print(f"how near and how alike they are: mien evaluate {self._run.path} --data DATA")

    def _draw(self) -> np.ndarray:
        """Write the strip as training stands; return what was made of all unseen inputs looked at."""
        made = changed(self._training.averages.networks[PRODUCT], self._inputs)
        rows = [side[self._rows] for side in (self._inputs, made, self._targets)]
        save_picture(self._run.fakes(self._training.nimg), side_by_side(*rows), self._provenance())
        return made

    def _provenance(self) -> Provenance:
        model = f"{self._family}-{self._run.name}-{self._training.nimg}"
        return Provenance(model, None, TOOL, SourceType.COMPOSITE)
