"""Worker processes that may crash or hang: that costs the one input they were at, nothing else.

Answers come as they are ready, so nothing waits and nothing piles up.
Processes are started afresh (no fork), so threads and loaded libraries of the caller do not matter.
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO, Any, Self

from mien.core.cluster import Cluster, Shard
from mien.core.errors import MienError
from mien.core.storage import on_worker, shared
from mien.prepare.store import Store

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

    def __exit__(self, *_: object) -> None:
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


_ROW = re.compile(r"(?<=\.parquet)#\d+$")
_INPUTS = 32  # of a shard: some seconds' work, beside which starting a process is little
Stored = tuple[dict[str, Any], dict[tuple[int, int, str], bytes], bytes]  # record, crops and thumb


def extracted(
    workers: Cluster,
    setup: Mapping[str, Any],
    tasks: Sequence[Mapping[str, Any]],
    store: Store,
    *,
    patience: float,
) -> Iterator[tuple[int, Answer]]:
    """As `Pool.run`, by a cluster; what is found goes into `store`, which this process alone writes."""
    starts = range(0, len(tasks), _INPUTS)
    plain = {"source": shared(setup["source"]), "config": setup["config"]}
    shards = [Shard((plain, patience, list(tasks[start : start + _INPUTS]))) for start in starts]
    for shard, answers in workers.run(extract_shard, shards):
        for task, (answer, stored) in enumerate(answers, starts[shard]):
            if stored is not None:
                record, crops, thumb = stored
                store.add(tasks[task]["key"], record, crops=crops, thumb=thumb)
            yield task, answer


def extract_shard(
    setup: dict[str, Any], patience: float, tasks: list[dict[str, Any]]
) -> list[tuple[Answer, Stored | None]]:
    """Find and cut the faces of some inputs; a crash or a hang costs one of them. Raises MienError."""
    place, version = setup["source"]
    source = on_worker(place, version, sorted({_ROW.sub("", task["name"]) for task in tasks}))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "shard.sqlite")
        own = {**setup, "source": str(source), "store": str(path)}
        with Pool(own, count=1, patience_seconds=patience) as pool:
            answers = dict(pool.run(tasks))
        with closing(Store(path)) as store:
            places = store.keys()
            stored = (_stored(store, places.get(task["key"]), setup) for task in tasks)
            return [(answers[index], found) for index, found in enumerate(stored)]


def _stored(store: Store, place: tuple[int, int] | None, setup: Mapping[str, Any]) -> Stored | None:
    if place is None:
        return None
    number, faces = place
    crops = {
        (face, size, role): png
        for face in range(faces)
        for size in setup["config"]["sizes"]
        for role, png in store.crops(number, face, size)
    }
    return store.record(number), crops, store.thumb(number)
