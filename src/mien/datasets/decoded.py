"""An index becomes a dataset: pictures cut square, resized, kept decoded under their content's hash."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mien.core.atomic import file_sha256, write_text
from mien.core.cache import cache_root
from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.picture import Pixels, decode
from mien.core.types import Spec
from mien.datasets.index import Box, Entry, Index, name_of
from mien.datasets.stored import StoredDataset, cached, in_threads, open_pixels, write_pixels
from mien.labels.columns import Columns

Read = Callable[[Path, Entry], Pixels]  # root, entry -> uint8 [H, W, 3] or [H, W]; raises BadPicture
Broken = dict[int, str]  # number of the entry -> what is wrong with it

_VERSION = 1  # raise it when the same files would become other pixels
_CHUNK = 128
_NAMED = 3


def decode_index(
    index: Index,
    name: str,
    columns: Columns | None,
    *,
    size: int,
    channels: int,
    progress: Tick | None = None,
    read: Read | None = None,
) -> StoredDataset:
    """The entries of `index` as `channels` x `size` x `size`, with the label columns `columns`.

    read: gives the pixels of an entry that is no file of its own. Pictures that cannot be read are left out
    and named in `notes`. Raises InputError if none is left.
    """
    sums = _checksums(index)
    key = _key(index, sums, size, channels)
    stem = cache_root() / "decoded" / f"{key}-{_VERSION}"
    cut = partial(_cut, index, size, channels, read)
    pixels, broken = cached(
        stem,
        partial(_from_cache, stem, len(index.entries)),
        partial(_fill_cache, stem, index, cut, (channels, size, size), progress),
    )
    kept = [entry for number, entry in enumerate(index.entries) if number not in broken]
    labels = None if columns is None else columns.array([entry.record() for entry in kept])
    names = () if columns is None else columns.class_names
    records = [_record(entry, index.licence, sums[entry.file]) for entry in kept]
    notes = index.notes
    if broken:
        first = "; ".join(list(broken.values())[:_NAMED])
        notes += (f"{len(broken)} of {len(index.entries)} pictures cannot be read and are left out: {first}",)
    spec = Spec(size, channels, len(names), names)
    return StoredDataset(name, spec, _hash(key, names, labels), labels, records, pixels, notes)


def _checksums(index: Index) -> dict[str, str | None]:
    """SHA-256 of every file of the index; None where it cannot be read."""

    def checksum(file: str) -> str | None:
        try:
            if index.content is not None:
                return hashlib.sha256(index.content(file)).hexdigest()
            return file_sha256(index.root / file)
        except (OSError, InputError):
            return None

    files = list(dict.fromkeys(entry.file for entry in index.entries))
    return dict(zip(files, in_threads(checksum, files), strict=True))


def _key(index: Index, sums: dict[str, str | None], size: int, channels: int) -> str:
    """A hash of everything that the pixels follow from; the folder's place is not part of it."""
    digest = hashlib.sha256(json.dumps([index.layout, size, channels]).encode())
    for entry in index.entries:
        parts = [entry.file, entry.part, entry.box, entry.mirror, sums[entry.file]]
        digest.update(json.dumps(parts).encode() + b"\n")
    return digest.hexdigest()


def _hash(key: str, names: tuple[str, ...], labels: np.ndarray | None) -> str:
    digest = hashlib.sha256(json.dumps([key, names]).encode())
    digest.update(b"" if labels is None else np.ascontiguousarray(labels).data)
    return digest.hexdigest()


