"""Sliced Wasserstein distance of patches over a Laplacian pyramid's levels (Karras et al. 2018, sec. 5)."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from scipy.stats import kurtosis, norm
from torch import Tensor
from torch.nn import functional

from mien.core.errors import InputError
from mien.metrics._intervals import around, named

NEEDS = "images"
BETTER = {"swd": "lower"} | {f"swd_{2**k}": "lower" for k in range(4, 12)}
TITLES = {"swd": "sliced Wasserstein distance"} | {
    f"swd_{side}": f"sliced Wasserstein distance, {side} px" for side in (16, 32, 64, 128, 256, 512, 1024)
}

PATCH = 7
_COARSEST = 16
_THREADS = 2
_FEW_IMAGES, _FEW_PATCHES, _FEW_PROJECTIONS, _SWAPS = 128, 64, 96, 4  # what intervals are from
_EQUAL = 0.5  # of the influences' variance: the distance's own where both sides are equal
_FEWEST, _ENOUGH = 16, 400  # images for an interval; however uneven their contrast is
_UNEVEN = 3.0  # nine images in ten have at most so many times the median's energy; of photographs 1.5


def compute(
    real: Tensor,
    fake: Tensor,
    *,
    patches_per_image: int = 128,
    num_projections: int = 512,
    seed: int = 0,
) -> dict[str, float]:
    """The distance on each level, times 1000, and their mean.

    real, fake: uint8 [N, C, S, S] and [M, C, S, S] with S >= 16; the first min(N, M) of each are used, so
    shuffle before. Keys: `swd_64`, `swd_32`, `swd_16` (the sides of the levels, halved down to 16) and `swd`,
    their mean. Patches are taken at the same places of the i-th real and i-th fake, which makes the distance
    of a set to itself exactly 0. 512 projections are the paper's 4 repeats of 128, averaged. `_low`, `_high`:
    95 % intervals of the value at this number of images; from 16 images on, and from 400 on where contrast
    differs much from image to image: fewer may hold none of those that make up the distance.
    """
    _check(real, fake)
    count = min(len(real), len(fake))
    resolution = real.shape[-1]
    scores = {}
    for level, side in enumerate(_sides(resolution)):
        sets = [_descriptors(images[:count], level, side, patches_per_image, seed) for images in (real, fake)]
        directions = _directions(sets[0].shape[1], num_projections, seed)
        scores[f"swd_{side}"] = 1000 * sliced_distance(sets[0], sets[1], directions)
    scores["swd"] = float(np.mean(list(scores.values())))
    if count < _FEWEST or (count < _ENOUGH and max(map(unevenness, (real[:count], fake[:count]))) > _UNEVEN):
        return scores
    errors, freedom = _errors(real[:count], fake[:count], np.array(list(scores.values())), seed)
    result: dict[str, float] = {}
    for (name, value), error, free in zip(scores.items(), errors, freedom, strict=True):
        result |= named(name, value, _interval(value, error, free))
    return result


def _interval(value: float, error: float, freedom: float) -> tuple[float, float]:
    """Of the mean of a lognormal number: the error of a distance grows with it (Cox; Land 1972)."""
    if error >= value:
        return 0.0, around(value, error, freedom)[1]
    low, high = around(np.log(value) + (error / value) ** 2 / 2, error / value, freedom)
    return min(float(np.exp(low)), value), float(np.exp(high))


def _errors(real: Tensor, fake: Tensor, values: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Standard error of each level's distance and of their mean, from fewer images, patches and projections.

    With the degrees of freedom of each: few images of high contrast make up most of an error, which is then
    known as badly as by few, as the kurtosis of the influences says.

    Where sides are far apart the variance is that of each pair of images' influence. Where they are equal the
    distance is a mean of absolute values of noise, whose variance is less: 1 - 2/pi of it where all is one
    normal number, half where it is many (_EQUAL). How far apart they are is said by the distance over
    that of sides whose pairs were swapped at random, and the variance follows that of |z + far|.
    """
    count = min(len(real), _FEW_IMAGES)
    swaps = np.random.RandomState(seed).rand(_SWAPS, count) < 0.5
    levels, by_chance = [], []
    for level, side in enumerate(_sides(real.shape[-1])):
        patches = torch.cat(
            [_descriptors(part[:count], level, side, _FEW_PATCHES, seed) for part in (real, fake)]
        )
        projected = _Projected(patches, 2 * count, real.shape[1], seed)
        levels.append(projected.influences())
        by_chance.append(np.mean([projected.swapped_distance(swap) for swap in swaps]))
    influences = np.array([*levels, np.mean(levels, axis=0)])
    chance = np.array([*by_chance, np.mean(by_chance)]) * np.sqrt(count / len(real))
    share = np.interp(values / np.maximum(chance, 1e-12), *_FOLDED)
    tails = np.maximum(np.nan_to_num(kurtosis(influences, axis=1)), 0)
    freedom = 2 / (2 / (count - 1) + tails / count)
    return np.sqrt(share * influences.var(1, ddof=1) / len(real)), freedom


