"""What a run leaves behind that trains a denoiser: the denoiser, strips of kept-out pictures, figures."""

import numpy as np
import torch
from rich.console import Console

from mien import TOOL
from mien.apps.denoiser_scores import Exam, append, examine, table
from mien.apps.denoiser_trials import chosen, denoise, spoil, trial_noises
from mien.core.atomic import write_bytes
from mien.core.checkpoint import model_id, read_header
from mien.core.image import grid
from mien.core.packed import encode_png
from mien.core.provenance import Provenance, SourceType, save_picture
from mien.core.run import RunFolder
from mien.core.types import Dataset, Lesson
from mien.metrics._closeness import psnr
from mien.models.noise2noise import KIND, PRODUCT
from mien.training.loop import Training
from mien.training.outputs import Shown, save_product
from mien.training.snapshots import write_timelapse

_REALS = 64
_GLANCE = 64  # kept-out pictures that are looked at on the way
_ROWS = 8


class DenoiserOutputs:
    """The outputs of a run of the family `noise2noise`; see `training.outputs.Outputs`."""

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
        how = f"kept out of training {lesson.how}"
        self._exam = Exam(lesson.held_out, lesson.held_out_others, True, how)
        self._spoilt, self._wanted = self._glance()

    def begin(self) -> None:
        """Write `reals.png`, some of the pictures that are learnt from, and the first strip."""
        train = self._lesson.train
        reals = torch.from_numpy(train.images(chosen(train, _REALS)))
        write_bytes(self._run.reals, encode_png(grid(reals)))
        self._draw()

    def show(self) -> Shown:
        """A strip, and how near up to 64 kept-out pictures come; nothing is chosen by that."""
        cleaned = torch.from_numpy(self._draw())
        return Shown({"Eval/psnr": float(psnr(cleaned, torch.from_numpy(self._wanted)).mean())})

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
        """The last strip, all strips in one film, and figures beside those of filters."""
        self._draw()
        write_timelapse(self._run, self._provenance())
        path = self._run.newest_product(KIND)
        network = self._training.averages.networks[PRODUCT]
        found = examine(network, read_header(path), model_id(path), self._exam)
        append(self._run, found)
        self._console.print(table(found))

    def _glance(self) -> tuple[np.ndarray, np.ndarray]:
        """Some kept-out pictures, spoilt, and what they should become."""
        at = chosen(self._exam.pictures, _GLANCE)
        pictures = self._exam.pictures.images(at)
        if self._exam.wanted is not None:
            return pictures, self._exam.wanted.images(at)
        noises = trial_noises(self._training.trainable.config)
        return spoil(pictures, noises[len(noises) // 2]), pictures

    def _draw(self) -> np.ndarray:
        """Write the strip as training stands: rows of noisy | cleaned | clean; return the cleaned."""
        cleaned = denoise(self._training.averages.networks[PRODUCT], self._spoilt)
        rows = [side[:_ROWS] for side in (self._spoilt, cleaned, self._wanted)]
        cells = np.stack(rows, axis=1).reshape(-1, *cleaned.shape[1:])
        strip = grid(torch.from_numpy(cells), 3)
        save_picture(self._run.fakes(self._training.nimg), strip, self._provenance())
        return cleaned

    def _provenance(self) -> Provenance:
        model = f"{self._family}-{self._run.name}-{self._training.nimg}"
        return Provenance(model, None, TOOL, SourceType.ENHANCED)
