"""`mien translate`, `mien denoise` and `mien refine`: images through a trained network."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mien.core.events import Events, job
from mien.core.network import LoadedNetwork, load_network
from mien.core.provenance import SourceType
from mien.models import noise2noise, pix2pix, simgan
from mien.training.settings import pick_device
from mien.translation.transform import Operation, Transformed, transform_inputs

_TILE = 768  # pixels a side of what is computed at once, without its margin


@job
def translate(
    events: Events,
    run: Path,
    inputs: tuple[str, ...],
    /,
    *,
    out: Path,
    resize: bool = False,
    device: str = "auto",
) -> Transformed:
    """Turn pictures into what a run of `mien train PAIRS --model pix2pix` learnt: fronts into profiles.

    Parameters
    ----------
    run
        A run folder (its newest network) or a .safetensors file.
    inputs
        Pictures, folders, or one dataset: a zip, or like rendered:100.
    out
        A folder for PNGs; or a .zip, which keeps every label and everything else known of each picture.
    resize
        Bring square pictures of other sizes to the size that was trained.
    device
        cpu, cuda, mps or auto.
    """
    place = pick_device(device)
    loaded = load_network(run, pix2pix.KIND, place)
    op = _operation(loaded, place, source_type=SourceType.TRAINED, resize=resize)
    return transform_inputs(events, "translating", inputs, out, op)


@job
def denoise(
    events: Events,
    run: Path,
    inputs: tuple[str, ...],
    /,
    *,
    out: Path,
    any_size: bool = False,
    device: str = "auto",
) -> Transformed:
    """Clean noisy pictures with what a run of `mien train DATA --model noise2noise` learnt.

    Parameters
    ----------
    run
        A run folder (its newest denoiser) or a .safetensors file.
    inputs
        Pictures, folders, or one dataset: a zip, or like rendered:100.
    out
        A folder for PNGs; or a .zip, which keeps every label and everything else known of each picture.
    any_size
        Take pictures of any size as they are; by default those of another size than was trained are refused.
    device
        cpu, cuda, mps or auto.
    """
    place = pick_device(device)
    loaded = load_network(run, noise2noise.KIND, place)
    network, advice = loaded.network, "--any-size takes them as they are"
    in_parts = partial(in_tiles, network, side=_TILE, margin=network.reach, step=network.step)
    op = _operation(loaded, place, change=in_parts, any_size=any_size, advice=advice)
    return transform_inputs(events, "denoising", inputs, out, op)


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
    result = torch.empty_like(images, dtype=torch.float32)
    for top in range(0, height, side):
        for left in range(0, width, side):
            up, before = max(top - margin, 0), max(left - margin, 0)
            padded = images[..., up : top + side + margin, before : left + side + margin]
            for index in range(len(images)):
                tile = change(padded[index : index + 1])[0]
                tile = tile[:, top - up : top - up + side, left - before : left - before + side]
                result[index, :, top : top + side, left : left + side] = tile
    return result


def _operation(loaded: LoadedNetwork[Any], device: torch.device, **options: Any) -> Operation:
    options = {"change": loaded.network, "source_type": SourceType.ENHANCED} | options
    return Operation(spec=loaded.network.spec, model=loaded.model, device=device, **options)


@job
def refine(
    events: Events,
    run: Path,
    inputs: tuple[str, ...],
    /,
    *,
    out: Path,
    resize: bool = False,
    any_size: bool = False,
    device: str = "auto",
) -> Transformed:
    """Make pictures look like the real ones that a run of `mien train RENDERED --model simgan` learnt from.

    Parameters
    ----------
    run
        A run folder (its newest refiner) or a .safetensors file.
    inputs
        Pictures, folders, or one dataset: a zip, or like rendered:100.
    out
        A folder for PNGs; or a .zip, which keeps every label and everything else known of each picture.
    resize
        Bring square pictures of other sizes to the size that was trained.
    any_size
        Take pictures of any size as they are: the refiner looks at one neighbourhood after the other.
    device
        cpu, cuda, mps or auto.
    """
    place = pick_device(device)
    loaded = load_network(run, simgan.KIND, place)
    op = _operation(loaded, place, resize=resize, any_size=any_size)
    return transform_inputs(events, "refining", inputs, out, op)