def _folded_normal() -> tuple[np.ndarray, np.ndarray]:
    """Mean of |z + far| over that of |z|, and its variance, drawn in to begin at _EQUAL."""
    far = np.linspace(0, 6, 601)
    mean = 2 * norm.pdf(far) + far * (2 * norm.cdf(far) - 1)
    variance = 1 + far**2 - mean**2
    return mean / mean[0], 1 - (1 - variance) * (1 - _EQUAL) / (1 - variance[0])


_FOLDED = _folded_normal()


class _Projected:
    """Patches of both sides along directions, channel by channel: any choice has its own mean and spread."""

    def __init__(self, patches: Tensor, count: int, channels: int, seed: int) -> None:
        directions = _directions(patches.shape[1], _FEW_PROJECTIONS, seed).view(
            channels, -1, _FEW_PROJECTIONS
        )
        split = patches.view(len(patches), channels, -1)
        along = torch.einsum("pcj,cjk->ckp", split, directions)
        self._along = along.view(channels, _FEW_PROJECTIONS, count, -1)
        self._sums = directions.sum(1)
        pixels = split.view(count, -1, channels, split.shape[2]).double()
        self._means, self._squares = pixels.mean((1, 3)), pixels.square().mean((1, 3))

    def swapped_distance(self, swap: np.ndarray) -> float:
        """The distance of the sides where the pairs in `swap` (bool) change sides."""
        pairs = np.arange(2 * len(swap)).reshape(2, -1)
        first, second = (_sorted(self._of(rows)) for rows in np.where(swap, pairs[::-1], pairs))
        return 1000 * float(np.abs(first - second).mean(dtype=np.float64))

    def influences(self) -> np.ndarray:
        """By how much each pair of images moves the distance, times their number.

        A patch moves it by the integral of the sign of the difference of the two distributions, from its
        place on; an image also by its part in its side's mean and spread, which all patches are divided by.
        """
        projections, both, per_image = self._along.shape[1:]
        values = self._along.sum(0).flatten(1).numpy()
        order = values.argsort(1)
        images = np.repeat(np.arange(both), per_image)[order]
        gaps = np.diff(np.take_along_axis(values, order, 1), append=0)
        signs = np.sign(np.cumsum(np.where(images < both // 2, 1, -1), 1))  # 0 at the last, which has no gap
        beyond = np.cumsum((signs * gaps)[:, ::-1], 1, dtype=np.float64)[:, ::-1]
        influence = np.bincount(images.ravel(), beyond.ravel()) / (projections * per_image)
        slopes = np.empty(values.shape, np.float32)
        np.put_along_axis(slopes, order, signs.astype(np.float32), 1)
        total = np.zeros(both // 2)
        for rows, sign in ((slice(both // 2), 1), (slice(both // 2, both), -1)):
            own = torch.from_numpy(slopes).view(projections, both, per_image)[:, rows]
            shift = (own.mean((1, 2)) * self._sums).mean(1)
            stretch = torch.stack([(own * channel[:, rows]).mean() for channel in self._along])
            moved = self._means[rows] @ shift.double() + self._squares[rows] @ stretch.double() / 2
            total += sign * (influence[rows] + moved.numpy())
        return 1000 * total

    def _of(self, rows: np.ndarray) -> np.ndarray:
        """Of some images, normalised by their own mean and spread: [projections, patches]."""
        chosen = torch.from_numpy(rows)
        mean = self._means[chosen].mean(0)
        spread = (self._squares[chosen].mean(0) - mean**2).clamp_min(1e-12).sqrt()
        shift = (mean.float()[:, None] * self._sums)[:, :, None, None]
        normal = (self._along[:, :, chosen] - shift) / spread.float()[:, None, None, None]
        return np.ascontiguousarray(normal.sum(0).flatten(1).numpy())


def sliced_distance(x: Tensor, y: Tensor, directions: Tensor) -> float:
    """Mean Wasserstein-1 distance of x and y (both [P, D]) along each column of `directions` [D, K]."""

    total = 0.0
    # Only sorting goes to the pool: numpy's vectorised sort takes two thirds of torch's time, and torch
    # inside other threads would start teams of its own that get in each other's way.
    with ThreadPoolExecutor(_THREADS) as pool:
        for part in torch.split(directions, 64, dim=1):
            quantiles_x, quantiles_y = pool.map(_sorted, ((part.T @ side.T).numpy() for side in (x, y)))
            total += float(np.abs(quantiles_x - quantiles_y).mean(dtype=np.float64)) * part.shape[1]
    return total / directions.shape[1]


def _sorted(rows: np.ndarray) -> np.ndarray:
    rows.sort(axis=1)
    return rows


def unevenness(images: Tensor) -> float:
    """How far contrast differs from image to image: the energy that a tenth exceed, over the median one.

    images: uint8 [N, C, S, S]. The largest of the pyramid's levels; 1 where all have the same.
    """
    found = []
    for level in range(len(_sides(images.shape[-1]))):
        chunks = (_laplacian(chunk, level) for chunk in torch.split(images, 256))
        energy = torch.cat([chunk.var((2, 3), correction=0).sum(1) for chunk in chunks]).double()
        middle, high = torch.quantile(energy, torch.tensor([0.5, 0.9], dtype=torch.float64)).tolist()
        found.append(high / middle if middle > 0 else float("inf") if high > 0 else 1.0)
    return max(found)


def findings(values: dict[str, float]) -> list[str]:
    """Why there is no interval, where there is none. values: of `compute`."""
    if "swd_low" in values or "swd" not in values:
        return []
    return [
        f"the sliced Wasserstein distance has no interval: it takes {_FEWEST} images, and {_ENOUGH} where"
        " contrast differs much from image to image"
    ]


def advice(num_real: int, num_fake: int, dims: int) -> str | None:
    """A warning in words when patches are few, or one side is cut to the other's number, else None."""
    fewest = min(num_real, num_fake)
    return None if fewest >= 100 else f"{fewest} pictures give few patches: use 100 or more"


def _check(real: Tensor, fake: Tensor) -> None:
    for images in (real, fake):
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise TypeError("the sliced Wasserstein distance takes uint8 [N, C, S, S]")
    if real.shape[1:] != fake.shape[1:]:
        shapes = f"{list(real.shape[1:])} and {list(fake.shape[1:])}"
        raise InputError(f"pictures of one shape can be compared, not {shapes}")
    if real.shape[-1] < _COARSEST or not len(real) or not len(fake):
        raise InputError("the sliced Wasserstein distance needs pictures of at least 16 x 16 on both sides")


def _sides(resolution: int) -> list[int]:
    sides = [resolution]
    while sides[-1] % 2 == 0 and sides[-1] // 2 >= _COARSEST:
        sides.append(sides[-1] // 2)
    return sides


def _descriptors(
    images: Tensor, level: int, side: int, per_image: int, seed: int, batch: int = 256
) -> Tensor:
    """Patches of one level, [N * per_image, C * 49], each channel shifted and scaled to unit spread."""
    rng = np.random.RandomState([seed, level])
    cut = []
    for chunk in torch.split(images, batch):
        pyramid_level = _laplacian(chunk, level)
        corners = torch.from_numpy(rng.randint(0, side - PATCH + 1, size=(2, len(chunk), per_image)))
        cut.append(_patches(pyramid_level, corners))
    patches = torch.cat(cut)
    mean = patches.mean(dim=(0, 2), keepdim=True, dtype=torch.float64)
    spread = (patches.double().square().mean(dim=(0, 2), keepdim=True) - mean**2).clamp_min(0).sqrt()
    scale = 1 / spread.clamp_min(1e-6)  # a flat channel stays 0 rather than becoming infinite
    return patches.sub_(mean.float()).mul_(scale.float()).flatten(1)


def _patches(images: Tensor, corners: Tensor) -> Tensor:
    """Cut 7x7 patches: images [N, C, S, S], corners [2, N, P] (row, column) -> [N * P, C, 49]."""
    channels, side = images.shape[1], images.shape[-1]
    reach = torch.arange(PATCH)
    offsets = (reach[:, None] * side + reach).flatten()
    index = (corners[0] * side + corners[1])[..., None] + offsets  # [N, P, 49]
    index = index.flatten(1)[:, None].expand(-1, channels, -1)
    cut = images.flatten(2).gather(2, index).view(*images.shape[:2], -1, PATCH * PATCH)  # [N, C, P, 49]
    return cut.transpose(1, 2).flatten(0, 1)


def _laplacian(images: Tensor, level: int) -> Tensor:
    """Level `level` of the pyramid (Burt and Adelson 1983); the coarsest is the blurred picture itself."""
    x = images.to(torch.float32)
    for _ in range(level):
        x = _both_ways(_shrinking(x.shape[-1]), x)
    side = x.shape[-1]
    if side == _sides(images.shape[-1])[-1]:
        return x
    shrink = _shrinking(side)
    # Growing puts zeros between the pixels and blurs with twice the weight: the transposed blur's columns.
    grow = 2 * _blurring(side)[:, ::2]
    return x - _both_ways(grow @ shrink, x)


def _both_ways(operator: Tensor, x: Tensor) -> Tensor:
    """Apply a [out, S] matrix along rows and columns: far faster on a CPU than a grouped convolution."""
    across = functional.linear(x, operator).transpose(-1, -2).contiguous()
    return functional.linear(across, operator).transpose(-1, -2)


def _shrinking(side: int) -> Tensor:
    """Blur, then keep every second pixel: [side / 2, side]."""
    return _blurring(side)[::2]


def _blurring(side: int) -> Tensor:
    """The binomial filter 1 4 6 4 1 over 16 as a [side, side] matrix, mirrored at the borders."""
    identity = torch.eye(side)[None]
    padded = functional.pad(identity, (2, 2), mode="reflect")[0]
    shifted = [tap / 16 * padded[:, i : i + side] for i, tap in enumerate((1, 4, 6, 4, 1))]
    return torch.stack(shifted).sum(0).T


def _directions(dims: int, count: int, seed: int) -> Tensor:
    """Unit vectors, uniform on the sphere, [dims, count]."""
    normal = torch.from_numpy(np.random.RandomState(seed).randn(dims, count).astype(np.float32))
    return functional.normalize(normal, dim=0)
