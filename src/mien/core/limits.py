"""What reading a stranger's file may take, and a copy of this process in which it is tried first."""

import gc
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.core.errors import InputError

_MB = 1 << 20
REFUSED = 3  # the exit code of a process that says why, on its pipe or in the file REFUSAL
READY, REFUSAL = b"ready\n", "refusal.txt"
_MOST_REASON = 4000  # bytes; a pipe takes these at once

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
    def of(cls, size: int, memory: int = 1536 * _MB) -> "Limits":
        """For a file of `size` bytes, with so much memory on top of what the file needs.

        An honest file is held four times at most: mapped, as bytes, as tensors, copied for writing. Small
        hostile ones stay by default under 2 GB (the libraries take about 0.25) and 7 seconds of computing
        whatever they declare; on a busy machine these may be ten times as long.
        """
        megabytes = size / _MB
        return cls(
            memory=memory + 4 * size,
            cpu_seconds=6 + megabytes / 25,
            wall_seconds=60 + megabytes / 2.5,
            written=64 * _MB + 2 * size,
        )

    def ended(self, code: int) -> str:
        """Why a process within these limits ended with `code`, negative for a signal."""
        if code in (-signal.SIGXCPU, -signal.SIGKILL, -signal.SIGALRM):
            return f"it took more than {self.cpu_seconds:.0f} s, which no file of its size does"
        return "reading it failed in a way that no checkpoint does, or for want of memory"


_confined = False


def confine(limits: Limits) -> None:
    """Hold this process to limits from here on. It also may no longer start programs, or open sockets."""
    global _confined
    _limit(limits)
    sys.addaudithook(_watch)
    _confined = True


def within(limits: Limits, folder: Path, work: Callable[[], None]) -> int:
    """Say that this process is ready and do `work` within the limits; its exit code.

    A refusal is written to `folder` as text.
    """
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


def try_apart(path: Path, work: Callable[[], object], memory: int = 128 * _MB) -> None:
    """Do `work`, which reads the file at `path`, in a copy of this process within limits.

    What a hostile file costs, it costs the copy; only what went well there should be done here. A copy takes
    some milliseconds, as everything is imported already. Raises InputError as the work does, or where it was
    stopped. Does nothing where this process is confined already, and on systems other than Linux.
    """
    if _confined or sys.platform != "linux" or not path.is_file():
        return
    limits = Limits.of(path.stat().st_size, memory)
    reader, writer = os.pipe()
    try:
        with warnings.catch_warnings():  # on threads, of which the copy has one and needs no other
            warnings.simplefilter("ignore", DeprecationWarning)
            process = os.fork()
        if not process:
            _work_in_copy(work, limits, writer)
        code = _exit_code(process)
        if code:
            reason = os.read(reader, _MOST_REASON) if code == REFUSED else b""
            why = reason.decode("utf-8", "replace") or f"{path}: {limits.ended(code)}; nothing of it is used"
            raise InputError(why)
    finally:
        os.close(reader)
        os.close(writer)


def _work_in_copy(work: Callable[[], object], limits: Limits, writer: int) -> None:
    """Never returns: these frames, and all that would be closed or tidied up, are the other process's."""
    code = 1
    try:
        gc.freeze()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)  # where libraries complain as they die
        signal.alarm(int(limits.wall_seconds))
        confine(limits)
        work()
        code = 0
    except InputError as error:
        os.write(writer, str(error).encode("utf-8", "backslashreplace")[:_MOST_REASON])
        code = REFUSED
    finally:
        os._exit(code)


def _exit_code(process: int) -> int:
    try:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    except BaseException:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        raise


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
