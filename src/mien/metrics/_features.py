"""Feature networks: pictures in, one vector a picture out; every one has a name, a hash and a resize rule."""

import hashlib
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mien.core.errors import InputError
from mien.ops.random_vgg import WIDTHS, convolutions, filled

NETWORKS = ("vgg-random", "mesh", "inception")


class FeatureNetwork(Protocol):
    """What feature metrics look through.

    name, hash: which network, and SHA-256 of what defines its answer. dims: width of a feature vector.
    resize: in words, how a picture is brought to the size the network takes.
    """

    name: str
    hash: str
    dims: int
    resize: str

    def features(self, images: Tensor) -> np.ndarray:
        """uint8 [N, C, H, W] (C 1 or 3) to float32 [N, dims]; independent of how pictures are batched."""
        ...


def open_network(name: str, *, device: str | torch.device = "cpu") -> FeatureNetwork:
    """Build network `name` of NETWORKS; `mesh` always runs on the CPU.

    Raises InputError for an unknown name and MienError when the network's file has not been fetched.
    """
    if name == "vgg-random":
        return VggRandom(device=device)
    if name == "mesh":
        from mien.metrics._mesh import MeshFeatures

        return MeshFeatures()
    if name == "inception":
        from mien.metrics._inception import InceptionFeatures

        return InceptionFeatures.from_artefact(device=device)
    raise InputError(f"{name!r} is not a feature network; choose from: {', '.join(NETWORKS)}")


def chunks(images: Tensor, size: int) -> Iterator[Tensor]:
    """Check uint8 [N, 1 or 3, H, W] and yield it in batches of `size`."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise TypeError(f"pictures must be uint8 [N, 1 or 3, H, W], not {images.dtype} {list(images.shape)}")
    yield from torch.split(images, size)


def resized(images: Tensor, size: int) -> Tensor:
    """uint8 [N, 1 or 3, H, W] to float32 [N, 3, size, size] in [-1, 1], bicubic, antialiased, not rounded.

    A resize without antialiasing alone moves the Frechet distance by several points (Parmar et al. 2022).
    """
    floats = images.to(torch.float32)
    if images.shape[2:] != (size, size):
        floats = functional.interpolate(floats, (size, size), mode="bicubic", antialias=True)
        floats = floats.clamp_(0, 255)
    return floats.expand(-1, 3, -1, -1) / 127.5 - 1


def hash_tensors(tensors: dict[str, Tensor], *, about: str) -> str:
    """SHA-256 over `about` and the names, shapes and bytes of `tensors`."""
    digest = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


class VggRandom:
    """VGG16 with weights that nobody trained, cut to 64 outputs (after Naeem et al. 2020, section 4).

    An untrained network has no taste of its own, so it is fair to pictures unlike ImageNet's; faces are.
    The definition, complete and for ever (a change needs a new name):
    input 64 x 64 RGB in [-1, 1]; thirteen 3x3 convolutions of VGG16's widths with ReLU, five 2x2 maximum
    pools; 2048 -> 4096 -> ReLU -> 64, the last layer linear; biases zero; every weight uniform in
    +-sqrt(6 / fan_in) (He et al. 2015), drawn layer by layer from numpy's RandomState(0).random_sample,
    float64 rounded to float32. Uniform numbers are exact on every machine; normal ones go through logarithms
    that differ in their last bits, and then so would the hash.
    """

    name = "vgg-random"
    dims = 64
    resize = "bicubic antialiased to 64"
    _SIZE = 64

    def __init__(self, *, device: str | torch.device = "cpu", batch_size: int = 32) -> None:
        self._device = torch.device(device)
        self._batch_size = batch_size
        net = _vgg(self._SIZE, self.dims)
        self.hash = hash_tensors(net.state_dict(), about=f"{self.name} {self.resize}")
        self._net = net.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def features(self, images: Tensor) -> np.ndarray:
        """uint8 [N, 1 or 3, H, W] to float32 [N, 64]."""
        out = []
        for chunk in chunks(images, self._batch_size):
            x = resized(chunk.to(self._device), self._SIZE)
            out.append(self._net(x.contiguous(memory_format=torch.channels_last)).cpu())
        return torch.cat(out).numpy() if out else np.zeros((0, self.dims), np.float32)


def _vgg(size: int, dims: int) -> nn.Sequential:
    """The topology with its weights."""
    layers = convolutions()
    side = size >> WIDTHS.count(0)
    with torch.device("meta"):
        layers += [nn.Flatten(), nn.Linear(WIDTHS[-2] * side * side, 4096), nn.ReLU(inplace=True)]
        layers.append(nn.Linear(4096, dims))
    return filled(layers)
