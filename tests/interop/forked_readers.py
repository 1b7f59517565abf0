"""The sandbox's inside for many files, each in a fork of one interpreter, which spares the imports.

`python -m interop.forked_readers FOLDER` prints a JSON object: of each file its exit code (negative for a
signal), seconds and peak memory in MB; None for a code that did not come in time. What a reader refuses it
writes to FILE.out/refusal.txt, as ever.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from mien.interop import _child

SECONDS = 10  # what a hostile file may take at most
_LATE = SECONDS + 90  # on a busy machine


def _work(path: Path, folder: Path) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.chdir(folder)
    code = 70
    try:
        code = _child.main([str(path), str(folder), "G_ema"])
    finally:
        os._exit(code)


def read(path: Path) -> dict[str, Any]:
    """Read one file as the sandbox's process does: its limits, its audit hook, its exit code."""
    folder = path.with_name(path.name + ".out")
    folder.mkdir()
    started = time.monotonic()
    process = os.fork()
    if not process:
        _work(path, folder)
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
