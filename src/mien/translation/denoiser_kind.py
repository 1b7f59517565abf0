"""The kind "denoiser": takes noise out of images; what its runs leave behind."""

import numpy as np
import torch

from mien.core.checkpoint import model_id, read_header
from mien.core.provenance import SourceType
from mien.models import noise2noise
from mien.training.kinds import Kind
from mien.training.outputs import Snapshot
from mien.translation.denoiser_scores import DenoiserExamination, Exam, evaluate, examine
from mien.translation.denoiser_trials import add_noise, trial_indexes, trial_noises
from mien.translation.images import apply_network, psnr
from mien.translation.outputs import ChangeOutputs
from mien.translation.report import write_report

_GLANCE = 64  # held-out pictures that are looked at during training
_ROWS = 8


class DenoiserOutputs(ChangeOutputs):
    """The outputs of a run of the family `noise2noise`: rows of noisy | cleaned | clean."""

    kind, product, source_type = noise2noise.KIND, noise2noise.PRODUCT, SourceType.ENHANCED

    def _choose(self) -> None:
        lesson = self._lesson
        assert lesson.held_out is not None
        how = f"kept out of training {lesson.how}"
        self._exam = Exam(lesson.held_out, lesson.held_out_others, True, how)
        self._noisy, self._clean = self._glance()

    def show(self) -> Snapshot:
        """A strip, and the PSNR of up to 64 held-out pictures; nothing is chosen by that."""
        cleaned = torch.from_numpy(self._draw())
        return Snapshot({"Eval/psnr": float(psnr(cleaned, torch.from_numpy(self._clean)).mean())})

    def end(self) -> None:
        """The last strip, all strips in one film, and figures beside those of filters."""
        super().end()
        path = self._run.newest_product(self.kind)
        found = examine(self._network, read_header(path), model_id(path), self._exam)
        found.append(self._run)
        for event in found.tables():
            self._events.send(event)

    def _glance(self) -> tuple[np.ndarray, np.ndarray]:
        """Some held-out pictures with noise, and their targets."""
        at = trial_indexes(self._exam.pictures, _GLANCE)
        pictures = self._exam.pictures.images(at)
        if self._exam.targets is not None:
            return pictures, self._exam.targets.images(at)
        noises = trial_noises(self._training.trainable.config)
        return add_noise(pictures, noises[len(noises) // 2]), pictures

    def _draw(self) -> np.ndarray:
        """Write the strip as training stands; return the cleaned."""
        cleaned = apply_network(self._network, self._noisy)
        self._write_strip(*(side[:_ROWS] for side in (self._noisy, cleaned, self._clean)))
        return cleaned


KIND = Kind("denoiser", write_report, DenoiserOutputs, evaluate, DenoiserExamination)
