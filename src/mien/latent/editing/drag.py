"""Points of a face dragged to other places by moving its latent (after Pan et al. 2023, arXiv:2305.10973).

What surrounds a point (the generator's features there, and colours) is remembered. A place that goes from the
point to its target in equal steps is to look like that (motion supervision); the point is where it looks most
like that (tracking). The latent moves in few coordinates along which samples vary, at a price for its
distance: free to go anywhere, it finds what looks right at the point and is no face.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.core.errors import InputError
from mien.core.sampling import on_its_device
from mien.core.styles import Styled, constrained, has_leading_row, led, sample_styles
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.layers import feature_maps
from mien.latent.projection.find import known_labels
from mien.latent.projection.options import ProjectOptions
from mien.latent.projection.spaces import synthesised

MOST_POINTS = 8
STEPS = 80
_LEAST_SIDE = 32  # pixels of an image
_LOOK_SIDE = 64  # pixels at which images and maps are looked at, if they are larger
_LR = 0.1  # standard deviations a step
_WAY = 0.6  # share of the steps in which the place goes to the target
_ARRIVED = 1 / 64  # of the side: a point this near its target has arrived
_PATCH = 0.13  # of the side: radius of what surrounds a point
_SEARCH = 0.06  # of the side: radius in which a point is looked for again
_COLOURS = 20.0  # weight of colours beside features
_PRICE = 1e-3  # of a squared standard deviation of the latent
_SIDES = (2, 4)  # the maps looked at are the last ones of the side looked at over these
_AXES = 64  # principal axes of w in which it moves
_SAMPLES = 2000  # of w, for its axes


@dataclass(frozen=True)
class Pull:
    """A point and where it is to go, as shares of the image's side from the upper left corner."""

    start: tuple[float, float]
    target: tuple[float, float]


@dataclass(frozen=True)
class Dragged:
    """How far a drag is. codes: the one latent. points: where the points are now, as shares of the side."""

    step: int
    codes: Codes
    points: tuple[tuple[float, float], ...]
    arrived: bool


class Dragging:
    """What dragging on one generator needs; made once, since its axes are measured on samples."""

    def __init__(self, drawing: Drawing) -> None:
        if drawing.resolution < _LEAST_SIDE:
            raise InputError(f"dragging needs images of at least {_LEAST_SIDE} px")
        self._side, self._neighbourhood = min(drawing.resolution, _LOOK_SIDE), Neighbourhood(drawing)
        self._features = Features(drawing, self._side)

    def steps(self, codes: Codes, pulls: Sequence[Pull], *, most: int = STEPS) -> Iterator[Dragged]:
        """Drag the points of one face, yielding after each step; ends when all arrived. Raises InputError."""
        check_pulls(pulls)
        starts = torch.tensor([pull.start for pull in pulls]) * self._side - 0.5
        targets = torch.tensor([pull.target for pull in pulls]) * self._side - 0.5
        around, search = disc(_PATCH * self._side), disc(_SEARCH * self._side)
        coordinates = torch.zeros(1, self._neighbourhood.dims, requires_grad=True)
        adam = torch.optim.Adam([coordinates], lr=_LR)
        with torch.no_grad():
            looks = patches(self._features.of(codes), starts[:, None], around)
        points = starts
        for step in range(1, most + 1):
            maps = self._features.of(self._neighbourhood.at(codes, coordinates))
            places = torch.lerp(starts, targets, min(1.0, step / (_WAY * most)))
            loss = (patches(maps, places[:, None], around) - looks).abs().sum(-1).mean()
            loss = loss + _PRICE * coordinates.square().sum()
            adam.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            with torch.no_grad():
                now = self._neighbourhood.at(codes, coordinates)
                points = tracked(self._features.of(now), looks, places, around, search)
            far = float((targets - points).norm(dim=1).max())
            arrived = step >= _WAY * most and far <= _ARRIVED * self._side
            shares = tuple((float(x), float(y)) for x, y in (points + 0.5) / self._side)
            yield Dragged(step, now, shares, arrived)
            if arrived:
                return


def check_pulls(pulls: Sequence[Pull]) -> None:
    """Raise InputError unless there are points, not too many, inside the image."""
    if not 1 <= len(pulls) <= MOST_POINTS:
        raise InputError(f"{len(pulls)} points; between 1 and {MOST_POINTS} can be dragged at once")
    if not all(0 <= value <= 1 for pull in pulls for value in (*pull.start, *pull.target)):
        raise InputError("a point lies outside the image")


