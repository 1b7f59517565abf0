"""`mien audit`: may this model be released, or does it repeat its training images?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from scipy.stats import fisher_exact
from sklearn.cluster import KMeans
from torch import Tensor

from mien import TOOL
from mien.attributes.agreement import Interval
from mien.core import artefacts
from mien.core.atomic import write_text
from mien.core.errors import InputError
from mien.core.events import Column, Events, Table, Tick, Tone, job
from mien.core.types import Dataset
from mien.datasets.opening import open_dataset
from mien.evaluation.audit_page import Evidence, write_page
from mien.evaluation.copies import WAYS, Gallery, Nearest, Planted, planted
from mien.evaluation.image_sets import DatasetReals, Fakes, Model, choice, open_fakes, pictures
from mien.evaluation.memorised import attraction, authenticity, c_t
from mien.labels.records import text_of
from mien.metrics._intervals import of_share
from mien.nn.lpips import ARTEFACT
from mien.training.settings import pick_device

Verdict = Literal["release", "hold back", "undecided"]

_PASS = 0.01  # share of images that are no copies which the cut lets pass
_ALPHA = 0.005  # of each of the two tests
_COPY = 0.6  # times the least distance of the hold-out: as near as no image that is no copy
_PULL = 2.0  # times as many fakes for a training image as for an unseen one
_SAME = 0.02  # distance of a hold-out image that is in the training set
_MOST_TRAIN, _MOST_UNSEEN, _MOST_STAND_IN = 20_000, 500, 300
_FEWEST = 8
_PLANTED = 50  # training images that are disturbed in each way
_LEAST = {"unseen": 100, "fakes": 200}
_LEAST_NEAREST, _LEAST_FOUND = 0.95, 0.6
_CELLS = 5


class Power(BaseModel):
    """Of planted copies: nearest, the share whose original is the nearest; found, that below the cut."""

    model_config = ConfigDict(frozen=True)

    way: str
    count: int
    nearest: float
    found: float
    found_by_identity: float


class Space(BaseModel):
    """One distance. cut: 1 % of the hold-out lie nearer. fakes, held_out: the shares that do.

    p_value: of fakes lying nearer no more often than the hold-out (Fisher's exact test, one-sided).
    medians: of the hold-out, the fakes, the planted copies.
    """

    model_config = ConfigDict(frozen=True)

    cut: float
    fakes: Interval
    held_out: Interval
    p_value: float
    medians: tuple[float, float, float]


class Attraction(BaseModel):
    """Of each fake the nearest image, training and unseen ones together: which draw more fakes?

    share: of the fakes that lie nearest to a training image; expected: the share of training images. ratio:
    fakes for a training image over those for an unseen one. p_value: of that by chance, by permutation.
    """

    model_config = ConfigDict(frozen=True)

    share: float
    expected: float
    ratio: float
    p_value: float


class Audit(BaseModel):
    """What `mien audit` found. stand_in: whether training images stood in for a hold-out.

    copies: fakes nearer than any image that is no copy. most_copies: the largest share of copies that the
    counts leave possible at 95 %. exit_code: of the command: 0 release, 1 hold back, 3 undecided.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

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
    c_t: float | None
    authenticity: float
    tool: str = TOOL

    @property
    def exit_code(self) -> int:
        return {"release": 0, "hold back": 1, "undecided": 3}[self.verdict]


@job
def audit(
    events: Events,
    run: str,
    /,
    *,
    data: str,
    holdout: str | None = None,
    out: Path = Path("audit"),
    count: int = 500,
    seed: int = 0,
    trunc: float = 1.0,
    device: str = "auto",
) -> Audit:
    """Say whether a model repeats its training images: may it be released, by which thresholds, how surely.

    Fakes, and people that the model never saw, are compared with the training images: LPIPS after each pair
    was aligned, and who it is. Where fakes lie nearer than unseen people do, the model copies. Planted copies
    (mirrored, JPEG, zoomed, brighter) show what would be found. Writes audit.html, a page of the closest
    pairs, and audit.json. The exit code is 0 for release, 1 for hold back, 3 for undecided. Raises InputError
    where there are too few images.

    Parameters
    ----------
    run
        A run folder, a .safetensors file, "packaged", or pictures: a folder, a zip, an .npy or .npz.
    data
        What it was trained on, as for train.
    holdout
        Images of people that it was not trained on, drawn alike; without, training images stand in, each
        against the images of all others.
    out
        Folder for the page and the JSON.
    count
        How many fakes are drawn.
    seed
        Seed of the first fake.
    trunc
        Truncation psi from 0 to 1.
    device
        cpu, cuda, mps or auto: where fakes are drawn.
    """
    for name in (ARTEFACT["alexnet"], "identity"):
        artefacts.obtain(name, announce=events.note)
    place = pick_device(device)
    source = open_fakes(run, place)
    train, held = open_dataset(data), None if holdout is None else open_dataset(holdout)
    count = count if source.most is None else min(count, source.most)
    _check(run, source.spec.resolution, train, data, held, holdout, count)
    drawn = source.batches(DatasetReals(train), count, seed=seed, psi=trunc, device=place)
    fakes = torch.cat(list(drawn))
    events.started("1/3 reads the training images")
    images = images_of(train, _MOST_TRAIN)
    gallery = Gallery(images, progress=events.progress("reading training images"))
    events.started("2/3 compares unseen people and planted copies with them")
    notes = _notes(source, train, len(gallery))
    unseen, people = _unseen(gallery, train, images, held, notes, events.progress("comparing the hold-out"))
    copies = {way: _planted(gallery, images, way) for way in (*WAYS, "all")}
    events.started("3/3 compares the fakes with them")
    nearest = gallery.nearest(fakes, progress=events.progress("comparing fakes"))
    among_all = None
    if people is not None:
        progress = events.progress("comparing fakes with both")
        among_all = gallery.with_images(people).nearest(fakes, progress=progress).indexes
    result = judged(
        nearest,
        unseen,
        among_all,
        copies,
        gallery,
        model=str(source.about(count, seed, trunc)["model_id"]),
        data=train,
        hold_out="" if held is None else held.name,
        notes=notes,
    )
    seeds = list(range(seed, seed + count)) if isinstance(source, Model) else None
    write_text(out / "audit.json", result.model_dump_json(indent=1) + "\n")
    write_page(out / "audit.html", Evidence(result, fakes, images, nearest, unseen, copies, seeds))
    events.send(shown(result))
    for line in (*result.reasons, *result.notes):
        events.note(line)
    tone: Tone = "strong" if result.verdict == "release" else "warning"
    events.note(f"verdict: {result.verdict}", tone)
    for name in ("audit.html", "audit.json"):
        events.wrote(out / name)
    return result


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
    notes: Sequence[str] = (),
) -> Audit:
    """The verdict on fakes, from what is nearest to them, to unseen images and to planted copies.

    among_all: the nearest to each fake of the training images and, numbered after them, the hold-out's.
    hold_out: its name; "" where training images stand in.
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
    pull = None if among_all is None else _attraction(among_all, len(gallery), len(unseen))
    verdict, reasons = _verdict(lpips, identity, pull, num_copies, power[-1], most, len(nearest), len(unseen))
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
        authenticity=authenticity(nearest.identity, nearest.who_indexes, gallery.own_identity()),
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


def _attraction(among_all: np.ndarray, num_train: int, num_unseen: int) -> Attraction:
    drawn = np.bincount(among_all, minlength=num_train + num_unseen)
    ratio, p_value = attraction(drawn[:num_train], drawn[num_train:])
    share, expected = float(np.mean(among_all < num_train)), num_train / (num_train + num_unseen)
    return Attraction(share=share, expected=expected, ratio=ratio, p_value=p_value)


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
) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict, and why."""
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
        return "hold back", tuple(against)
    doubts = []
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


