"""Near-duplicates: a perceptual hash of each aligned face, and of alike ones the sharpest is kept."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.core.errors import InputError
from mien.core.picture import Pixels

DEFAULT_THRESHOLD = 35  # bits of 512; benchmarks/dedupe_quality.py measures what it finds and what it costs

DUPLICATE = "duplicate"  # the reason in a manifest

_SIDE = 16  # differences along and across, so 2 x 16 x 16 bits
_REGION = (0.28, 0.35, 0.72, 0.85)  # of the crop: left, top, right, bottom; brows to mouth, no background
_BLOCK = 1024  # items searched at a time


def perceptual_hash(crop: Pixels) -> str:
    """Hash of an aligned face, uint8 [S, S, 3] RGB, as hexadecimal digits; S of 64 or more tells enough.

    Mirrored copies hash differently: training mirrors pictures on purpose.
    """
    import imagehash
    from PIL import Image

    height, width = crop.shape[:2]
    left, top, right, bottom = np.multiply(_REGION, (width, height, width, height))
    face = Image.fromarray(crop).crop((round(left), round(top), round(right), round(bottom)))
    return f"{imagehash.dhash(face, _SIDE)}{imagehash.dhash_vertical(face, _SIDE)}"


def find_duplicates(hashes: Sequence[str], sharpness: Sequence[float], *, threshold: int) -> list[int]:
    """For each item the index of the one to keep instead of it; its own where it is kept.

    The sharpest come first (ties by order), and an item is kept unless one already kept differs in at most
    `threshold` bits; it then gives way to the nearest such. So alike pictures of a chain of strangers are
    never joined. Exact; memory grows with the items only. Raises InputError for hashes of unequal length
    or that are not hexadecimal.
    """
    if len(hashes) != len(sharpness):
        raise InputError(f"{len(hashes)} hashes, but {len(sharpness)} values of sharpness")
    if not hashes:
        return []
    bits = _unpack(hashes)
    order = np.argsort(-np.asarray(sharpness, np.float64), kind="stable")
    keeper = np.arange(len(bits))
    index = _open_index(bits.shape[1])
    kept = np.empty(0, np.int64)
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        new = _sort_block(bits, block, *_nearest(index, kept, bits[block]), threshold, keeper)
        index.add(bits[new])
        kept = np.concatenate([kept, new])
    return [int(item) for item in keeper]


def nearest(hashes: Sequence[str], among: Sequence[str]) -> list[tuple[int, int]]:
    """Of each hash the place of the one in `among` that is most like it, and in how many bits they differ.

    Raises InputError as `find_duplicates` does.
    """
    bits = _unpack([*among, *hashes])
    index = _open_index(bits.shape[1])
    index.add(bits[: len(among)])
    places, distances = _nearest(index, np.arange(len(among)), bits[len(among) :])
    return list(zip(places.tolist(), distances.tolist(), strict=True))


def _sort_block(
    bits: NDArray[np.uint8],
    block: NDArray[np.int64],
    near: NDArray[np.int64],
    distances: NDArray[np.int64],
    threshold: int,
    keeper: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Write into `keeper` what each item of a block gives way to; return those that are kept."""
    new = np.empty(len(block), np.int64)
    count = 0
    for item, other, distance in zip(block, near, distances, strict=True):
        among = np.bitwise_count(bits[new[:count]] ^ bits[item]).sum(axis=1)
        if count and among.min() < distance:
            other, distance = new[among.argmin()], among.min()
        if distance <= threshold:
            keeper[item] = other
        else:
            new[count] = item
            count += 1
    return new[:count]


def _nearest(
    index: Any, kept: NDArray[np.int64], queries: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each query the nearest item kept so far and its distance, infinitely far while there is none."""
    if not len(kept):
        return np.zeros(len(queries), np.int64), np.full(len(queries), np.iinfo(np.int64).max)
    distances, places = index.search(queries, 1)
    return kept[places[:, 0]], distances[:, 0].astype(np.int64)


def _open_index(num_bytes: int) -> Any:
    import faiss

    return faiss.IndexBinaryFlat(8 * num_bytes)


def _unpack(hashes: Sequence[str]) -> NDArray[np.uint8]:
    """uint8 [N, bytes]."""
    length = len(hashes[0])
    try:
        if not length or any(len(text) != length for text in hashes):
            raise ValueError("they differ in length")
        return np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(len(hashes), -1)
    except ValueError as error:
        raise InputError(f"the perceptual hashes cannot be compared ({error}); prepare anew") from error
