"""What a generator lacks: bins of the training images, their occupancy, and the size of the support."""

from dataclasses import dataclass

import numpy as np
from scipy.special import rel_entr
from scipy.stats import chi2, norm
from sklearn.cluster import KMeans

from mien.core.errors import InputError

_LEVEL = 0.05
_RARE = 0.5  # times the share among reals: rarer, and surely so, a bin counts as missing
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
    if min(len(real), len(fake)) < 50:
        raise InputError("bins of training images need 50 images or more on each side")
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
