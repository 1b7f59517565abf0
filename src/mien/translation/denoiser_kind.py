"""The kind "denoiser": how near it comes to clean images beside plain filters, and what its runs leave."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mien.core.checkpoint import NetworkHeader, model_id, read_header
from mien.core.errors import InputError
from mien.core.events import Column, Event, Notice, Table, Tick
from mien.core.network import LoadedNetwork, load_network
from mien.core.provenance import SourceType
from mien.core.run import RunFolder
from mien.core.score import Examination
from mien.core.types import Dataset
from mien.core.views import View
from mien.datasets.opening import open_dataset
from mien.labels.split import split_people
from mien.models import noise2noise
from mien.models.noise2noise import Config, sides
from mien.training.kinds import Kind
from mien.training.outputs import Snapshot
from mien.training.paired_data import OTHER_DATA, EvaluationData, evaluation_pairs
from mien.translation.denoiser_trials import Trial, add_noise, compare, trial_indexes, trial_noises
from mien.translation.images import apply_network, psnr
from mien.translation.outputs import ChangeOutputs
from mien.translation.report import write_report

_LEAST = 1e-6  # squared levels, of noise that is none
_GLANCE = 64  # held-out pictures that are looked at during training
_ROWS = 8


class DenoiserExamination(Examination):
    """How well a denoiser does on some pictures. targets: what it learnt from, "noisy" or "clean"."""

    metric = "denoiser"

    targets: str
    num_pictures: int
    trials: tuple[Trial, ...]
    notes: tuple[str, ...] = ()

    def tables(self) -> list[Event]:
        """What was examined, a table for each noise, and how to read them."""
        events: list[Event] = [
            Notice(
                f"{self.model_id} (taught by {self.targets} pictures) on {self.num_pictures:,} pictures"
                f" ({self.dataset_name}), {self.how}"
            ),
            *(_trial_table(trial) for trial in self.trials),
            Notice(
                "PSNR in dB, ahead ± the 95 % interval over pictures;"
                " the filters' settings suit these very pictures"
            ),
        ]
        return events + [Notice(note) for note in self.notes]


def evaluate(
    source: Path, data: str, *, device: torch.device, progress: Tick | None = None
) -> DenoiserExamination:
    """Examine a denoiser on `data`; in a run folder the result is added to `metric-denoiser.jsonl`.

    On what it was trained on, only people who were kept out count. Raises InputError.
    """
    loaded = load_network(source, noise2noise.KIND, device)
    chosen = _evaluation_data(loaded.header, data, progress)
    _check_channels(loaded, chosen.inputs)
    examination = examine(loaded.network, loaded.header, loaded.model, chosen, progress=progress)
    if source.is_dir():
        examination.append(RunFolder.open(source))
    return examination


def examine(
    network: nn.Module,
    header: NetworkHeader,
    model: str,
    data: EvaluationData[Dataset | None],
    *,
    progress: Tick | None = None,
) -> DenoiserExamination:
    """Compare the model with filters, on clean pictures with the noise it learnt, or on noisy pairs."""
    config = Config.model_validate(header.config)
    at = trial_indexes(data.inputs)
    pictures = data.inputs.images(at)
    if data.targets is None:
        tasks = [
            (f"{noise.kind} {noise.low:g}", add_noise(pictures, noise), pictures)
            for noise in trial_noises(config)
        ]
    else:
        tasks = [("pairs as they came", pictures, data.targets.images(at))]
    trials = []
    for number, (name, noisy, targets) in enumerate(tasks, 1):
        trials.append(Trial(noise=name, figures=compare(network, noisy, targets)))
        if progress:
            progress(number, len(tasks))
    noisy_pairs = data.targets is not None and config.targets == "noisy"
    return DenoiserExamination(
        model_id=model,
        nimg=header.nimg,
        targets=config.targets,
        dataset_name=data.inputs.name,
        dataset_hash=data.inputs.content_hash,
        num_pictures=len(at),
        kept_out=data.kept_out,
        how=data.how,
        trials=tuple(trials),
        notes=(_ceiling(tasks[0][1], tasks[0][2]),) if noisy_pairs else (),
    )


def _trial_table(trial: Trial) -> Table:
    headings = ("PSNR", "SSIM", "model is ahead")
    rows = []
    for index, one in enumerate(trial.figures):
        ahead = "" if index == 1 else f"{one.ahead:.2f} ± {one.give_or_take:.2f}"
        rows.append((one.name, f"{one.psnr:.2f}", "-" if one.ssim is None else f"{one.ssim:.3f}", ahead))
    columns = (Column("", wraps=True), *(Column(heading, numbers=True) for heading in headings))
    return Table(columns, tuple(rows), title=trial.noise)


def _ceiling(one: np.ndarray, two: np.ndarray) -> str:
    """Two noisy pictures differ by the noise of both: half of that remains of a perfect answer."""
    half = max(np.square(one.astype(np.float64) - two).mean() / 2, _LEAST)
    return (
        f"compared with pictures that are noisy themselves: a perfect answer would have about"
        f" {10 * np.log10(255**2 / half):.2f} dB; compare the rows, not with figures from elsewhere"
    )


def _evaluation_data(
    header: NetworkHeader, data: str, progress: Tick | None
) -> EvaluationData[Dataset | None]:
    config = Config.model_validate(header.config)
    if sides(config) == "pairs":
        return evaluation_pairs(header, config, data, progress=progress)
    dataset = open_dataset(data, progress=progress)
    if header.dataset is None or header.dataset.content_hash != dataset.content_hash:
        return EvaluationData(dataset, None, False, OTHER_DATA)
    split = split_people(dataset.records, share=config.held_out)
    side = View(dataset, split.held_out, labels=None, class_names=())
    return EvaluationData(side, None, True, f"kept out of training {split.how}")


def _check_channels(loaded: LoadedNetwork[Any], pictures: Dataset) -> None:
    ours, theirs = loaded.header.spec.channels, pictures.spec.channels
    if ours != theirs:
        words = {1: "gray", 3: "in colour"}
        raise InputError(f"{pictures.name} is {words[theirs]}; the model is for pictures {words[ours]}")


class DenoiserOutputs(ChangeOutputs):
    """The outputs of a run of the family `noise2noise`: rows of noisy | cleaned | clean."""

    kind, product, source_type = noise2noise.KIND, noise2noise.PRODUCT, SourceType.ENHANCED

    def _choose(self) -> None:
        lesson = self._lesson
        assert lesson.held_out is not None
        how = f"kept out of training {lesson.how}"
        self._data = EvaluationData(lesson.held_out, lesson.held_out_others, True, how)
        self._noisy, self._clean = self._glance()

    def show(self) -> Snapshot:
        """A strip, and the PSNR of up to 64 held-out pictures; nothing is chosen by that."""
        cleaned = torch.from_numpy(self._draw())
        return Snapshot({"Eval/psnr": float(psnr(cleaned, torch.from_numpy(self._clean)).mean())})

    def end(self) -> None:
        """The last strip, all strips in one film, and figures beside those of filters."""
        super().end()
        path = self._run.newest_product(self.kind)
        examination = examine(self._network, read_header(path), model_id(path), self._data)
        examination.append(self._run)
        for event in examination.tables():
            self._events.send(event)

    def _glance(self) -> tuple[np.ndarray, np.ndarray]:
        """Some held-out pictures with noise, and their targets."""
        at = trial_indexes(self._data.inputs, _GLANCE)
        pictures = self._data.inputs.images(at)
        if self._data.targets is not None:
            return pictures, self._data.targets.images(at)
        noises = trial_noises(self._training.trainable.config)
        return add_noise(pictures, noises[len(noises) // 2]), pictures

    def _draw(self) -> np.ndarray:
        """Write the strip as training stands; return the cleaned."""
        cleaned = apply_network(self._network, self._noisy)
        self._write_strip(*(side[:_ROWS] for side in (self._noisy, cleaned, self._clean)))
        return cleaned


KIND = Kind("denoiser", write_report, DenoiserOutputs, evaluate, DenoiserExamination)
