"""How well a detector tells real faces from synthetic ones, by source and by what happened to the picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel
from scipy.special import expit
from scipy.stats import binom, binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from mien.attributes.agreement import auc, resampled, weighted_auc
from mien.core.errors import InputError
from mien.core.events import Column, Event, Notice, Table, Tick
from mien.core.image import to_float
from mien.core.network import LoadedNetwork, load_network
from mien.core.reencode import HISTORIES, Change
from mien.core.run import RunFolder
from mien.core.score import Examination, Interval, with_interval
from mien.core.types import Dataset
from mien.datasets.opening import open_dataset
from mien.labels.encoding import encode, parse
from mien.models.detector import KIND, LABEL
from mien.nn.forensic import QUANTILES, ForensicNet

FALSE_ALARMS = 0.05  # the promised share of real faces that are called synthetic
_BATCH = 256
Floats = np.ndarray


class SourceScore(BaseModel, frozen=True):
    """One source after one history. called: the share called synthetic, with its Clopper-Pearson interval.

    auc, average_precision: of a synthetic source against all real ones after the same history.
    """

    source: str
    synthetic: bool
    history: str
    count: int
    called: Interval
    auc: Interval | None = None
    average_precision: float | None = None


class DetectorExamination(Examination):
    """Scores of a detector. calibration: error of the probabilities, both classes weighing alike."""

    metric = "detector"

    false_alarms: float
    calibration: float
    accuracy: float
    scores: tuple[SourceScore, ...]

    def tables(self) -> list[Event]:
        """A table of each class: a row for each source and history, with intervals."""
        promised = f"False alarms, {self.false_alarms:.0%} promised"
        accuracy = f"accuracy {self.accuracy:.3f} (both classes alike)"
        return [
            Notice(f"{self.model_id} on {self.dataset_name}, {self.how}"),
            self._table(True, "Synthetic faces, against the real ones", ("AUC", "found")),
            self._table(False, promised, ("called synthetic",)),
            Notice(f"{accuracy}, calibration error {self.calibration:.3f}"),
        ]

    def _table(self, synthetic: bool, title: str, headings: Sequence[str]) -> Table:
        numbers = (Column(name, numbers=True) for name in ("n", *headings))
        scores = [score for score in self.scores if score.synthetic == synthetic]
        rows = []
        for source in dict.fromkeys(score.source for score in scores):
            shown = source
            for score in (one for one in scores if one.source == source):
                area = (with_interval(score.auc, ".3f"),) if synthetic else ()
                called = with_interval(score.called, ".1%")
                rows.append((shown, score.history, str(score.count), *area, called))
                shown = ""
        return Table((Column("source", wraps=True), Column("seen"), *numbers), tuple(rows), title=title)


@torch.no_grad()
def parts_of(network: ForensicNet, pixels: Floats, change: Change | None = None) -> Floats:
    """What each trace says of faces uint8 [N, S, S, 3], changed first: log-odds float64 [N, 3]."""
    device, parts = network.slope.device, []
    for start in range(0, len(pixels), _BATCH):
        batch = pixels[start : start + _BATCH]
        if change is not None:
            batch = np.stack([change(one) for one in batch])
        tensor = to_float(torch.from_numpy(np.ascontiguousarray(batch.transpose(0, 3, 1, 2))).to(device))
        parts.append(network.parts(tensor).cpu().double().numpy())
    return np.concatenate(parts) if parts else np.zeros((0, 3))


def log_odds(network: ForensicNet, parts: Floats) -> Floats:
    """Calibrated log-odds [N] of parts [N, 3]."""
    return np.asarray(parts.sum(axis=1) * float(network.slope) + float(network.offset))


def calibrate(network: ForensicNet, pixels: Floats, synthetic: Floats) -> None:
    """Set the buffers of the network by faces that it did not learn from; see `ForensicNet`."""
    parts = {name: parts_of(network, pixels, change) for name, change in HISTORIES.items()}
    sums = parts["as it is"].sum(axis=1)
    model = LogisticRegression(C=1e6, class_weight="balanced").fit(sums[:, None], synthetic)
    network.slope.fill_(max(float(model.coef_[0, 0]), 1e-3))
    network.offset.fill_(float(model.intercept_[0]))
    network.centre.copy_(torch.from_numpy(parts["as it is"][~synthetic].mean(axis=0)))
    worst = np.max([_quantiles(log_odds(network, part[~synthetic])) for part in parts.values()], axis=0)
    network.quantiles.copy_(torch.from_numpy(worst))


def _quantiles(values: Floats) -> Floats:
    """At 0, 1, ..., 100 %: what they surely are no higher than, at 95 % confidence from so many values."""
    ranks = binom.ppf(0.95, len(values), np.linspace(0, 1, QUANTILES)).astype(int)
    return np.asarray(np.sort(values)[np.clip(ranks, 0, len(values) - 1)])


def score_sources(
    network: ForensicNet,
    real: Mapping[str, Floats],
    synthetic: Mapping[str, Floats],
    *,
    histories: Mapping[str, Change] = HISTORIES,
    false_alarms: float = FALSE_ALARMS,
    tick: Tick | None = None,
) -> tuple[list[SourceScore], float, float]:
    """Scores by source and history, the calibration error and the accuracy on pictures as they are."""
    threshold = network.threshold(false_alarms)
    scores: list[SourceScore] = []
    error = accuracy = float("nan")
    for done, (history, change) in enumerate(histories.items(), start=1):
        odds = {
            (name, fake): log_odds(network, parts_of(network, pixels, change))
            for fake, named in ((True, synthetic), (False, real))
            for name, pixels in named.items()
        }
        reals = np.concatenate([values for (_, fake), values in odds.items() if not fake] or [np.zeros(0)])
        fakes = np.concatenate([values for (_, fake), values in odds.items() if fake] or [np.zeros(0)])
        if done == 1 and len(reals) and len(fakes):
            error = balanced_error(reals, fakes)
            accuracy = float(((reals < 0).mean() + (fakes >= 0).mean()) / 2)
        for (name, fake), values in odds.items():
            area = precision = None
            if fake and len(reals):
                area, precision = _ranked(values, reals)
            called = share(int((values >= threshold).sum()), len(values))
            scores.append(
                SourceScore(
                    source=name,
                    synthetic=fake,
                    history=history,
                    count=len(values),
                    called=called,
                    auc=area,
                    average_precision=precision,
                )
            )
        if tick:
            tick(done, len(histories))
    return scores, error, accuracy


def share(count: int, total: int) -> Interval:
    """A share with its exact 95 % interval."""
    interval = binomtest(count, total).proportion_ci()
    return Interval(value=count / total, low=float(interval.low), high=float(interval.high))


def _ranked(fakes: Floats, reals: Floats) -> tuple[Interval, float]:
    truth = np.r_[np.ones(len(fakes)), np.zeros(len(reals))]
    values = np.r_[fakes, reals]
    area = weighted_auc(truth, values)
    drawn = resampled([str(index) for index in range(len(truth))], lambda w: area(w)[None])[0]
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    interval = Interval(value=auc(truth, values), low=float(low), high=float(high))
    return interval, float(average_precision_score(truth, values))


def balanced_error(reals: Floats, fakes: Floats) -> float:
    """Expected calibration error of log-odds over ten equal bins, real and synthetic faces weighing alike."""
    probability = expit(np.r_[reals, fakes])
    truth = np.r_[np.zeros(len(reals)), np.ones(len(fakes))]
    weight = np.r_[np.full(len(reals), 0.5 / len(reals)), np.full(len(fakes), 0.5 / len(fakes))]
    place = np.minimum((probability * 10).astype(int), 9)
    gaps = np.bincount(place, weight * (probability - truth), 10)
    return float(np.abs(gaps).sum())


def by_source(dataset: Dataset, chosen: Floats) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Real and synthetic faces uint8 [N, S, S, 3] of the chosen pictures, by source."""
    truth = encode(dataset, parse((LABEL,)))[:, 0]
    names = [str(record.get("source") or dataset.name) for record in dataset.records]
    parts: tuple[dict[str, Floats], dict[str, Floats]] = ({}, {})
    for fake, part in enumerate(parts):
        for name in dict.fromkeys(names):
            where = np.array([i for i in chosen.tolist() if names[i] == name and truth[i] == fake], int)
            if len(where):
                part[name] = dataset.images(where).transpose(0, 2, 3, 1)
    return parts


