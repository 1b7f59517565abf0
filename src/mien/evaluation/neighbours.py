"""Memorisation check: the nearest neighbours of generated samples among the training images."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mien.core import artefacts
from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.image import evenly_spaced, to_float
from mien.core.types import Dataset
from mien.metrics.features import open_network
from mien.nn.lpips import Lpips

_BATCH = 128
_CHUNK_NUMBERS = 6_000_000  # doubles at once
# Some 6 ms an image; 12 kB of memory; 10 ms and 130 kB at 64 px; 20 ms.
_MOST_REALS = {"mesh": 10_000, "pixels": 20_000, "lpips": 4_000, "identity": 5_000}
_NEEDS = {"lpips": "lpips-alexnet", "identity": "identity", "mesh": "face-mesh"}  # in the order of preference
_FAR = 2.5  # times the usual distance between real pictures
_MOST_PROBES = 256  # real images whose own nearest neighbours say what is usual
_PIXEL_SIDE = 32
_MOST_LPIPS_SIDE = 128  # beyond it the vectors of thousands of pictures do not fit
_CLOSE = 0.05  # the share of real pictures that lie closer to another one than "close" does
_SAME = 1e-5  # share of a vector's length that is rounding
_COPY = 0.25  # times the usual distance: no two people look that much alike
_SUSPICIOUS = 0.15  # three times as many samples as real pictures lie that close


@dataclass(frozen=True)
class Neighbour:
    """A training image. index: in the dataset. ratio: its distance over the usual one between reals."""

    index: int
    ratio: float


@dataclass(frozen=True)
class NearestNeighbours:
    """The nearest training images of each sample.

    space: "lpips", "identity", "mesh" or "pixels". neighbours: of each sample, nearest first.
    num_reals: training pictures compared, of `num_all`. usual: median distance of a real picture to the
    nearest other one; all ratios are relative to it. close: the ratio below which only 5 % of real pictures
    have a neighbour.
    """

    space: str
    neighbours: tuple[tuple[Neighbour, ...], ...]
    num_reals: int
    num_all: int
    usual: float
    close: float

    @property
    def close_share(self) -> float:
        """Share of samples closer to a training image than 95 % of real images are to each other."""
        return float(np.mean([row[0].ratio < self.close for row in self.neighbours]))

    @property
    def median(self) -> float:
        """The samples' median ratio."""
        return float(np.median([row[0].ratio for row in self.neighbours]))

    @property
    def num_copies(self) -> int:
        """Number of near copies of training images among the samples."""
        return sum(row[0].ratio < _COPY for row in self.neighbours)

    @property
    def suspicious(self) -> bool:
        """Whether the generator seems to repeat training images: copies, or many samples that lie close."""
        return self.num_copies > 0 or self.close_share > _SUSPICIOUS

    @property
    def verdict(self) -> tuple[str, str]:
        """A tone ("good" or "doubt") and a sentence."""
        calm = not self.suspicious and self.median <= _FAR
        return "good" if calm else "doubt", next(self.sentences())

    def sentences(self) -> Iterator[str]:
        """The comparison in words, the conclusion first."""
        share = f"{self.close_share:.0%} of {len(self.neighbours)} samples"
        where = "lie closer to a training picture than 95% of the real pictures lie to each other"
        if self.num_copies:
            copies = (
                f"{self.num_copies} of {len(self.neighbours)} samples are all but copies of training pictures"
            )
            yield f"It has learned pictures by heart: {copies}."
        elif self.suspicious:
            yield f"It may have learned pictures by heart: {share} {where}."
        elif self.median > _FAR:
            yield (
                "Its samples do not look like the training pictures yet: they are typically"
                f" {self.median:.1f} times as far from them as those are from each other."
            )
        else:
            yield f"No sign that it repeats its training pictures: {share} {where} (5% would be usual)."
        yield (
            f"A sample's nearest training picture is, in the median, {self.median:.2f} times as far away as a"
            " real picture's nearest other one. Values near 0 would be copies."
        )

    def closest(self, count: int) -> list[int]:
        """Indexes of the samples with the smallest distance to a training image, the smallest first."""
        ratios = [row[0].ratio for row in self.neighbours]
        return [int(i) for i in np.argsort(ratios, kind="stable")[:count]]


def memorisation(compared: Sequence[NearestNeighbours]) -> tuple[str, str] | None:
    """The verdict of the comparison that is suspicious, else of the first, which is the best."""
    chosen = sorted(compared, key=lambda one: not one.suspicious)[:1]
    return chosen[0].verdict if chosen else None


