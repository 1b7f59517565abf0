"""Is a picture nearer to its own person's picture than to those of others?"""

import math
from collections.abc import Sequence

import numpy as np
from sklearn.metrics import roc_auc_score


def distances(probes: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Features [N, D] and [M, D] -> [N, M]: one minus the cosine, seen from the gallery's mean.

    Features share most of their length, whoever is shown; from the mean, what differs is left.
    """
    centre = gallery.mean(axis=0, dtype=np.float64)
    one, two = (_unit(side - centre) for side in (probes, gallery))
    return np.asarray(1 - one @ two.T)


def rank_one(far: np.ndarray, people: Sequence[str], among: int) -> np.ndarray:
    """For each probe, how likely its own picture is the nearest among `among`, the others drawn at random.

    far: [N, N], own pictures on the diagonal; people: of either side. Others are pictures of other people;
    each must have `among` - 1 of them or more. Exact: no draw is made. One that is as near counts as nearer.
    """
    others = _others(people)
    own = np.diagonal(far)[:, None]
    nearer = (others & (far <= own)).sum(axis=1)
    count = others.sum(axis=1)
    drawn = among - 1
    if among < 1 or count.min(initial=drawn) < drawn:
        raise ValueError(f"not everyone has {drawn} pictures of others")
    chances = [
        math.comb(int(n - k), drawn) / math.comb(int(n), drawn) for n, k in zip(count, nearer, strict=True)
    ]
    return np.array(chances)


def verification_auc(far: np.ndarray, people: Sequence[str]) -> float:
    """The chance that a probe is nearer to its own picture than some probe is to another person's.

    Arguments as of `rank_one`; two people or more.
    """
    other = far[_others(people)]
    own = np.diagonal(far)
    truth = np.r_[np.ones(len(own)), np.zeros(len(other))]
    return float(roc_auc_score(truth, -np.r_[own, other]))


def fewest_others(people: Sequence[str]) -> int:
    """How many pictures of others everyone has at least."""
    return int(_others(people).sum(axis=1).min(initial=len(people)))


def _others(people: Sequence[str]) -> np.ndarray:
    names = np.asarray(people)
    return np.asarray(names[:, None] != names[None])


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
