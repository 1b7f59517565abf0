"""Latents of a dataset's pictures, by a generator and the encoder that was trained for it."""

from pathlib import Path

import numpy as np
import torch

from mien.core.errors import InputError
from mien.core.events import Events
from mien.core.network import load_network
from mien.core.types import Dataset
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.projection.find import Finder
from mien.latent.projection.options import ProjectOptions
from mien.latent.projection.projector import Saved
from mien.latent.projection.targets import Target
from mien.training.settings import pick_device

_CHUNK = 128


def latents_of(
    dataset: Dataset,
    source: Path | None,
    encoder: Path | None,
    *,
    steps: int,
    device: str,
    events: Events,
) -> Codes:
    """The latents of all pictures, which are taken as they are: faces cut out already.

    steps: of optimisation after the encoder's guess. Raises InputError where the pictures are not of the
    generator's size, or it has no encoder.
    """
    loaded = load_network(source, device=pick_device(device))
    ours, theirs = loaded.header.spec, dataset.spec
    if (ours.resolution, ours.channels) != (theirs.resolution, theirs.channels):
        raise InputError(
            f"{dataset.name}: pictures of {theirs.resolution} px with {theirs.channels} channels, and"
            f" {loaded.model} draws {ours.resolution} px with {ours.channels}"
        )
    options = ProjectOptions(
        encoder=encoder, method="both" if steps else "encoder", steps=steps or None, device=device
    )
    finder = Finder(Drawing(loaded, 1.0, ()), options, events, lpips=steps > 0)
    tick, parts = events.progress("finding latents", unit="pictures"), []
    for start in range(0, len(dataset), _CHUNK):
        where = np.arange(start, min(start + _CHUNK, len(dataset)))
        images = torch.from_numpy(np.ascontiguousarray(dataset.images(where)))
        targets = [Target(f"{n:06d}", image, f"{n}") for n, image in zip(where, images, strict=True)]
        parts.append(finder.codes(finder.find(targets, Saved(None, ""))))
        tick(int(where[-1]) + 1, len(dataset))
    return Codes.join(parts)
