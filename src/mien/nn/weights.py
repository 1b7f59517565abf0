"""Weights of published networks, read from the converted files of the artefact cache."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mien.core.errors import MienError


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a safetensors file. Raises MienError if it is none."""
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise MienError(f"{path}: not a safetensors file that can be read ({error})") from error
