"""Foreign checkpoints, read in a process of their own with little memory and time and nothing to lose."""

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
from pydantic import ValidationError
from safetensors import SafetensorError

from mien.core.errors import InputError, MienError
from mien.core.limits import READY, REFUSAL, REFUSED, Limits
from mien.interop._facts import FACTS, WEIGHTS, Contents, FileFacts

_START_SECONDS = 180  # to import torch on a busy machine; nothing of the file is touched before
_MOST_FACTS = 16 << 20  # bytes of JSON


def read(path: Path, keys: Sequence[str] = ()) -> Contents:
    """What the checkpoint at `path` holds, with the tensors of those of `keys` ("G_ema", "G", "D") in it.

    Raises InputError, naming the file, where it is no checkpoint, is damaged, or asks for more than weights
    need: it is read as data, nothing of it is run.
    """
    with tempfile.TemporaryDirectory(prefix="mien-import-") as name:
        run("mien.interop._child", path, Path(name), Limits.of(_size(path)), keys)
        return _take(path, Path(name), keys)


def try_onnx(path: Path) -> None:
    """Have a picture drawn of an ONNX file, within limits. Raises InputError where that fails."""
    from mien.interop import _onnx_child  # here, since onnxruntime is an extra

    with tempfile.TemporaryDirectory(prefix="mien-onnx-") as name:
        run(_onnx_child.__name__, path, Path(name), _onnx_child.limits_of(_size(path)))


def _size(path: Path) -> int:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    if not path.stat().st_size:
        raise InputError(f"{path}: it is empty")
    return path.stat().st_size


def run(module: str, path: Path, folder: Path, limits: Limits, more: Sequence[str] = ()) -> None:
    """Have `module` read a file in a process of its own. Raises InputError where it refuses or is stopped."""
    code = _exit_code([module, str(path.resolve()), str(folder), *more], folder, limits)
    if code == REFUSED:
        raise InputError(f"{path}: {(folder / REFUSAL).read_text('utf-8')}")
    if code:
        raise InputError(f"{path}: {limits.ended(code)}; nothing of it is used")


def _exit_code(command: Sequence[str], folder: Path, limits: Limits) -> int:
    """The exit code of the reading process, negative for a signal."""
    # -P: no module is looked for in the current folder, which may be where the file came with company.
    with subprocess.Popen(
        [sys.executable, "-P", "-m", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=_environment(),
    ) as process:
        try:
            _await_start(process)
            return process.wait(limits.wall_seconds)
        except subprocess.TimeoutExpired:
            return -signal.SIGXCPU
        finally:
            process.kill()


def _environment() -> dict[str, str]:
    """Ours with absolute search paths, since the process starts elsewhere, and one thread a library."""
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    environment["PYTHONPATH"] = os.pathsep.join(str(Path(path).resolve()) for path in paths if path)
    return environment


def _await_start(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], _START_SECONDS)
    if not ready or process.stdout.read(len(READY)) != READY:
        raise MienError("the process that reads foreign files does not start; is torch installed well?")


def _take(path: Path, folder: Path, keys: Sequence[str]) -> Contents:
    facts, files = folder / FACTS, {key: folder / WEIGHTS.format(key) for key in keys}
    try:
        if facts.stat().st_size > _MOST_FACTS:
            raise InputError(f"{path}: it says more of itself than any checkpoint does")
        file_facts = FileFacts.model_validate_json(facts.read_bytes())
        there = {key: file for key, file in files.items() if file.is_file()}
        return Contents(file_facts, {key: safetensors.torch.load_file(file) for key, file in there.items()})
    except (OSError, ValidationError, SafetensorError) as error:
        raise InputError(f"{path}: what was read of it makes no sense") from error
