"""What a generator lacks: bins of the training images, their occupancy, and the size of the support."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, rel_entr
from scipy.stats import chi2, norm
from sklearn.cluster import KMeans

from mien.core.errors import InputError
from mien.metrics._intervals import around

_FEWEST = 50  # images a side
_LEVEL = 0.05
_RARE = 0.5  # times the share among reals: rarer, and surely so, a bin counts as missing
_PARTITIONS = 8  # of each of two sizes of bins
_PERMUTATIONS = 200
_CLUSTERS, _LOST_CLUSTERS = 20, 2  # planted losses: a tenth of so many clusters
_PLANTINGS = 72  # at each size
_SIZES = (1.0, 0.6)  # times as many images as can be spared
_SLOPE = (2.0, 1.0)  # mean and spread of the logit's slope, of two sets of faces from 250 to 1,500 images
_ENOUGH = 0.8  # chance of finding a loss that a larger sample should have
_ALIKE = 0.01  # share of real images that have another real one nearer than the cut of the birthday test


@dataclass(frozen=True)
class Bin:
    """A cell of the training images. members: their indexes. real, fake: the shares of both sides in it."""

    members: np.ndarray
    real: float
    fake: float

    @property
    def ratio(self) -> float:
        return self.fake / self.real


@dataclass(frozen=True)
class Occupancy:
    """NDB (Richardson and Weiss 2018): bins whose shares differ at 5 %, over their number, and JSD in bits.

    ndb_real: what one half of the reals has against the other: about .05. bins: the emptiest first. missing:
    of many ways to part the reals, bins that fakes surely lack, by half or more; of overlapping ones the
    emptiest.
    """

    ndb: float
    ndb_real: float
    jsd: float
    bins: tuple[Bin, ...]
    missing: tuple[Bin, ...]

    @property
    def missing_reals(self) -> np.ndarray:
        """Indexes of the reals that lie in a missing bin."""
        return np.unique(np.concatenate([np.zeros(0, int), *(one.members for one in self.missing)]))


@dataclass(frozen=True)
class Power:
    """The chance that `occupancy` finds the loss of a tenth of the clusters; low, high: 95 %.

    times: that many times as many images on both sides would find it in 80 %; 1 at least.
    """

    chance: float
    low: float
    high: float
    times: float


@dataclass(frozen=True)
class Support:
    """How many different images a set holds, by the birthday paradox (Arora, Risteski and Zhang 2018).

    pairs: of the images, those nearer than the cut. size: as many equally likely images would have that
    many; low, high: 95 %; infinite where no pair was found.
    """

    count: int
    pairs: int
    size: float
    low: float
    high: float


def occupancy(real: np.ndarray, fake: np.ndarray, *, bins: int | None = None, seed: int = 0) -> Occupancy:
    """Shares of both sides in cells of the reals. real, fake: features [N, D] and [M, D].

    bins: by default so many that a cell holds some 25 reals and would hold 10 fakes, 5 to 100; what is
    missing is looked for with as many and with twice as many. Raises InputError with too few images.
    """
    if min(len(real), len(fake)) < _FEWEST:
        raise InputError(
            f"bins of training images need {_FEWEST} images or more on each side; there are {len(real)}"
            f" training images and {len(fake)} fakes"
        )
    most = len(real) // 2
    if bins is not None and not 2 <= bins <= most:
        raise InputError(f"{bins} bins of {len(real):,} training images: choose 2 to {most:,}")
    number = bins or _number_of_bins(len(real), len(fake))
    x, y = np.asarray(real, np.float32), np.asarray(fake, np.float32)
    fitted = KMeans(number, n_init=3, random_state=seed).fit(x)
    labels, theirs = fitted.labels_, fitted.predict(y)
    counts = [np.bincount(each, minlength=number) for each in (labels, theirs)]
    shares = [count / count.sum() for count in counts]
    cells = [
        Bin(np.flatnonzero(labels == at), float(shares[0][at]), float(shares[1][at])) for at in range(number)
    ]
    half = np.random.RandomState(seed).permutation(len(real))
    first, second = (np.bincount(labels[part], minlength=number) for part in np.array_split(half, 2))
    return Occupancy(
        ndb=_ndb(*counts),
        ndb_real=_ndb(first, second),
        jsd=_jsd(*shares),
        bins=tuple(sorted(cells, key=lambda cell: cell.ratio)),
        missing=tuple(_missing(x, y, number, seed)),
    )


def _number_of_bins(num_real: int, num_fake: int) -> int:
    """With fewer fakes to a bin, not even an empty one surely lacks them."""
    return int(np.clip(min(num_real // 25, num_fake // 10), 5, 100))


def _missing(real: np.ndarray, fake: np.ndarray, bins: int, seed: int) -> list[Bin]:
    """Bins of many partitions that fakes surely lack (5 % over all of them together), the emptiest first.

    A lost kind of face seldom fills a bin of one partition; of many, some bin fits it. Bins overlap, so what
    is least of all of them by chance is found by permuting which side an image is of (Westfall and Young
    1993), and a bin counts for what emptier ones do not hold, which is to be most of it.
    """
    rng = np.random.RandomState(seed)
    parted = []
    for number in (bins, min(2 * bins, len(real) // 2)):
        for _ in range(_PARTITIONS):
            # Few steps from chance: partitions are to differ.
            means = KMeans(number, init="random", n_init=1, max_iter=8, random_state=rng.randint(1 << 30))
            labels = np.concatenate([means.fit(real).labels_, means.predict(fake)])
            parted.append(np.eye(number, dtype=np.float32)[labels])
    within = np.concatenate(parted, axis=1)
    sides = np.zeros((_PERMUTATIONS + 1, len(within)), np.float32)
    sides[:, : len(real)] = 1
    for row in sides[1:]:
        rng.shuffle(row)
    counts = sides @ within  # of reals in each bin: in truth, then by chance
    z = _pooled_z(counts, within.sum(0) - counts, len(real), len(fake))
    by_chance = np.sort(z[1:].min(axis=1))
    real_share, fake_share = (part.mean(0) for part in np.split(within, [len(real)]))
    sure = np.flatnonzero(z[0] < by_chance[int(_LEVEL * _PERMUTATIONS) - 1])
    found, left = [], np.ones(len(within), bool)
    for at in sure[np.argsort(fake_share[sure] / real_share[sure], kind="stable")]:
        here = within[:, at] > 0
        new_real, new_fake = (part.mean() for part in np.split(here & left, [len(real)]))
        if new_real > real_share[at] / 2 and new_fake < _RARE * new_real:
            found.append(Bin(np.flatnonzero(here[: len(real)]), float(real_share[at]), float(fake_share[at])))
            left &= ~here
    return found


def power(real: np.ndarray, num_fake: int, *, bins: int | None = None, seed: int = 0) -> Power | None:
    """The chance that `occupancy` finds a loss in so many fakes, tried on the reals; None where they are few.

    Again and again some reals stand for fakes, two of twenty clusters are taken from them, and they are
    compared with the others. It counts as found where a bin that is mostly of those clusters is missing.
    Since one set has to do for both sides, they are smaller than in earnest: the chances at two sizes, whose
    logits grow with the logarithm of the size, are carried on to the whole.
    """
    count = len(real)
    most = count / (count + num_fake / (1 - 1.5 * _LOST_CLUSTERS / _CLUSTERS))
    sizes = [most * size for size in _SIZES if most * size * min(count, num_fake) >= _FEWEST]
    if not sizes:
        return None
    rng = np.random.RandomState(seed)
    rows = np.asarray(real, np.float32)
    found = np.zeros(len(sizes))
    for _ in range(_PLANTINGS):
        clusters = KMeans(_CLUSTERS, n_init=1, random_state=rng.randint(1 << 30)).fit(rows).labels_
        lost = np.isin(clusters, rng.choice(_CLUSTERS, _LOST_CLUSTERS, replace=False))
        for at, size in enumerate(sizes):
            here = None if bins is None else max(2, round(bins * size))
            found[at] += _finds(rows, lost, round(size * count), round(size * num_fake), here, rng)
    return _carried_on(found, np.log(sizes))


def _finds(
    rows: np.ndarray,
    lost: np.ndarray,
    count: int,
    num_fake: int,
    bins: int | None,
    rng: np.random.RandomState,
) -> bool:
    """Whether `count` rows against `num_fake` others that lack the lost ones show a loss."""
    order = rng.permutation(len(rows))
    kept, rest = order[:count], order[count:]
    fakes = rest[~lost[rest]][:num_fake]
    number = bins or _number_of_bins(len(kept), len(fakes))
    missing = _missing(rows[kept], rows[fakes], number, int(rng.randint(1 << 30)))
    return any(lost[kept][one.members].mean() > 0.5 for one in missing)


def _carried_on(found: np.ndarray, log_sizes: np.ndarray) -> Power:
    """The chance at size 1: a line through the logits by least squares. found: of _PLANTINGS at each size."""
    found, failed = found + 0.5, _PLANTINGS - found + 0.5
    precision = np.sqrt(found * failed / (found + failed))
    # Sizes so alike hardly tell the slope, so what is known of it counts as one more observation.
    rows = np.vstack(
        [np.column_stack([np.ones(len(found)), log_sizes]) * precision[:, None], [0, 1 / _SLOPE[1]]]
    )
    covariance = np.linalg.inv(rows.T @ rows)
    observed = np.append(np.log(found / failed) * precision, _SLOPE[0] / _SLOPE[1])
    whole, slope = covariance @ rows.T @ observed
    chance, low, high = (
        float(expit(each)) for each in (whole, *around(whole, float(covariance[0, 0] ** 0.5)))
    )
    times = max(float(np.exp((logit(_ENOUGH) - whole) / max(slope, _SLOPE[1]))), 1.0)
    return Power(chance, low, high, times)


def support(distances: np.ndarray, cut: float) -> Support:
    """The support of a set by its pairs nearer than `cut`. distances: among its images, [N, N]."""
    count = len(distances)
    pairs = int((distances[np.triu_indices(count, 1)] < cut).sum())
    possible = count * (count - 1) / 2
    # Jeffreys' interval of a Poisson's mean: the exact one holds it in 98 % or more where pairs are few.
    low, high = chi2.ppf((0.025, 0.975), 2 * pairs + 1) / 2 if pairs else (0.0, chi2.ppf(0.975, 1) / 2)
    size = possible / pairs if pairs else float("inf")
    return Support(count, pairs, size, possible / high, possible / low if low else float("inf"))


def cut_of(distances: np.ndarray) -> float:
    """The distance below which 1 % of reals have another one. distances: among reals, [N, N]."""
    apart = distances + np.diag(np.full(len(distances), np.inf))
    return float(np.quantile(apart.min(1), _ALIKE))


def _pooled_z(real: np.ndarray, fake: np.ndarray, n: int, m: int) -> np.ndarray:
    """z of each bin's difference in shares, of n and m images, with the pooled error."""
    pooled = (real + fake) / (n + m)
    error = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) * (1 / n + 1 / m))
    return np.asarray((fake / m - real / n) / error)


def _ndb(real: np.ndarray, fake: np.ndarray) -> float:
    """The share of bins whose shares differ at 5 %."""
    z = _pooled_z(real, fake, real.sum(), fake.sum())
    return float(np.mean(2 * norm.sf(np.abs(z)) < _LEVEL))


def _jsd(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen-Shannon divergence in bits, 0 to 1."""
    middle = (p + q) / 2
    return float((rel_entr(p, middle).sum() + rel_entr(q, middle).sum()) / (2 * np.log(2)))