def _from_cache(stem: Path, count: int) -> tuple[np.ndarray, Broken] | None:
    """What was decoded before; the list of broken pictures is written last, so with it all is whole."""
    try:
        listed = json.loads(stem.with_name(stem.name + ".json").read_text("utf-8"))
        broken = {int(number): str(text) for number, text in listed["broken"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    pixels = open_pixels(stem.with_name(stem.name + ".npy"), count - len(broken))
    return None if pixels is None else (pixels, broken)


def _fill_cache(
    stem: Path,
    index: Index,
    cut: Callable[[Entry], Pixels | str],
    shape: tuple[int, int, int],
    progress: Tick | None,
) -> None:
    broken: Broken = {}
    path, count = stem.with_name(stem.name + ".npy"), len(index.entries)
    write_pixels(path, (count, *shape), _decoded(index.entries, cut, shape, broken, progress))
    if len(broken) == count:
        path.unlink()
        raise InputError(f"{index.root}: none of its {count} pictures can be read; first {broken[0]}")
    if broken:  # written again without them; the map keeps what is replaced
        whole = np.load(path, mmap_mode="r")
        kept = np.setdiff1d(np.arange(count), list(broken))
        starts = range(0, len(kept), _CHUNK)
        write_pixels(path, (len(kept), *shape), (whole[kept[at : at + _CHUNK]] for at in starts))
    write_text(stem.with_name(stem.name + ".json"), json.dumps({"broken": sorted(broken.items())}))


def _decoded(
    entries: Sequence[Entry],
    cut: Callable[[Entry], Pixels | str],
    shape: tuple[int, int, int],
    broken: Broken,
    progress: Tick | None,
) -> Iterator[np.ndarray]:
    """Chunks of pictures; a broken one is black here and noted in `broken`."""
    for start in range(0, len(entries), _CHUNK):
        chunk = entries[start : start + _CHUNK]
        out = np.zeros((len(chunk), *shape), np.uint8)
        for at, picture in enumerate(in_threads(cut, chunk)):
            if isinstance(picture, str):
                broken[start + at] = picture
            else:
                out[at] = picture
        yield out
        if progress:
            progress(start + len(chunk), len(entries))


def _cut(index: Index, size: int, channels: int, read: Read | None, entry: Entry) -> Pixels | str:
    """One picture as uint8 [C, size, size], or what is wrong with it."""
    try:
        if read is not None:
            pixels = read(index.root, entry)
        else:
            pixels = decode(index.read(entry.file), where=entry.file).pixels
    except InputError as error:
        return str(error)
    return to_square(pixels, size, channels=channels, box=entry.box, mirror=entry.mirror)


def _record(entry: Entry, licence: str, checksum: str | None) -> dict[str, Any]:
    known = {"source": name_of(entry), "sha256": checksum, "verdict": "kept", **entry.record()}
    known |= {"mirrored": True} if entry.mirror else {}
    return known | ({"licence": licence} if licence else {})


def middle(width: int, height: int) -> Box:
    """The largest square in the middle of a picture (one pixel nearer the upper left where it is uneven)."""
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side, side


def around(box: Box, *, grow: float, width: int, height: int) -> Box:
    """The square around `box` of `grow` times its longer side, moved (and cut) to lie in the picture."""
    side = min(grow * max(box[2], box[3]), width, height)
    x = min(max(box[0] + box[2] / 2 - side / 2, 0), width - side)
    y = min(max(box[1] + box[3] / 2 - side / 2, 0), height - side)
    return x, y, side, side


def to_square(
    pixels: Pixels, size: int, *, channels: int, box: Box | None = None, mirror: bool = False
) -> Pixels:
    """Cut `box` (default: the middle) of uint8 [H, W, 3] or [H, W], antialiased, to [channels, size, size].

    One channel is the luma of colour. A box that reaches over the edge is moved and cut to lie inside.
    """
    height, width = pixels.shape[:2]
    box = middle(width, height) if box is None else around(box, grow=1, width=width, height=height)
    x, y, side, _ = box
    picture = Image.fromarray(pixels).convert("L" if channels == 1 else "RGB")
    small = picture.resize((size, size), Image.Resampling.LANCZOS, box=(x, y, x + side, y + side))
    if mirror:
        small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(small).reshape(size, size, channels).transpose(2, 0, 1)
