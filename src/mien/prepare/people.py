"""Whom aligned faces show: pictures that a face recognition network takes for one person."""

from collections.abc import Sequence

import numpy as np

from mien.core.errors import InputError
from mien.core.picture import decode

NEEDS = "identity"  # the artefact
SAME_PERSON = "same-person"  # the reason in a manifest
LEAST_SIDE = 64  # pixels; the network was measured from there on
# At 64 px: 101 of 102 people who were photographed twice lie nearer, and of pairs of different people 0 of
# 20,604 and 0 of 385,003 (portraits of others), where .5 takes 10 and 116 for one person, .45 0 and 9.
DEFAULT_DISTANCE = 0.4

_ROWS = 1024  # of distances at a time
_BATCH = 64


def features(pngs: Sequence[bytes]) -> np.ndarray:
    """Crops aligned as "ffhq" to float32 [N, 128]. Raises MienError without the artefact `identity`."""
    import torch  # seconds, which a run without such a question does not wait

    from mien.faces.identity import IdentityNetwork

    network = IdentityNetwork.load()
    rows = [np.zeros((0, network.dims), np.float32)]
    for start in range(0, len(pngs), _BATCH):
        pixels = [decode(png).pixels for png in pngs[start : start + _BATCH]]
        if pixels[0].shape[0] < LEAST_SIDE:
            raise InputError(
                f"people are told apart from {LEAST_SIDE} pixels on, not of {pixels[0].shape[0]}"
            )
        images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
        rows.append(network.features(images))
    return np.concatenate(rows)


def group(rows: np.ndarray, *, distance: float = DEFAULT_DISTANCE) -> np.ndarray:
    """For each picture the number of its person, 0, 1, ... in the order of first pictures: int64 [N].

    rows: float32 [N, 128]. Pairs are joined from the nearest on, and two groups only if all their pictures
    are within `distance` of each other, so that a chain of likenesses never joins two people. Memory grows
    with the pairs that are so near.
    """
    near, first, second = _near_pairs(rows, distance)
    order = np.argsort(near, kind="stable")
    members = [[index] for index in range(len(rows))]
    owner = list(range(len(rows)))
    linked = {(int(i), int(j)) for i, j in zip(first, second, strict=True)}
    for pair in order:
        one, two = sorted((owner[first[pair]], owner[second[pair]]))
        if one == two:
            continue
        if all((min(i, j), max(i, j)) in linked for i in members[one] for j in members[two]):
            members[one] += members[two]
            for index in members[two]:
                owner[index] = one
            members[two] = []
    return np.unique(owner, return_inverse=True)[1].astype(np.int64)


def _near_pairs(rows: np.ndarray, distance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Squared distances of the pairs within `distance`, and their two indexes, the smaller first."""
    x = rows.astype(np.float64)
    squares = (x**2).sum(1)
    chunks = [(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for start in range(0, len(x), _ROWS):
        part = x[start : start + _ROWS]
        far = squares[start : start + _ROWS, None] + squares[None] - 2 * part @ x.T
        i, j = np.nonzero(far <= distance**2)
        upper = i + start < j
        i, j = i[upper], j[upper]
        chunks.append((far[i, j], i + start, j))
    near, first, second = (np.concatenate(part) for part in zip(*chunks, strict=True))
    return near, first, second
