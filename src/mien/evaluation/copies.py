"""How near images lie to training images, after each pair has been aligned; and planted copies to try it on.

LPIPS as it is finds 30 % of copies that were zoomed by 3 %: half a pixel is a large step for it, and so is
the blur of moving it back. So a pair is first brought onto each other (mirror, zoom, shift, brightness), then
both are blurred alike, and only then measured.
"""

import io
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from mien.core.events import Tick
from mien.core.image import to_float, to_hwc
from mien.faces.identity import IdentityNetwork, distances
from mien.nn.lpips import Lpips

SIDE = 64  # pixels that all is measured at
_COARSE = 32  # pixels that pairs are first aligned at
_MARGIN = 4  # of 64: zooming and shifting leave nothing there
_CANDIDATES = 8  # training images aligned with each image, half of them the nearest by identity
_MEASURED = 3  # of these, the ones that LPIPS is asked of
_ZOOMS, _SHIFTS = (0.94, 0.97, 1.0, 1.03, 1.06), (-0.0625, -0.03125, 0.0, 0.03125, 0.0625)
_FINE_ZOOMS, _FINE_SHIFTS = (0.985, 1.0, 1.015), (-0.015625, 0.0, 0.015625)
_BLUR = 1.2  # pixels of 64: without it 10 % of copies that were zoomed and compressed are found, with it 98 %
_BATCH = 64


@dataclass(frozen=True)
class Nearest:
    """The nearest training image of each image. All [N].

    indexes: by LPIPS, aligned; distances: that distance. identity: the smallest identity distance to any
    training image, who_indexes: of which one. aligned: the image brought onto its nearest, [N, 3, 64, 64].
    """

    indexes: np.ndarray
    distances: np.ndarray
    identity: np.ndarray
    who_indexes: np.ndarray
    aligned: Tensor

    def __len__(self) -> int:
        return len(self.indexes)

    def only(self, chosen: np.ndarray) -> "Nearest":
        """The images where `chosen` [N] is true."""
        indexes, far, identity, who = (
            row[chosen] for row in (self.indexes, self.distances, self.identity, self.who_indexes)
        )
        return Nearest(indexes, far, identity, who, self.aligned[torch.from_numpy(chosen)])


class Planted(NamedTuple):
    """Disturbed copies of the training images `origins` [N], and what is nearest to them."""

    origins: np.ndarray
    nearest: Nearest


class Gallery:
    """Training images that others are compared with. images: uint8 [M, C, S, S]."""

    def __init__(self, images: Tensor, *, progress: Tick | None = None) -> None:
        with torch.random.fork_rng(devices=[]):
            self._lpips, self._identity = Lpips.load("alexnet"), IdentityNetwork.load()
        self._images = small(images)
        self.who = self._features(images, progress)
        self._thumbnails = _thumbnails(self._images)

    def __len__(self) -> int:
        return len(self._images)

    def with_images(self, images: Tensor) -> "Gallery":
        """These and others, uint8 [N, C, S, S], after them."""
        more = copy(self)
        more._images = torch.cat([self._images, small(images)])
        more.who = np.concatenate([self.who, self._features(images, None)])
        more._thumbnails = _thumbnails(more._images)
        return more

    def nearest(
        self, images: Tensor, *, leave_out: np.ndarray | None = None, progress: Tick | None = None
    ) -> Nearest:
        """The nearest training image of each of `images`, uint8 [N, C, S, S].

        leave_out: bool [N, M], training images that do not count for an image (itself).
        """
        apart = distances(self._features(images, None), self.who)
        pictures = small(images)
        looks = np.minimum(
            *(distances(_thumbnails(look), self._thumbnails) for look in (pictures, pictures.flip(3)))
        )
        if leave_out is not None:
            apart, looks = np.where(leave_out, np.inf, apart), np.where(leave_out, np.inf, looks)
        rows = []
        for at, picture in enumerate(pictures):
            rows.append(self._nearest(picture, _candidates(looks[at], apart[at])))
            if progress:
                progress(at + 1, len(pictures))
        indexes, far, aligned = zip(*rows, strict=True)
        nearest = np.array(indexes), np.array(far)
        return Nearest(*nearest, apart.min(1), apart.argmin(1), torch.stack(aligned))

    def own_identity(self) -> np.ndarray:
        """The identity distance of each training image to the nearest other one, [M]."""
        apart = distances(self.who, self.who)
        np.fill_diagonal(apart, np.inf)
        return np.asarray(apart.min(1))

    @torch.inference_mode()
    def _nearest(self, picture: Tensor, candidates: np.ndarray) -> tuple[int, float, Tensor]:
        """Index, distance and the aligned picture. picture: float [3, 64, 64]."""
        others = self._images[torch.from_numpy(candidates)]
        aligned, fits = align(picture, others)
        best = fits.argsort(descending=True)[:_MEASURED]
        far = lpips_inside(self._lpips, aligned[best], others[best])
        least = int(far.argmin())
        chosen = int(best[least])
        return int(candidates[chosen]), float(far[least]) ** 0.5, aligned[chosen]

    def _features(self, images: Tensor, progress: Tick | None) -> np.ndarray:
        rows = []
        for start in range(0, len(images), _BATCH):
            rows.append(self._identity.features(images[start : start + _BATCH]))
            if progress:
                progress(min(start + _BATCH, len(images)), len(images))
        return np.concatenate(rows)


