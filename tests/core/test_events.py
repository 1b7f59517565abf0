"""Jobs: run whole, iterated over, stopped, failing; their signatures."""

import inspect
import threading
from pathlib import Path

import pytest

from mien.core.events import Events, Job, Notice, Progress, Result, Stopped, Written, job


@job
def count(events: Events, folder: Path | None = None, /, *, upto: int = 3) -> int:
    """Count up to a number."""
    tick = events.progress("counting", unit="sheep")
    for number in range(1, upto + 1):
        tick(number, upto)
    events.wrote(folder or Path("nowhere"), "sheep")
    return upto


def test_calling_a_job_does_nothing_yet() -> None:
    waiting = count(upto=2)
    assert isinstance(waiting, Job)
    assert repr(waiting).startswith("<job count")


def test_run_whole_it_gives_its_result_and_every_event_to_who_listens() -> None:
    heard: list[object] = []
    assert count("here", upto=2).run(heard.append) == 2
    assert heard == [
        Progress("counting", 1, 2, "sheep"),
        Progress("counting", 2, 2, "sheep"),
        Written(Path("here"), "sheep"),
    ]
    assert count().run() == 3


def test_iterated_over_it_gives_the_same_events_and_its_result_last() -> None:
    heard: list[object] = []
    count("here").run(heard.append)
    assert list(count("here")) == [*heard, Result(3)]


def test_its_signature_is_the_commands() -> None:
    assert str(inspect.signature(count)) == "(folder: pathlib.Path | None = None, /, *, upto: int = 3) -> int"
    assert count.__doc__ == "Count up to a number."
    with pytest.raises(TypeError, match="sideways"):
        count(sideways=1)


def test_leaving_the_loop_ends_the_job_at_its_next_event() -> None:
    reached: list[int] = []
    cleaned = threading.Event()

    @job
    def endless(events: Events) -> None:
        try:
            for number in range(1_000_000):
                reached.append(number)
                events.note(str(number))
        except Stopped:
            cleaned.set()
            raise

    for event in endless():
        if event == Notice("3"):
            break
    assert cleaned.wait(10)
    assert reached[-1] <= 6


def test_what_a_job_raises_reaches_who_iterates() -> None:
    @job
    def failing(events: Events) -> None:
        events.note("so far")
        raise ValueError("no further")

    heard = []
    with pytest.raises(ValueError, match="no further"):
        heard.extend(iter(failing()))
    running = iter(failing())
    assert next(running) == Notice("so far")
    with pytest.raises(ValueError, match="no further"):
        failing().run()


def test_a_listener_that_raises_stops_the_job() -> None:
    def enough(event: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        count(upto=10**9).run(enough)


def test_strings_become_paths_alone_and_in_rows() -> None:
    @job
    def takes(events: Events, one: Path, several: tuple[Path, ...], *rest: Path) -> list[object]:
        return [one, several, rest]

    a, b = Path("a"), Path("b")
    assert takes("a", "b").run() == [a, (b,), ()]
    assert takes(a, ["a", b], "a", b).run() == [a, (a, b), (a, b)]
