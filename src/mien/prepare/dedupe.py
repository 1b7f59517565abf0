"""Near-duplicates: a perceptual hash of each aligned face, and of alike ones the best is kept.

Scans of one photo that only contrast tells apart have hashes that differ in 59 to 122 bits, as those of two
shots of one sitting may. So their crops are laid over each other and compared block by block, by ranks of
brightness, which no tone curve changes.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.core.errors import InputError
from mien.core.picture import Pixels, decode
from mien.faces.align import ffhq_square
from mien.faces.crop import Square, cut
from mien.faces.face import Floats
from mien.faces.mesh import INPUT_SIZE, MeshNetwork
from mien.faces.mesh_finder import face_at
from mien.prepare.people import features

Bits = NDArray[np.uint8]
Ints = NDArray[np.int64]
DUPLICATE = "duplicate"  # the reason in a manifest
NUM_BITS = 768
DEFAULT_THRESHOLD = 58  # bits; benchmarks/dedupe_quality.py measures what it finds and what it costs

_SIDE = 48  # all crops are hashed at this size: finer detail than that does not survive a strong JPEG
# Parts of the crop: left, top, right, bottom. Eyes to mouth tells two moments of a sitting apart, the
# head tells people apart.
_FEATURES = (0.3, 0.4, 0.7, 0.8)
_HEAD = (0.1, 0.1, 0.9, 0.9)
_CELLS = 16  # along and across
_BLOCK = 1024  # items searched at a time


def perceptual_hash(crop: Pixels, *, mesh: MeshNetwork | None = None) -> str:
    """Hash of a face aligned as "ffhq", uint8 [S, S, 3] RGB, as hexadecimal digits; S of 64 or more.

    mesh: looks at the crop once more and levels it anew, which undoes most of what a disturbed file moved;
    compare hashes made with it only with each other. Mirrored copies hash differently (see `mirrored_bits`):
    training mirrors pictures on purpose. Of the `NUM_BITS` bits, 512 are differences between neighbouring
    cells of the features across and along, 256 signs of the head's lowest cosine frequencies.
    """
    import imagehash

    if mesh is not None:
        crop = _levelled(crop, mesh)
    small = cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    features, head = _part(small, *_FEATURES), _part(small, *_HEAD)
    across, along = imagehash.dhash(features, _CELLS), imagehash.dhash_vertical(features, _CELLS)
    return f"{across}{along}{imagehash.phash(head, _CELLS)}"


def _part(small: Pixels, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """A part of a picture, its sides given as shares."""
    x0, y0, x1, y1 = (round(share * _SIDE) for share in (left, top, right, bottom))
    return Image.fromarray(small[y0:y1, x0:x1])


def _levelled(crop: Pixels, mesh: MeshNetwork) -> Pixels:
    """The crop cut again by the points that the network finds in it; as it is if that sees no face."""
    size = crop.shape[0]
    window = Square((0.5 * size, 0.55 * size), (0.9 * size, 0.0))  # how the network sees a face elsewhere
    points, presence = mesh.points(cut(crop, window, INPUT_SIZE))
    if presence < 0.5:
        return crop
    points[:, :2] = window.to_picture(points[:, :2].astype(np.float64) / INPUT_SIZE)
    return cut(crop, ffhq_square(face_at(points, window, presence)), size)


def find_duplicates(
    hashes: Sequence[str], quality: Sequence[float], *, threshold: int, mirrored: bool = False
) -> list[int]:
    """For each item the index of the one to keep instead of it; its own where it is kept.

    The best come first (ties by order), and an item is kept unless one already kept differs in at most
    `threshold` bits; it then gives way to the nearest such. So alike pictures of a chain of strangers are
    never joined. Exact; memory grows with the items only. mirrored: an item is also compared as it would be
    if its picture were mirrored. Raises InputError for hashes of unequal length or that are not hexadecimal.
    """
    if len(hashes) != len(quality):
        raise InputError(f"{len(hashes)} hashes, but {len(quality)} values of quality")
    if not hashes:
        return []
    bits = _unpack(hashes)
    looks = (bits, mirrored_bits(bits)) if mirrored else (bits,)
    order = np.argsort(-np.asarray(quality, np.float64), kind="stable")
    keeper = np.arange(len(bits))
    index = _open_index(bits.shape[1])
    kept = np.empty(0, np.int64)
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        near, distances = _nearest(index, kept, [look[block] for look in looks])
        new = _sort_block(looks, block, near, distances, threshold, keeper)
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
    places, distances = _nearest(index, np.arange(len(among)), [bits[len(among) :]])
    return list(zip(places.tolist(), distances.tolist(), strict=True))


def pairs_within(hashes: Sequence[str], bits: int) -> list[tuple[int, int]]:
    """All pairs of hashes that differ in at most so many bits, the smaller number first, in order.

    Memory grows with the pairs. Raises InputError as `find_duplicates` does.
    """
    if not hashes:
        return []
    packed = _unpack(hashes)
    index = _open_index(packed.shape[1])
    index.add(packed)
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(packed), _BLOCK):
        limits, _, near = index.range_search(packed[start : start + _BLOCK], bits + 1)
        owners = np.repeat(np.arange(start, start + len(limits) - 1), np.diff(limits).astype(np.int64))
        pairs += [(int(one), int(two)) for one, two in zip(owners, near, strict=True) if one < two]
    return sorted(pairs)


def mirrored_bits(bits: Bits) -> Bits:
    """Hashes [N, bytes] of `perceptual_hash` as those of the mirrored pictures, but for a few bits."""
    if bits.shape[1] * 8 != NUM_BITS:
        return bits
    across, along, head = np.unpackbits(bits, axis=1).reshape(len(bits), 3, _CELLS, _CELLS).swapaxes(0, 1)
    odd = np.arange(_CELLS) % 2  # cosines of an odd frequency across change their sign
    flipped = (1 - across[..., ::-1], along[..., ::-1], head ^ odd.astype(np.uint8))
    return np.packbits(np.stack(flipped, axis=1).reshape(len(bits), -1), axis=1)


def mirrored_pairs_within(hashes: Sequence[str], bits: int) -> list[tuple[int, int]]:
    """As `pairs_within`, of hashes that differ in so many bits where one of the two pictures is mirrored."""
    turned = [row.tobytes().hex() for row in mirrored_bits(_unpack(hashes))] if hashes else []
    pairs = pairs_within([*hashes, *turned], bits)
    count = len(hashes)
    across = ((one, two - count) for one, two in pairs if one < count <= two)
    return sorted({(min(pair), max(pair)) for pair in across if pair[0] != pair[1]})


def _sort_block(
    looks: Sequence[Bits], block: Ints, near: Ints, distances: Ints, threshold: int, keeper: Ints
) -> Ints:
    """Write into `keeper` what each item of a block gives way to; return those that are kept."""
    new = np.empty(len(block), np.int64)
    count = 0
    for item, other, distance in zip(block, near, distances, strict=True):
        among = np.min(
            [np.bitwise_count(looks[0][new[:count]] ^ look[item]).sum(axis=1) for look in looks], axis=0
        )
        if count and among.min() < distance:
            other, distance = new[among.argmin()], among.min()
        if distance <= threshold:
            keeper[item] = other
        else:
            new[count] = item
            count += 1
    return new[:count]


def _nearest(index: Any, kept: Ints, looks: Sequence[Bits]) -> tuple[Ints, Ints]:
    """Of each query, in any look, the nearest item kept so far and its distance; endless where none is."""
    near = np.zeros(len(looks[0]), np.int64)
    distances = np.full(len(near), np.iinfo(np.int64).max)
    for look in looks if len(kept) else ():
        apart, places = index.search(look, 1)
        closer = apart[:, 0] < distances
        near[closer], distances[closer] = kept[places[closer, 0]], apart[closer, 0]
    return near, distances


def _open_index(num_bytes: int) -> Any:
    import faiss

    return faiss.IndexBinaryFlat(8 * num_bytes)


def _unpack(hashes: Sequence[str]) -> Bits:
    """uint8 [N, bytes]."""
    length = len(hashes[0])
    try:
        if not length or any(len(text) != length for text in hashes):
            raise ValueError("they differ in length")
        return np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(len(hashes), -1)
    except ValueError as error:
        raise InputError(f"the perceptual hashes cannot be compared ({error}); prepare anew") from error


MOST_BITS = 122
# Of 51 pairs neutral and smiling (tuned on 51 others) none reaches this; of 98 pairs of a photo and a copy
# with other contrast (gamma, equalised, harder, softer, sepia, half the size) that differ in 59 bits to 122
# .85 do.
SAME_DETAIL = 0.932

_SCAN_SIDE, _MARGIN, _BLOCKS = 64, 6, 4
_FINE, _COARSE, _AROUND = 0.7, 2.5, 4.0  # sigmas: of the detail that is compared, over which it is levelled
_FLAT = 0.05  # in ranks: weaker detail is the noise of flat places
_WORST = 0.03  # quantile of the blocks: a mouth that moved is one of sixteen


def join_scans(
    hashes: Sequence[str],
    quality: Sequence[float],
    keepers: Sequence[int],
    crop: Callable[[int], bytes | None],
    *,
    mirrored: bool = False,
) -> list[int]:
    """`keepers` as of `find_duplicates`, with kept items that are scans of one photo joined.

    crop: gives the PNG of an item, aligned as "ffhq", of 64 pixels or more, if there is one. mirrored: also
    where one is mirrored. The better of two is kept. Raises MienError without the artefact `identity`.
    """
    kept = [own for own, keeper in enumerate(keepers) if own == keeper]
    left = [hashes[item] for item in kept]
    near = [(kept[a], kept[b], False) for a, b in pairs_within(left, MOST_BITS)]
    if mirrored:
        near += [(kept[a], kept[b], True) for a, b in mirrored_pairs_within(left, MOST_BITS)]
    pngs = {item: crop(item) for item in sorted({item for pair in near for item in pair[:2]})}
    crops = {item: png for item, png in pngs.items() if png}
    alike = [
        (one, two)
        for one, two, is_turned in near
        if one in crops and two in crops and _are_scans(crops[one], crops[two], is_turned)
    ]
    if not alike:
        return list(keepers)
    from mien.faces.identity import SAME_PERSON  # brings torch, seconds that most runs do not wait

    shown = sorted({item for pair in alike for item in pair})
    who = dict(zip(shown, features([crops[item] for item in shown]), strict=True))
    joined = list(keepers)
    for one, two in sorted(alike, key=lambda pair: -max(quality[item] for item in pair)):
        better, worse = sorted((one, two), key=lambda item: (-quality[item], item))
        is_same = np.linalg.norm(who[one] - who[two]) <= SAME_PERSON
        if is_same and joined[better] == better and joined[worse] == worse:
            joined = [better if keeper == worse else keeper for keeper in joined]
    return joined


def _are_scans(one: bytes, other: bytes, is_turned: bool) -> bool:
    pixels = decode(other).pixels
    turned = np.ascontiguousarray(pixels[:, ::-1]) if is_turned else pixels
    return same_detail(decode(one).pixels, turned) >= SAME_DETAIL


def same_detail(one: Pixels, other: Pixels) -> float:
    """Correlation, -1 to 1, of the fine detail of two crops RGB uint8 [S, S, 3], where it is least alike."""
    a, b = _ranks(one), _ranks(other)
    warp = np.eye(2, 3, dtype=np.float32)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-5)
    smooth = [cv2.GaussianBlur(ranks, (0, 0), 1) for ranks in (a, b)]
    try:
        warp = cv2.findTransformECC(*smooth, warp, cv2.MOTION_AFFINE, stop, None, 5)[1]  # type: ignore[call-overload]
    except cv2.error:  # they have nothing in common
        return 0.0
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    b = np.asarray(
        cv2.warpAffine(b, warp, (_SCAN_SIDE, _SCAN_SIDE), flags=flags, borderMode=cv2.BORDER_REFLECT)
    )
    inner = slice(_MARGIN, _SCAN_SIDE - _MARGIN)
    return float(np.quantile(_correlations(_detail(a)[inner, inner], _detail(b)[inner, inner]), _WORST))


def _ranks(crop: Pixels) -> Floats:
    """float32 [64, 64]: the place of each pixel's luma among all, -1 to 1."""
    small = cv2.resize(crop, (_SCAN_SIDE, _SCAN_SIDE), interpolation=cv2.INTER_AREA)
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32).ravel()
    ranks = np.empty(gray.size, np.float32)
    ranks[np.argsort(gray, kind="stable")] = np.linspace(-1, 1, gray.size)
    return ranks.reshape(_SCAN_SIDE, _SCAN_SIDE)


def _detail(ranks: Floats) -> Floats:
    """What is finer than features, as strong everywhere."""
    detail = cv2.GaussianBlur(ranks, (0, 0), _FINE) - cv2.GaussianBlur(ranks, (0, 0), _COARSE)
    around = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), _AROUND))
    return np.asarray(detail / (around + _FLAT), np.float32)


def _correlations(a: Floats, b: Floats) -> list[float]:
    correlations = []
    edges = np.linspace(0, len(a), _BLOCKS + 1).astype(int)
    for top, bottom in pairwise(edges):
        for left, right in pairwise(edges):
            x, y = (part[top:bottom, left:right] - part[top:bottom, left:right].mean() for part in (a, b))
            correlations.append(float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum() + 1e-9)))
    return correlations
