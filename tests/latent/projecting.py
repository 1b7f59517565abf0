"""Tiny generators of every kind, and a room without third-party files, for tests of projection."""

from pathlib import Path
from typing import Any

import pytest
import torch

from drawers import STYLED, styled_network
from mien.core import discover
from mien.core.checkpoint import NetworkHeader, save_generator
from mien.core.errors import MienError
from mien.core.family import build_product
from mien.core.network import LoadedNetwork, load_network
from mien.core.types import Spec
from mien.latent.projection.options import ProjectOptions

SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "stylegan2": ("stylegan2", STYLED.model_dump()),
    "stylegan1": (
        "stylegan1",
        {
            "z_dim": 8,
            "w_dim": 8,
            "mapping_layers": 2,
            "channel_base": 64,
            "channel_max": 8,
            "embed_layers": 2,
        },
    ),
    "lite": (
        "lite",
        {"z_dim": 8, "mapping_layers": 2, "w_dim": 12, "width_g": 4, "width_d": 4, "max_width": 8},
    ),
    "plain": ("lite", {"z_dim": 8, "width_g": 4, "width_d": 4, "max_width": 8}),
    "dcgan": ("dcgan", {"z_dim": 8, "width_g": 4, "width_d": 4}),
    "r3gan": ("r3gan", {"z_dim": 8, "channel_base": 128, "channel_max": 8, "blocks": 1}),
}
STYLED_ONES = ("stylegan2", "stylegan1", "lite")
PLAIN_ONES = ("plain", "dcgan", "r3gan")
QUICK = ProjectOptions(steps=12, candidates=16, batch=4)


def generator_file(
    folder: Path, name: str, *, labels: tuple[str, ...] = (), channels: int = 3, seed: int = 1
) -> Path:
    """An untrained generator of a kind of SMALL, 16 px, whose weights are large enough that it varies."""
    family, given = SMALL[name]
    module = discover.load("mien.models", family)
    config = module.Config(**given)
    spec = Spec(16, channels, len(labels), labels)
    torch.manual_seed(seed)
    network = styled_network(spec) if name == "stylegan2" else build_product(module, config, spec)
    if name == "stylegan1":
        network.synthesis.level.fill_(0)  # type: ignore[union-attr,operator]
    enliven(network, name)
    rows = tuple(tuple(row) for row in torch.eye(len(labels)).tolist())
    header = NetworkHeader(
        family=family, config=config.model_dump(), spec=spec, nimg=0, tool="mien test", label_rows=rows
    )
    path = folder / f"{name}{len(labels)}{channels}{seed}.safetensors"
    save_generator(path, network.state_dict(), header)
    return path


def enliven(network: torch.nn.Module, name: str) -> None:
    """Small initial weights draw gray; larger ones draw blobs that differ."""
    if name in ("lite", "plain", "dcgan"):
        with torch.no_grad():
            for key, parameter in network.named_parameters():
                if key.startswith("styles"):
                    parameter.mul_(20)
                elif parameter.ndim == 4:
                    parameter.mul_(4)


def loaded_generator(folder: Path, name: str, **more: Any) -> LoadedNetwork[Any]:
    return load_network(generator_file(folder, name, **more))


def without_artefacts(monkeypatch: pytest.MonkeyPatch) -> None:
    """No third-party file is to be had, and nothing is asked of the network."""

    def absent(name: str, **_: object) -> Path:
        raise MienError(f"artefact {name} is not in the cache")

    for module in ("latent.projection.objective", "faces.finder"):
        monkeypatch.setattr(f"mien.{module}.obtain", absent)
