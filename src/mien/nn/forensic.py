"""A compact network that tells synthetic pictures from photographs by three traces, whose evidence adds up.

shapes: a residual network on the pixels. traces: the same, smaller, on neighbouring pixel relationships
(NPR; Tan et al. 2024, arXiv:2312.10461), what is left of a picture when its nearest-neighbour halved and
doubled version is taken away: up-sampling layers leave relations within each 2 x 2 pixels there.
spectrum: the power at each frequency (as Durall et al. 2020, arXiv:2003.01826, use it).
"""

import functools
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.core.types import Spec
from mien.nn.batch_norm import BatchNorm1d, Residual, norm_conv

TRACES = ("shapes", "traces", "spectrum")
QUANTILES = 101
GAIN, MARGIN = 2.0, 1.5  # of members after the first, in deviations of real pictures


class Traces(nn.Module):
    """Three networks on one picture, each on a trace of its own."""

    def __init__(self, spec: Spec, width: int, traces_width: int) -> None:
        super().__init__()
        self.shapes = _tower(spec.channels, width, spec.resolution, 4)
        self.traces = _tower(spec.channels, traces_width, spec.resolution, 3)
        bins = spec.resolution // 2
        self.spectrum = nn.Sequential(
            BatchNorm1d(bins), nn.Linear(bins, 32), nn.ReLU(inplace=True), nn.Linear(32, 1)
        )

    def read(self, images: Tensor) -> Tensor:
        """What each says of `standardised` images, float32 [N, 3]."""
        spectrum = power(images, _rings(images.shape[-1]).to(images.device))
        parts = [self.shapes(images), self.traces(3 * residual(images)), self.spectrum(spectrum)]
        return torch.cat(parts, dim=1).float()


class ForensicNet(Traces):
    """Pictures to log-odds of being synthetic, in three parts.

    Buffers follow from the held-out pictures: slope and offset turn the sum of the parts into calibrated
    log-odds (Platt 1999), at as many real as synthetic ones; centre is what each part says of real ones on
    average; quantiles are those of the log-odds of real ones, in their worst history.

    members: experts that learnt other fakes each, since one network that learns all at once loses the easy
    ones to the hard. `shifts` and `scales` [members, 3] bring what they say of real pictures to mean 0 and
    deviation 1 of the sum. The first always speaks; another adds `GAIN` times what it says beyond `MARGIN`.
    """

    slope: Tensor
    offset: Tensor
    centre: Tensor
    quantiles: Tensor
    shifts: Tensor
    scales: Tensor

    def __init__(self, spec: Spec, *, width: int, traces_width: int, members: int = 1) -> None:
        super().__init__(spec, width, traces_width)
        self.spec = spec
        buffers = {
            "slope": torch.ones(1),
            "offset": torch.zeros(1),
            "centre": torch.zeros(len(TRACES)),
            "quantiles": torch.zeros(QUANTILES),
        }
        if members > 1:
            self.more = nn.ModuleList(Traces(spec, width, traces_width) for _ in range(members - 1))
            buffers |= {
                "shifts": torch.zeros(members, len(TRACES)),
                "scales": torch.ones(members, len(TRACES)),
            }
        self.members = members
        for name, value in buffers.items():
            self.register_buffer(name, value)

    def parts(self, images: Tensor) -> Tensor:
        """float [N, C, S, S] in [-1, 1] to what each trace says, float32 [N, 3]: log-odds that add up."""
        images = standardised(images.float(), _oval(images.shape[-1]).to(images.device))
        if self.members == 1:
            return self.read(images)
        parts = self.read(images) * self.scales[0] + self.shifts[0]
        for place, member in enumerate(self.more, start=1):
            added = cast(Traces, member).read(images) * self.scales[place] + self.shifts[place]
            whole = added.sum(dim=1, keepdim=True)
            parts = parts + added * GAIN * (whole - MARGIN).clamp(min=0) / whole.clamp(min=MARGIN)
        return parts

    def forward(self, images: Tensor) -> Tensor:
        """Calibrated log-odds [N]."""
        return self.log_odds(self.parts(images))

    def log_odds(self, parts: Tensor) -> Tensor:
        """Calibrated log-odds [N] of parts [N, 3]."""
        return parts.sum(dim=1) * self.slope + self.offset

    def threshold(self, false_alarms: float) -> float:
        """The log-odds that this share of real pictures exceeds, as far as the held-out ones tell."""
        place = torch.tensor(1 - false_alarms) * (QUANTILES - 1)
        low = int(place.floor().clamp(max=QUANTILES - 2))
        return float(torch.lerp(self.quantiles[low].cpu(), self.quantiles[low + 1].cpu(), place - low))


def standardised(images: Tensor, oval: Tensor) -> Tensor:
    """The face alone, with mean 0 in each channel and deviation 1 in all: backgrounds and light tell nothing.

    oval: float [S, S], 1 in the face, fading to 0 around it.
    """
    weights = oval / oval.sum()
    images = images - (images * weights).sum(dim=(2, 3), keepdim=True)
    power = (images.square() * weights).sum(dim=(2, 3), keepdim=True).mean(dim=1, keepdim=True)
    return images / power.sqrt().clamp(min=0.02) * oval


def residual(images: Tensor) -> Tensor:
    """Pixels minus the upper left one of their 2 x 2 block, [N, C, S, S]."""
    halved = images[..., ::2, ::2]
    doubled = halved.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
    return images - doubled[..., : images.shape[-2], : images.shape[-1]]


@functools.cache
def _oval(side: int) -> Tensor:
    """float32 [side, side]: 1 inside the face of a crop that is aligned as FFHQ's are, 0 well outside it."""
    places = (torch.arange(side) + 0.5) / side
    across, down = (places - 0.5) / 0.34, (places - 0.54) / 0.43
    distance = torch.hypot(down[:, None], across[None])
    return ((1.12 - distance) / 0.2).clamp(0, 1)


def power(images: Tensor, rings: Tensor) -> Tensor:
    """The logarithm of the mean power of the luminance in rings of equal frequency, [N, rings]."""
    side = images.shape[-1]
    window = torch.hann_window(side, periodic=False, device=images.device)
    spectrum = torch.fft.rfft2(images.float().mean(dim=1) * window * window[:, None])
    flat = spectrum.abs().square().flatten(1) @ rings
    return torch.log(flat / side**2 + 1e-6)


@functools.cache
def _rings(side: int) -> Tensor:
    """float32 [side * (side // 2 + 1), side // 2]: the share of each frequency in its ring's mean."""
    down, across = torch.fft.fftfreq(side) * side, torch.fft.rfftfreq(side) * side
    ring = torch.hypot(down[:, None], across[None]).round().long().flatten()
    count = side // 2
    inside = F.one_hot(ring.clamp(max=count), count + 1)[:, :count].float()
    return inside / inside.sum(dim=0).clamp(min=1)


def _tower(channels: int, width: int, resolution: int, most: int) -> nn.Sequential:
    stages = max(min(resolution.bit_length() - 3, most), 1)
    widths = [width * share for share in (1, 2, 4, 6)[:stages]]
    layers: list[nn.Module] = []
    for before, after in zip([channels, *widths], widths, strict=False):
        layers += [norm_conv(before, after, 4, stride=2), nn.ReLU(inplace=True)]
        if before != channels or len(widths) == 1:  # the first stage is the dearest
            layers.append(Residual(after, begins=0.1))  # near the identity
    return nn.Sequential(*layers, _Mean(), nn.Linear(widths[-1], 1))


class _Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.float().mean(dim=(2, 3))
