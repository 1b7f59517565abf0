"""A loaded generator with truncation and labels, as all commands that draw faces use it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mien import TOOL
from mien.core.errors import InputError
from mien.core.image import resize, to_hwc
from mien.core.network import LoadedNetwork, load_network
from mien.core.picture import Pixels
from mien.core.provenance import Provenance
from mien.core.sampling import draw, latents
from mien.core.seeds import check_psi, psi_note
from mien.core.styles import Styled, styled, styles
from mien.labels.vectors import label_vectors

_MOST_SIDE = 2048


@dataclass(frozen=True)
class Drawing:
    """A generator with truncation psi and the labels to draw, as `--label` gives them."""

    loaded: LoadedNetwork[Any]
    psi: float
    label: tuple[str, ...]

    @classmethod
    def of(
        cls,
        source: Path | None,
        *,
        trunc: float,
        label: str | Sequence[str],
        note: Callable[[str], None] = lambda line: None,
        device: torch.device | None = None,
    ) -> "Drawing":
        """Load a generator as `load_network` does. Raises InputError, for a bad label too.

        Latents and images are on the CPU, whatever device it is on.

        note: gets what the user should know of the file and the truncation.
        """
        psi = check_psi(trunc)
        drawing = cls(load_network(source, device=device), psi, as_labels(label))
        drawing.labels([0])
        for line in filter(None, (*drawing.loaded.notes, psi_note(psi))):
            note(line)
        return drawing

    @property
    def resolution(self) -> int:
        """Side of its images in pixels."""
        return self.loaded.header.spec.resolution

    def labels(self, seeds: Sequence[int]) -> Tensor | None:
        """The label vectors [len(seeds), label_dim]; None for an unconditional model."""
        return label_vectors(self.loaded.header, self.label, seeds)

    def latents(self, seeds: list[int]) -> Tensor:
        """z of each seed, float32 [N, z_dim]."""
        return latents(seeds, self.loaded.network.z_dim)

    def from_z(self, z: Tensor, seeds: Sequence[int] | None = None) -> Tensor:
        """uint8 [N, C, H, W] of latents. seeds: labels not given are drawn by them; by default all alike."""
        labels = self.labels([0] * len(z) if seeds is None else seeds)
        return draw(self.loaded.network, z, labels, psi=self.psi)

    def faces(self, seeds: list[int]) -> Tensor:
        """uint8 [N, C, H, W] of seeds, as `mien generate` draws them."""
        return self.from_z(self.latents(seeds), seeds)

    def styled(self, what: str) -> Styled:
        """The generator if it has styles; otherwise InputError, saying that `what` needs them."""
        return styled(self.loaded.network, family=self.loaded.header.family, what=what)

    def styles(self, seeds: list[int], what: str) -> Tensor:
        """ws [N, num_ws, w_dim] of seeds, truncated; errors as `styled`'s."""
        return styles(self.styled(what), self.latents(seeds), self.labels(seeds), psi=self.psi)

    def mark(self, seed: int | None = None) -> Provenance:
        """The provenance mark of its images."""
        return Provenance(self.loaded.model, seed, TOOL)


def rgb(picture: Tensor) -> Pixels:
    """uint8 [C, H, W] as RGB [H, W, 3]."""
    pixels = to_hwc(picture)
    return pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2)


def sized(picture: Tensor, side: int) -> Pixels:
    """uint8 [C, H, W] as RGB [side, side, 3]."""
    pixels = rgb(picture)
    return pixels if len(pixels) == side else resize(pixels, side)


def as_labels(label: str | Sequence[str]) -> tuple[str, ...]:
    """Labels as `--label` gives them; from Python one may come alone."""
    return (label,) if isinstance(label, str) else tuple(label)


def check_side(option: str, side: int | None, *, default: int) -> int:
    """Check the side in pixels given by an option. Raises InputError."""
    if side is not None and not 1 <= side <= _MOST_SIDE:
        raise InputError(f"{option} {side}: between 1 and {_MOST_SIDE} pixels")
    return default if side is None else side