def part_of(dataset: Dataset, split: str) -> Floats:
    """Indexes of the pictures of that split; all of them where the records name none."""
    splits = [record.get("split") for record in dataset.records]
    chosen = np.array([index for index, name in enumerate(splits) if name == split], int)
    return chosen if len(chosen) else np.arange(len(dataset))


def evaluate(
    source: Path, data: str, *, device: torch.device, progress: Tick | None = None
) -> DetectorExamination:
    """Evaluate a detector on a set as `mien detector train` writes; of its own, on the test part alone."""
    loaded = load_network(source, KIND, device)
    dataset = open_dataset(data)
    own = loaded.header.dataset is not None and loaded.header.dataset.content_hash == dataset.content_hash
    chosen = part_of(dataset, "test") if own else np.arange(len(dataset))
    examination = examine(loaded, dataset, chosen, progress=progress)
    if source.is_dir():
        examination.append(RunFolder.open(source))
    return examination


def examine(
    loaded: LoadedNetwork[ForensicNet], dataset: Dataset, chosen: Floats, *, progress: Tick | None = None
) -> DetectorExamination:
    """Scores on the chosen pictures of a labelled set. Raises InputError where a class is missing."""
    real, synthetic = by_source(dataset, chosen)
    if not real or not synthetic:
        raise InputError(f"{dataset.name}: a detector is tested on real and on synthetic faces")
    scores, error, accuracy = score_sources(loaded.network, real, synthetic, tick=progress)
    kept_out = len(chosen) < len(dataset)
    return DetectorExamination(
        model_id=loaded.model,
        nimg=loaded.header.nimg,
        dataset_name=dataset.name,
        dataset_hash=dataset.content_hash,
        kept_out=kept_out,
        how=f"{len(chosen):,} faces" + (", kept out by picture" if kept_out else ""),
        false_alarms=FALSE_ALARMS,
        calibration=error,
        accuracy=accuracy,
        scores=tuple(scores),
    )
