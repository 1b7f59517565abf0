"""What a process that reads a stranger's file may take, and how it says that it refuses the file."""

import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.core.errors import InputError

READY = b"ready\n"
REFUSAL, REFUSED = "refusal.txt", 3  # a file with the reason, and the exit code
_MB = 1 << 20

# What reading never does. The reader has no way to do it either: this is a second lock on the same door.
_FORBIDDEN = (
    *("os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "socket.", "pty.spawn"),
    *("ctypes.dlopen", "webbrowser.open", "pickle.find_class", "code.__new__", "os.remove", "shutil."),
)


@dataclass(frozen=True)
class Limits:
    """How much reading a file of a given size may take.

    memory: bytes on top of the interpreter and its libraries. cpu_seconds, wall_seconds: of reading.
    written: bytes of the largest file written.
    """

    memory: int
    cpu_seconds: float
    wall_seconds: float
    written: int

    @classmethod
    def of(cls, size: int) -> "Limits":
        """For a file of `size` bytes.

        An honest file is held four times at most: mapped, as bytes, as tensors, copied for writing. Small
        hostile ones stay under 2 GB (the libraries take about 0.25) and 7 seconds of computing whatever they
        declare; on a busy machine these may be ten times as long.
        """
        megabytes = size / _MB
        return cls(
            memory=1536 * _MB + 4 * size,
            cpu_seconds=6 + megabytes / 25,
            wall_seconds=60 + megabytes / 2.5,
            written=64 * _MB + 2 * size,
        )


def within(limits: Limits, folder: Path, work: Callable[[], None]) -> int:
    """Do `work` within the limits; the process's exit code. A refusal is written to `folder` as text."""
    _limit(limits)
    sys.addaudithook(_watch)
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


def _limit(limits: Limits) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + limits.cpu_seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.written, limits.written))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    taken = _address_space()
    if taken is not None:
        resource.setrlimit(resource.RLIMIT_AS, (taken + limits.memory,) * 2)


def _address_space() -> int | None:
    """What the interpreter with its libraries has mapped, in bytes; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except OSError:
        return None
    return pages * resource.getpagesize()


def _watch(event: str, _: tuple[Any, ...]) -> None:
    if event.startswith(_FORBIDDEN):
        raise PermissionError(f"{event} is not allowed while a foreign file is read")


def _refuse(folder: Path, reason: str) -> int:
    (folder / REFUSAL).write_text(" ".join(reason.split())[:500], "utf-8", "backslashreplace")
    return REFUSED
