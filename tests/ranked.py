"""Several processes that train together, without a launcher: for tests."""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch.distributed as dist

_PATIENCE = 120.0  # seconds
PRELOADED = ["mien.training.session", "torch._dynamo"]  # of the process that forks, once for all ranks


class Ranks:
    """`count` processes joined by gloo, which run one function after the other, each time all of them."""

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context("forkserver")  # imports torch once, whatever tests have run
        context.set_forkserver_preload(PRELOADED)
        self._folder = tempfile.TemporaryDirectory()
        self._ends, self._processes = [], []
        for rank in range(count):
            end, theirs = context.Pipe()
            arguments = (theirs, rank, count, str(Path(self._folder.name, "store")), list(sys.path))
            process = context.Process(target=_serve, args=arguments, daemon=True)
            process.start()
            self._ends.append(end)
            self._processes.append(process)

    def run(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What the function gives in each rank. Raises what it raised there."""
        for end in self._ends:
            end.send((function, arguments))
        answers = []
        for end in self._ends:
            assert end.poll(_PATIENCE), "a rank does not answer"
            answers.append(end.recv())
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return answers

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.join()
        self._folder.cleanup()


def _serve(end: Connection, rank: int, count: int, store: str, path: list[str]) -> None:
    sys.path[:] = path
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=count)
    while True:
        function, arguments = end.recv()
        try:
            end.send(function(*arguments))
        except Exception as error:
            end.send(error)
