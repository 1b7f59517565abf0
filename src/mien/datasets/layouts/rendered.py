"""Our own computer-generated heads as a dataset: "rendered:COUNT[:SIZE[:SEED]]", as in "rendered:2000:64".

"@" may stand before SIZE instead of ":" ("rendered:2000@64"). SIZE is 64 pixels and SEED 0 unless given. The
heads are rendered once and kept in the cache. Labels are one column, 0 or 1, for each attribute of
`render.labels`; each record's `labels` holds everything that the renderer knows of the picture.
"""

import hashlib
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mien.core.atomic import write_text
from mien.core.cache import cache_root
from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.types import Spec
from mien.datasets.stored import StoredDataset, cached, open_pixels, write_pixels
from mien.render.heads import RENDER_VERSION, check_size
from mien.render.labels import ATTRIBUTES, label_vector
from mien.render.people import render_people

LICENCE = "CC0-1.0"  # made by us, of nobody
CITATION = "mien's renderer (mien.render)"

_SOURCE = re.compile(r"([0-9]{1,8})(?:[:@]([0-9]{1,5})(?::([0-9]{1,9}))?)?")


def open(source: str, *, progress: Tick | None = None) -> StoredDataset:
    """Open "COUNT[:SIZE[:SEED]]", rendering what the cache lacks.

    progress: called with (done, total) while rendering. Raises InputError for anything else.
    """
    count, size, seed = _parse(source)
    stem = cache_root() / "rendered" / f"{RENDER_VERSION}-{count}-{size}-{seed}"
    # The notes are written last: where they are, the pixels are whole.
    pixels_path, notes_path = stem.with_name(stem.name + ".npy"), stem.with_name(stem.name + ".json")

    def read() -> tuple[dict[str, Any], np.ndarray] | None:
        notes, pixels = _read_notes(notes_path, count), open_pixels(pixels_path, count)
        return None if notes is None or pixels is None else (notes, pixels)

    make = partial(_render, pixels_path, notes_path, count=count, size=size, seed=seed, progress=progress)
    notes, pixels = cached(stem, read, make)
    labels = np.array([label_vector(label) for label in notes["labels"]], np.float32)
    spec = Spec(size, pixels.shape[1], len(ATTRIBUTES), ATTRIBUTES)
    records = [
        {"source": f"{index}", "verdict": "kept", "labels": label, "licence": LICENCE}
        for index, label in enumerate(notes["labels"])
    ]
    return StoredDataset(f"rendered-{count}-{size}-{seed}", spec, notes["sha256"], labels, records, pixels)


def _parse(source: str) -> tuple[int, int, int]:
    match = _SOURCE.fullmatch(source)
    if not match:
        raise InputError(f"rendered:{source}: write rendered:COUNT[:SIZE[:SEED]], as in rendered:2000:64")
    count, size, seed = int(match[1]), int(match[2] or 64), int(match[3] or 0)
    if count < 1:
        raise InputError(f"rendered:{source}: it takes at least 1 picture")
    try:
        check_size(size)
    except InputError as error:
        raise InputError(f"rendered:{source}: {error}") from error
    return count, size, seed


def _render(
    pixels_path: Path, notes_path: Path, *, count: int, size: int, seed: int, progress: Tick | None
) -> None:
    images, labels = render_people(count, size=size, seed=seed, progress=progress)
    write_pixels(pixels_path, (count, images.shape[1], size, size), [images])
    text = json.dumps(labels, sort_keys=True, allow_nan=False, default=_plain)
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    digest.update(text.encode())
    write_text(notes_path, f'{{"sha256": "{digest.hexdigest()}", "labels": {text}}}\n')


def _read_notes(path: Path, count: int) -> dict[str, Any] | None:
    try:
        notes = json.loads(path.read_text("utf-8"))
        return notes if len(notes["labels"]) == count and isinstance(notes["sha256"], str) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"a label cannot hold a {type(value).__name__}")
