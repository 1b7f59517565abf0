"""Generators as ONNX files: written through torch's exporter, checked and run by onnxruntime.

Inputs: z float32 [N, z_dim], labels float32 [N, label_dim] where there are any, psi float32 []; output: image
float32 [N, C, H, W] in about [-1, 1]. The batch is free. Metadata "mien" holds our header as JSON, "model"
the name of the generator that it was made from.
"""

import copy
import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from mien.core.atomic import replacing
from mien.core.checkpoint import NetworkHeader
from mien.core.errors import InputError, MienError, install
from mien.core.family import GENERATOR
from mien.core.sampling import latents
from mien.core.types import Spec
from mien.interop.sandbox import try_onnx

OPSET = 20
TOLERANCE = 1e-3  # largest difference from torch, in units of pictures in [-1, 1]
_HEADER, _MODEL = "mien", "model"
_MOST_BYTES = 2_000_000_000  # of weights: an ONNX file is one protobuf message, which ends at 2 GiB
_MOST_Z = 65_536


class _Truncated(nn.Module):
    """A mapping for which psi is a number of the graph; our own decide by it in Python."""

    def __init__(self, mapping: nn.Module) -> None:
        super().__init__()
        self.mapping = mapping

    def forward(self, z: Tensor, labels: Tensor | None, *, psi: Tensor, cutoff: int | None = None) -> Tensor:
        if cutoff is not None:
            raise ValueError("an exported mapping truncates all styles alike")
        mean: Any = self.mapping.w_avg
        return torch.lerp(mean, self.mapping(z, labels), psi)


class _Drawing(nn.Module):
    """A copy of a generator as the exporter needs it: psi a tensor, whole numbers (how far it grew) fixed."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        if isinstance(getattr(network, "mapping", None), nn.Module):
            self.network.mapping = _Truncated(self.network.mapping)  # type: ignore[arg-type]
        for module in list(self.network.modules()):
            for name, buffer in list(module.named_buffers(recurse=False)):
                if buffer.ndim == 0 and not buffer.is_floating_point():
                    delattr(module, name)
                    setattr(module, name, int(buffer))

    def forward(self, z: Tensor, labels: Tensor | None, psi: Tensor) -> Tensor:
        image: Tensor = self.network(z, labels, psi=psi)
        return image


def needed(name: str) -> Any:
    """The module `name` of the extra "export". Raises InputError naming the extra where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"{name} is not installed; {install('export')}") from error


def write(path: Path, network: nn.Module, header: NetworkHeader, model: str) -> float:
    """Write a generator (in eval mode) as ONNX; the largest difference of its pictures from torch's.

    Raises MienError, writing nothing, where they differ by `TOLERANCE` or more.
    """
    onnx = needed("onnx")
    needed("onnxscript")
    needed("onnxruntime")
    size = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    if size > _MOST_BYTES:
        raise InputError(
            f"{path}: its weights are {size / 1e9:.1f} GB, and an ONNX file holds 2; write .safetensors"
        )
    proto = _graph(network, header.spec)
    properties = {_HEADER: header.model_dump_json(), _MODEL: model}
    for key, value in properties.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    with replacing(path) as temporary:
        onnx.save(proto, temporary)
        difference = _difference(network, OnnxGenerator(temporary, trusted=True))
        if not difference < TOLERANCE:
            raise MienError(f"{path}: its pictures differ from torch's by {difference:.1e}; not written")
    return difference


def _graph(network: nn.Module, spec: Spec) -> Any:
    batch = torch.export.Dim("batch", min=1, max=65536)
    z, labels = _sample(network, spec, [0, 1])
    shapes = {"z": {0: batch}, "labels": None if labels is None else {0: batch}, "psi": None}
    names = ["z", *(["labels"] if labels is not None else []), "psi"]
    with _quiet():
        program = torch.onnx.export(
            _Drawing(network).eval(),
            (z, labels, torch.tensor(0.7)),
            dynamo=True,
            opset_version=OPSET,
            input_names=names,
            output_names=["image"],
            dynamic_shapes=shapes,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter speaks of torchvision and of its own inner deprecations; neither is the user's matter."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _sample(network: Any, spec: Spec, seeds: list[int]) -> tuple[Tensor, Tensor | None]:
    rows = torch.arange(len(seeds)) % max(spec.label_dim, 1)
    return latents(seeds, network.z_dim), torch.eye(spec.label_dim)[rows] if spec.label_dim else None


@torch.no_grad()
def _difference(network: nn.Module, drawn: "OnnxGenerator") -> float:
    """Over other batch sizes than the exporter saw, with and without truncation."""
    worst = 0.0
    for seeds, psi in (([0], 1.0), ([1, 2, 3], 1.0), ([4, 5, 6, 7, 8], 0.5)):
        z, labels = _sample(drawn, drawn.spec, seeds)
        gap = (network(z, labels, psi=psi) - drawn(z, labels, psi=psi)).abs().max()
        worst = max(worst, float(gap)) if torch.isfinite(gap) else float("inf")
    return worst


class OnnxGenerator:
    """A generator that onnxruntime runs; see `mien.core.types.Generator`.

    header, model: as the file says. Raises InputError where `path` is no ONNX file of ours, and where what it
    draws is not what its header says. trusted: made just now; a stranger's is tried within limits first.
    """

    def __init__(self, path: Path, *, trusted: bool = False) -> None:
        runtime = needed("onnxruntime")
        self._path = path
        if not trusted:
            try_onnx(path)
        try:
            self._session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has an exception type for each way to be damaged
            raise InputError(f"{path}: not an ONNX file that can be run ({_short(error)})") from error
        metadata = self._session.get_modelmeta().custom_metadata_map
        if _HEADER not in metadata or _MODEL not in metadata:
            raise InputError(f"{path}: an ONNX file, but not a generator exported by mien")
        try:
            self.header = NetworkHeader.model_validate_json(metadata[_HEADER])
        except ValidationError as error:
            raise InputError(f"{path}: its header is damaged ({_short(error)})") from error
        self.model, self.spec = metadata[_MODEL], self.header.spec
        shapes = {value.name: value.shape for value in self._session.get_inputs()}
        size = shapes["z"][1] if len(shapes.get("z", ())) == 2 else None
        if self.header.kind != GENERATOR or not isinstance(size, int) or not 0 < size <= _MOST_Z:
            raise InputError(f"{path}: an ONNX file, but not a generator")
        self.z_dim = size

    def __call__(self, z: Tensor, labels: Tensor | None = None, *, psi: float = 1.0) -> Tensor:
        """z: float32 [N, z_dim]; labels: [N, label_dim]; returns float [N, C, H, W] in about [-1, 1]."""
        inputs = {"z": z.numpy(), "psi": np.array(psi, np.float32)}
        if labels is not None:
            inputs["labels"] = labels.float().numpy()
        try:
            (image,) = self._session.run(["image"], inputs)
        except Exception as error:  # as above
            raise InputError(f"{self._path}: it cannot be run ({_short(error)})") from error
        expected = (len(z), self.spec.channels, self.spec.resolution, self.spec.resolution)
        if not isinstance(image, np.ndarray) or image.shape != expected or image.dtype.kind != "f":
            got = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else "no array"
            raise InputError(f"{self._path}: it gives {got}, not the pictures {list(expected)} it promises")
        return torch.from_numpy(image)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
