"""Augmentations by band filters, noise and cutout (arXiv:2006.06676, appendix B), off by default."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.core.ranks import drawn
from mien.training.augment_draws import Draws

_BAND_SPREAD = 1.0  # of base-2 logarithms of the gains
_BAND_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # expected spectrum of a photo, low to high octaves
_NOISE, _CUTOUT = 0.1, 0.5


def filtered_bands(x: Tensor, p: float, rng: torch.Generator) -> Tensor:
    """Strengthen or weaken each of four octaves by a random gain, keeping the expected power.

    Bands are differences of ever more blurred copies (a Laplacian stack), so that unit gains change nothing.
    """
    gains = _band_gains(Draws(len(x), p, rng, x.device))
    below, y = x, torch.zeros_like(x)
    for octave in range(3, 0, -1):
        smooth = _blur(below, step=2 ** (3 - octave))
        y = y + (below - smooth) * gains[:, octave, None, None, None]
        below = smooth
    y = y + below * gains[:, 0, None, None, None]
    still = (gains - 1).abs().amax(dim=1) < 1e-6
    return torch.where(still[:, None, None, None], x, y)


def _band_gains(draws: Draws) -> Tensor:
    power = torch.tensor(_BAND_POWER, device=draws.device)
    gains = torch.ones(draws.count, len(_BAND_POWER), device=draws.device)
    for band in range(len(_BAND_POWER)):
        own = torch.ones_like(gains)
        own[:, band] = torch.exp2(draws.chosen(draws.normal() * _BAND_SPREAD, 0.0))
        gains = gains * own / (own.square() * power).sum(dim=1, keepdim=True).sqrt()
    return gains


def _blur(x: Tensor, *, step: int) -> Tensor:
    """The filter 1 4 6 4 1 with `step` pixels between its taps."""
    channels, reach = x.shape[1], 2 * step
    taps = torch.tensor([1.0, 4, 6, 4, 1], dtype=x.dtype, device=x.device) / 16
    pad = min(reach, x.shape[-1] - 1)
    x = F.pad(x, (pad, pad, 0, 0), mode="reflect")
    x = F.pad(x, (reach - pad, reach - pad, 0, 0), mode="replicate")
    x = F.conv2d(x, taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels, dilation=(1, step))
    x = F.pad(x, (0, 0, pad, pad), mode="reflect")
    x = F.pad(x, (0, 0, reach - pad, reach - pad), mode="replicate")
    return F.conv2d(x, taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels, dilation=(step, 1))


def noised(x: Tensor, p: float, rng: torch.Generator) -> Tensor:
    """Add noise whose deviation is drawn from a half-normal of scale 0.1."""
    draws = Draws(len(x), p, rng, x.device)
    deviation = draws.chosen(draws.normal().abs() * _NOISE, 0.0)
    grain = drawn(torch.randn, x.shape, rng)
    return x + grain * deviation[:, None, None, None]


def cut_out(x: Tensor, p: float, rng: torch.Generator) -> Tensor:
    """Set a square of half the picture's side, anywhere, to zero."""
    draws = Draws(len(x), p, rng, x.device)
    half = draws.chosen(torch.full((len(x),), _CUTOUT / 2, device=x.device), 0.0)
    middle = [draws.uniform(0, 1), draws.uniform(0, 1)]
    axes = [(torch.arange(side, device=x.device) + 0.5) / side for side in x.shape[2:]]
    near = [(axis[None] - at[:, None]).abs() < half[:, None] for axis, at in zip(axes, middle, strict=True)]
    hidden = near[0][:, None, :, None] & near[1][:, None, None, :]
    return x * ~hidden
