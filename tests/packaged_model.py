"""A tiny untrained generator in the place of the one that comes with mien."""

from pathlib import Path

import torch

from mien.core.checkpoint import NetworkHeader, save_generator
from mien.core.types import Spec
from mien.models import lite

CONFIG = lite.PRESETS["default"].model_copy(update={"width_g": 4, "width_d": 4, "z_dim": 8, "batch_size": 50})


def package(folder: Path, *, seed: int = 0, spec: Spec = Spec(16), config: lite.Config = CONFIG) -> Path:  # noqa: B008
    """Put an untrained lite in `folder` as the packaged model; give the generator's file."""
    torch.manual_seed(seed)
    model = lite.build(config, spec)
    header = NetworkHeader(
        family="lite", config=config.model_dump(), spec=spec, nimg=812_000, tool="mien", origin=f"{seed}"
    )
    folder.mkdir(exist_ok=True)
    path = folder / "faces-64.safetensors"
    save_generator(path, model.networks["g"].state_dict(), header)
    discriminator = header.model_copy(update={"kind": "discriminator"})
    save_generator(
        folder / "faces-64.discriminator.safetensors", model.networks["d"].state_dict(), discriminator
    )
    return path
