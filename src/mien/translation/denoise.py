"""`mien denoise`: noisy pictures through a trained denoiser."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from mien.core.network import load_network
from mien.core.provenance import SourceType
from mien.datasets.stored import Report
from mien.models.noise2noise import KIND
from mien.nn.denoise_unet import Denoiser
from mien.translation.transform import Transformed, Way, transform

_TILE = 768  # pixels a side of what is computed at once, its surroundings aside


def run(
    source: Path,
    inputs: Sequence[str],
    out: Path,
    *,
    any_size: bool = False,
    device: torch.device | None = None,
    progress: Report | None = None,
) -> Transformed:
    """Clean `inputs` into a folder, or into a zip with every label and record; see `transform`.

    source: a run folder (its newest denoiser) or a file of one. Raises InputError.
    """
    device = device or torch.device("cpu")
    loaded = load_network(source, KIND, device)
    network = cast(Denoiser, loaded.network)
    way = Way(
        lambda images: in_tiles(network, images, side=_TILE, margin=network.reach, step=network.step),
        network.spec,
        loaded.model,
        SourceType.ENHANCED,
        any_size=any_size,
        device=device,
        advice="--any-size takes them as they are",
    )
    return transform(inputs, out, way, progress=progress)


def in_tiles(
    change: Callable[[Tensor], Tensor], images: Tensor, *, side: int, margin: int, step: int
) -> Tensor:
    """`change` of images [N, C, H, W] in squares of `side` pixels, so that large ones need little memory.

    The same as of the whole, if no pixel depends on one farther away than `margin`, and if `change` looks
    alike at places that are `step` pixels apart.
    """
    side, margin = (-(-length // step) * step for length in (side, margin))
    height, width = images.shape[-2:]
    if max(height, width) <= side:
        parts = torch.split(images, max(side**2 // (height * width), 1))
        return torch.cat([change(part) for part in parts])
    changed = torch.empty_like(images, dtype=torch.float32)
    for top in range(0, height, side):
        for left in range(0, width, side):
            up, before = max(top - margin, 0), max(left - margin, 0)
            seen = images[..., up : top + side + margin, before : left + side + margin]
            for index in range(len(images)):
                found = change(seen[index : index + 1])[0]
                found = found[:, top - up : top - up + side, left - before : left - before + side]
                changed[index, :, top : top + side, left : left + side] = found
    return changed
