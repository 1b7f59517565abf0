"""`python -P -m mien.interop._onnx_child FILE FOLDER`: draws one picture of an ONNX file within limits.

Started by `sandbox` before the file is used: a graph can ask for any memory and time when it is opened, and
when it is run. A refusal is written to FOLDER as text.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime

from mien.core.errors import InputError
from mien.core.limits import Limits, within

HEADER = "mien"  # of the metadata
SECONDS = 60.0  # that one picture may take, on one core


def limits_of(size: int) -> Limits:
    """For a file of `size` bytes, which is run too."""
    usual = Limits.of(size)
    return replace(
        usual, cpu_seconds=usual.cpu_seconds + SECONDS, wall_seconds=usual.wall_seconds + 4 * SECONDS
    )


def main(arguments: list[str]) -> int:
    """Draw a picture within limits; the exit code."""
    path, folder = Path(arguments[0]), Path(arguments[1])
    return within(limits_of(path.stat().st_size), folder, lambda: _draw(path))


def _draw(path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        if HEADER not in session.get_modelmeta().custom_metadata_map:
            raise InputError("an ONNX file, but not a generator exported by mien")
        inputs = {
            value.name: np.zeros([side if isinstance(side, int) else 1 for side in value.shape], np.float32)
            for value in session.get_inputs()
        }
        session.run(None, inputs)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # onnxruntime has an exception type for each way to be damaged
        text = " ".join(str(error).split())
        if "alloc" in text.lower():
            raise MemoryError from error
        raise InputError(f"not an ONNX file that can be run ({text[:160]})") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
