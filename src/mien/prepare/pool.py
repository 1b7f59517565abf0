"""Worker processes that may crash or hang: that costs the one input they were at, nothing else.

Answers come as they are ready, so nothing waits and nothing piles up.
Processes are started afresh (no fork), so threads and loaded libraries of the caller do not matter.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import IO, Any, Self

from mien.core.errors import MienError

WORKER = (sys.executable, "-m", "mien.prepare.worker")
_PIPELINE = 2  # tasks given to a worker at a time: the next is there when one is done
_START_SECONDS = 120.0


@dataclass(frozen=True)
class Answer:
    """What came of a task. record: the worker's JSON; None with trouble "crashed" or "timed-out"."""

    record: dict[str, Any] | None
    trouble: str = ""


@dataclass(eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    link: Connection
    given: deque[int] = field(default_factory=deque)
    since: float = 0.0  # when it began with the first of `given`


class Pool:
    """`count` workers; use it in a `with` block, then iterate over `run(tasks)`.

    setup: sent to every worker first. patience_seconds: for one input, after which its worker is killed.
    Raises MienError if a worker cannot even start.
    """

    def __init__(
        self,
        setup: Mapping[str, Any],
        *,
        count: int,
        patience_seconds: float = 60.0,
        command: Sequence[str] = WORKER,
    ) -> None:
        self._setup = json.dumps(setup).encode()
        self._count = count
        self._patience = patience_seconds
        self._command = list(command)
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        self._complaints: IO[bytes] = tempfile.TemporaryFile()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in list(self._workers):
            self._end(worker)
        self._complaints.close()

    def run(self, tasks: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Answer]]:
        """(number of the task, answer) for each task, in the order in which they are ready."""
        todo = deque(range(len(tasks)))
        starting = [self._launch() for _ in range(min(self._count, len(tasks)))]
        for worker in starting:
            self._await_ready(worker)
        left = len(tasks)
        while left:
            for worker in self._workers:
                self._feed(worker, todo, tasks)
            for answer in self._collect(todo):
                left -= 1
                yield answer

    def _feed(self, worker: _Worker, todo: deque[int], tasks: Sequence[Mapping[str, Any]]) -> None:
        while todo and len(worker.given) < _PIPELINE:
            if not worker.given:
                worker.since = time.monotonic()
            index = todo.popleft()
            worker.given.append(index)
            try:
                worker.link.send_bytes(json.dumps(tasks[index]).encode())
            except OSError:  # it is dead; `_collect` will find its link closed
                return

    def _collect(self, todo: deque[int]) -> list[tuple[int, Answer]]:
        """Wait for one worker or more and take their answers; replace those that died or hang."""
        busy = {worker.link: worker for worker in self._workers if worker.given}
        slowest = min(worker.since for worker in busy.values()) + self._patience
        answers = []
        for link in wait(list(busy), timeout=max(0.0, slowest - time.monotonic())):
            worker = busy.pop(link)  # type: ignore[call-overload]  # these are the links given to wait()
            try:
                answer = Answer(json.loads(worker.link.recv_bytes()))
            except (EOFError, OSError):
                answers.append(self._replace(worker, "crashed", todo))
                continue
            answers.append((worker.given.popleft(), answer))
            worker.since = time.monotonic()
        for worker in busy.values():
            if time.monotonic() - worker.since > self._patience:
                answers.append(self._replace(worker, "timed-out", todo))
        return answers

    def _replace(self, worker: _Worker, trouble: str, todo: deque[int]) -> tuple[int, Answer]:
        self._end(worker)
        failed = worker.given.popleft()
        todo.extendleft(reversed(worker.given))
        self._await_ready(self._launch())
        return failed, Answer(None, trouble)

    def _launch(self) -> _Worker:
        ours, theirs = socket.socketpair()
        paths = os.pathsep.join(path for path in sys.path if path)
        with theirs:
            process = subprocess.Popen(
                [*self._command, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                env={**os.environ, "PYTHONPATH": paths},
            )
        worker = _Worker(process, Connection(ours.detach()))
        self._workers.append(worker)
        worker.link.send_bytes(self._setup)
        return worker

    def _await_ready(self, worker: _Worker) -> None:
        try:
            if not worker.link.poll(_START_SECONDS):
                raise EOFError
            worker.link.recv_bytes()
        except (EOFError, OSError) as error:
            self._complaints.seek(0)
            last = self._complaints.read().decode("utf-8", "replace").strip().splitlines()[-1:]
            why = last[0][:200] if last else "it gave no reason"
            raise MienError(f"a worker process did not start: {why}") from error

    def _end(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.link.close()
        worker.process.kill()
        worker.process.wait()
