"""What a run leaves behind that trains a denoiser: the denoiser, strips of kept-out pictures, figures."""

import numpy as np
import torch

from mien.core.checkpoint import model_id, read_header
from mien.core.provenance import SourceType
from mien.models.noise2noise import KIND, PRODUCT
from mien.training.outputs import Shown
from mien.translation.closeness import psnr
from mien.translation.denoiser_scores import Exam, append, examine, table
from mien.translation.denoiser_trials import few, spoil, trial_noises
from mien.translation.outputs import ChangeOutputs
from mien.translation.strips import changed

_GLANCE = 64  # kept-out pictures that are looked at on the way
_ROWS = 8


class DenoiserOutputs(ChangeOutputs):
    """The outputs of a run of the family `noise2noise`: rows of noisy | cleaned | clean."""

    kind, product, source_type = KIND, PRODUCT, SourceType.ENHANCED

    def _choose(self) -> None:
        lesson = self._lesson
        assert lesson.held_out is not None
        how = f"kept out of training {lesson.how}"
        self._exam = Exam(lesson.held_out, lesson.held_out_others, True, how)
        self._spoilt, self._wanted = self._glance()

    def show(self) -> Shown:
        """A strip, and how near up to 64 kept-out pictures come; nothing is chosen by that."""
        cleaned = torch.from_numpy(self._draw())
        return Shown({"Eval/psnr": float(psnr(cleaned, torch.from_numpy(self._wanted)).mean())})

    def end(self) -> None:
        """The last strip, all strips in one film, and figures beside those of filters."""
        super().end()
        path = self._run.newest_product(KIND)
        found = examine(self._network, read_header(path), model_id(path), self._exam)
        append(self._run, found)
        self._console.print(table(found))

    def _glance(self) -> tuple[np.ndarray, np.ndarray]:
        """Some kept-out pictures, spoilt, and what they should become."""
        at = few(self._exam.pictures, _GLANCE)
        pictures = self._exam.pictures.images(at)
        if self._exam.wanted is not None:
            return pictures, self._exam.wanted.images(at)
        noises = trial_noises(self._training.trainable.config)
        return spoil(pictures, noises[len(noises) // 2]), pictures

    def _draw(self) -> np.ndarray:
        """Write the strip as training stands; return the cleaned."""
        cleaned = changed(self._network, self._spoilt)
        self._write_strip(*(side[:_ROWS] for side in (self._spoilt, cleaned, self._wanted)))
        return cleaned
