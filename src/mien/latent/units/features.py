"""What action units are read from: a face's mesh, its pixels, or its latent."""

import io
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np
import torch

from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.types import Dataset
from mien.generation.drawing import rgb
from mien.latent.readings import FaceReader

KINDS = ("latents", "mesh", "pixels")

_SIDE = 32  # pixels along a side of the baseline's pictures
_BATCH = 128
_MOST_BYTES = 1 << 30
_ARRAYS = ("w", "z", "names", "files", "model")

Floats = np.ndarray


def picture_features(kind: str, dataset: Dataset, progress: Tick | None = None) -> Floats:
    """float64 [N, F] of all pictures of a dataset; NaN rows where there is nothing to measure.

    kind: "mesh" (pose and shape of the face, [N, 24]) or "pixels" (gray, 32 x 32, each picture at mean 0
    and standard deviation 1, [N, 1024]).
    """
    see = _SEERS[kind]()
    rows = []
    for start in range(0, len(dataset), _BATCH):
        where = np.arange(start, min(start + _BATCH, len(dataset)))
        rows.append(see(torch.from_numpy(np.ascontiguousarray(dataset.images(where)))))
        if progress:
            progress(int(where[-1]) + 1, len(dataset))
    return np.concatenate(rows)


def image_features(kind: str, images: torch.Tensor) -> Floats:
    """As `picture_features`, of uint8 [N, C, H, W]."""
    return _SEERS[kind]()(images)


def latent_features(path: Path, names: list[str] | None = None) -> Floats:
    """float64 [N, F] of the latents in an .npz ("w" or "z"), each as one long row; equal layers count once.

    names: pictures that the latents must belong to. Where the file has an array "names" or "files", its rows
    are put into that order (a/b/c.png is meant by b/c.png too); NaN rows for pictures it lacks. Otherwise it
    must hold as many rows as there are names, in their order. Raises InputError.
    """
    arrays = _arrays(path)
    key = next((key for key in ("w", "z") if key in arrays), None)
    if key is None or arrays[key].dtype.kind != "f" or arrays[key].ndim < 2:
        raise InputError(f"{path}: no latents in it (an array w [N, num_ws, w_dim] or z [N, z_dim])")
    values = arrays[key].astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"{path}: its latents hold numbers that are not finite")
    flat = rows_of_latents(values)
    if names is None:
        return flat
    known = next((arrays[k] for k in ("names", "files") if k in arrays), None)
    if known is not None and len(known) == len(flat):
        return _in_order(flat, [str(name) for name in known], names, path)
    if len(flat) != len(names):
        raise InputError(f"{path}: {len(flat):,} latents, and there are {len(names):,} pictures")
    return flat


def model_of_latents(path: Path) -> str:
    """The id of the generator whose latents an .npz holds, "" where it does not say. Raises InputError."""
    return str(_arrays(path).get("model", ""))


def rows_of_latents(values: Floats) -> Floats:
    """[N, rows, dim] or [N, dim] to [N, F], without rows that equal the one before them in every latent."""
    if values.ndim == 3:
        new = [r for r in range(values.shape[1]) if r == 0 or (values[:, r] != values[:, r - 1]).any()]
        values = values[:, new]
    return values.reshape(len(values), -1)


def _in_order(rows: Floats, known: list[str], names: list[str], path: Path) -> Floats:
    at = _rows_by_name(known)
    ordered = np.full((len(names), rows.shape[1]), np.nan)
    for index, name in enumerate(names):
        if name in at:
            ordered[index] = rows[at[name]]
    if np.isnan(ordered).all():
        raise InputError(f"{path}: it names none of the pictures; its first is {known[0][:60]!r}")
    return ordered


def _rows_by_name(known: list[str]) -> dict[str, int]:
    """The row of each name, of several alike the first, and of each ending of a path that only one has."""
    first = {name: index for index, name in reversed(list(enumerate(known)))}
    endings: dict[str, set[str]] = defaultdict(set)
    for name in first:
        parts = Path(name).parts
        for start in range(1, len(parts)):
            endings["/".join(parts[start:])].add(name)
    return {end: first[min(names)] for end, names in endings.items() if len(names) == 1} | first


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: larger than {_MOST_BYTES >> 20} MiB")
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as loaded:
            return {name: loaded[name] for name in loaded.files if name in _ARRAYS}
    except (OSError, ValueError, EOFError, KeyError, AttributeError, TypeError, BadZipFile) as error:
        reason = getattr(error, "strerror", None) or "damaged, or no .npz"
        raise InputError(f"{path}: no latents can be read from it ({reason})") from error


def _pixels(images: torch.Tensor) -> Floats:
    rows = []
    for image in images:
        gray = cv2.cvtColor(rgb(image), cv2.COLOR_RGB2GRAY)
        small = cv2.resize(gray, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float64).ravel()
        rows.append((small - small.mean()) / max(float(small.std()), 1.0))
    return np.array(rows).reshape(len(images), _SIDE * _SIDE)


_SEERS: dict[str, Callable[[], Callable[[torch.Tensor], Floats]]] = {
    "mesh": lambda: FaceReader(("mesh",)).read,
    "pixels": lambda: _pixels,
}
