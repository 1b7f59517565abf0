"""File names of generated images, which never overwrite another image of the same model."""

import filecmp
import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mien.core.errors import InputError
from mien.core.picture import read_picture
from mien.core.provenance import verify

_LONGEST = 80  # characters of labels in a file's name
_ROUNDING = 0.1  # mean difference in levels of 255 that batches of another size may make


def ending_of(label: Sequence[str], psi: float) -> str:
    """The suffix for labels and truncation: "-woman", "-woman-trunc0.5", "-trunc1"."""
    text = "+".join(label)
    plain = re.sub(r"[^\w.=+-]+", "-", text)[:_LONGEST]
    digest = hashlib.sha256(text.encode()).hexdigest()[:6] if plain != text else ""
    truncation = f"trunc{psi:.12g}" if psi != 1 or not text else ""
    return "".join(f"-{part}" for part in (plain, digest, truncation) if part)


def free_path(path: Path, ending: str, data: bytes, model: str) -> Path:
    """`path`, or its name with `ending` where another picture of `model` lies. data: the encoded picture."""
    return with_ending(path, ending) if path.is_file() and _is_another(path, data, model) else path


def settled(path: Path, ending: str, write: Callable[[Path], None]) -> Path:
    """Where `write` leaves a picture: `path`, or that with `ending` where another picture lies there."""
    if not path.exists():
        write(path)
        return path
    own = with_ending(path, ending)
    write(own)
    return own.replace(path) if filecmp.cmp(own, path, shallow=False) else own


def with_ending(path: Path, ending: str) -> Path:
    """A path with a suffix in its name: seed0000.png becomes seed0000-woman.png."""
    return path.with_name(f"{path.stem}{ending}{path.suffix}")


def _is_another(path: Path, data: bytes, model: str) -> bool:
    """Whether `path` holds an image of `model` whose pixels differ from those in `data`."""
    try:
        mark = verify(path)
        if mark is None or mark.model != model:
            return False
        old, new = (read_picture(source).astype(np.float32) for source in (path, data))
    except InputError:
        return False
    return old.shape != new.shape or float(np.abs(old - new).mean()) > _ROUNDING