def nearest(
    samples: Tensor,
    dataset: Dataset,
    *,
    mirror: bool,
    count: int = 4,
    space: str | None = None,
    progress: Tick | None = None,
) -> NearestNeighbours:
    """Find the `count` training pictures nearest to each of `samples` (uint8 [N, C, H, W]).

    mirror: the generator learned from mirrored pictures too, so samples are also compared mirrored.
    space: "lpips" (perceptual distance through AlexNet), "identity" (face recognition), "mesh" (features of
    the face-mesh network) or "pixels" (colours at 32 x 32); by default the first of these whose file is
    cached and which takes pictures of this size. Distances are Euclidean; of LPIPS, whose square they are
    then, the root. Very large sets are thinned evenly. progress(done, total) counts training pictures. Raises
    InputError where the dataset does not hold two different pictures.
    """
    if len(dataset) < 2:
        raise InputError(f"{dataset.name} holds a single picture: no distance is usual")
    space = space or spaces(samples.shape[-1])[0]
    embed = _lpips() if space == "lpips" else _pixels if space == "pixels" else open_network(space).features
    side, most = samples.shape[-1], _MOST_REALS[space]
    if space == "lpips" and side > 64:  # whose vectors grow with the image
        most = most * 64**2 // side**2
    chosen = evenly_spaced(dataset, min(len(dataset), most))
    batches = []
    for start in range(0, len(chosen), _BATCH):
        batches.append(embed(_pictures(dataset, chosen[start : start + _BATCH])))
        if progress:
            progress(min(start + _BATCH, len(chosen)), len(chosen))
    reals = np.concatenate(batches)
    probes = evenly_spaced(chosen, _MOST_PROBES)
    own = _distances(embed, _pictures(dataset, chosen[probes]), reals, mirror=mirror)
    own[np.arange(len(probes)), probes] = np.inf  # a picture is no neighbour of itself ...
    size = float(np.sqrt(np.mean([float(row @ row) for row in reals])))
    own[own <= _SAME * size] = np.inf  # ... nor of the same picture filed twice
    usual_each = own.min(axis=1)
    usual_each = usual_each[np.isfinite(usual_each)]
    if not len(usual_each):
        raise InputError(f"all pictures of {dataset.name} are the same one: no distance is usual")
    usual = float(np.median(usual_each))
    distances = _distances(embed, samples, reals, mirror=mirror)
    order = np.argsort(distances, axis=1, kind="stable")[:, :count]
    neighbours = tuple(
        tuple(Neighbour(int(chosen[i]), float(row[i]) / usual) for i in indexes)
        for row, indexes in zip(distances, order, strict=True)
    )
    close = float(np.quantile(usual_each, _CLOSE)) / usual
    return NearestNeighbours(space, neighbours, len(chosen), len(dataset), usual, close)


Embed = Callable[[Tensor], np.ndarray]


def spaces(side: int) -> tuple[str, ...]:
    """The feature spaces in which copies can be detected, of those whose files are here; the best first.

    LPIPS, which finds 95 of 100 disturbed copies, and identity, which finds 89; else mesh, which finds 14;
    else pixels. side: of the pictures; LPIPS takes 32 pixels and more.
    """
    here = [space for space, file in _NEEDS.items() if artefacts.artefact_path(file) is not None]
    if not 32 <= side <= _MOST_LPIPS_SIDE:
        here = [space for space in here if space != "lpips"]
    return tuple(space for space in here if space != "mesh") or (*here, "pixels")[:1]


def _lpips() -> Embed:
    """Vectors whose squared distance is LPIPS through AlexNet."""
    network = Lpips.load("alexnet")

    def look(images: Tensor) -> np.ndarray:
        parts = [network.embed(to_float(part).expand(-1, 3, -1, -1)) for part in torch.split(images, 16)]
        return torch.cat(parts).numpy() if parts else np.zeros((0, 1), np.float32)

    return torch.inference_mode()(look)


def _pixels(images: Tensor) -> np.ndarray:
    """Colours at 32 x 32, averaged over areas: float32 [N, 3072]."""
    small = F.adaptive_avg_pool2d(images.float().expand(-1, 3, -1, -1) / 255, _PIXEL_SIDE)
    return small.flatten(1).numpy()


def _pictures(dataset: Dataset, indexes: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(dataset.images(indexes)))


def _distances(embed: Embed, images: Tensor, reals: np.ndarray, *, mirror: bool) -> np.ndarray:
    """[N, M]; with `mirror`, the smaller one of a picture's and its mirror image's."""
    distances = _euclidean(embed(images), reals)
    return np.minimum(distances, _euclidean(embed(images.flip(3)), reals)) if mirror else distances


def _euclidean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|x - y|^2 = |x|^2 - 2 x y + |y|^2 for rows [N, D] and [M, D], as distances [N, M]."""
    # In float64, where the difference of large numbers still tells a copy from a likeness.
    x = torch.from_numpy(a).double()
    pieces = []
    for piece in torch.split(torch.from_numpy(b), max(_CHUNK_NUMBERS // a.shape[1], 1)):
        y = piece.double()
        squares = torch.addmm(y.square().sum(1), x, y.T, alpha=-2) + x.square().sum(1, keepdim=True)
        pieces.append(squares.clamp_(min=0).sqrt_().numpy())
    return np.concatenate(pieces, axis=1)
