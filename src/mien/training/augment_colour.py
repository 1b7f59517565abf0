"""Augmentations of colours, one 4x4 matrix for each image, and by band filters, noise and cutout.

arXiv:2006.06676, appendix B; the latter three are off by default.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.core.ranks import drawn
from mien.training.augment_geometry import Draws

_BRIGHTNESS, _CONTRAST, _SATURATION = 0.2, 0.5, 1.0  # spreads; the latter two of base-2 logarithms
_BAND_SPREAD = 1.0  # of base-2 logarithms of the gains
_BAND_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # expected spectrum of a photo, low to high octaves
_NOISE, _CUTOUT = 0.1, 0.5


def colour_matrices(x: Tensor, p: float, rng: torch.Generator) -> Tensor:
    """Brightness, contrast, luma flip, hue, saturation for x [N, C, H, W]: [N, 4, 4] on (r, g, b, 1)."""
    draws = Draws(len(x), p, rng, x.device)
    one = torch.eye(4, device=x.device)
    m = one.repeat(len(x), 1, 1)
    m = _shift(draws.chosen(draws.normal() * _BRIGHTNESS, 0.0)) @ m
    m = _stretch(torch.exp2(draws.chosen(draws.normal() * _CONTRAST, 0.0))) @ m
    luma = torch.tensor([1.0, 1.0, 1.0, 0.0], device=x.device) / math.sqrt(3)
    along = torch.outer(luma, luma)
    flips = draws.chosen(draws.integers(2).float(), 0.0)
    m = (one - 2 * along * flips[:, None, None]) @ m
    if x.shape[1] == 1:
        return m
    m = _turn(draws.chosen(draws.uniform(-math.pi, math.pi), 0.0)) @ m
    strength = torch.exp2(draws.chosen(draws.normal() * _SATURATION, 0.0))
    return (along + (one - along) * strength[:, None, None]) @ m


def recoloured(x: Tensor, m: Tensor) -> Tensor:
    """Apply m [N, 4, 4] to the colours of x [N, 3, H, W]; gray ones [N, 1, H, W] take its mean row."""
    flat = x.flatten(2)
    if x.shape[1] == 3:
        return (m[:, :3, :3] @ flat + m[:, :3, 3:]).view_as(x)
    if x.shape[1] != 1:
        raise ValueError(f"colours are 1 or 3 channels, not {x.shape[1]}")
    rows = m[:, :3].mean(dim=1, keepdim=True)
    return (rows[:, :, :3].sum(dim=2, keepdim=True) * flat + rows[:, :, 3:]).view_as(x)


def _shift(amount: Tensor) -> Tensor:
    m = torch.eye(4, device=amount.device).repeat(len(amount), 1, 1)
    m[:, :3, 3] = amount[:, None]
    return m


def _stretch(factor: Tensor) -> Tensor:
    ones = torch.ones_like(factor)
    return torch.diag_embed(torch.stack([factor, factor, factor, ones], dim=1))


def _turn(angle: Tensor) -> Tensor:
    """Rotation by `angle` about the gray axis (Rodrigues)."""
    axis = 1 / math.sqrt(3)
    cross = torch.tensor([[0, -axis, axis], [axis, 0, -axis], [-axis, axis, 0]], device=angle.device)
    outer = torch.full((3, 3), 1 / 3, device=angle.device)
    cos, sin = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    turn = cos * torch.eye(3, device=angle.device) + sin * cross + (1 - cos) * outer
    m = torch.eye(4, device=angle.device).repeat(len(angle), 1, 1)
    m[:, :3, :3] = turn
    return m


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
