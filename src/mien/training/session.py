"""A training session: the loop with monitor, log, grids, checkpoints and rescues."""

from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mien.core import ranks
from mien.core.errors import MienError
from mien.core.events import TrainingTick as Tick
from mien.core.image import evenly_spaced, to_float
from mien.core.run import RunFolder
from mien.core.types import Dataset
from mien.training.loop import Batches, Budget, Step, Training, train
from mien.training.monitor import Monitor, Notice
from mien.training.outputs import Outputs, Snapshot, Snapshots, is_grid_due
from mien.training.states import States

MOST_RESCUES = 3
_REALS = 100  # that the fakes' variety is compared with
_ROLL_BACK_STEPS = 50  # states this close before the first symptom are not trusted


Event = Step | Tick | Notice


class DivergedError(MienError):
    """Training diverged again after the last rescue."""


class Session:
    """Trains in `run` until `budget` is spent, yielding steps, ticks and notices.

    tick_nimg, snapshot_nimg: images between log lines, and between checkpoints (multiples of 1000).
    outputs: the writer of networks and grids; a generator's by default.
    The caller holds the folder's lock. Of several ranks the first alone writes; the log's values, which the
    monitor judges by, are the same on all, so that all are rescued or none.
    Raises DivergedError after `MOST_RESCUES` rescues.
    """

    def __init__(
        self,
        run: RunFolder,
        training: Training,
        batches: Batches,
        dataset: Dataset,
        budget: Budget,
        *,
        family: str,
        conditional: bool = False,
        tick_nimg: int = 1000,
        snapshot_nimg: int = 4000,
        monitor: Monitor | None = None,
        outputs: Outputs | None = None,
    ) -> None:
        if tick_nimg < 1000 or snapshot_nimg < 1000:
            raise ValueError("files are named by thousands of images: intervals begin at 1000")
        self._run, self._training, self._batches, self._budget = run, training, batches, budget
        self._tick_nimg, self._snapshot_nimg = tick_nimg, snapshot_nimg
        self._outputs = outputs or Snapshots(run, training, dataset, family=family, conditional=conditional)
        self._states = States(run, training, family=family)
        self._monitor = monitor or Monitor()
        if self._monitor.reals is None:
            self._monitor.reals = _sample(dataset)
        self._meter = _Meter()
        self._fits = training.fits

    def resume(self, report: Callable[[str], None]) -> bool:
        """Resume from the newest readable state (True), or prepare a new run (False)."""
        if self._states.resume(report):
            self._fits = self._training.fits
            return True
        self._outputs.begin()
        self._states.begin()
        return False

    def events(self) -> Iterator[Event]:
        """Train to the end of the budget. Between two events the state is whole, and `save` may be called."""
        while (symptom := (yield from self._until_symptom())) is not None:
            yield from self._rescue(symptom)
        self.save()
        self._outputs.end()

    def _until_symptom(self) -> Generator[Event, None, Notice | None]:
        """Train to the end of the budget (returns None), or to a fatal symptom (returns it)."""
        for step in train(self._training, self._batches, self._budget):
            self._meter.add(step)
            yield step
            if step.fits != self._fits:
                self._fits = step.fits
                text = f"memory ran out: computes {step.fits} images at once, in batches as before"
                yield self._logged(Notice("memory", text, step.nimg))
            notices = self._monitor.observe(step)
            yield from map(self._logged, notices)
            fatal = next((notice for notice in notices if notice.fatal), None)
            if fatal:
                return fatal
            yield from self._regular(step)
        return None

    def _regular(self, step: Step) -> Iterator[Event]:
        """Write what is due at this step: a tick, a grid, a checkpoint."""
        before = step.nimg - self._training.trainable.batch_size
        tick = step.nimg // self._tick_nimg
        if tick > before // self._tick_nimg:
            snapshot = self._outputs.show() if is_grid_due(tick) else Snapshot()
            yield self._tick(step, snapshot)
            if snapshot.fakes is not None:
                yield from map(self._logged, self._monitor.observe_fakes(snapshot.fakes, step.nimg))
        if step.nimg // self._snapshot_nimg > before // self._snapshot_nimg and self._monitor.calm():
            self.save()

    def save(self) -> None:
        """Write network and training state."""
        self._outputs.save()
        self._states.save()

    def _tick(self, step: Step, snapshot: Snapshot) -> Tick:
        values = {**self._meter.flush(self._training.seconds), **snapshot.values}
        tick = Tick(step.nimg, self._training.seconds, step.fraction, values)
        record = {"nimg": step.nimg, "Progress/kimg": step.nimg / 1000, "step": step.step}
        self._log({**record, "Timing/total_sec": self._training.seconds, **values})
        return tick

    def _logged(self, notice: Notice) -> Notice:
        self._log({"event": "warning", "kind": notice.kind, "text": notice.text, "nimg": notice.nimg})
        return notice

    def _log(self, record: dict[str, Any]) -> None:
        if ranks.leads():
            self._run.append_log(record)

    def _rescue(self, symptom: Notice) -> Iterator[Event]:
        """Roll back, halve the learning rate, double gamma; give up after the last rescue."""
        rescues = self._training.rescues
        if rescues >= MOST_RESCUES:
            self._log({"event": "diverged", "kind": symptom.kind, "text": symptom.text, "nimg": symptom.nimg})
            error = DivergedError(
                f"{self._run.path}: training diverged again after {MOST_RESCUES} rescues ({symptom.text});"
                " lower the learning rate or raise gamma and start with --new"
            )
            error.raised_by_all = True
            raise error
        margin = _ROLL_BACK_STEPS * self._training.trainable.batch_size
        self._states.roll_back(self._monitor.first_symptom(symptom.kind) - margin)
        self._training.rescues = rescues + 1
        self._states.save()  # so that a stop right now does not forget the rescue
        self._monitor = Monitor(self._monitor.limits, self._monitor.reals)
        self._meter = _Meter()
        nimg = self._training.nimg
        text = (
            f"rescue {rescues + 1} of {MOST_RESCUES}: back to {nimg / 1000:.1f} kimg,"
            f" learning rate x{0.5 ** (rescues + 1):g}, gamma x{2 ** (rescues + 1)}"
        )
        self._log({"event": "rescue", "kind": symptom.kind, "text": text, "nimg": nimg})
        yield Notice("rescue", text, nimg)


def _sample(dataset: Dataset) -> Tensor | None:
    """Real images, evenly spread, whose variety the monitor compares the fakes' with."""
    if len(dataset) < 2:
        return None
    chosen = evenly_spaced(dataset, _REALS)
    return to_float(torch.from_numpy(np.ascontiguousarray(dataset.images(chosen))))


class _Meter:
    """Means of logged values since the last flush, and the speed."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = defaultdict(float)
        self._counts: Counter[str] = Counter()
        self._first_nimg: int | None = None
        self._last_nimg = 0
        self._last_seconds: float | None = None

    def add(self, step: Step) -> None:
        for name, value in step.values.items():
            self._sums[name] += value
        self._counts.update(step.values.keys())
        self._last_nimg = step.nimg
        if self._first_nimg is None:
            self._first_nimg = step.nimg

    def flush(self, seconds: float) -> dict[str, float]:
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        if self._last_seconds is not None and self._first_nimg is not None:
            elapsed = max(seconds - self._last_seconds, 1e-9)
            means["Timing/img_per_sec"] = (self._last_nimg - self._first_nimg) / elapsed
        self._sums.clear()
        self._counts.clear()
        self._first_nimg, self._last_seconds = self._last_nimg, seconds
        return means
