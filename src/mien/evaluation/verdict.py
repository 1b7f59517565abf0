"""What an audit says: tests of copying (attraction, C_T, authenticity), the verdict, the table shown."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel
from scipy.stats import fisher_exact, permutation_test
from sklearn.cluster import KMeans

from mien import TOOL
from mien.core.events import Column, Table
from mien.core.score import Interval
from mien.core.types import Dataset
from mien.evaluation.copies import Gallery, Nearest, Planted
from mien.faces.identity import SAME_PERSON
from mien.metrics._intervals import around, of_share

Verdict = Literal["release", "hold back", "undecided"]

_PASS = 0.01  # share of images that are no copies which the cut lets pass
_ALPHA = 0.005  # of each of the two tests
_COPY = 0.6  # times the least distance of the hold-out: as near as no image that is no copy
_PULL = 2.0  # times as many fakes for a training image as for an unseen one
_LEAST = {"unseen": 100, "fakes": 200}
_LEAST_NEAREST, _LEAST_FOUND = 0.95, 0.6
_CELLS = 5
_FEWEST_OF_A_CELL = 3  # of either side


class Power(BaseModel, frozen=True):
    """Of planted copies: nearest, the share whose original is the nearest; found, that below the cut."""

    way: str
    count: int
    nearest: float
    found: float
    found_by_identity: float


class Space(BaseModel, frozen=True):
    """One distance. cut: 1 % of the hold-out lie nearer. fakes, held_out: the shares that do.

    p_value: of fakes lying nearer no more often than the hold-out (Fisher's exact test, one-sided).
    medians: of the hold-out, the fakes, the planted copies.
    """

    cut: float
    fakes: Interval
    held_out: Interval
    p_value: float
    medians: tuple[float, float, float]


class Attraction(BaseModel, frozen=True):
    """Of each fake the nearest image, training and unseen ones together: which draw more fakes?

    share: of the fakes that lie nearest to a training image; expected: the share of training images. ratio:
    fakes for a training image over those for an unseen one. p_value: of that by chance, by permutation.
    """

    share: float
    expected: float
    ratio: float
    p_value: float


class Audit(BaseModel, frozen=True, protected_namespaces=()):
    """What `mien audit` found. stand_in: whether training images stood in for a hold-out.

    copies: fakes nearer than any image that is no copy. most_copies: the largest share of copies that the
    counts leave possible at 95 %. exit_code: of the command: 0 release, 1 hold back, 3 undecided.
    """

    model: str
    data: str
    data_hash: str
    hold_out: str
    stand_in: bool
    num_fakes: int
    num_train: int
    num_held_out: int
    verdict: Verdict
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    lpips: Space
    identity: Space
    attraction: Attraction | None
    copies: int
    copy_cut: float
    most_copies: float
    power: tuple[Power, ...]
    c_t: Interval | None
    authenticity: Interval
    tool: str = TOOL

    @property
    def exit_code(self) -> int:
        return {"release": 0, "hold back": 1, "undecided": 3}[self.verdict]


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
) -> Interval | None:
    """C_T (Meehan, Chaudhuri and Dasgupta 2020): below -3 it copies, above 3 it underfits; about 0 else.

    held_out, fake: distances to the nearest training image, [N] and [M]. cells_*: the cell of the space that
    each image lies in. Of each cell the Mann-Whitney statistic of "fakes are farther" as a standard normal,
    averaged by the hold-out's share of the cell. The interval is by leaving each image out in turn; the paper
    asks for more images in a cell, but then a cell that comes or goes moves C_T by more than any one of its
    images. None where no cell has enough of both.
    """
    cells = []
    for cell in np.unique(cells_held_out):
        ours, theirs = held_out[cells_held_out == cell], fake[cells_fake == cell]
        if min(len(ours), len(theirs)) >= _FEWEST_OF_A_CELL:
            cells.append(np.sign(theirs - ours[:, None]) / 2 + 0.5)  # which fakes are farther: [n, m]
    if not cells:
        return None
    parts = [len(farther) * _normal(farther.sum(), *farther.shape) for farther in cells]
    total, weight = sum(parts), sum(map(len, cells))
    without: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for farther, part in zip(cells, parts, strict=True):
        n, m = farther.shape
        all_, rest = farther.sum(), total - part
        without[0].append((rest + (n - 1) * _normal(all_ - farther.sum(1), n - 1, m)) / (weight - 1))
        without[1].append((rest + n * _normal(all_ - farther.sum(0), n, m - 1)) / weight)
    sides = [np.concatenate(side) for side in without]
    error = np.sqrt(sum((len(side) - 1) * side.var() for side in sides))
    value = float(total / weight)
    low, high = around(value, float(error), min(map(len, sides)) - 1)
    return Interval(value=value, low=low, high=high)


def _normal(farther: np.ndarray, n: int, m: int) -> np.ndarray:
    """The Mann-Whitney statistic of n and m distances as a standard normal."""
    return np.asarray((farther - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))


def authenticity(distances: np.ndarray, nearest: np.ndarray, own: np.ndarray) -> Interval:
    """The share of fakes that are no noisy copies by Alaa et al. (2022).

    distances, nearest: of each fake the nearest training image and its distance, [N]. own: the distance of
    each training image to its own nearest other one, [M]. A fake is authentic where it is farther than that.
    About .5 for images of the same distribution, 0 for copies.
    """
    return _share(int((distances > own[nearest]).sum()), len(distances))


def judged(
    nearest: Nearest,
    unseen: Nearest,
    among_all: np.ndarray | None,
    copies: Mapping[str, Planted],
    gallery: Gallery,
    *,
    model: str,
    data: Dataset,
    hold_out: str = "",
    others: str = "",
    notes: Sequence[str] = (),
) -> Audit:
    """The verdict on fakes, from what is nearest to them, to unseen images and to planted copies.

    among_all: the nearest to each fake of the training images and, numbered after them, the hold-out's.
    hold_out: its name; "" where training images stand in. others: what is said where the images are not those
    of the model's training, which forbids a release.
    """
    every = copies["all"].nearest
    lpips = _space(nearest.distances, unseen.distances, every.distances)
    identity = _space(nearest.identity, unseen.identity, every.identity)
    copy_cut = _COPY * float(unseen.distances.min())
    num_copies = int((nearest.distances < copy_cut).sum())
    power = tuple(
        Power(
            way=way,
            count=len(one.origins),
            nearest=float(np.mean(one.nearest.indexes == one.origins)),
            found=float(np.mean(one.nearest.distances <= lpips.cut)),
            found_by_identity=float(np.mean(one.nearest.identity <= identity.cut)),
        )
        for way, one in copies.items()
    )
    most = min(lpips.fakes.high / max(power[-1].found, 1e-9), 1.0)
    pull = None
    if among_all is not None:
        train, every_one = len(gallery), len(gallery) + len(unseen)
        drawn = np.bincount(among_all, minlength=every_one)
        ratio, p_value = attraction(drawn[:train], drawn[train:])
        share, expected = float(np.mean(among_all < train)), train / every_one
        pull = Attraction(share=share, expected=expected, ratio=ratio, p_value=p_value)
    counts = len(nearest), len(unseen)
    verdict, reasons = _verdict(lpips, identity, pull, num_copies, power[-1], most, *counts, others)
    own = gallery.own_identity()
    if hold_out and (cleared := cleared_by_identity(unseen.identity, own)):
        notes = (*notes, cleared)
    cells = cells_of(gallery.who)
    unseen_cells, fake_cells = (cells[near.who_indexes] for near in (unseen, nearest))
    return Audit(
        model=model,
        data=data.name,
        data_hash=data.content_hash,
        hold_out=hold_out,
        stand_in=not hold_out,
        num_fakes=len(nearest),
        num_train=len(gallery),
        num_held_out=len(unseen),
        verdict=verdict,
        reasons=reasons,
        notes=tuple(notes),
        lpips=lpips,
        identity=identity,
        attraction=pull,
        copies=num_copies,
        copy_cut=copy_cut,
        most_copies=most,
        power=power,
        c_t=c_t(unseen.distances, nearest.distances, unseen_cells, fake_cells),
        authenticity=authenticity(nearest.identity, nearest.who_indexes, own),
    )


def cleared_by_identity(unseen: np.ndarray, own: np.ndarray) -> str:
    """What is said of a hold-out that nobody is in whom the identity network takes for a training image.

    unseen, own: distances of unseen people, and of training images, to the nearest (other) training image.
    "" where somebody is as near as one person is to himself, or where chance could have left out all who are:
    the cut is then where people lie, and not where they were taken away.
    """
    usual = float(np.mean(own < SAME_PERSON))
    if (unseen < SAME_PERSON).any() or (1 - usual) ** len(unseen) >= _ALPHA:
        return ""
    return (
        f"no unseen person is nearer by identity than {SAME_PERSON:g}, though {usual:.0%} of the training"
        " images have another one so near: where the hold-out was cleared of such people by this network, the"
        " sign by identity is too strict, so draw one by names or by chance; where people stand in the"
        " training set several times, it holds"
    )


def _space(fakes: np.ndarray, unseen: np.ndarray, copies: np.ndarray) -> Space:
    cut = float(np.quantile(unseen, _PASS))
    below = [int((each <= cut).sum()) for each in (fakes, unseen)]
    counts = [[below[0], len(fakes) - below[0]], [below[1], len(unseen) - below[1]]]
    shares = [_share(number, len(each)) for number, each in zip(below, (fakes, unseen), strict=True)]
    return Space(
        cut=cut,
        fakes=shares[0],
        held_out=shares[1],
        p_value=float(fisher_exact(counts, alternative="greater").pvalue),
        medians=tuple(float(np.median(each)) for each in (unseen, fakes, copies)),
    )


def _share(number: int, count: int) -> Interval:
    low, high = of_share(number / count, count)
    return Interval(value=number / count, low=low, high=high)


def _verdict(
    lpips: Space,
    identity: Space,
    pull: Attraction | None,
    copies: int,
    power: Power,
    most: float,
    fakes: int,
    unseen: int,
    others: str = "",
) -> tuple[Verdict, tuple[str, ...]]:
    against = []
    if copies:
        against.append(
            f"{copies} of {fakes} fakes are all but copies of training images: nearer than {_COPY:g} times"
            " the nearest unseen image"
        )
    for name, space in (("by LPIPS", lpips), ("by identity", identity)):
        if space.p_value < _ALPHA:
            against.append(
                f"{space.fakes.value:.1%} of the fakes lie nearer to a training image {name} than {_PASS:.0%}"
                f" of unseen people do (p = {space.p_value:.1g})"
            )
    if pull is not None and pull.p_value < _ALPHA and pull.ratio >= _PULL:
        against.append(
            f"a training image draws {pull.ratio:.1f} times as many fakes as an unseen one:"
            f" {pull.share:.0%} of the fakes lie nearest to a training image, and by chance it were"
            f" {pull.expected:.0%} (p = {pull.p_value:.1g})"
        )
    if against:
        return "hold back", (*against, *filter(None, [others]))
    doubts = [others] if others else []
    if unseen < _LEAST["unseen"]:
        doubts.append(f"{unseen} unseen images make a coarse cut: use {_LEAST['unseen']} or more")
    if fakes < _LEAST["fakes"]:
        doubts.append(f"{fakes} fakes say little: use {_LEAST['fakes']} or more")
    if power.nearest < _LEAST_NEAREST or power.found < _LEAST_FOUND:
        doubts.append(
            f"of planted copies {power.nearest:.0%} had their original nearest and {power.found:.0%} were"
            f" found; below {_LEAST_NEAREST:.0%} and {_LEAST_FOUND:.0%} silence proves nothing"
        )
    if doubts:
        return "undecided", tuple(doubts)
    return "release", (
        f"{lpips.fakes.value:.1%} of the fakes lie below the cut that {_PASS:.0%} of unseen images pass",
        f"of planted copies {power.found:.0%} lie below it, so at most {most:.1%} of what it draws can be"
        " copies (95 %)",
    )


def cells_of(features: np.ndarray) -> np.ndarray:
    """The cell of each training image, of at most `_CELLS` by k-means: int [M]."""
    cells = max(min(_CELLS, len(features) // 10), 1)
    return np.asarray(KMeans(cells, n_init=3, random_state=0).fit(features).labels_)


def shown(result: Audit) -> Table:
    """What was planted and what was found of it, then fakes and unseen people."""
    columns = (
        Column("images"),
        Column("number", numbers=True),
        Column("original nearest", numbers=True),
        Column("below the cut", numbers=True),
        Column("by identity", numbers=True),
    )
    rows: list[tuple[str, ...]] = [
        (
            f"planted: {one.way}",
            f"{one.count}",
            f"{one.nearest:.0%}",
            f"{one.found:.0%}",
            f"{one.found_by_identity:.0%}",
        )
        for one in result.power
    ]
    by = (result.lpips, result.identity)
    who = "stand-ins for unseen people" if result.stand_in else "unseen people"
    rows.append((who, f"{result.num_held_out}", "", *(f"{s.held_out.value:.1%}" for s in by)))
    rows.append(("fakes", f"{result.num_fakes}", "", *(f"{s.fakes.value:.1%}" for s in by)))
    pull = result.attraction
    drawn = "" if pull is None else f"fakes of a training image for each of an unseen one: {pull.ratio:.2f}; "
    beside = ""
    if (c_t := result.c_t) is not None:
        beside = (
            f"C_T {c_t.value:.1f} ({c_t.low:.1f} to {c_t.high:.1f}; below -3: copies, above 3: far off); "
        )
    return Table(
        columns,
        tuple(rows),
        f"{result.model} against {result.num_train:,} training images of {result.data}",
        f"cut: LPIPS {result.lpips.cut:.3f}, identity {result.identity.cut:.2f}; {drawn}{beside}authenticity"
        f" {result.authenticity.value:.2f} ({result.authenticity.low:.2f} to {result.authenticity.high:.2f})",
    )
