"""`mien refine`: computer-generated pictures made to look real, with everything known of them kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from mien.apps.transform import Transformed, Way, transform
from mien.core.checkpoint import GeneratorHeader, model_id
from mien.core.provenance import SourceType
from mien.core.run import RunFolder
from mien.datasets._stored import Report
from mien.models._load import load_product
from mien.models._refiner import Refiner
from mien.models.simgan import KIND


@dataclass(frozen=True)
class Loaded:
    """A refiner ready to use, and what its file says."""

    network: Refiner
    header: GeneratorHeader
    model: str


def load(source: Path, device: torch.device | None = None) -> Loaded:
    """Load a run's newest refiner, or a file of one. Raises InputError."""
    path = RunFolder.open(source).newest_product(KIND) if source.is_dir() else source
    network, header = load_product(path, KIND)
    network.to(device or torch.device("cpu"))
    return Loaded(cast(Refiner, network), header, model_id(path))


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
    loaded = load(source, device)
    way = Way(
        loaded.network,
        loaded.network.spec,
        loaded.model,
        SourceType.ENHANCED,
        resize=resize,
        any_size=any_size,
        device=device,
    )
    return transform(inputs, out, way, progress=progress)
