"""Scans of one photo that only contrast tells apart: alike in hash, in who they show and in fine detail.

Their hashes differ in 59 to 122 bits, as those of two shots of one sitting may. So the crops are laid over
each other and compared block by block, by ranks of brightness, which no tone curve changes.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import cv2
import numpy as np

from mien.core.picture import Pixels, decode
from mien.faces.face import Floats
from mien.prepare.dedupe import mirrored_pairs_within, pairs_within
from mien.prepare.people import features

MOST_BITS = 122
# Of 51 pairs neutral and smiling (tuned on 51 others) none reaches this; of 98 pairs of a photo and a copy
# with other contrast (gamma, equalised, harder, softer, sepia, half the size) that differ in 59 bits to 122
# .85 do.
SAME_DETAIL = 0.932

_SIDE, _MARGIN, _BLOCKS = 64, 6, 4
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
    b = np.asarray(cv2.warpAffine(b, warp, (_SIDE, _SIDE), flags=flags, borderMode=cv2.BORDER_REFLECT))
    inner = slice(_MARGIN, _SIDE - _MARGIN)
    return float(np.quantile(_correlations(_detail(a)[inner, inner], _detail(b)[inner, inner]), _WORST))


def _ranks(crop: Pixels) -> Floats:
    """float32 [64, 64]: the place of each pixel's luma among all, -1 to 1."""
    small = cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32).ravel()
    ranks = np.empty(gray.size, np.float32)
    ranks[np.argsort(gray, kind="stable")] = np.linspace(-1, 1, gray.size)
    return ranks.reshape(_SIDE, _SIDE)


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
