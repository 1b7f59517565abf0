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
_CLUSTERS, _LOST_CLUSTERS = 20, 2  # planted losses: a tenth of so many clusters
_PLANTINGS = 72  # at each size
_SIZES = (1.0, 0.6)  # times as many images as can be spared
_SLOPE = (2.0, 1.0)  # mean and spread of the logit's slope, of two sets of faces from 250 to 1,500 images
_ENOUGH = 0.8  # chance of finding a loss that a larger sample should have
_ALIKE = 0.01  # share of real images that have another real one nearer than the cut of the birthday test


@dataclass(frozen=True)
class Bin:
    """A cell of the training images. real, fake: the shares of both sides that lie in it.

    p_value: of fakes being there no more seldom. missing: whether they surely are (after Holm's correction
    over all bins), and by half or more.
    """

    number: int
    real: float
    fake: float
    p_value: float
    missing: bool

    @property
    def ratio(self) -> float:
        return self.fake / self.real


@dataclass(frozen=True)
class Occupancy:
    """NDB (Richardson and Weiss 2018): bins whose shares differ at 5 %, over their number, and JSD in bits.

    ndb_real: what one half of the reals has against the other: about .05. bins: the emptiest first.
    labels_real: the bin of each real.
    """

    ndb: float
    ndb_real: float
    jsd: float
    bins: tuple[Bin, ...]
    labels_real: np.ndarray

    @property
    def missing(self) -> tuple[Bin, ...]:
        return tuple(bin_ for bin_ in self.bins if bin_.missing)


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

    bins: by default so many that a cell holds some 25 reals and would hold 10 fakes, 5 to 100. Raises
    InputError with too few images.
    """
    if min(len(real), len(fake)) < _FEWEST:
        raise InputError(
            f"bins of training images need {_FEWEST} images or more on each side; there are {len(real)}"
            f" training images and {len(fake)} fakes"
        )
    most = len(real) // 2
    if bins is not None and not 2 <= bins <= most:
        raise InputError(f"{bins} bins of {len(real):,} training images: choose 2 to {most:,}")
    # With fewer fakes to a bin, not even an empty one surely lacks them.
    number = bins or int(np.clip(min(len(real) // 25, len(fake) // 10), 5, 100))
    half = np.random.RandomState(seed).permutation(len(real))
    fitted = KMeans(number, n_init=3, random_state=seed).fit(np.asarray(real, np.float32))
    labels, theirs = fitted.labels_, fitted.predict(np.asarray(fake, np.float32))
    counts = [np.bincount(each, minlength=number) for each in (labels, theirs)]
    chances = norm.cdf(_pooled_z(*counts))
    shares = [count / count.sum() for count in counts]
    missing = _holm(chances) & (shares[1] < _RARE * shares[0])
    cells = [
        Bin(at, float(shares[0][at]), float(shares[1][at]), float(chances[at]), bool(missing[at]))
        for at in range(number)
    ]
    first, second = (np.bincount(labels[part], minlength=number) for part in np.array_split(half, 2))
    return Occupancy(
        ndb=_ndb(*counts),
        ndb_real=_ndb(first, second),
        jsd=_jsd(*shares),
        bins=tuple(sorted(cells, key=lambda cell: cell.ratio)),
        labels_real=labels,
    )


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
    occupied = occupancy(rows[kept], rows[fakes], bins=bins, seed=int(rng.randint(1 << 30)))
    return any(lost[kept][occupied.labels_real == one.number].mean() > 0.5 for one in occupied.missing)


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


def _pooled_z(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """z of each bin's difference in shares, with the pooled error."""
    n, m = real.sum(), fake.sum()
    pooled = (real + fake) / (n + m)
    error = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) * (1 / n + 1 / m))
    return np.asarray((fake / m - real / n) / error)


def _ndb(real: np.ndarray, fake: np.ndarray) -> float:
    """The share of bins whose shares differ at 5 %."""
    return float(np.mean(2 * norm.sf(np.abs(_pooled_z(real, fake))) < _LEVEL))


def _holm(chances: np.ndarray) -> np.ndarray:
    """Which hypotheses fall at 5 % over all of them together (Holm 1979)."""
    order = np.argsort(chances)
    bounds = _LEVEL / (len(chances) - np.arange(len(chances)))
    rejected = np.cumprod(chances[order] < bounds).astype(bool)
    out = np.zeros(len(chances), bool)
    out[order] = rejected
    return out


def _jsd(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen-Shannon divergence in bits, 0 to 1."""
    middle = (p + q) / 2
    return float((rel_entr(p, middle).sum() + rel_entr(q, middle).sum()) / (2 * np.log(2)))
