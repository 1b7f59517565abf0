"""Pickles as NVlabs' and R3GAN's programs write them; their modules exist only while one is written."""

import collections
import pickle
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from mien.core.types import Spec
from mien.models import stylegan2

SOURCE = "class Generator:\n    pass  # a harmless stand-in for the text that official files embed\n"
SIZES = {"z_dim": 16, "w_dim": 12, "mapping_layers": 3, "channel_base": 256, "channel_max": 24}


class EasyDict(dict[str, Any]):
    """The plain dictionary that the official programs keep arguments in."""


EasyDict.__module__ = "dnnlib.util"


def _reconstruct_persistent_obj(meta: Any) -> Any:
    raise AssertionError("the official loader was called")


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"


@contextmanager
def official_modules(**classes: Mapping[str, type]) -> Iterator[None]:
    """Make the official names importable, so that Python can pickle references to them.

    classes: more modules, dots written as "__".
    """
    members: dict[str, Mapping[str, Any]] = {
        "dnnlib.util": {"EasyDict": EasyDict},
        "torch_utils.persistence": {"_reconstruct_persistent_obj": _reconstruct_persistent_obj},
        **{name.replace("__", "."): found for name, found in classes.items()},
    }
    added = []
    for name, found in members.items():
        for part in (name.partition(".")[0], name):
            if part not in sys.modules:
                sys.modules[part] = types.ModuleType(part)
                added.append(part)
        vars(sys.modules[name]).update(found)
    try:
        yield
    finally:
        for part in added:
            del sys.modules[part]


class Persistent:
    """A module that pickles as the official ones do: its class's source text and its attributes."""

    def __init__(self, module: nn.Module, name: str, **more: Any) -> None:
        self.module, self.name, self.more = module, name, more

    def __reduce__(self) -> Any:
        state = {name: value for name, value in vars(self.module).items() if name != "spec"}
        state["_modules"] = collections.OrderedDict(
            (name, Persistent(child, type(child).__name__)) for name, child in self.module._modules.items()
        )
        state |= {"_init_args": (), "_init_kwargs": EasyDict(), **self.more}
        meta = EasyDict(type="class", version=6, module_src=SOURCE, class_name=self.name, state=state)
        return _reconstruct_persistent_obj, (meta,)


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter and w_avg random, so that no two tensors are alike."""
    rng = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if "filter" not in name:
            value.copy_(torch.randn(value.shape, generator=rng))
    return network


def generator(*, labels: int = 0, seed: int = 0, **sizes: Any) -> nn.Module:
    """A small StyleGAN2 generator of random weights, 32 px."""
    config = stylegan2.Config(**{**SIZES, **sizes})
    return randomised(stylegan2.build_generator(config, Spec(32, 3, labels)), seed)


def discriminator(*, labels: int = 0, **sizes: Any) -> nn.Module:
    """A small StyleGAN2 discriminator of random weights, 32 px."""
    config = stylegan2.Config(**{**SIZES, **sizes})
    return randomised(stylegan2.build(config, Spec(32, 3, labels)).networks["d"])


def persistent_generator(
    network: nn.Module, *, labels: int = 0, clamp: float | None = 256, **more: Any
) -> Persistent:
    """Wrapped with the attributes and arguments that the official class has."""
    kwargs = EasyDict(
        z_dim=16,
        c_dim=labels,
        w_dim=12,
        mapping_kwargs=EasyDict(num_layers=3),
        synthesis_kwargs=EasyDict(channel_base=256, channel_max=24, num_fp16_res=4, conv_clamp=clamp),
    )
    sizes = {"z_dim": 16, "c_dim": labels, "w_dim": 12, "img_resolution": 32, "img_channels": 3}
    return Persistent(network, "Generator", _init_kwargs=kwargs, **sizes, **more)


def persistent_discriminator(network: nn.Module, *, labels: int = 0) -> Persistent:
    """Wrapped with the attributes that the official class has."""
    return Persistent(
        network, "Discriminator", c_dim=labels, img_resolution=32, img_channels=3, architecture="resnet"
    )


def checkpoint(protocol: int = 4, **networks: Any) -> bytes:
    """A pickle of these networks with the other entries that official files have."""
    found = {"G": None, "D": None, "G_ema": None, "augment_pipe": None, **networks}
    options = EasyDict(
        class_name="training.dataset.ImageFolderDataset", path="data.zip", max_size=np.int64(7)
    )
    with official_modules():
        return pickle.dumps({**found, "training_set_kwargs": options}, protocol=protocol)
