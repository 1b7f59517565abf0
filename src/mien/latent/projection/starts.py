"""Where a projection begins: latents of a file, the mean, or the nearest of many samples."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from mien.core.errors import InputError
from mien.core.image import to_float
from mien.core.network import LoadedNetwork
from mien.core.sampling import draw, on_its_device
from mien.core.styles import Styled, draw_styles, mean_latent, sample_latents, styles
from mien.latent.codes import Codes
from mien.latent.projection.objective import viewed
from mien.latent.projection.spaces import Labels, Space
from mien.nn.lpips import Lpips

_BATCH = 32


class Starts:
    """The starting points of targets: [restarts * N, ...], all first ones before all second ones.

    They are ws [num_ws, w_dim] for a space of w, z for "z". candidates: how many samples are looked at;
    drawn when first asked for. given: latents to start from instead, for one target or for each.
    """

    def __init__(
        self,
        loaded: LoadedNetwork[Any],
        space: Space,
        labels: Labels,
        *,
        candidates: int,
        restarts: int,
        lpips: Lpips | None,
        given: Tensor | None = None,
    ) -> None:
        if candidates and candidates < restarts:
            raise InputError(f"--candidates {candidates}: fewer than the {restarts} --restarts")
        self._network, self._space, self._lpips = loaded.network, space, lpips
        self._labels, self._restarts, self._given = labels, restarts, given
        self._candidates = candidates
        self._pool: tuple[Tensor, Tensor, Tensor | None] | None = None

    def of(self, targets: Tensor, which: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Latents and labels for targets uint8 [N, C, S, S], which are the numbers `which` of all."""
        rows = self._label_rows(len(targets))
        if self._given is not None:
            first = (
                self._given[list(which)]
                if len(self._given) > 1
                else self._given.expand(len(which), *[-1] * (self._given.ndim - 1))
            )
            if rows is not None:
                rows = rows.repeat(self._restarts, 1)
            return first.repeat(self._restarts, *[1] * (first.ndim - 1)), rows
        if self._candidates or self._restarts > 1 or self._space.name == "z":
            return self._nearest(targets)
        mean = mean_latent(cast(Styled, self._network), self._labels.rows)
        return mean.expand(len(targets), -1, -1), rows

    def _label_rows(self, count: int) -> Tensor | None:
        rows = self._labels.rows
        return None if rows is None else rows.mean(dim=0, keepdim=True).expand(count, -1)

    def _nearest(self, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        latents, features, labels = self._drawn()
        distances = torch.cdist(self._seen(targets), features)
        order = distances.topk(self._restarts, dim=1, largest=False).indices.t().flatten()
        return latents[order], None if labels is None else labels[order]

    def _drawn(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Latents, what is seen of their images, labels."""
        if self._pool is None:
            count = max(self._candidates, self._restarts)
            z = torch.from_numpy(sample_latents(self._network.z_dim, count))
            rows = self._labels.rows
            labels = None if rows is None else rows[torch.arange(count) % len(rows)]
            if isinstance(self._network, Styled) and self._space.name != "z":
                latents = styles(self._network, z, labels)
                images = draw_styles(self._network, latents)
            else:
                latents, images = z, draw(self._network, z, labels)
            self._pool = latents, self._seen(images), labels
        return self._pool

    @torch.no_grad()
    def _seen(self, images: Tensor) -> Tensor:
        """Vectors whose distance is LPIPS, or that of pixels where there is none."""
        pieces = [to_float(piece) for piece in torch.split(images, _BATCH)]
        if self._lpips is None:
            return torch.cat([piece.flatten(1) for piece in pieces])
        lpips = self._lpips
        return torch.cat([on_its_device(lpips, lpips.embed, viewed(piece)) for piece in pieces])


def given_latents(codes: Codes, count: int, where: str) -> Tensor:
    """Latents of a file for `count` targets. Raises InputError where there are neither one nor as many."""
    if len(codes) not in (1, count):
        raise InputError(f"{where}: {len(codes)} latents, and there are {count} faces; give one or as many")
    return codes.values