def images_of(dataset: Dataset, most: int) -> Tensor:
    """At most so many of its images, a fixed random choice: uint8 [N, C, S, S]."""
    chosen = np.sort(choice(len(dataset), min(most, len(dataset))))
    return torch.cat(list(pictures(dataset, chosen)))


def _check(
    run: str, side: int, train: Dataset, data: str, held: Dataset | None, holdout: str | None, count: int
) -> None:
    sides = {run: side} | ({} if held is None else {str(holdout): held.spec.resolution})
    for name, pixels in sides.items():
        if pixels != train.spec.resolution:
            raise InputError(f"{name}: {pixels} pixels a side, but {data} has {train.spec.resolution}")
    fewest = min(len(train), count, _FEWEST if held is None else len(held))
    if fewest < _FEWEST:
        raise InputError(f"an audit needs {_FEWEST} images or more of fakes, training set and hold-out")


def _notes(source: Fakes, train: Dataset, compared: int) -> list[str]:
    notes = []
    info = source.header.dataset if isinstance(source, Model) else None
    if info is not None and info.content_hash != train.content_hash:
        notes.append(f"{train.name} is not what the model says it was trained on ({info.name})")
    if compared < len(train):
        notes.append(f"{compared:,} of {len(train):,} training images were compared, a random choice")
    return notes


