"""`mien translate`: pictures to what a run has learnt that they are to become."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch

from mien.core.network import load_network
from mien.datasets.stored import Report
from mien.models.pix2pix import KIND
from mien.nn.unet import Translator
from mien.translation.transform import Transformed, Way, transform


def translate(
    source: Path,
    inputs: Sequence[str],
    out: Path,
    *,
    resize: bool = False,
    device: torch.device | None = None,
    progress: Report | None = None,
) -> Transformed:
    """Translate `inputs` into a folder, or into a zip with every label and record; see `transform`."""
    device = device or torch.device("cpu")
    loaded = load_network(source, KIND, device)
    network = cast(Translator, loaded.network)
    way = Way(network, network.spec, loaded.model, resize=resize, device=device)
    return transform(inputs, out, way, progress=progress)
