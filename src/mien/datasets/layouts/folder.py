"""Pictures of one square size in a zip or folder: packed datasets, class sub-folders, or plain pictures.

- With `dataset.json` (packed, zipped or not) the labels are those in it.
- A folder without it whose pictures all lie in two or more sub-folders has a class for each sub-folder.
- Anything else has no labels.

Nothing is resized: `mien prepare` does that. For pictures that are no faces, "folder:FOLDER?size=64" does:
whatever their sizes, it cuts the middle square out of each and shrinks it. Decoded pictures are kept in the
cache under their content's hash, so a dataset opens at once the second time, wherever it lies.
"""

import io
import os
import re
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from mien.core.cache import cache_root
from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.labels import label_array, label_width
from mien.core.packed import PackReader
from mien.core.picture import BadPicture, decode, list_pictures
from mien.core.types import Spec
from mien.datasets.header import FORMATS, GRAY_MODES
from mien.datasets.index import Entry, Index
from mien.datasets.layout import open_layout
from mien.datasets.stored import StoredDataset, open_pixels, write_pixels

LICENCE = "that of the pictures themselves; `licence` in manifest.jsonl where it is known"
CITATION = "none; the layout is the one of NVlabs' stylegan3 dataset_tool.py"

_DECODER = 1  # raise it when the same file would decode to other pixels
_CHUNK = 128
_ADVICE = "leave it out, or use mien prepare, which drops such files"
_PACKED_NAME = re.compile(r"[0-9]{5}/img[0-9]{8}\.png")


def open(source: str | Path, *, progress: Tick | None = None) -> StoredDataset:
    """Open the pictures in a zip or folder, or of "FOLDER?size=64" (`Options`).

    progress: called with (done, total) while pictures are decoded, the first time only.
    Raises InputError, naming the file, for pictures of several sizes, not square or damaged, a source
    without pictures, labels that do not match, a corrupt zip.
    """
    path = Path(source)
    if not path.exists() and "?" in str(source):
        sized = open_layout("folder", _index, str(source), progress=progress)
        sized.name = _name(Path(str(source).rpartition("?")[0]))
        return sized
    pack = PackReader(path)
    labels, class_names = _labels(pack)
    cache = cache_root() / "decoded" / f"{pack.content_hash}-{_DECODER}.npy"
    pixels = open_pixels(cache, len(pack))
    if pixels is None:
        _decode_into(cache, pack, progress)
        pixels = open_pixels(cache, len(pack))
        if pixels is None:
            raise InputError(f"{cache}: the cache does not hold what was just written; check that disk")
    spec = Spec(pixels.shape[2], pixels.shape[1], 0 if labels is None else labels.shape[1], class_names)
    return StoredDataset(_name(path), spec, pack.content_hash, labels, pack.records, pixels)


def _index(root: Path) -> Index:
    """The picture files under `root`, with the sub-folder as label where there are two or more."""
    files = [path.relative_to(root).as_posix() for path in list_pictures(root)]
    classes = {file.partition("/")[0] for file in files if "/" in file}
    if len(classes) < 2 or not all("/" in file for file in files):
        return Index("folder", root, tuple(map(Entry, files)))
    entries = tuple(Entry(file, {"class": file.partition("/")[0]}) for file in files)
    return Index("folder", root, entries, label_names=("class",))


def _decode_into(cache: Path, pack: PackReader, progress: Tick | None) -> None:
    # Decoding saves and restores warning filters, which threads do out of order: restore them for good here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        size, channels = _measure(pack)
        write_pixels(cache, (len(pack), channels, size, size), _decoded(pack, channels, progress))


def _labels(pack: PackReader) -> tuple[np.ndarray | None, tuple[str, ...]]:
    if pack.packed:
        if pack.labels is None:
            return None, ()
        width = len(pack.class_names) or label_width(pack.labels)
        return label_array(pack.labels, width), pack.class_names
    if not pack.path.is_dir() or all(_PACKED_NAME.fullmatch(name) for name in pack.names):
        return None, ()
    folders = [name.rpartition("/")[0].partition("/")[0] for name in pack.names]
    classes = sorted(set(folders) - {""})
    if len(classes) < 2:
        return None, ()
    if "" in folders:
        stray = pack.names[folders.index("")]
        raise InputError(f"{pack.path / stray} lies beside {len(classes)} class folders and has no label")
    return label_array([classes.index(folder) for folder in folders], len(classes)), tuple(classes)


def _measure(pack: PackReader) -> tuple[int, int]:
    """The one side length, and 1 channel if all pictures are gray, else 3."""
    with _pool() as pool:
        found = list(pool.map(partial(_peek, pack), range(len(pack))))
    (width, height), gray = found[0][0], all(is_gray for _, is_gray in found)
    for name, (size, _) in zip(pack.names, found, strict=True):
        if size != (width, height):
            raise InputError(
                f"{pack.path}: {pack.names[0]} is {width}x{height}, {name} is {size[0]}x{size[1]};"
                f" all pictures must have one size, see mien prepare, or folder:FOLDER?size=64"
            )
    if width != height:
        raise InputError(
            f"{pack.path}: {pack.names[0]} is {width}x{height}, not square; crop with mien prepare, or"
            " folder:FOLDER?size=64"
        )
    return width, 1 if gray else 3


def _peek(pack: PackReader, index: int) -> tuple[tuple[int, int], bool]:
    """Size and grayness from the picture's header."""
    data = pack.read(index)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            return picture.size, picture.mode in GRAY_MODES
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        where = f"{pack.path}: {pack.names[index]}"
        raise InputError(f"{where} is not a picture that can be read; {_ADVICE}") from error


def _decoded(pack: PackReader, channels: int, progress: Tick | None) -> Iterator[np.ndarray]:
    total = len(pack)
    with _pool() as pool:
        for start in range(0, total, _CHUNK):
            stop = min(start + _CHUNK, total)
            yield np.stack(list(pool.map(partial(_decode, pack, channels), range(start, stop))))
            if progress:
                progress(stop, total)


def _decode(pack: PackReader, channels: int, index: int) -> np.ndarray:
    """One picture as uint8 [C, H, W]."""
    try:
        image = decode(pack.read(index), where=f"{pack.path}: {pack.names[index]}").pixels
    except BadPicture as error:
        raise InputError(f"{error}; {_ADVICE}") from error
    return image[..., :channels].transpose(2, 0, 1)


def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(8, os.cpu_count() or 1))


def _name(path: Path) -> str:
    return (path.stem if path.suffix.lower() == ".zip" else path.resolve().name) or "pictures"
