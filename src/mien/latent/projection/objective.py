"""What a projection minimises: perceptual distance, pixels, identity; the face may count more."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.core.artefacts import obtain
from mien.core.errors import MienError
from mien.core.events import Events
from mien.core.sampling import device_of
from mien.faces.identity import ARTEFACT as IDENTITY
from mien.faces.identity import IdentityNetwork
from mien.nn.lpips import ARTEFACT, Lpips, Trunk

LEAST_SIDE, MOST_SIDE = 64, 256  # pixels at which LPIPS looks: smaller images are enlarged, larger averaged
_BATCH = 16


@dataclass(frozen=True)
class Weights:
    """Of the loss. pixel: of the mean squared error. identity: of the squared distance of identities.

    face: how much more a place in the face counts than one outside.
    """

    pixel: float = 1.0
    identity: float = 0.0
    face: float = 1.0


class Objective:
    """The distance of images to targets. Without LPIPS it is the mean squared error alone."""

    def __init__(
        self,
        targets: Tensor,
        weights: Weights,
        *,
        lpips: Lpips | None,
        identity: IdentityNetwork | None = None,
        faces: Tensor | None = None,
    ) -> None:
        """targets: float [N, C, H, W] in [-1, 1]. faces: float [N, 1, H, W], 1 in the face and 0 outside.

        All is compared where `lpips` is.
        """
        self._place = device_of(lpips)
        self._targets, self._weights = targets.to(self._place), weights
        self._lpips, self._identity = lpips, identity if weights.identity else None
        self._places = None
        if faces is not None and weights.face != 1:
            places = 1 + (weights.face - 1) * faces.to(self._place)
            self._places = places / places.mean(dim=(1, 2, 3), keepdim=True)
        with torch.no_grad():
            self._directions = None if lpips is None else _batched(lpips, viewed(self._targets))
            self._who = None
            if self._identity is not None:
                pieces = torch.split(self._targets, _BATCH)
                self._who = torch.cat([self._identity.embed(enlarged(piece)) for piece in pieces])

    def losses(self, images: Tensor, which: Tensor) -> Tensor:
        """float32 [n], where the images are: of images [n, C, H, W], those of the targets `which` [n]."""
        home, images, which = images.device, images.to(self._place), which.to(self._place)
        places = None if self._places is None else self._places[which]
        images = _as_shown(images, self._targets[which])
        error = (images - self._targets[which]).square()
        total = self._weights.pixel * _mean(error, places)
        if self._lpips is not None and self._directions is not None:
            perceptual = torch.zeros(len(images), device=images.device)
            directions = self._lpips.directions(viewed(images))
            for one, other, linear in zip(directions, self._directions, self._lpips.linear, strict=True):
                far = (one - other[which]).square() * linear.view(1, -1, 1, 1)
                perceptual = perceptual + _mean(far.sum(dim=1, keepdim=True), places)
            total = total + perceptual
        if self._identity is not None and self._who is not None:
            apart = self._identity.embed(enlarged(images)) - self._who[which]
            total = total + self._weights.identity * apart.square().sum(dim=1)
        return total.to(home)


def open_lpips(
    trunk: Trunk, events: Events, *, instead: str, device: torch.device | str = "cpu"
) -> Lpips | None:
    """LPIPS, fetched if need be; None where it cannot be had, which is said with what is done `instead`."""
    try:
        obtain(ARTEFACT[trunk], announce=events.note)
        with torch.random.fork_rng(devices=[]):
            return Lpips.load(trunk, device=device)
    except MienError as error:
        events.warn(f"no LPIPS ({ARTEFACT[trunk]}): {instead} ({error})")
        return None


def open_identity(
    events: Events, *, instead: str, device: torch.device | str = "cpu"
) -> IdentityNetwork | None:
    """The identity network, fetched if need be; None where it cannot be had, which is said."""
    try:
        obtain(IDENTITY, announce=events.note)
        with torch.random.fork_rng(devices=[]):
            return IdentityNetwork.load(device)
    except MienError as error:
        events.warn(f"no identity network: {instead} ({error})")
        return None


def _as_shown(images: Tensor, targets: Tensor) -> Tensor:
    """Images clipped where their targets are white or black already: more than that cannot be seen.

    Elsewhere what lies beyond the range stays, so that its gradient leads back.
    """
    images = torch.where(targets >= 1, images.clamp(max=1), images)
    return torch.where(targets <= -1, images.clamp(min=-1), images)


def viewed(images: Tensor) -> Tensor:
    """Images [N, 1 or 3, H, W] as LPIPS sees them: RGB, sides from 64 to 256 px."""
    x = enlarged(images).expand(-1, 3, -1, -1)
    if x.shape[-1] > MOST_SIDE:
        x = F.interpolate(x, (MOST_SIDE, MOST_SIDE), mode="area")
    return x.contiguous(memory_format=torch.channels_last)


def enlarged(images: Tensor) -> Tensor:
    """Images with sides of at least 64 px."""
    if images.shape[-1] >= LEAST_SIDE:
        return images
    return F.interpolate(images, (LEAST_SIDE, LEAST_SIDE), mode="bicubic")


def _mean(values: Tensor, places: Tensor | None) -> Tensor:
    """The mean of [N, C, h, w] over all but N, each place weighed as the larger map `places` says."""
    if places is None:
        return values.mean(dim=(1, 2, 3))
    weights = F.adaptive_avg_pool2d(places, (values.shape[2], values.shape[3]))
    return (values.mean(dim=1, keepdim=True) * weights).mean(dim=(1, 2, 3))


def _batched(lpips: Lpips, images: Tensor) -> list[Tensor]:
    pieces = [lpips.directions(piece) for piece in torch.split(images, _BATCH)]
    return [torch.cat(layers) for layers in zip(*pieces, strict=True)]


@torch.no_grad()
def lpips_distances(lpips: Lpips, one: Tensor, other: Tensor) -> list[float]:
    """LPIPS of float images [N, C, H, W] each to its partner, as reports state it."""
    distances: Sequence[Tensor] = [
        lpips(viewed(a), viewed(b))
        for a, b in zip(torch.split(one, _BATCH), torch.split(other, _BATCH), strict=True)
    ]
    return [float(value) for value in torch.cat(list(distances))]
