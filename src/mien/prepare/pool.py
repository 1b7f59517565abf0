"""Worker processes that may crash or hang: that costs the one input they were at, nothing else.

Answers come in the order of the tasks, and no worker runs far ahead, so memory stays bounded.
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
_AHEAD = 64  # answers that may wait for an earlier one, for each worker
_PIPELINE = 2  # tasks given to a worker at a time: the next is there when one is done
_START_SECONDS = 120.0


@dataclass(frozen=True)
class Answer:
    """What came of a task. record: the worker's JSON; None with trouble "crashed" or "timed-out"."""

    record: dict[str, Any] | None
    png: bytes = b""
    thumb: bytes = b""
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

    def run(self, tasks: Sequence[Mapping[str, Any]]) -> Iterator[Answer]:
        """One answer for each task, in order."""
        todo, done = deque(range(len(tasks))), dict[int, Answer]()
        starting = [self._launch() for _ in range(min(self._count, len(tasks)))]
        for worker in starting:
            self._await_ready(worker)
        for following in range(len(tasks)):
            while following not in done:
                horizon = following + _AHEAD * self._count
                for worker in self._workers:
                    self._feed(worker, todo, tasks, horizon)
                self._collect(todo, done)
            yield done.pop(following)

    def _feed(
        self, worker: _Worker, todo: deque[int], tasks: Sequence[Mapping[str, Any]], horizon: int
    ) -> None:
        while todo and len(worker.given) < _PIPELINE and todo[0] < horizon:
            if not worker.given:
                worker.since = time.monotonic()
            index = todo.popleft()
            worker.given.append(index)
            try:
                worker.link.send_bytes(json.dumps(tasks[index]).encode())
            except OSError:  # it is dead; `_collect` will find its link closed
                return

    def _collect(self, todo: deque[int], done: dict[int, Answer]) -> None:
        """Wait for one worker or more and take their answers; replace those that died or hang."""
        busy = {worker.link: worker for worker in self._workers if worker.given}
        slowest = min(worker.since for worker in busy.values()) + self._patience
        for link in wait(list(busy), timeout=max(0.0, slowest - time.monotonic())):
            worker = busy.pop(link)  # type: ignore[call-overload]  # these are the links given to wait()
            try:
                answer = self._receive(worker)
            except (EOFError, OSError):
                self._replace(worker, "crashed", todo, done)
                continue
            done[worker.given.popleft()] = answer
            worker.since = time.monotonic()
        for worker in busy.values():
            if time.monotonic() - worker.since > self._patience:
                self._replace(worker, "timed-out", todo, done)

    def _receive(self, worker: _Worker) -> Answer:
        record = json.loads(worker.link.recv_bytes())
        return Answer(record, worker.link.recv_bytes(), worker.link.recv_bytes())

    def _replace(self, worker: _Worker, trouble: str, todo: deque[int], done: dict[int, Answer]) -> None:
        self._end(worker)
        done[worker.given.popleft()] = Answer(None, trouble=trouble)
        todo.extendleft(reversed(worker.given))
        self._await_ready(self._launch())

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
