"""Jobs and their events: what a job reports while it runs, for a terminal, a web page or nobody.

A job is a function whose first parameter is `Events`, made with `@job`. Calling it does nothing yet: it gives
a `Job`, which is run whole (`job.run()`) or iterated over for its events, as in

    for event in mien.train("faces.zip", minutes=5):
        ...

A job stops between two events: leave the loop, or raise in what listens, and what it wrote is whole.
"""

import functools
import importlib
import inspect
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, get_args, get_origin

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", covariant=True)
Tone = Literal["plain", "strong", "hint", "warning", "error"]
Tick = Callable[[int, int], None]  # (done, total)


@dataclass(frozen=True)
class Started:
    """A stage of the job begins. what: "1/6 renders 1,500 people"."""

    what: str


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units. what: the work, as in "opening images"."""

    what: str
    done: int
    total: int
    unit: str = "images"


@dataclass(frozen=True)
class Notice:
    """A message of one or more lines for the user."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Written:
    """A file or folder has been written. text: what it holds."""

    path: Path
    text: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table. numbers: its cells stand to the right. wraps: long cells are broken."""

    heading: str
    numbers: bool = False
    wraps: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of text under headings."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    caption: str = ""


@dataclass(frozen=True)
class TrainingTick:
    """A summary of the images since the last one. fraction: of the budget, 0 to 1. seconds: of training."""

    nimg: int
    seconds: float
    fraction: float
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Result(Generic[T]):
    """The last event of a job: what it returns."""

    value: T


Event = Started | Progress | Notice | Written | Table | TrainingTick | Result[Any]
Listener = Callable[[Event], None]


def is_hint(event: Event) -> bool:
    """Whether it says what to type next."""
    return isinstance(event, Notice) and event.tone == "hint"


class Stopped(BaseException):
    """Raised inside a job whose events nobody takes any more; no `except Exception` swallows it."""


class Events:
    """The sender of a job's events."""

    def __init__(self, listen: Listener | None = None) -> None:
        self._listen = listen

    def send(self, event: Event) -> None:
        """Send one event to the listener; an exception raised there ends the job."""
        if self._listen is not None:
            self._listen(event)

    def started(self, what: str) -> None:
        self.send(Started(what))

    def note(self, text: str, tone: Tone = "plain") -> None:
        self.send(Notice(text, tone))

    def hint(self, text: str) -> None:
        """What to type next; a job that runs another one drops its hints."""
        self.send(Notice(text, "hint"))

    def warn(self, text: str) -> None:
        self.send(Notice(text, "warning"))

    def wrote(self, path: Path, text: str = "") -> None:
        self.send(Written(path, text))

    def progress(self, what: str, unit: str = "images") -> Tick:
        """A function of (done, total) for code that counts and knows no events."""
        return lambda done, total: self.send(Progress(what, done, total, unit))


class Job(Generic[R]):
    """A job that has not run yet."""

    def __init__(self, name: str, body: Callable[[Events], R]) -> None:
        self._name, self._body = name, body

    def __repr__(self) -> str:
        return f"<job {self._name}: iterate over it for its events, or .run() it>"

    def run(self, listen: Listener | None = None) -> R:
        """Run it in this thread and return its result. listen: gets every event."""
        return self._body(Events(listen))

    def __iter__(self) -> Iterator[Event]:
        """Run it in a thread of its own, yielding events, last the `Result`; raises the job's exceptions."""
        waiting: queue.Queue[Event | _Failure] = queue.Queue(maxsize=1)
        left = threading.Event()
        thread = threading.Thread(target=self._work, args=(waiting, left), name=self._name, daemon=True)
        thread.start()
        try:
            while True:
                event = waiting.get()
                if isinstance(event, _Failure):
                    raise event.error
                yield event
                if isinstance(event, Result):
                    return
        finally:
            left.set()
            thread.join()

    def _work(self, waiting: "queue.Queue[Event | _Failure]", left: threading.Event) -> None:
        def put(event: "Event | _Failure") -> None:
            while not left.is_set():
                try:
                    return waiting.put(event, timeout=0.1)
                except queue.Full:
                    continue
            raise Stopped

        try:
            put(Result(self.run(put)))
        except Stopped:
            pass
        except BaseException as error:
            if not left.is_set():
                put(_Failure(error))


@dataclass(frozen=True)
class _Failure:
    error: BaseException


def job(body: Callable[Concatenate[Events, P], R]) -> Callable[P, Job[R]]:
    """Make a job of a function whose first parameter is `Events`; its signature loses that one.

    Where it wants a Path, a string will do; where it wants several, one or any sequence of them.
    """
    signature = inspect.signature(body)
    given = list(signature.parameters.values())[1:]
    signature = signature.replace(parameters=given)
    annotations = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    paths = {name: kind for name, kind in annotations.items() if kind is Path or Path in get_args(kind)}

    @functools.wraps(body)
    def start(*args: P.args, **kwargs: P.kwargs) -> Job[R]:
        bound = signature.bind(*args, **kwargs)
        for name in paths.keys() & bound.arguments.keys():
            bound.arguments[name] = _as_paths(bound.arguments[name], paths[name])

        def run(events: Events) -> R:
            if ":/" in str(bound.arguments):  # perhaps an address of shared storage
                storage = importlib.import_module("mien.core.storage")
                bound.arguments |= storage.at_hand(body.__name__, bound.arguments, {"run", *paths})
            return body(events, *bound.args, **bound.kwargs)

        return Job(body.__name__, run)

    start.__signature__ = signature  # type: ignore[attr-defined]
    return start


def _as_paths(value: Any, annotation: object) -> Any:
    """`value` with a Path for every string, as `annotation` wants them: one, or a tuple."""
    if get_origin(annotation) is tuple or isinstance(value, tuple):
        several = (value,) if isinstance(value, str | Path) else value
        return tuple(Path(each) if isinstance(each, str) else each for each in several)
    return Path(value) if isinstance(value, str) else value
