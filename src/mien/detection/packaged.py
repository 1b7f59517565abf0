"""The detector that comes with the package."""

from pathlib import Path

from mien.core import packaged
from mien.core.errors import InputError

NAME = "faces-64.detector.safetensors"


def source_of(source: Path | None) -> Path:
    """Where to load a detector from: `source`, or the packaged one. InputError where there is none."""
    if source is not None:
        return source
    path = packaged.folder() / NAME
    if not path.is_file():
        raise InputError("this copy of mien comes without a detector; train one: mien detector train")
    return path
