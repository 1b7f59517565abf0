"""The kind "denoiser": how near it comes to clean images beside plain filters, and what its runs leave.

A trial: images with one noise, cleaned by a denoiser and by filters that learn nothing: non-local means and
medians, as OpenCV has them. Their settings are chosen on the very images that they are measured on, which
favours them.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import torch
from pydantic import BaseModel
from torch import nn

from mien.core.checkpoint import NetworkHeader, model_id, read_header
from mien.core.errors import InputError
from mien.core.events import Column, Event, Notice, Table, Tick
from mien.core.image import evenly_spaced, to_float, to_uint8
from mien.core.network import load_network
from mien.core.provenance import SourceType
from mien.core.run import RunFolder
from mien.core.score import Examination
from mien.core.types import Dataset
from mien.core.views import View
from mien.datasets.opening import open_dataset
from mien.labels.split import split_people
from mien.metrics.ms_ssim import ssim
from mien.models import noise2noise
from mien.models.noise2noise import Config, noise_of, sides
from mien.nn.noise import Noise
from mien.training.kinds import Kind
from mien.training.outputs import Snapshot
from mien.training.paired_data import OTHER_DATA, EvaluationData, evaluation_pairs
from mien.translation.outputs import ChangeOutputs, apply_network, psnr
from mien.translation.report import write_report

Filter = Callable[[np.ndarray], np.ndarray]  # uint8 [H, W, C] -> the same

_MOST_PICTURES = 400
_MOST_PIXELS = _MOST_PICTURES * 128**2  # of all pictures together, since non-local means are slow
_LEAST_SSIM = 11  # pixels a side of the window
_OF_RANGE = (0.25, 0.5, 1.0)  # the strengths at which a blind model is tried
_TUNED_ON = 24  # images on which settings of filters are compared
_STRENGTHS = np.arange(0.4, 1.65, 0.1)  # of non-local means, in standard deviations of the error
_PATCHES, _SEARCHES = (3, 7), (11, 21)  # pixels a side; the latter of each is OpenCV's own choice
_MEDIANS = (3, 5, 7)


class Figure(BaseModel, frozen=True):
    """How near one method comes. psnr: dB, ssim: means over pictures; no ssim of pictures under 11 px.

    ahead: by how many dB of PSNR the model is better than this, on average; give_or_take: half of the 95 %
    interval of that, over pictures.
    """

    name: str
    psnr: float
    ssim: float | None
    ahead: float
    give_or_take: float


class Trial(BaseModel, frozen=True):
    """One noise. figures: of the noisy pictures, the model, and the filters, in this order."""

    noise: str
    figures: tuple[Figure, ...]


def compare(network: nn.Module, noisy: np.ndarray, targets: np.ndarray) -> tuple[Figure, ...]:
    """The noisy pictures, the network's output for them, and the filters'; uint8 [N, C, H, W]."""
    methods = {"noisy": noisy, "this model": apply_network(network, noisy)} | filtered(noisy, targets)
    truth = torch.from_numpy(targets)
    outputs = {name: torch.from_numpy(np.ascontiguousarray(its)) for name, its in methods.items()}
    decibels = {name: psnr(output, truth) for name, output in outputs.items()}
    figures = []
    for name, output in outputs.items():
        ahead = decibels["this model"] - decibels[name]
        similar = float(ssim(output, truth).mean()) if min(truth.shape[2:]) >= _LEAST_SSIM else None
        figures.append(
            Figure(
                name=name,
                psnr=float(decibels[name].mean()),
                ssim=similar,
                ahead=float(ahead.mean()),
                give_or_take=1.96 * float(ahead.std(correction=0)) / len(ahead) ** 0.5,
            )
        )
    return tuple(figures)


def add_noise(pictures: np.ndarray, noise: Noise, seed: int = 0) -> np.ndarray:
    """uint8 [N, C, H, W] with noise, as a file would hold it: clipped and rounded."""
    noisy = noise(to_float(torch.from_numpy(pictures)), torch.Generator().manual_seed(seed))
    return to_uint8(noisy).numpy()


def trial_noises(config: Config) -> list[Noise]:
    """The noise that the model knows; of a blind one some strengths; of pairs nothing."""
    noise = noise_of(config)
    if noise is None:
        return []
    spread = noise.high - noise.low
    strengths = dict.fromkeys(noise.low + spread * share for share in _OF_RANGE)
    return [Noise(noise.kind, strength, strength) for strength in strengths]


def trial_indexes(dataset: Dataset, most: int = _MOST_PICTURES) -> np.ndarray:
    """Indexes of up to `most` pictures, evenly spread; fewer where they are large."""
    return evenly_spaced(dataset, max(min(most, _MOST_PIXELS // dataset.spec.resolution**2), 1))


def filtered(noisy: np.ndarray, targets: np.ndarray) -> dict[str, np.ndarray]:
    """Both filters on uint8 pictures [N, C, H, W], with the settings that come nearest to `targets`."""
    few = evenly_spaced(noisy, _TUNED_ON)
    truth = targets[few].astype(np.float32)

    def squared_error(choice: tuple[str, Filter]) -> float:
        return float(np.square(_each(choice[1], noisy[few]) - truth).mean())

    medians = [(f"median ({side}x{side})", partial(cv2.medianBlur, ksize=side)) for side in _MEDIANS]
    best = [min(choices, key=squared_error) for choices in (_non_local_means(noisy, targets), medians)]
    return {name: _each(one, noisy) for name, one in best}


def _non_local_means(noisy: np.ndarray, targets: np.ndarray) -> Iterator[tuple[str, Filter]]:
    """All channels together: on small faces that does better than OpenCV's variant in Lab."""
    deviation = float(np.sqrt(np.square(noisy.astype(np.float32) - targets).mean()))
    for patch, search, share in product(_PATCHES, _SEARCHES, _STRENGTHS):
        h = max(deviation * share, 1.0)
        means = partial(cv2.fastNlMeansDenoising, h=h, templateWindowSize=patch, searchWindowSize=search)
        yield f"non-local means (h {h:.1f}, patch {patch}, search {search})", means


def _each(one: Filter, pictures: np.ndarray) -> np.ndarray:
    images = np.ascontiguousarray(pictures.transpose(0, 2, 3, 1))
    outputs = np.stack([one(image).reshape(image.shape) for image in images])
    return outputs.transpose(0, 3, 1, 2)


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
    ours, theirs = loaded.header.spec.channels, chosen.inputs.spec.channels
    if ours != theirs:
        words = {1: "gray", 3: "in colour"}
        raise InputError(f"{chosen.inputs.name} is {words[theirs]}; the model is for pictures {words[ours]}")
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
        cleaned = apply_network(self._network, self._noisy)
        self._write_strip(*(side[:_ROWS] for side in (self._noisy, cleaned, self._clean)))
        return cleaned


KIND = Kind("denoiser", write_report, DenoiserOutputs, evaluate, DenoiserExamination)
