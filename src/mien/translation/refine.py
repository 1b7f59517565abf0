"""`mien refine`: computer-generated pictures made to look real, with everything known of them kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch

from mien.core.network import load_network
from mien.core.provenance import SourceType
from mien.datasets.stored import Report
from mien.models.simgan import KIND
from mien.nn.refiner import Refiner
from mien.translation.transform import Transformed, Way, transform


def refine(
    source: Path,
    inputs: Sequence[str],
    out: Path,
    *,
    resize: bool = False,
    any_size: bool = False,
    device: torch.device | None = None,
    progress: Report | None = None,
) -> Transformed:
    """Refine `inputs` into a folder, or into a zip with every label and record; see `transform`."""
    device = device or torch.device("cpu")
    loaded = load_network(source, KIND, device)
    refiner = cast(Refiner, loaded.network)
    way = Way(
        refiner,
        refiner.spec,
        loaded.model,
        SourceType.ENHANCED,
        resize=resize,
        any_size=any_size,
        device=device,
    )
    return transform(inputs, out, way, progress=progress)
