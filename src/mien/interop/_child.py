"""The sandbox's inside: `python -P -m mien.interop._child FILE FOLDER [KEY ...]`, started by `sandbox` alone.

Everything is imported first; then come the limits, then the file. What it holds is written to FOLDER as JSON
and safetensors, a refusal as text; nothing is ever handed over as a pickle.
"""

import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from mien.core.errors import InputError
from mien.interop import _readers
from mien.interop._facts import Contents

READY = b"ready\n"
FACTS, CHOSEN, WEIGHTS, REFUSAL = "facts.json", "chosen.txt", "weights.safetensors", "refusal.txt"
REFUSED = 3  # exit code
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
        hostile ones stay under 2 GB (the libraries take about 0.25) and 10 seconds whatever they declare.
        """
        megabytes = size / _MB
        return cls(
            memory=1536 * _MB + 4 * size,
            cpu_seconds=6 + megabytes / 25,
            wall_seconds=10 + megabytes / 5,
            written=64 * _MB + 2 * size,
        )


def main(arguments: list[str]) -> int:
    """Read one file within limits; the exit code."""
    path, folder = Path(arguments[0]), Path(arguments[1])
    torch.set_num_threads(1)  # threads only cost memory here
    _limit(Limits.of(path.stat().st_size))
    sys.addaudithook(_watch)
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    try:
        _write(_readers.read(path, arguments[2:]), folder)
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


def _write(contents: Contents, folder: Path) -> None:
    if contents.weights:
        plain = {name: tensor.detach().contiguous().clone() for name, tensor in contents.weights.items()}
        safetensors.torch.save_file(plain, folder / WEIGHTS)
    (folder / FACTS).write_text(contents.facts.model_dump_json(), "utf-8")
    (folder / CHOSEN).write_text(contents.chosen or "", "utf-8")


def _refuse(folder: Path, reason: str) -> int:
    (folder / REFUSAL).write_text(" ".join(reason.split())[:500], "utf-8", "backslashreplace")
    return REFUSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
