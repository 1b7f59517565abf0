"""A feature network read from an ONNX file: `--features FILE.onnx`.

The file takes images NCHW with three channels, of a fixed or free size, and gives a vector an image, or maps,
which are averaged over space. `FILE.onnx?range=imagenet&size=256` says what its input is like: range `-1..1`
(as mien's own exports), `0..1`, `0..255` or `imagenet` (0..1, less ImageNet's mean, over its deviation); RGB.
size: where the file leaves it free, 224 by default.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import cv2
import numpy as np
import torch
from torch import Tensor

from mien.core.errors import InputError, MienError, install
from mien.metrics.features._images import chunks, resized
from mien.metrics.features._onnx_check import Signature, Value, signature

NAME = "onnx-file"
RANGES = ("-1..1", "0..1", "0..255", "imagenet")
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_USUAL_SIDE = 224
_LARGEST_SIDE = 1024
_MOST_BYTES = 2_000_000_000  # protobuf's own limit
_MOST_DIMS = 65_536
_BATCH = 16

Runner = Callable[[np.ndarray], np.ndarray]  # float32 [N, 3, S, S] to what the file's first output gives


@dataclass(frozen=True)
class _Input:
    """The input of the network. batch: None if free."""

    side: int
    batch: int | None
    range: str


class OnnxFeatures:
    """The vectors of the first output of an ONNX file.

    name: the file's stem. hash: the file's SHA-256. Runs in onnxruntime where that is installed, else in
    OpenCV, on the CPU; only the file itself is read. Images with others in a batch give the same vectors as
    alone, or the file is run image by image.
    """

    def __init__(self, source: Path) -> None:
        """Load `source`, a path with options after `?`. Raises InputError where it is no such network."""
        path, options = _split(str(source))
        data = _read(path)
        self.hash = hashlib.sha256(data).hexdigest()
        self.name = _name(path)
        try:
            self._input = _input_of(signature(data), options)
            self._run = _runner(data)
            self.dims, self._batch = self._tried()
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        self.resize = f"bicubic antialiased to {self._input.side}, range {self._input.range}"

    def features(self, images: Tensor) -> np.ndarray:
        """uint8 [N, 1 or 3, H, W] to float32 [N, dims]. Raises MienError where the file gives no numbers."""
        batches = [np.zeros((0, self.dims), np.float32)]
        for chunk in chunks(images, self._batch) if len(images) else ():
            batches.append(_vectors(self._run(self._prepared(chunk.cpu()))))
        rows = np.concatenate(batches)
        if not np.isfinite(rows).all():
            raise MienError(f"the feature network {self.name} gave infinite or undefined features")
        return rows

    def _prepared(self, images: Tensor) -> np.ndarray:
        x = resized(images, self._input.side)
        if self._input.range != "-1..1":
            x = (x + 1) / 2
        if self._input.range == "0..255":
            x = x * 255
        elif self._input.range == "imagenet":
            x = (x - torch.tensor(_MEAN).view(3, 1, 1)) / torch.tensor(_DEVIATION).view(3, 1, 1)
        return np.ascontiguousarray(x.numpy(), np.float32)

    def _tried(self) -> tuple[int, int]:
        """The feature width and the batch size, by running the network on noise."""
        noise = np.random.RandomState(0).randint(0, 256, (2, 3, 64, 64), dtype=np.uint8)
        x = self._prepared(torch.from_numpy(noise))
        fixed = self._input.batch
        if fixed not in (None, 1):
            raise InputError(f"takes exactly {fixed} images at a time; save it with one, or a free number")
        alone = np.concatenate([_vectors(self._run(x[i : i + 1])) for i in range(2)])
        if alone.shape[0] != 2 or not 0 < alone.shape[1] <= _MOST_DIMS or not np.isfinite(alone).all():
            raise InputError(f"its first output is not one finite vector an image but {list(alone.shape)}")
        try:
            together = _vectors(self._run(x)) if fixed is None else alone[:0]
            same = together.shape == alone.shape and np.allclose(together, alone, rtol=1e-3, atol=1e-4)
        except InputError:
            same = False
        return alone.shape[1], _BATCH if same else 1


def _split(source: str) -> tuple[Path, dict[str, str]]:
    place, _, query = source.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(options.keys() - {"range", "size"})
    if unknown:
        raise InputError(f"{place}: {unknown[0]!r} is no option of a feature file; there are range and size")
    return Path(place), options


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: over 2 GB, more than an ONNX file can hold")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _name(path: Path) -> str:
    """The stem; with its ending where a network of ours is called so."""
    from mien.metrics.features import names

    stem = "".join(letter if letter.isprintable() else "?" for letter in path.stem)
    return f"{stem}.onnx" if stem in names() else stem


def _input_of(signature: Signature, options: dict[str, str]) -> _Input:
    if len(signature.inputs) != 1 or not signature.outputs:
        raise InputError(
            f"has {len(signature.inputs)} inputs and {len(signature.outputs)} outputs; one input is needed"
        )
    (images,) = signature.inputs
    if not images.is_float or images.shape is None or len(images.shape) != 4:
        raise InputError(f"its input {images.name!r} is {_words(images)}, not float32 [N, 3, H, W]")
    batch, channels, height, width = images.shape
    if channels not in (3, None) or (height != width and None not in (height, width)):
        raise InputError(
            f"its input {images.name!r} is {_words(images)}, not [N, 3, S, S] (channels first, square)"
        )
    side = _side(height or width, options.get("size"))
    value_range = options.get("range", RANGES[0])
    if value_range not in RANGES:
        raise InputError(f"range {value_range!r} is unknown; choose from: {', '.join(RANGES)}")
    return _Input(side, batch, value_range)


def _side(fixed: int | None, requested: str | None) -> int:
    if requested is not None and not (requested.isascii() and requested.isdigit()):
        raise InputError(f"size={requested}: not a number of pixels")
    side = int(requested) if requested else fixed or _USUAL_SIDE
    if fixed is not None and side != fixed:
        raise InputError(f"size={requested}: it takes {fixed} x {fixed} and nothing else")
    if not 8 <= side <= _LARGEST_SIDE:
        raise InputError(f"takes {side} x {side} pixels; 8 to {_LARGEST_SIDE} can be run")
    return side


def _words(value: Value) -> str:
    kind = "float32" if value.is_float else "of another type than float32"
    axes = (
        "of unknown shape" if value.shape is None else str(["free" if n is None else n for n in value.shape])
    )
    return f"{kind} {axes}".replace("'", "")


def _vectors(out: np.ndarray) -> np.ndarray:
    """[N, D], or maps [N, D, h, w] averaged over space."""
    if out.ndim == 4:
        out = out.mean(axis=(2, 3))
    if out.ndim != 2 or out.dtype != np.float32:
        raise InputError(
            f"its first output is {out.dtype} {list(out.shape)}, not float32 [N, D] or [N, D, h, w]"
        )
    return np.asarray(out)


def _runner(data: bytes) -> Runner:
    try:
        import onnxruntime
    except ImportError:
        return _in_opencv(data)
    return _in_onnxruntime(data, onnxruntime)


def _in_onnxruntime(data: bytes, runtime: Any) -> Runner:
    try:
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised
        options.intra_op_num_threads = torch.get_num_threads()
        session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        name, first = session.get_inputs()[0].name, session.get_outputs()[0].name
    except Exception as error:  # onnxruntime has a dozen kinds of its own, without a common parent
        raise InputError(f"onnxruntime cannot load it ({_brief(error)})") from error

    def run(x: np.ndarray) -> np.ndarray:
        try:
            return np.asarray(session.run([first], {name: x})[0])
        except Exception as error:
            raise InputError(f"onnxruntime cannot run it ({_brief(error)})") from error

    return run


def _in_opencv(data: bytes) -> Runner:
    advice = f"onnxruntime may; {install('export')}"
    try:
        net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
        names = net.getUnconnectedOutLayersNames()
    except cv2.error as error:
        raise InputError(f"OpenCV cannot load it ({_brief(error)}); {advice}") from error

    def run(x: np.ndarray) -> np.ndarray:
        try:
            net.setInput(x)
            return np.array(net.forward(names[0]))
        except (cv2.error, IndexError) as error:
            raise InputError(f"OpenCV cannot run it ({_brief(error)}); {advice}") from error

    return run


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
