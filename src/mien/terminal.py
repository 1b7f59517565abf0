"""Shows the events of jobs on a terminal; nothing else in mien prints."""

import textwrap
import time
import unicodedata
from collections import deque
from types import TracebackType
from typing import Any, Self

from rich import box
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table as RichTable

from mien.core.events import Event, Job, Notice, Progress, Started, Table, TrainingTick, Written

_BLOCKS = "▁▂▃▄▅▆▇█"
_LOSSES = {"Loss/G/loss": "G", "Loss/D/loss": "D", "Loss/net/loss": "loss", "Eval/auc": "AUC"}
_STYLES = {"plain": None, "strong": "bold", "hint": "cyan", "warning": "yellow", "error": "bold red"}
_QUIET_SECONDS = 10.0  # between lines of progress where there is no terminal
_MEGABYTE = 1e6
_STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, formats, lone surrogates, separators of lines
_JOINERS = "\u200c\u200d"  # formats that letters and emoji need


def escaped(text: str, *, keep: str = "\n\t") -> str:
    """`text` with what could steer a terminal or feign another text written out, as in "\\x1b".

    keep: controls that stay. A name from outside stands on one line only with keep="".
    """
    return "".join(
        char
        if char in keep or char in _JOINERS or unicodedata.category(char) not in _STEERING
        else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )


def show(job: Job[Any], console: Console | None = None) -> Any:
    """Run a job whole, showing its events; give its result."""
    with Terminal(console) as terminal:
        return job.run(terminal)


def show_if_watched(job: Job[Any]) -> Any:
    """Run a job whole; show it on a terminal or in a notebook, and nowhere else."""
    console = Console()
    return show(job) if console.is_terminal or console.is_jupyter else job.run()


def say(console: Console, text: str, style: str | None = None, *, breaks: bool = True) -> None:
    """Print lines; on a terminal they are broken between words, but not within them.

    breaks: whether they are broken at all; a command that is to be copied stays one line.
    """
    if breaks and console.is_terminal:
        text = "\n".join(_broken(line, console.width) for line in text.split("\n"))
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _broken(line: str, width: int) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


class Terminal:
    """A listener that prints: bars on a terminal, elsewhere a line of progress every ten seconds."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[counted]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[status]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, Any] = {}
        self._gaps: deque[float] = deque(maxlen=24)
        self._spoken: dict[str, float] = {}  # when progress was last printed
        self._counted: dict[str, Progress] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress):
            self._count(event)
        elif isinstance(event, TrainingTick):
            self._tick(event)
        elif isinstance(event, Started):
            self._clear()
            self._print(event.what, "bold")
        elif isinstance(event, Notice):
            self._print(event.text, _STYLES[event.tone], breaks=event.tone != "hint")
        elif isinstance(event, Written):
            path = escaped(str(event.path), keep="")
            self._print(f"wrote {path}" + (f": {event.text}" if event.text else ""))
        elif isinstance(event, Table):
            self._clear()
            self._console.print(rich_table(event), soft_wrap=False)

    def _print(self, text: str, style: str | None = None, *, breaks: bool = True) -> None:
        say(self._console, escaped(text), style, breaks=breaks)

    def _count(self, event: Progress) -> None:
        if self._counted.get(event.what) == event:  # a server that idles says so every second
            return None
        self._counted[event.what] = event
        if not self._console.is_terminal:
            return self._say(event)
        if event.what not in self._tasks:
            self._bars.start()
            shown = escaped(event.what, keep="")
            self._tasks[event.what] = self._bars.add_task(shown, total=None, counted="", status="")
        task = self._tasks[event.what]
        self._bars.update(task, completed=event.done, total=event.total, counted=counted(event))
        if event.done >= event.total:
            self._bars.remove_task(self._tasks.pop(event.what))
            self._clear(only_if_idle=True)

    def _say(self, event: Progress) -> None:
        now = time.monotonic()
        last = self._spoken.setdefault(event.what, now)
        if now - last >= _QUIET_SECONDS:
            self._spoken[event.what] = now
            self._print(f"{event.what}: {counted(event)}")

    def _tick(self, tick: TrainingTick) -> None:
        gap = tick.values.get("Loss/scores/real", 0.0) - tick.values.get("Loss/scores/fake", 0.0)
        self._gaps.append(gap)
        line = status(tick, list(self._gaps))
        if not self._console.is_terminal:
            self._print(f"{tick.nimg / 1000:8.1f} kimg  {tick.fraction:4.0%}  {line}")
        for task in self._tasks.values():
            self._bars.update(task, status=line)

    def _clear(self, *, only_if_idle: bool = False) -> None:
        """Take the bars away."""
        if only_if_idle and self._tasks:
            return
        for task in self._tasks.values():
            self._bars.remove_task(task)
        self._tasks.clear()
        self._bars.stop()


def counted(event: Progress) -> str:
    """How far it is, in words: "1,200 of 4,000 images"."""
    if event.unit == "bytes":
        return f"{event.done / _MEGABYTE:,.1f} of {event.total / _MEGABYTE:,.1f} MB"
    return f"{event.done:,} of {event.total:,} {event.unit}"


def rich_table(table: Table) -> RichTable:
    """The table as rich draws it; nothing in it is taken for markup or steers the terminal."""
    from rich.text import Text

    grid = RichTable(
        title=Text(escaped(table.title)) if table.title else None,
        caption=Text(escaped(table.caption)) if table.caption else None,
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    for column in table.columns:
        grid.add_column(
            Text(escaped(column.heading)),
            justify="right" if column.numbers else "left",
            no_wrap=not column.wraps,
            overflow="fold",  # a name that is cut short cannot be typed
        )
    for row in table.rows:
        grid.add_row(*(Text(escaped(cell)) for cell in row))
    return grid


def status(tick: TrainingTick, gaps: list[float]) -> str:
    """Speed, losses, time left and how far the discriminator leads, on one line."""
    values = tick.values
    left = tick.seconds / tick.fraction - tick.seconds if tick.fraction > 0 else 0.0
    losses = "  ".join(f"{short} {values[name]:.2f}" for name, short in _LOSSES.items() if name in values)
    speed = values.get("Timing/img_per_sec")
    rate = f"{speed:.0f} img/s  " if speed else ""
    lead = f"  D's lead {sparkline(gaps)}" if "Loss/scores/real" in values else ""
    return f"{rate}{losses}  {_clock(left)} left{lead}"


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