def align(picture: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """`picture` [3, S, S] brought onto each of `others` [K, 3, S, S], and how well it fits there, [K].

    The best of both mirrorings, 5 zooms and 25 shifts at 32 px, then of finer steps around it; brightness
    and contrast of each channel are those of the other. The fit is a correlation, 1 at best.
    """
    pair = torch.stack([picture, picture.flip(2)])
    coarse = F.interpolate(pair, (_COARSE, _COARSE), mode="area")
    moves = _moves(_ZOOMS, _SHIFTS)
    warped = torch.cat([_warped(each, moves) for each in coarse])
    fits = _normal(F.interpolate(others, (_COARSE, _COARSE), mode="area")) @ _normal(warped).T
    aligned, best_fits = [], []
    for other, at in zip(others, fits.argmax(1).tolist(), strict=True):
        zoom, x, y = moves[at % len(moves)]
        finer = _moves(_FINE_ZOOMS, _FINE_SHIFTS) * torch.tensor([zoom, 1.0, 1.0]) + torch.tensor([0.0, x, y])
        tried = _warped(pair[at // len(moves)], finer)
        values = (_normal(other[None]) @ _normal(tried).T)[0]
        aligned.append(_matched(tried[int(values.argmax())], other))
        best_fits.append(values.max())
    return torch.stack(aligned), torch.stack(best_fits)


def lpips_inside(network: Lpips, a: Tensor, b: Tensor) -> Tensor:
    """LPIPS of pairs, blurred and without their margins, [N]. a, b: float [N, 3, 64, 64] in [-1, 1]."""
    inside = slice(_MARGIN, SIDE - _MARGIN)
    one, two = (_blurred(each)[:, :, inside, inside] for each in (a, b))
    return network(one, two)  # type: ignore[no-any-return]


def _blurred(images: Tensor) -> Tensor:
    """Under a Gaussian of `_BLUR` pixels, mirrored at the edge."""
    rows = torch.from_numpy(gaussian_filter1d(np.eye(images.shape[2], dtype=np.float32), _BLUR, axis=0))
    return rows @ images @ rows.T


def small(images: Tensor) -> Tensor:
    """uint8 [N, C, S, S] as float [N, 3, 64, 64] in [-1, 1]."""
    if not len(images):
        return torch.zeros(0, 3, SIDE, SIDE)
    parts = []
    for part in torch.split(images, _BATCH):
        floats = to_float(part).expand(-1, 3, -1, -1)
        if floats.shape[2] != SIDE:
            floats = F.interpolate(floats, (SIDE, SIDE), mode="bicubic", antialias=True).clamp(-1, 1)
        parts.append(floats)
    return torch.cat(parts)


def planted(images: Tensor, way: str) -> Tensor:
    """Copies of uint8 [N, C, S, S] disturbed in one of WAYS, or in all of them ("all")."""
    for each in WAYS if way == "all" else (way,):
        images = _DISTURBED[each](images)
    return images


def _jpeg(images: Tensor) -> Tensor:
    decoded = []
    for image in images:
        pixels = to_hwc(image)
        buffer = io.BytesIO()
        Image.fromarray(pixels.squeeze()).save(buffer, "JPEG", quality=60)
        rows = np.asarray(Image.open(buffer, formats=["JPEG"])).reshape(pixels.shape)
        decoded.append(torch.from_numpy(rows.copy()).permute(2, 0, 1))
    return torch.stack(decoded)


def _zoomed(images: Tensor) -> Tensor:
    """The middle, 3 % larger."""
    warped = _warped(images.float(), torch.tensor([[1 / 1.03, 0.0, 0.0]]), each=True)
    return warped.round().clamp(0, 255).to(torch.uint8)


_DISTURBED: dict[str, Callable[[Tensor], Tensor]] = {
    "mirrored": lambda images: images.flip(3),
    "JPEG 60": _jpeg,
    "3 % zoom": _zoomed,
    "brighter": lambda images: (images.int() + 20).clamp(0, 255).to(torch.uint8),
}
WAYS = tuple(_DISTURBED)


def _candidates(looks: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """The nearest in looks and in identity, at most `_CANDIDATES`."""
    half = min(_CANDIDATES // 2, len(looks))
    chosen = [np.argpartition(each, half - 1)[:half] for each in (looks, apart)]
    return np.unique(np.concatenate(chosen))


def _moves(zooms: tuple[float, ...], shifts: tuple[float, ...]) -> Tensor:
    """[zooms x shifts^2, 3]: the part of the picture that is taken, 1 for all; its shift in half sides."""
    return torch.tensor([(1 / zoom, x, y) for zoom in zooms for x in shifts for y in shifts])


def _warped(images: Tensor, moves: Tensor, *, each: bool = False) -> Tensor:
    """One picture [C, S, S] moved in every way: [len(moves), C, S, S]; with `each`, many in one way."""
    if not each:
        images = images[None].expand(len(moves), -1, -1, -1)
    theta = torch.zeros(len(images), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = moves[:, 0]
    theta[:, :, 2] = moves[:, 1:]
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _normal(images: Tensor) -> Tensor:
    """Vectors of unit length without margins and each channel's mean: [N, D]."""
    margin = _MARGIN * images.shape[2] // SIDE
    inside = images[:, :, margin : images.shape[2] - margin, margin : images.shape[3] - margin]
    centred = inside - inside.mean((2, 3), keepdim=True)
    return F.normalize(centred.flatten(1), dim=1)


def _matched(image: Tensor, other: Tensor) -> Tensor:
    """`image` with the mean and, within a third, the spread of `other` in each channel."""
    means = [each.mean((1, 2), keepdim=True) for each in (image, other)]
    spreads = [each.std((1, 2), keepdim=True) for each in (image, other)]
    gain = (spreads[1] / spreads[0].clamp_min(1e-3)).clamp(0.75, 4 / 3)
    return ((image - means[0]) * gain + means[1]).clamp(-1, 1)


def _thumbnails(images: Tensor) -> np.ndarray:
    return _normal(F.adaptive_avg_pool2d(images, 16)).numpy()
