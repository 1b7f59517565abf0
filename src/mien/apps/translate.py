"""`mien translate`: pictures to what a run has learnt that they are to become."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch

from mien.apps.products import load
from mien.apps.transform import Transformed, Way, transform
from mien.datasets._stored import Report
from mien.models._unet import Translator
from mien.models.pix2pix import KIND


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
    product = load(source, KIND, device)
    network = cast(Translator, product.network)
    way = Way(network, network.spec, product.model, resize=resize, device=device)
    return transform(inputs, out, way, progress=progress)
