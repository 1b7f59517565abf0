"""Pictures in one array of an .npy or .npz: uint8 [N, S, S, C] or [N, C, S, S], C 1 or 3.

Samples are often handed on so ("arr_0" of an .npz, then labels in "arr_1", which are not read here). Floats
are refused, since nothing says what their range means.
"""

import hashlib
import zipfile
from pathlib import Path

import numpy as np

from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.types import Spec
from mien.datasets.stored import StoredDataset

LICENCE = "that of the pictures themselves"
CITATION = "none; numpy's own formats"
SUFFIXES = (".npy", ".npz")


def open(where: str, *, progress: Tick | None = None) -> StoredDataset:
    """Open the array at `where`; progress is called once. Raises InputError where it holds no pictures."""
    path = Path(where)
    array = _pictures(path)
    if array.shape[-1] in (1, 3) and array.shape[1] not in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    count, channels, height, width = array.shape
    if array.dtype != np.uint8 or channels not in (1, 3) or height != width or not count:
        raise InputError(
            f"{path}: {array.dtype} {list(array.shape)} are no pictures; save uint8 [N, S, S, 3], 0 to 255"
        )
    pixels = np.ascontiguousarray(array)
    digest = hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    if progress:
        progress(count, count)
    records = [{"source": f"{path.name}[{index}]"} for index in range(count)]
    return StoredDataset(path.stem, Spec(height, channels), digest, None, records, pixels)


def _pictures(path: Path) -> np.ndarray:
    """The array of four dimensions in a file. Raises InputError."""
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = {path.name: loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, SyntaxError, KeyError) as error:
        raise InputError(
            f"{path}: no array can be read from it ({' '.join(str(error).split())[:80]})"
        ) from error
    batches = [array for array in arrays.values() if array.ndim == 4]
    if len(batches) != 1:
        raise InputError(f"{path}: holds {len(batches)} arrays of pictures [N, S, S, C]; one is needed")
    return batches[0]
