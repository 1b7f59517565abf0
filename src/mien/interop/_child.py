"""The sandbox's inside: `python -P -m mien.interop._child FILE FOLDER [KEY ...]`, started by `sandbox` alone.

Everything is imported first; then come the limits, then the file. What it holds is written to FOLDER as JSON
and safetensors, a refusal as text; nothing is ever handed over as a pickle.
"""

import sys
from pathlib import Path

import safetensors.torch
import torch

from mien.core.limits import Limits, within
from mien.interop import _readers
from mien.interop._facts import FACTS, WEIGHTS, Contents


def main(arguments: list[str]) -> int:
    """Read one file within limits; the exit code."""
    path, folder = Path(arguments[0]), Path(arguments[1])
    torch.set_num_threads(1)  # threads only cost memory here
    limits = Limits.of(path.stat().st_size)
    return within(limits, folder, lambda: _write(_readers.read(path, arguments[2:]), folder))


def _write(contents: Contents, folder: Path) -> None:
    for key, tensors in contents.weights.items():
        plain = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
        safetensors.torch.save_file(plain, folder / WEIGHTS.format(key))
    (folder / FACTS).write_text(contents.facts.model_dump_json(), "utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
