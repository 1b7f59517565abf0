"""Published weights under the names of our own networks (`mien.nn`), for the artefact cache.

Each function takes the bytes of the members that the table of artefacts lists, in its order, and gives named
arrays; `mien.core.artefacts` finds it by name. What it gives must not change by a bit: its hash is pinned.
"""

import io
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mien.core.errors import InputError
from mien.interop.weight_files import (
    Arrays,
    dlib_matrix,
    dlib_vectors,
    flax_arrays,
    tfjs_arrays,
    torch_depthwise,
    torch_kernel,
)

# dlib's ResNet with 29 convolutions: stages of residual blocks, each of two 3x3 convolutions.
_STEM = (3, 32, 7)
_STAGES = ((32, 3), (64, 4), (128, 3), (256, 4))  # channels, blocks
_FACE_API_STAGES = (
    *("conv32_1", "conv32_2", "conv32_3"),
    *("conv64_down", "conv64_1", "conv64_2", "conv64_3"),
    *("conv128_down", "conv128_1", "conv128_2"),
    *("conv256_down", "conv256_1", "conv256_2", "conv256_down_out"),
)


def lpips_alexnet(checkpoint: bytes) -> Arrays:
    """AlexNet's five convolutions and LPIPS's five linear layers, from flax."""
    return _lpips(flax_arrays(checkpoint), "AlexNet_0", 5)


def lpips_vgg(checkpoint: bytes) -> Arrays:
    """VGG16's thirteen convolutions and LPIPS's five linear layers, from flax."""
    return _lpips(flax_arrays(checkpoint), "VGG16_0", 13)


def identity_dlib(weights: bytes) -> Arrays:
    """The identity network from dlib's own file: convolutions and affine layers take turns."""
    shapes = _identity_shapes()
    sizes = [size for wide, inner, side in shapes for size in (wide * inner * side**2 + wide, 2 * wide)]
    vectors = dlib_vectors(weights, sizes)
    arrays: Arrays = {}
    for index, (wide, inner, side) in enumerate(shapes):
        convolution, affine = vectors[2 * index], vectors[2 * index + 1]
        arrays[f"units.{index}.weight"] = convolution[:-wide].reshape(wide, inner, side, side)
        arrays[f"units.{index}.bias"] = convolution[-wide:]
        arrays[f"units.{index}.gain"], arrays[f"units.{index}.shift"] = affine[:wide], affine[wide:]
    arrays["embedding"] = dlib_matrix(weights, 256, 128)
    return arrays


def identity_tfjs(shard: bytes, manifest: bytes) -> Arrays:
    """The same network from face-api's weights, most of them quantised to 8 bits."""
    published = tfjs_arrays(manifest, shard)
    units = ["conv32_down", *(f"{stage}/conv{n}" for stage in _FACE_API_STAGES for n in (1, 2))]
    arrays: Arrays = {}
    for index, unit in enumerate(units):
        arrays[f"units.{index}.weight"] = torch_kernel(published[f"{unit}/conv/filters"])
        arrays[f"units.{index}.bias"] = published[f"{unit}/conv/bias"]
        arrays[f"units.{index}.gain"] = published[f"{unit}/scale/weights"]
        arrays[f"units.{index}.shift"] = published[f"{unit}/scale/biases"]
    arrays["embedding"] = published["fc"]
    return arrays


def expressions(shard: bytes, manifest: bytes) -> Arrays:
    """The expression network from face-api's weights."""
    layouts = {"filters": torch_kernel, "depthwise_filter": torch_depthwise, "pointwise_filter": torch_kernel}
    arrays: Arrays = {}
    for name, array in tfjs_arrays(manifest, shard).items():
        part = name.rpartition("/")[2]
        if name == "fc/weights":
            array = np.ascontiguousarray(array.T)
        elif part in layouts:
            array = layouts[part](array)
        arrays[name.replace("/", ".")] = array
    return arrays


def efficientnet_lite0(checkpoint: bytes) -> dict[str, NDArray[Any]]:
    """EfficientNet-Lite0's published names, without the counters of its batch norms."""
    try:
        published = torch.load(io.BytesIO(checkpoint), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load fails in many ways on a file that is something else
        raise InputError("not a state dict that torch reads without running anything") from error
    return {
        name: tensor.numpy() for name, tensor in published.items() if not name.endswith("num_batches_tracked")
    }


def _lpips(published: Arrays, trunk: str, count: int) -> Arrays:
    arrays: Arrays = {}
    for index in range(count):
        arrays[f"convolutions.{index}.weight"] = torch_kernel(published[f"{trunk}.Conv_{index}.kernel"])
        arrays[f"convolutions.{index}.bias"] = published[f"{trunk}.Conv_{index}.bias"]
    for index in range(5):
        arrays[f"linear.{index}"] = published[f"NetLinLayer_{index}.Conv_0.kernel"].reshape(-1)
    return arrays


def _identity_shapes() -> list[tuple[int, int, int]]:
    """Outputs, inputs and kernel side of the 29 convolutions, from the input on."""
    inner, wide, side = _STEM
    shapes = [(wide, inner, side)]
    for width, blocks in _STAGES:
        for _ in range(blocks):
            shapes += [(width, wide, 3), (width, width, 3)]
            wide = width
    return shapes
