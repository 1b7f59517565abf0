"""The terminal while a model trains: a bar with speed, losses, time left and a small trend."""

from collections import deque
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from mien.core.errors import InputError
from mien.core.run import RunFolder
from mien.training.loop import Step
from mien.training.session import Event, Tick

_BLOCKS = "▁▂▃▄▅▆▇█"
_FIGURES = {"Loss/G/loss": "G", "Loss/D/loss": "D", "Loss/net/loss": "loss", "Eval/auc": "AUC"}


class LiveView:
    """Shows a session's events; on a terminal as a bar, elsewhere as a line a tick."""

    def __init__(self, console: Console, run: RunFolder, *, tensorboard: bool = False) -> None:
        self._console = console
        self._gaps: deque[float] = deque(maxlen=24)
        self._writer = _tensorboard(run) if tensorboard else None
        self._bar = Progress(
            TextColumn("{task.fields[kimg]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[status]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("train", total=1.0, kimg="", status="first images ...")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if self._writer is not None:
            self._writer.close()

    def show(self, event: Event) -> None:
        """Take one event of the session."""
        if isinstance(event, Step):
            self._bar.update(self._task, completed=event.fraction, kimg=f"{event.nimg / 1000:.1f} kimg")
        elif isinstance(event, Tick):
            self._show_tick(event)
        else:
            colour = "bold red" if event.fatal else "yellow"
            self._console.print(f"[{colour}]{event.nimg / 1000:.1f} kimg: {event.text}[/]")

    def _show_tick(self, tick: Tick) -> None:
        self._gaps.append(tick.values.get("Loss/scores/real", 0.0) - tick.values.get("Loss/scores/fake", 0.0))
        status = _status(tick, list(self._gaps))
        self._bar.update(self._task, status=status)
        if not self._console.is_terminal:
            self._console.print(
                f"{tick.nimg / 1000:8.1f} kimg  {tick.fraction:4.0%}  {status}", highlight=False
            )
        if self._writer is not None:
            for name, value in tick.values.items():
                self._writer.add_scalar(name, value, tick.nimg)


def _status(tick: Tick, gaps: list[float]) -> str:
    values = tick.values
    left = tick.seconds / tick.fraction - tick.seconds if tick.fraction > 0 else 0.0
    figures = "  ".join(f"{short} {values[name]:.2f}" for name, short in _FIGURES.items() if name in values)
    speed = values.get("Timing/img_per_sec")
    told = f"{speed:.0f} img/s  " if speed else ""
    lead = f"  D's lead {sparkline(gaps)}" if "Loss/scores/real" in values else ""
    return f"{told}{figures}  {_clock(left)} left{lead}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def sparkline(values: list[float]) -> str:
    """The values as a row of small bars, lowest to highest."""
    finite = [value for value in values if abs(value) < float("inf")]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BLOCKS[round((value - low) * scale)] for value in finite)


def _tensorboard(run: RunFolder) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError("--tensorboard needs: pip install 'mien[track]'") from error
    return SummaryWriter(str(run.path / "tensorboard"))
