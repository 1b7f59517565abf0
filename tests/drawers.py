"""Tiny untrained generators in files of ours, for tests of what draws."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from mien.core.checkpoint import NetworkHeader, save_generator
from mien.core.picture import Pixels
from mien.core.types import Spec
from mien.models import lite, stylegan2

STYLED = stylegan2.Config(z_dim=8, w_dim=8, channel_base=128, channel_max=8)
PLAIN = lite.Config(z_dim=8, width_g=4, width_d=4, max_width=8)


def styled_network(spec: Spec) -> nn.Module:
    """An untrained StyleGAN2 whose mapping varies and whose noise shows."""
    torch.manual_seed(1)
    network = stylegan2.build_generator(STYLED, spec)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("noise_strength"):
                value.fill_(0.2)
        network.mapping.w_avg.normal_()
    return network.eval().requires_grad_(False)


def styled_file(
    folder: Path, *, resolution: int = 16, names: tuple[str, ...] = (), channels: int = 3
) -> Path:
    """A StyleGAN2 file."""
    spec = Spec(resolution, channels, len(names), names)
    return _save(folder / "styled.safetensors", "stylegan2", STYLED.model_dump(), spec, styled_network(spec))


def plain_file(folder: Path, *, resolution: int = 16) -> Path:
    """A lite file: a generator without w."""
    torch.manual_seed(1)
    spec = Spec(resolution)
    network = lite.build_generator(PLAIN, spec)
    return _save(folder / "plain.safetensors", "lite", PLAIN.model_dump(), spec, network)


def alike(one: Pixels, two: Pixels) -> bool:
    """The same picture but for rounding: in batches of other sizes a sum may come out a bit otherwise."""
    return one.shape == two.shape and bool(np.abs(one.astype(int) - two).max() <= 1)


def _save(path: Path, family: str, config: dict[str, object], spec: Spec, network: nn.Module) -> Path:
    header = NetworkHeader(family=family, config=config, spec=spec, nimg=0, tool="mien test")
    save_generator(path, network.state_dict(), header)
    return path
