"""Published weights where they are in the user's cache, and random pictures."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mien.core.artefacts import artefact_path
from mien.nn.weights import read_tensors


@pytest.fixture(scope="session")
def published() -> Callable[[str], dict[str, Tensor]]:
    def read(name: str) -> dict[str, Tensor]:
        path = artefact_path(name)
        if path is None:
            pytest.skip(f"not in the cache (run `mien artefacts fetch {name}`)")
        return read_tensors(path)

    return read


@pytest.fixture
def noise() -> Callable[..., Tensor]:
    """Smooth random pictures in [-1, 1]."""

    def draw(count: int, side: int, seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.rand(count, 3, 8, 8, generator=generator) * 2 - 1
        return torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear", align_corners=False)

    return draw
