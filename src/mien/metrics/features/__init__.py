"""Feature networks: each maps an image to a vector, and has a name, a hash and a resize rule.

One file a network, registered by its name ("vgg_random" is `vgg-random`). A file has `NAME`, `ARTEFACTS` (the
names of the artefacts it needs) and `build(device) -> FeatureNetwork`. A network of one's own is an ONNX file
(`onnx_file`).
"""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mien.core import artefacts, discover
from mien.core.errors import InputError, MienError

_PACKAGE = "mien.metrics.features"
_OWN_FILE = "onnx_file"
USUAL = ("lite0", "mesh")
FALLBACK = "vgg-random"  # needs no file


class FeatureNetwork(Protocol):
    """A network whose features the metrics compare.

    name, hash: which network, and SHA-256 of what defines its answer. dims: width of a feature vector.
    resize: in words, how an image is brought to the size the network takes.
    """

    name: str
    hash: str
    dims: int
    resize: str

    def features(self, images: Tensor) -> np.ndarray:
        """uint8 [N, C, H, W] (C 1 or 3) to float32 [N, dims]; independent of how images are batched."""
        ...


def names() -> tuple[str, ...]:
    """All feature networks that have a name, sorted."""
    return tuple(name.replace("_", "-") for name in discover.names(_PACKAGE) if name != _OWN_FILE)


def open_network(name: str | Path, *, device: str | torch.device = "cpu") -> FeatureNetwork:
    """Build feature network `name`, or the one in the ONNX file at that path.

    Networks that run through OpenCV (mesh, ONNX files without onnxruntime) are always on the CPU.
    Raises InputError for an unknown name or a file that is no feature network, MienError when the network's
    weights have not been fetched.
    """
    if is_file(name):
        from mien.metrics.features import onnx_file

        return onnx_file.OnnxFeatures(Path(name))
    with torch.random.fork_rng(devices=[]):  # building draws weights before the published ones are read
        return _module(str(name)).build(device)  # type: ignore[no-any-return]


def is_file(name: str | Path) -> bool:
    """Whether `name` means an ONNX file and not one of `names()`."""
    return isinstance(name, Path) or name.partition("?")[0].lower().endswith(".onnx")


def is_here(name: str) -> bool:
    """Whether everything that network `name` needs is cached. No network access."""
    return all(artefacts.artefact_path(artefact) is not None for artefact in needs_of(name))


def needs_of(name: str) -> tuple[str, ...]:
    """The artefacts that network `name` needs; none of a file."""
    return () if is_file(name) else tuple(_module(name).ARTEFACTS)


def usual_networks(*, fetch: bool, announce: Callable[[str], None]) -> list[str]:
    """The networks of an evaluation for which none is named: lite0 and mesh; inception where it was added.

    fetch: get what is missing. announce(line) gets what had to be left out, and when nothing but
    `vgg-random` is left, which sees neither lost groups nor broken mouths.
    """
    available = []
    for name in USUAL:
        try:
            for artefact in _module(name).ARTEFACTS if fetch else ():
                artefacts.obtain(artefact, announce=announce)
        except MienError as error:
            announce(f"left out the feature network {name}: {error}")
            continue
        if is_here(name):
            available.append(name)
    if not available:
        announce(
            f"measuring through {FALLBACK} alone, which hardly notices missing groups or broken mouths:"
            f" {' and '.join(USUAL)} are not here (`mien artefacts fetch`)"
        )
        available.append(FALLBACK)
    return [*available, *(["inception"] if is_here("inception") else [])]


def _module(name: str) -> ModuleType:
    known = names()
    if name not in known:
        raise InputError(
            f"{name!r} is not a feature network; choose from: {', '.join(known)}, or give a FILE.onnx"
        )
    return discover.load(_PACKAGE, name.replace("-", "_"))
