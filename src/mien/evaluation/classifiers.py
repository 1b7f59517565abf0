"""Classifiers as feature networks whose features are probabilities, for the classifier score."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mien.core import artefacts
from mien.core.errors import InputError
from mien.core.image import to_float
from mien.core.network import load_network
from mien.faces.expressions import ARTEFACT, EXPRESSIONS, ExpressionNetwork
from mien.metrics.features import FeatureNetwork, is_file, open_network
from mien.models.attributes import KIND

DEFAULT = "expressions"
_BATCH = 64


def open_classifier(source: str, device: str | torch.device = "cpu") -> FeatureNetwork:
    """ "expressions", an attribute model (run or file; its first label with several values), or a FILE.onnx.

    An ONNX file's outputs are probabilities where they add to 1, else logits. Raises InputError.
    """
    if source == DEFAULT:
        artefacts.obtain(ARTEFACT, announce=lambda line: None)
        return _Expressions(device)
    if is_file(source):
        return _Onnx(open_network(source))
    if not Path(source).exists():
        raise InputError(f"--classifier {source}: {DEFAULT}, an attribute model, or a FILE.onnx")
    return _Attribute(Path(source))


class _Expressions:
    name, dims, resize = DEFAULT, len(EXPRESSIONS), "the face cut out, bicubic"

    def __init__(self, device: str | torch.device) -> None:
        with torch.random.fork_rng(devices=[]):
            self._network = ExpressionNetwork.load(device)
        self.hash = str(artefacts.artefact_sha256(ARTEFACT))

    def features(self, images: Tensor) -> np.ndarray:
        return self._network.probabilities(images)


class _Onnx:
    def __init__(self, network: FeatureNetwork) -> None:
        self._network = network
        self.name, self.hash = network.name, network.hash
        self.dims, self.resize = network.dims, network.resize

    def features(self, images: Tensor) -> np.ndarray:
        rows = torch.from_numpy(self._network.features(images)).double()
        adds = bool((rows >= 0).all()) and bool((rows.sum(1) - 1).abs().max() < 1e-3) if len(rows) else True
        return np.asarray(rows if adds else rows.softmax(1), np.float32)


class _Attribute:
    resize = "none"

    def __init__(self, source: Path) -> None:
        self._loaded = load_network(source, KIND)
        target = next((t for t in self._loaded.network.targets if t.kind == "one-of"), None)
        if target is None:
            raise InputError(f"--classifier {source}: the model reads no label that has several values")
        self._columns = target.columns
        self.name, self.hash = target.name, self._loaded.model
        self.dims = len(target.column_names)

    def features(self, images: Tensor) -> np.ndarray:
        network = self._loaded.network
        if images.shape[2] != network.spec.resolution or images.shape[1] != network.spec.channels:
            side, channels = network.spec.resolution, network.spec.channels
            raise InputError(
                f"the classifier takes {channels} x {side} x {side}, not {list(images.shape[1:])}"
            )
        parts = [network.read(to_float(part))[:, self._columns] for part in torch.split(images, _BATCH)]
        return torch.cat(parts).numpy() if parts else np.zeros((0, self.dims), np.float32)
