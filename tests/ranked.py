"""Several processes that train together, without a launcher: for tests."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from multiprocessing import Pipe, current_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch.distributed as dist

import forked

_PATIENCE = 120.0  # seconds
_CODE = "import sys; sys.path.insert(0, sys.argv[1]); import ranked; ranked.serve(int(sys.argv[2]))"


class Ranks:
    """`count` processes joined by gloo, which run one function after the other, each time all of them."""

    def __init__(self, count: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._ends, self._processes = [], []
        for rank in range(count):
            end, theirs = Pipe()
            code = [sys.executable, "-c", _CODE, str(Path(__file__).parent), str(theirs.fileno())]
            process = forked.Popen(code, pass_fds=[theirs.fileno()])
            theirs.close()
            key = bytes(current_process().authkey)  # by which tensors are sent back
            end.send((list(sys.path), rank, count, str(Path(self._folder.name, "store")), key))
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
        for end in self._ends:
            end.close()  # at which they end by themselves
        for process in self._processes:
            try:
                process.wait(_PATIENCE / 10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._folder.cleanup()


def serve(number: int) -> None:
    """Be one of them. number: of the descriptor of a connection to who asks."""
    end = Connection(number)
    sys.path[:], rank, count, store, current_process().authkey = end.recv()
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=count)
    while True:
        try:
            function, arguments = end.recv()
        except EOFError:  # who asked has ended
            return
        try:
            end.send(function(*arguments))
        except Exception as error:
            end.send(error)
