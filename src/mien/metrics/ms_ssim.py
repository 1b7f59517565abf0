"""Diversity: mean multi-scale structural similarity of random pairs (Odena et al. 2017; Wang et al. 2003)."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mien.core.errors import InputError
from mien.metrics._intervals import named, of_mean

NEEDS = "images"
ALSO = {"ms-ssim": "", "msssim": ""}
# Lower is more diverse, but only the reals' own value says what is right: hence no "better".
BETTER: dict[str, str] = {}
TITLES = {"ms_ssim_fake": "MS-SSIM among generated", "ms_ssim_real": "MS-SSIM among real"}

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # finest first; Wang et al. 2003
_WINDOW = 11
_SIGMA = 1.5


def compute(real: Tensor, fake: Tensor, *, num_pairs: int = 2000, seed: int = 0) -> dict[str, float]:
    """Mean MS-SSIM of pairs of fakes (`ms_ssim_fake`) and of pairs of reals (`ms_ssim_real`).

    real, fake: uint8 [N, C, S, S] and [M, C, S, S], S >= 11, four pictures or more each. A generator that has
    collapsed scores above the reals. Pairs are random and disjoint, so that the 95 % interval (`_low`,
    `_high`) is a plain one of a mean of independent numbers; num_pairs: at most so many.
    """
    return {
        **_of_pairs("ms_ssim_fake", fake, num_pairs, seed),
        **_of_pairs("ms_ssim_real", real, num_pairs, seed),
    }


def advice(num_real: int, num_fake: int, dims: int) -> str | None:
    """A warning in words when pairs are few, else None."""
    fewest = min(num_real, num_fake)
    return None if fewest >= 100 else f"{fewest} pictures make {fewest // 2} pairs: use 100 or more"


def num_scales(side: int) -> int:
    """How many of the five scales leave room for an 11-pixel window: 3 at 64, 4 at 128, 5 from 176 on."""
    scales = 1
    while scales < len(WEIGHTS) and side // 2**scales >= _WINDOW:
        scales += 1
    return scales


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Similarity of each pair: a, b uint8 [N, C, S, S] -> float32 [N], 1 for equal pictures.

    Eq. 7 of Wang et al. 2003 with 11x11 Gaussian windows that stay inside the picture. Small pictures have
    fewer scales (`num_scales`), whose weights are divided by their sum; values of different sides are then
    not comparable. torchmetrics differs by up to 1e-3: its coarsest scale alone counts a mirrored border.
    Negative factors count as 0, since they have no real root.
    """
    if a.shape[-1] < _WINDOW or a.shape[-2] < _WINDOW:
        raise InputError(f"MS-SSIM needs pictures of at least {_WINDOW} x {_WINDOW} pixels")
    scales = num_scales(min(a.shape[-2:]))
    weights = torch.tensor(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    x, y = a.float() / 255, b.float() / 255
    product = torch.ones(len(x))
    for scale, weight in enumerate(weights):
        similarity, contrast = _ssim(x, y)
        factor = similarity if scale == scales - 1 else contrast
        product = product * factor.clamp_min(0) ** weight
        x, y = functional.avg_pool2d(x, 2), functional.avg_pool2d(y, 2)
    return product


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Similarity at one scale (Wang et al. 2004); arguments, windows and result as of `ms_ssim`."""
    if a.shape[-1] < _WINDOW or a.shape[-2] < _WINDOW:
        raise InputError(f"SSIM needs pictures of at least {_WINDOW} x {_WINDOW} pixels")
    return _ssim(a.float() / 255, b.float() / 255)[0]


def _ssim(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean SSIM and its contrast-structure part for [0, 1] pictures, each [N] (Wang et al. 2004)."""
    c1, c2 = 0.01**2, 0.03**2
    mean_x, mean_y, xx, yy, xy = _smooth(torch.cat([x, y, x * x, y * y, x * y])).chunk(5)
    var_x, var_y, covariance = xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y
    contrast = (2 * covariance + c2) / (var_x + var_y + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return (luminance * contrast).mean(dim=(1, 2, 3)), contrast.mean(dim=(1, 2, 3))


def _smooth(x: Tensor) -> Tensor:
    """Weighted means in a Gaussian window, without padding: one matrix product a direction, fast on a CPU."""
    rows, columns = (_window_matrix(side) for side in x.shape[-2:])
    across = functional.linear(x, columns).transpose(-1, -2).contiguous()
    return functional.linear(across, rows).transpose(-1, -2)


def _window_matrix(side: int) -> Tensor:
    """[side - 10, side]: row i holds the window's weights at i .. i + 10."""
    taps = torch.exp(-((torch.arange(_WINDOW) - _WINDOW // 2) ** 2) / (2 * _SIGMA**2))
    matrix = torch.zeros(side - _WINDOW + 1, side)
    for offset, tap in enumerate(taps / taps.sum()):
        matrix.diagonal(offset).fill_(tap)
    return matrix


def _of_pairs(name: str, images: Tensor, num_pairs: int, seed: int, batch: int = 64) -> dict[str, float]:
    if len(images) < 4:
        raise InputError("MS-SSIM of pairs needs four pictures or more on each side")
    order = np.random.RandomState(seed).permutation(len(images))
    pairs = torch.from_numpy(order[: len(order) // 2 * 2].reshape(-1, 2)[:num_pairs])
    parts = [ms_ssim(images[part[:, 0]], images[part[:, 1]]) for part in torch.split(pairs, batch)]
    values = torch.cat(parts).double().numpy()
    return named(name, float(values.mean()), of_mean(values))
