"""Scores of copying: attraction, C_T and authenticity."""

import numpy as np
from scipy.stats import mannwhitneyu, permutation_test

_FEWEST = 10  # of either side in a cell: fewer say nothing of it


def attraction(train: np.ndarray, unseen: np.ndarray) -> tuple[float, float]:
    """How many times as many fakes a training image draws as an unseen one, and how likely that is by chance.

    train, unseen: of each image the number of fakes that have it as their nearest, of all in both, [N] and
    [M]. Each fake meets both kinds, so neither poor fakes nor all too usual ones favour one; for a model that
    did not learn its images by heart the kinds can be exchanged, which is what is permuted. With half a fake
    added to either kind.
    """
    ratio = (train.sum() + 0.5) / len(train) / ((unseen.sum() + 0.5) / len(unseen))
    test = permutation_test(
        (train.astype(float), unseen.astype(float)),
        lambda a, b, axis: a.mean(axis) - b.mean(axis),
        vectorized=True,
        n_resamples=1999,
        batch=200,
        alternative="greater",
        random_state=0,
    )
    return float(ratio), float(test.pvalue)


def c_t(
    held_out: np.ndarray, fake: np.ndarray, cells_held_out: np.ndarray, cells_fake: np.ndarray
) -> float | None:
    """C_T (Meehan, Chaudhuri and Dasgupta 2020): below -3 it copies, above 3 it underfits; about 0 else.

    held_out, fake: distances to the nearest training image, [N] and [M]. cells_*: the cell of the space that
    each image lies in. Of each cell the Mann-Whitney statistic of "fakes are farther" as a standard normal,
    averaged by the hold-out's share of the cell. None where no cell has enough of both.
    """
    total, weight = 0.0, 0
    for cell in np.unique(cells_held_out):
        ours, theirs = held_out[cells_held_out == cell], fake[cells_fake == cell]
        n, m = len(ours), len(theirs)
        if min(n, m) < _FEWEST:
            continue
        farther = float(mannwhitneyu(theirs, ours).statistic)
        total += n * (farther - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12)
        weight += n
    return total / weight if weight else None


def authenticity(distances: np.ndarray, nearest: np.ndarray, own: np.ndarray) -> float:
    """The share of fakes that are no noisy copies by Alaa et al. (2022).

    distances, nearest: of each fake the nearest training image and its distance, [N]. own: the distance of
    each training image to its own nearest other one, [M]. A fake is authentic where it is farther than that.
    About .5 for images of the same distribution, 0 for copies.
    """
    return float(np.mean(distances > own[nearest]))
