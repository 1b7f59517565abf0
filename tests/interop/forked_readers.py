"""The sandbox's inside for many files, each in a fork of one interpreter, which spares the imports.

`exit_code` stands in for the sandbox's own start of a process. `python -m interop.forked_readers FOLDER`
prints a JSON object: of each file its exit code (negative for a signal), seconds and peak memory in MB;
None for a code that did not come in time. What a reader refuses it writes to FILE.out/refusal.txt, as ever.
"""

import importlib
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mien.interop import _child
from mien.interop._limits import Limits
from ranked import PRELOADED

SECONDS = 10  # what a hostile file may take at most
_LATE = SECONDS + 90  # on a busy machine


def exit_code(command: Sequence[str], folder: Path, limits: Limits) -> int:
    """As `sandbox._exit_code`: the same module within the same limits, in a fork that has torch already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_work, args=(*command[:1], list(command[1:]), folder, list(sys.path)))
    process.start()
    process.join(limits.wall_seconds)
    if process.is_alive():
        process.kill()
        process.join()
        return -signal.SIGXCPU
    assert process.exitcode is not None
    return process.exitcode


def _work(module: str, arguments: list[str], folder: Path, path: list[str] | None = None) -> None:
    sys.path[:] = path or sys.path
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.chdir(folder)
    code = 70
    try:
        code = importlib.import_module(module).main(arguments)
    finally:
        os._exit(code)


def read(path: Path) -> dict[str, Any]:
    """Read one file as the sandbox's process does: its limits, its audit hook, its exit code."""
    folder = path.with_name(path.name + ".out")
    folder.mkdir()
    started = time.monotonic()
    process = os.fork()
    if not process:
        _work(_child.__name__, [str(path), str(folder), "G_ema"], folder)
    watchdog = threading.Timer(_LATE, os.kill, (process, 9))
    watchdog.start()
    _, status, usage = os.wait4(process, 0)
    watchdog.cancel()
    code = os.waitstatus_to_exitcode(status)
    return {
        "code": None if time.monotonic() - started >= _LATE else code,
        "seconds": usage.ru_utime + usage.ru_stime,
        "megabytes": usage.ru_maxrss / 1024,
    }


def main(folder: Path) -> None:
    """All files of `folder`, in order."""
    print(json.dumps({path.name: read(path) for path in sorted(folder.glob("*.pkl"))}))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
