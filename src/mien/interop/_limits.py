"""How a process that reads a stranger's file within limits says that it is ready, or refuses the file."""

import sys
from collections.abc import Callable
from pathlib import Path

from mien.core.errors import InputError
from mien.core.limits import Limits, confine

READY = b"ready\n"
REFUSAL, REFUSED = "refusal.txt", 3  # a file with the reason, and the exit code


def within(limits: Limits, folder: Path, work: Callable[[], None]) -> int:
    """Do `work` within the limits; the process's exit code. A refusal is written to `folder` as text."""
    confine(limits)
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    try:
        work()
    except InputError as error:
        return _refuse(folder, str(error))
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        return _refuse(folder, "reading it needs more memory than a checkpoint of its size does")
    return 0


def _refuse(folder: Path, reason: str) -> int:
    (folder / REFUSAL).write_text(" ".join(reason.split())[:500], "utf-8", "backslashreplace")
    return REFUSED