class Neighbourhood:
    """Latents near one, by `dims` coordinates in standard deviations of samples.

    Of z all numbers, and so where the first row of ws is z (lite), which takes w along; else the principal
    axes of w, all rows alike, which leaves what differs between them in W+.
    """

    def __init__(self, drawing: Drawing) -> None:
        self._network = drawing.loaded.network
        self.dims = int(self._network.z_dim)
        self._axes: Tensor | None = None
        if isinstance(self._network, Styled) and not has_leading_row(self._network):
            labels = known_labels(drawing, ProjectOptions()).rows
            w = sample_styles(self._network, labels, _SAMPLES)[:, 0]
            _, deviations, axes = torch.linalg.svd(w - w.mean(dim=0), full_matrices=False)
            kept = axes[:_AXES] * deviations[:_AXES, None] / len(w) ** 0.5
            self._axes, self.dims = kept, len(kept)

    def at(self, codes: Codes, coordinates: Tensor) -> Codes:
        """The latent at coordinates [1, dims] from that of `codes`; differentiable."""
        network, values = self._network, codes.values
        if self._axes is not None:
            values = constrained(network, values + (coordinates @ self._axes)[:, None])
        elif codes.space == "z":
            values = values + coordinates
        else:
            first = values[:, :1] + F.pad(coordinates, (0, values.shape[2] - self.dims))[:, None]
            there = constrained(network, torch.cat([first, values[:, 1:]], dim=1))
            follow = led(network, there) - led(network, values)
            values = torch.cat([there[:, :1], (values + follow)[:, 1:]], dim=1)
        return replace(codes, values=values)


class Features:
    """What a generator's layers say of each place of its image, with the colours there."""

    def __init__(self, drawing: Drawing, side: int) -> None:
        """side: pixels at which the image and the maps are looked at; more cost more and tell no more."""
        self._drawing, self._network, self._side = drawing, cast(nn.Module, drawing.loaded.network), side
        self._scales: dict[str, Tensor] = {}  # layer -> what its maps are divided by

    def of(self, codes: Codes) -> Tensor:
        """float [1, C, side, side], differentiable. Differences sum to about 1 a layer where all differs."""
        if not self._scales:
            self._choose(codes)
        image, maps = feature_maps(self._network, list(self._scales), lambda: self._image(codes))
        parts = [maps[name].float().to(image.device) / scale for name, scale in self._scales.items()]
        size = (self._side, self._side)
        large = [F.interpolate(x, size, mode="bilinear", align_corners=False) for x in parts]
        colours = _COLOURS / image.shape[1] * F.adaptive_avg_pool2d(image, size)
        return torch.cat([colours, *large], dim=1)

    @torch.no_grad()
    def _choose(self, codes: Codes) -> None:
        """The last layer of each side wanted that has more channels than an image."""
        names = [name for name, _ in self._network.named_modules() if name]
        _, maps = feature_maps(self._network, names, lambda: self._image(codes))
        for share in _SIDES:
            side = self._side // share
            fitting = [name for name, x in maps.items() if x.shape[-1] == side and x.shape[1] > 4]
            if fitting:
                x = maps[fitting[-1]].float().cpu()
                self._scales[fitting[-1]] = x.std().clamp(min=1e-6) * x.shape[1] * len(_SIDES)

    def _image(self, codes: Codes) -> Tensor:
        if codes.space == "w":
            return synthesised(cast(Styled, self._network), codes.values)
        labels = codes.labels if codes.labels is not None else self._drawing.labels([0])
        return on_its_device(self._network, self._network, codes.values, labels)


def patches(maps: Tensor, places: Tensor, around: Tensor) -> Tensor:
    """Maps [1, C, S, S] at `around` [K, 2] each of places [N, M, 2]: [N, M, K, C]. Pixels, centres whole."""
    points = places[:, :, None] + around
    grid = ((2 * points + 1) / maps.shape[-1] - 1).reshape(1, 1, -1, 2)
    samples = F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return samples[0, :, 0].t().reshape(*points.shape[:3], -1)


def tracked(maps: Tensor, looks: Tensor, points: Tensor, around: Tensor, search: Tensor) -> Tensor:
    """For each point the place [N, 2] near it whose surroundings are nearest to `looks` [N, 1, K, C]."""
    places = (points[:, None] + search).clamp(0, maps.shape[-1] - 1)
    far = (patches(maps, places, around) - looks).abs().sum(dim=(2, 3))
    return places[torch.arange(len(points)), far.argmin(dim=1)]


def disc(radius: float) -> Tensor:
    """Offsets [N, 2] within a radius of pixels, a pixel apart, the middle first."""
    reach = max(1, round(radius))
    along = torch.arange(-reach, reach + 1).float()
    offsets = torch.cartesian_prod(along, along)
    offsets = offsets[offsets.norm(dim=1) <= reach]
    return offsets[offsets.norm(dim=1).argsort(stable=True)]
