"""Input of feature networks: batching and resizing of images, and hashes of weights."""

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def chunks(images: Tensor, size: int) -> Iterator[Tensor]:
    """Check uint8 [N, 1 or 3, H, W] and yield it in batches of `size`."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise TypeError(f"images must be uint8 [N, 1 or 3, H, W], not {images.dtype} {list(images.shape)}")
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


def named_hash(*parts: object) -> str:
    """SHA-256 over the parameters that define a network's features, as text."""
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()


def vectors(
    net: Callable[[Tensor], Tensor], images: Tensor, *, size: int, dims: int, batch: int, device: torch.device
) -> np.ndarray:
    """Features by `net` of images resized to `size`: uint8 [N, 1 or 3, H, W] to float32 [N, dims].

    net: float32 [B, 3, size, size] in [-1, 1] to [B, dims], whose rows do not depend on each other.
    """
    out = []
    with torch.inference_mode():
        for chunk in chunks(images, batch):
            x = resized(chunk.to(device), size).contiguous(memory_format=torch.channels_last)
            out.append(net(x).float().cpu())
    return torch.cat(out).numpy() if out else np.zeros((0, dims), np.float32)
