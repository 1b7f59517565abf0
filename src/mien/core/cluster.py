"""Work on many processes or machines through Dask: a task for each shard, named by what goes into it.

The calling process reads its lists, writes every result and keeps account; workers only compute. A worker
that is lost costs the shards it was at, which others take over. Dask runs what it is sent and unpickles what
comes back: name only a cluster that is yours.
"""

import hashlib
import importlib
import json
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from mien import TOOL
from mien.core import artefacts
from mien.core.errors import InputError, MienError, install

LOCAL = "local"
_PATIENCE = "20s"
_FIRST_WORKER = "30s"  # for which the first worker of a cluster is waited
_AHEAD = 2  # shards a worker: one that it computes, and the next
_PRELOADED = ["distributed.nanny", "distributed.worker", "torch"]  # by the process that workers are forks of
_GLANCE = 5.0  # seconds of waiting for a result after which the workers are counted
_WITHOUT = 60.0  # seconds in which a cluster may be without any worker
_Result = tuple[int, Any, Exception | None]  # a shard's number, its result or what it raised


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Shard:
    """One task: the arguments of a function. They are plain values or bytes; its name is their hash."""

    arguments: tuple[Any, ...]

    @property
    def name(self) -> str:
        text = json.dumps([TOOL, self.arguments], sort_keys=True, default=_text)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def _text(value: object) -> str:
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else str(value)


class Cluster:
    """A Dask cluster that answers; see `opened`."""

    def __init__(self, client: Any, address: str) -> None:
        self._client, self._address = client, address

    def run(self, function: Callable[..., Any], shards: Iterable[Shard]) -> Iterator[tuple[int, Any]]:
        """(number, result) of each shard in the order in which they are ready; few are under way at a time.

        A result is fetched as soon as it is ready, whatever the caller does meanwhile, so that a worker that
        is lost takes with it only what it was at. Raises the MienError of a shard, and MienError where the
        cluster does not answer any more.
        """
        return self._ready(function, shards, {})

    def map(self, function: Callable[..., Any], shards: Iterable[Shard]) -> Iterator[Any]:
        """The results in the order of the shards, which are taken a few at a time. Raises as `run` does."""
        early: dict[int, Any] = {}
        turn = 0
        for number, result in self._ready(function, shards, early):
            early[number] = result
            while turn in early:
                yield early.pop(turn)
                turn += 1

    def _ready(
        self, function: Callable[..., Any], shards: Iterable[Shard], held: Mapping[int, Any]
    ) -> Iterator[tuple[int, Any]]:
        """held: results that the caller cannot use yet; they count as under way."""
        todo = enumerate(shards)
        under_way = 0
        ready: SimpleQueue[_Result] = SimpleQueue()
        while True:
            most = _AHEAD * max(self._count_workers(), 1)
            while under_way + len(held) < most and (one := next(todo, None)) is not None:
                number, shard = one
                key = f"{function.__name__}-{shard.name}-{number}"
                with self._explained():
                    future = self._client.submit(function, *shard.arguments, key=key)
                    self._client.loop.add_callback(_fetch, ready, number, future)
                under_way += 1
            if not under_way:
                return
            number, result, error = self._next(ready)
            if error is not None:
                with self._explained():
                    raise error
            under_way -= 1
            yield number, result

    def _next(self, ready: SimpleQueue[_Result]) -> _Result:
        last_worker = time.monotonic()
        while True:
            with suppress(Empty):
                return ready.get(timeout=_GLANCE)
            if self._count_workers():
                last_worker = time.monotonic()
            elif time.monotonic() - last_worker >= _WITHOUT:
                raise MienError(
                    f"--cluster {self._address}: no worker has been left for {_WITHOUT:g} seconds (do they"
                    " lack memory?); what is done is kept, and with workers the same command goes on"
                )

    def check(self, needs: Sequence[str]) -> None:
        """Raise InputError unless every worker has this version and these artefacts."""
        with self._explained():
            for worker, (tool, missing) in self._client.run(_inventory, list(needs)).items():
                if tool != TOOL:
                    raise InputError(f"--cluster: {worker} has {tool}, and here is {TOOL}")
                if missing:
                    raise InputError(
                        f"--cluster: {worker} lacks {', '.join(missing)}; run there:"
                        f" mien artefacts fetch {' '.join(missing)}"
                    )

    def _count_workers(self) -> int:
        with self._explained():
            known = self._client.scheduler_info(n_workers=-1)
            if "workers" not in known:
                raise OSError("the scheduler ended")
        return len(known["workers"])

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except _distributed().KilledWorker as error:
            raise MienError(
                f"--cluster: {error.allowed_failures + 1} workers in turn ended at one shard, now left out;"
                " what is done is kept. Workers may lack memory"
            ) from error
        except (OSError, CancelledError) as error:
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise MienError(
                f"--cluster {self._address}: it does not answer any more ({reason}); what is done is kept,"
                " and the same command goes on"
            ) from error


