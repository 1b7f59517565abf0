"""The groups of augmentations: blits and geometry as one warp, colours as one matrix; bands, noise, cutout.

Each image is resampled once, by a 3x3 matrix that maps target to source, in units of the picture with its
centre at (0, 0), y down; its colours take one 4x4 matrix (arXiv:2006.06676, appendix B).
"""

import math
from functools import lru_cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.core.ranks import drawn
from mien.nn.warp import grid_sample

_SIZE_SPREAD, _ASPECT_SPREAD, _SHIFT_SPREAD = 0.2, 0.2, 0.125  # log2 units, log2 units, shares of the picture
_WHOLE_SHIFT = 0.125  # of the picture, for shifts by whole pixels
_MARGIN_STEP = 8  # pixels; pictures whose margins lie within one are resampled together
# Low-pass filter of the symlet sym6 (Daubechies 1992), as the paper uses it around the warp.
_SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)


class Draws:
    """Random values for `count` images, each of which is transformed with probability `p`."""

    def __init__(self, count: int, p: float, rng: torch.Generator, device: torch.device) -> None:
        self.count, self.p, self.device, self._rng = count, p, device, rng

    def uniform(self, low: float, high: float) -> Tensor:
        """Uniform numbers [count] from low to high."""
        return low + (high - low) * drawn(torch.rand, (self.count,), self._rng)

    def normal(self) -> Tensor:
        """Standard normal numbers [count]."""
        return drawn(torch.randn, (self.count,), self._rng)

    def integers(self, below: int) -> Tensor:
        """Uniform integers [count] from 0 to below - 1."""
        return drawn(partial(torch.randint, below), (self.count,), self._rng)

    def chosen(self, values: Tensor, otherwise: float, *, p: float | None = None) -> Tensor:
        """`values` with probability p for each image, else `otherwise`."""
        take = self.uniform(0, 1) < (self.p if p is None else p)
        return torch.where(take, values, torch.full_like(values, otherwise))

    def together(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Both with probability p for each image, else zeros."""
        take = self.uniform(0, 1) < self.p
        return one * take, other * take


def geometry(x: Tensor, p: float, rng: torch.Generator, *, blits: bool, turns: bool) -> Tensor:
    """A matrix [N, 3, 3] for each picture of x [N, C, H, W]; the identity where chance leaves it alone."""
    draws = Draws(len(x), p, rng, x.device)
    m = torch.eye(3, device=x.device).repeat(len(x), 1, 1)
    if blits:
        flips = 1 - 2 * draws.chosen(draws.integers(2).float(), 0.0)
        m = m @ _scaling(flips, torch.ones_like(flips))
        m = m @ _rotation(draws.chosen(draws.integers(4).float(), 0.0) * (math.pi / 2))
        reach = _WHOLE_SHIFT * x.shape[-1]
        across, down = (torch.round(draws.uniform(-reach, reach)) / x.shape[-1] for _ in range(2))
        m = m @ _translation(*draws.together(across, down))
    return m @ _turns(draws) if turns else m


def _turns(draws: Draws) -> Tensor:
    """Scaling, rotation, anisotropic scaling, rotation, fractional shift; the two rotations share their p."""
    scale = torch.exp2(draws.chosen(draws.normal() * _SIZE_SPREAD, 0.0))
    m = _scaling(scale, scale)
    part = 1 - math.sqrt(1 - draws.p)  # so that either happens with probability p
    m = m @ _rotation(draws.chosen(draws.uniform(-math.pi, math.pi), 0.0, p=part))
    aspect = torch.exp2(draws.chosen(draws.normal() * _ASPECT_SPREAD, 0.0))
    m = m @ _scaling(aspect, 1 / aspect)
    m = m @ _rotation(draws.chosen(draws.uniform(-math.pi, math.pi), 0.0, p=part))
    across, down = draws.normal() * _SHIFT_SPREAD, draws.normal() * _SHIFT_SPREAD
    return m @ _translation(*draws.together(across, down))


def _matrix(rows: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix([[x, zero, zero], [zero, y, zero], [zero, zero, one]])


def _rotation(angle: Tensor) -> Tensor:
    cos, sin = torch.cos(angle), torch.sin(angle)
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    return _matrix([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]])


def _translation(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix([[one, zero, x], [zero, one, y], [zero, zero, one]])


def warped(x: Tensor, matrices: Tensor) -> Tensor:
    """Sample x [N, C, H, W] through `matrices` [N, 3, 3], mirrored beyond its edges, without aliasing.

    The picture is doubled, sampled bilinearly at twice its size, filtered and halved. Flips, quarter turns
    and whole shifts give the very pixels. A picture whose matrix is the identity passes untouched, and costs
    nothing.
    """
    moved = (matrices - torch.eye(3, device=x.device)).abs().amax(dim=(1, 2)) >= 1e-6
    whole = _is_whole(matrices, x.shape[-1])
    at, pixels = [rows.nonzero().squeeze(1) for rows in (moved & ~whole, moved & whole)]
    groups = [(rows, margin, True) for rows, margin in _by_margin(at, matrices, x.shape[-1])]
    if len(pixels):
        groups.append((pixels, max(_margins(matrices[pixels], x.shape[-1])), False))
    if not groups:
        return x
    parts = [_sampled(x[rows], matrices[rows], margin, oversample=o) for rows, margin, o in groups]
    return x.index_copy(0, torch.cat([rows for rows, _, _ in groups]), torch.cat(parts))


def _by_margin(at: Tensor, matrices: Tensor, size: int) -> list[tuple[Tensor, int]]:
    """Pictures `at`, on a CPU those of like margins together: a product grows with the third power."""
    if not len(at):
        return []
    margins = _margins(matrices[at], size)
    if at.is_cuda:
        return [(at, max(margins))]
    rounded = [min(-(-margin // _MARGIN_STEP) * _MARGIN_STEP, size - 1) for margin in margins]
    return [(at[torch.tensor(rounded) == margin], margin) for margin in sorted(set(rounded))]


def _is_whole(matrices: Tensor, size: int) -> Tensor:
    """Which matrices move pixels onto pixels."""
    linear = matrices[:, :2, :2]
    shift = matrices[:, :2, 2] * size
    turns = (linear - linear.round()).abs().amax(dim=(1, 2)) < 1e-4
    unscaled = (torch.linalg.det(linear).abs() - 1).abs() < 1e-3
    steps = (shift - shift.round()).abs().amax(dim=1) < 1e-3
    return torch.logical_and(torch.logical_and(turns, unscaled), steps)


def _sampled(x: Tensor, matrices: Tensor, margin: int, *, oversample: bool) -> Tensor:
    count, channels, height, _ = x.shape
    taps = len(_SYM6)
    pad = margin + (taps if oversample else 1)
    source = _doubled(x, pad) if oversample else _mirrored(x, pad)
    extra = taps // 4 if oversample else 0  # target pixels beyond the edge, which the last filter eats
    factor = 2 if oversample else 1
    side = factor * (height + 2 * extra)
    theta = matrices[:, :2].clone()
    # From units of the picture to grid_sample's: -1..1 over the padded source and over the padded target.
    theta[:, :, :2] *= (height + 2 * extra) / (height + 2 * pad)
    theta[:, :, 2] *= 2 * height / (height + 2 * pad)
    grid = F.affine_grid(theta, [count, channels, side, side], align_corners=False)
    y = grid_sample(source, grid)
    return _halved(y, extra) if oversample else y


def _margins(matrices: Tensor, size: int) -> list[int]:
    """Pixels of mirror image that each one's farthest corner needs; at most one picture on each side."""
    corners = torch.tensor(
        [[-0.5, -0.5, 1], [0.5, -0.5, 1], [0.5, 0.5, 1], [-0.5, 0.5, 1]], device=matrices.device
    )
    reach = (matrices[:, :2] @ corners.t()).abs().amax(dim=(1, 2)) - 0.5
    return [min(max(math.ceil(share * size), 0) + 2, size - 1) for share in reach.tolist()]


def _mirrored(x: Tensor, pad: int) -> Tensor:
    while pad > 0:
        now = min(pad, x.shape[-1] - 1)
        x = F.pad(x, (now, now, now, now), mode="reflect")
        pad -= now
    return x


def _doubled(x: Tensor, pad: int) -> Tensor:
    """Mirrored by `pad`, then twice as large through the wavelet's filter; centres stay where they are."""
    m = _doubling(x.shape[-1], pad).to(x)
    return ((x @ m).mT @ m).mT


def _halved(x: Tensor, extra: int) -> Tensor:
    """Half as large through the same filter, without `extra` pixels at each edge."""
    m = _halving(x.shape[-1])[:, extra:-extra].to(x)
    return ((x @ m).mT @ m).mT


# As matrices along a side: convolutions of a single channel are many times slower on a CPU.


@lru_cache(maxsize=128)
def _doubling(size: int, pad: int) -> Tensor:
    """[size, 2 (size + 2 pad)]: mirrored, zeros between the pixels, then the filter with gain 2."""
    wide = size + 2 * pad
    to = torch.arange(2 * wide)[:, None]
    spread = to + torch.arange(len(_SYM6)) - len(_SYM6) // 2
    filtered = _banded(spread // 2, to, _taps() * 2 * (spread % 2 == 0), wide)
    mirrored = ((torch.arange(wide) - pad + size - 1) % (2 * (size - 1)) - (size - 1)).abs()
    return torch.zeros(size, 2 * wide).index_add_(0, mirrored, filtered)


@lru_cache(maxsize=128)
def _halving(size: int) -> Tensor:
    """[size, size / 2]: the filter turned round, so that what it moved is moved back; every second pixel."""
    to = torch.arange(size // 2)[:, None]
    return _banded(2 * to + torch.arange(len(_SYM6)) - len(_SYM6) // 2 + 1, to, _taps().flip(0), size)


def _banded(source: Tensor, to: Tensor, weights: Tensor, size: int) -> Tensor:
    """The matrix that adds `weights` of pixels `source`, the nearest of `size`, to pixels `to`."""
    matrix = torch.zeros(size, len(to))
    return matrix.index_put_((source.clamp(0, size - 1), to), weights, accumulate=True)


def _taps() -> Tensor:
    taps = torch.tensor(_SYM6)
    return taps / taps.sum()


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
    factor = torch.exp2(draws.chosen(draws.normal() * _CONTRAST, 0.0))
    m = torch.diag_embed(torch.stack([factor, factor, factor, torch.ones_like(factor)], dim=1)) @ m
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