def _unseen(
    gallery: Gallery, train: Dataset, images: Tensor, held: Dataset | None, notes: list[str], progress: Tick
) -> tuple[Nearest, Tensor | None]:
    """What is nearest to people that the model never saw; without any, to training images themselves.

    For images drawn alike it is the same whether the model saw them: only distances to others count. With the
    hold-out's images, None without one.
    """
    people = None if held is None else images_of(held, _MOST_UNSEEN)
    if people is not None:
        nearest = gallery.nearest(people, progress=progress)
    else:
        notes.append(
            "without a hold-out, training images stand in for unseen people, each against all images of"
            " others (of people that the manifest names); give --holdout where you have one"
        )
        at = choice(len(images), min(_MOST_STAND_IN, len(images)))
        same = _same_person(train, len(images))[at]
        same[np.arange(len(at)), at] = True
        alone = same.all(1)
        if alone.all():
            raise InputError("the training images show one person alone; give images of others as --holdout")
        nearest = gallery.nearest(images[at[~alone]], leave_out=same[~alone], progress=progress)
    repeated = nearest.distances < _SAME
    if repeated.any():
        notes.append(f"{repeated.sum()} images that stood for unseen people lie in the training set twice")
    if (~repeated).sum() < _FEWEST:
        raise InputError("all that stands for unseen people is in the training set; give other images")
    kept = torch.from_numpy(~repeated)
    return nearest.only(~repeated), None if people is None else people[kept]


def _same_person(train: Dataset, count: int) -> np.ndarray:
    """Which training images show one person by the manifest, bool [count, count]."""
    chosen = np.sort(choice(len(train), count))
    people = np.array([text_of(train.records[int(index)], "person") for index in chosen])
    return np.asarray((people[:, None] == people[None]) & (people != "")[None])


def _planted(gallery: Gallery, images: Tensor, way: str) -> Planted:
    origins = np.unique(np.linspace(0, len(images) - 1, min(_PLANTED, len(images))).astype(int))
    return Planted(origins, gallery.nearest(planted(images[origins], way)))


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
    rows.append(("unseen people", f"{result.num_held_out}", "", *(f"{s.held_out.value:.1%}" for s in by)))
    rows.append(("fakes", f"{result.num_fakes}", "", *(f"{s.fakes.value:.1%}" for s in by)))
    pull = result.attraction
    drawn = "" if pull is None else f"fakes of a training image for each of an unseen one: {pull.ratio:.2f}; "
    beside = "" if result.c_t is None else f"C_T {result.c_t:.1f} (below -3: copies, above 3: far off); "
    return Table(
        columns,
        tuple(rows),
        f"{result.model} against {result.num_train:,} training images of {result.data}",
        f"cut: LPIPS {result.lpips.cut:.3f}, identity {result.identity.cut:.2f}; {drawn}{beside}authenticity"
        f" {result.authenticity:.2f}",
    )