async def _fetch(ready: SimpleQueue[_Result], number: int, future: Any) -> None:
    """Put a shard's result, or what it raised, once it is there; the cluster forgets it.

    It runs in the client's event loop and ends with it. The thread in which Dask calls back is one for all
    clients of a process, and a client that closes while it waits there for a result leaves it waiting for
    ever.
    """
    try:
        result, error = await future.result(), None
    except Exception as raised:
        result, error = None, raised
    future.release()
    ready.put((number, result, error))


def _inventory(needs: list[str]) -> tuple[str, list[str]]:
    """Version and missing artefacts of the worker in which this runs."""
    return TOOL, [name for name in needs if artefacts.artefact_path(name) is None]


@contextmanager
def opened(address: str, *, needs: Sequence[str] = (), workers: int | None = None) -> Iterator[Cluster]:
    """The cluster at "tcp://HOST:PORT", or processes of this machine ("local", one a core).

    needs: artefacts without which workers are of no use. Raises InputError where none answers.
    """
    distributed = _distributed()
    with _local(distributed, workers) if address == LOCAL else nullcontext() as local:
        client = _client(distributed, address, local)
        try:
            cluster = Cluster(client, address)
            try:
                client.wait_for_workers(1, timeout=_FIRST_WORKER)
            except TimeoutError as error:
                raise InputError(
                    f"--cluster {address}: it has no workers; start some: dask worker {address}"
                ) from error
            cluster.check(needs)
            yield cluster
        finally:
            client.close(timeout=5)


def check(address: str | None) -> None:
    """Raise InputError, before anything is made, where a cluster is named that does not answer."""
    if address is not None and address != LOCAL:
        _client(_distributed(), address, None).close(timeout=5)


def _client(distributed: Any, address: str, local: Any) -> Any:
    if address != LOCAL and "://" not in address:
        raise InputError(f"--cluster {address}: local, or the address of a Dask scheduler: tcp://HOST:8786")
    try:
        return distributed.Client(local or address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"--cluster {address}: no Dask scheduler answers there") from error


def _distributed() -> Any:
    try:
        distributed = importlib.import_module("distributed")
    except ImportError as error:
        raise InputError(f"--cluster needs Dask; {install('cluster')}") from error
    for name in ("distributed", "distributed.client"):  # what goes wrong is said in our own words
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return distributed


@contextmanager
def _local(distributed: Any, workers: int | None) -> Iterator[Any]:
    config: Any = importlib.import_module("dask.config")
    with _as_forks(config), config.set({"distributed.worker.preload": [__name__]}):
        local = distributed.LocalCluster(
            n_workers=workers or cores(),
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            # Its HTTP server would ask for port 8787, and warn where another cluster has that.
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0", "dashboard": False},
            silence_logs=logging.CRITICAL,
            env=dict(os.environ),  # as it is now: the process that they are forks of may be older
        )
        try:
            yield local
        finally:
            local.close(timeout=10)


def dask_setup(worker: Any) -> None:
    """Called by Dask in each process of `_local`: Ctrl-C is for the caller, who then closes them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _as_forks(config: Any) -> AbstractContextManager[Any]:
    """Workers are forks of one process that has torch already, seconds and memory of each; on Linux alone."""
    if sys.platform != "linux":
        return nullcontext()
    multiprocessing.set_forkserver_preload(_PRELOADED)
    forkserver.ensure_running()
    return config.set({"distributed.worker.multiprocessing-method": "forkserver"})  # type: ignore[no-any-return]


class Done:
    """The names of shards that are done, a line each in a file beside the results."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names = set(path.read_text("utf-8").split()) if path.is_file() else set()

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, name: str) -> None:
        """Note that a shard's results are on disk."""
        self._names.add(name)
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(name + "\n")
            file.flush()
            os.fsync(file.fileno())

    def forget(self) -> None:
        """All is done: the account is not needed any more."""
        self._path.unlink(missing_ok=True)
