"""Foreign weight files, written here in their own formats, read to the bit; hostile ones never run."""

import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from mien.core.artefacts import ARTEFACTS, artefact_path
from mien.core.errors import InputError
from mien.interop.published import efficientnet_lite0, identity_dlib
from mien.interop.weight_files import (
    dlib_matrix,
    dlib_vectors,
    flax_arrays,
    tfjs_arrays,
    torch_depthwise,
    torch_kernel,
)
from mien.nn.face_resnet import FaceResNet


def manifest(*weights):
    return json.dumps([{"weights": list(weights), "paths": ["a.bin"]}]).encode()


QUANTISED = {"dtype": "uint8", "scale": 0.125, "min": -3.0}


def test_a_tfjs_shard_is_read_to_the_bit():
    rng = np.random.default_rng(0)
    plain, packed = rng.normal(size=5).astype("<f4"), rng.integers(0, 256, (2, 3), dtype=np.uint8)
    wide = rng.integers(0, 65536, 4, dtype=np.uint16)
    listing = manifest(
        {"name": "a/plain", "shape": [5], "dtype": "float32"},
        {"name": "a/packed", "shape": [2, 3], "dtype": "float32", "quantization": QUANTISED},
        {"name": "wide", "shape": [4], "dtype": "float32", "quantization": QUANTISED | {"dtype": "uint16"}},
    )
    found = tfjs_arrays(listing, plain.tobytes() + packed.tobytes() + wide.astype("<u2").tobytes())
    np.testing.assert_array_equal(found["a/plain"], plain)
    np.testing.assert_array_equal(found["a/packed"], packed * 0.125 - 3)  # exact: eighths
    np.testing.assert_array_equal(found["wide"], wide * 0.125 - 3)
    assert all(array.dtype == np.float32 for array in found.values())


@pytest.mark.parametrize(
    ("listing", "shard", "words"),
    [
        (manifest({"name": "a", "shape": [5], "dtype": "float32"}), bytes(19), "cut off"),
        (manifest({"name": "a", "shape": [5], "dtype": "float32"}), bytes(21), "1 bytes that its manifest"),
        (manifest({"name": "a", "shape": [-1], "dtype": "float32"}), bytes(4), "makes no sense"),
        (manifest({"name": "a", "shape": [1 << 40], "dtype": "float32"}), bytes(4), "makes no sense"),
        (manifest({"name": "a", "shape": [1], "dtype": "string"}), bytes(4), "is not read"),
        (b"<html>", b"", "not a manifest"),
        (b"[{}]", b"", "not a manifest"),
        (b"7", b"", "not a manifest"),
    ],
)
def test_a_tfjs_shard_that_is_something_else_is_refused(listing, shard, words):
    with pytest.raises(InputError, match=words):
        tfjs_arrays(listing, shard)


def test_a_flax_pickle_is_read_to_the_bit():
    rng = np.random.default_rng(1)
    kernel, bias = rng.normal(size=(3, 3, 2, 4)).astype(np.float32), rng.normal(size=4).astype(np.float32)
    fortran = np.asfortranarray(rng.normal(size=(2, 3)).astype(np.float32))
    data = pickle.dumps({"Net_0": {"Conv_0": {"kernel": kernel, "bias": bias}}, "last": fortran}, protocol=3)
    found = flax_arrays(data)
    assert found.keys() == {"Net_0.Conv_0.kernel", "Net_0.Conv_0.bias", "last"}
    for name, array in (("Net_0.Conv_0.kernel", kernel), ("Net_0.Conv_0.bias", bias), ("last", fortran)):
        np.testing.assert_array_equal(found[name], array)


class _Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_flax_pickle_that_asks_for_more_is_refused_and_never_run(tmp_path):
    mark = tmp_path / "ran"
    for data in (
        pickle.dumps({"a": _Evil(mark)}, protocol=3),
        pickle.dumps([np.zeros(3, np.float32)], protocol=3),
        pickle.dumps({"a": "text"}, protocol=3),
        pickle.dumps({"a": np.zeros(3, np.float32)}, protocol=3)[:-20],
        b"",
    ):
        with pytest.raises(InputError):
            flax_arrays(data)
    assert not mark.exists()


def dlib_int(value):
    body = value.to_bytes(max(1, (value.bit_length() + 7) // 8), "little")
    return bytes([len(body)]) + body


def dlib_tensor(array, shape):
    return b"\x01\x02" + b"".join(map(dlib_int, shape)) + struct.pack(f"<{array.size}f", *array.ravel())


def test_a_dlib_file_is_read_to_the_bit():
    rng = np.random.default_rng(2)
    vectors = [rng.normal(size=n).astype(np.float32) for n in (4736, 64, 300, 64)]
    matrix = rng.normal(size=(256, 128)).astype(np.float32)
    data = b"\x01\x01loss_metric_2\x01\x02\x01\x02\x05con_4"
    for vector in vectors:
        data += dlib_tensor(vector, (vector.size, 1, 1, 1)) + b"\x01\x20\x01\x03\x07affine_"
    data += b"\x04fc_2" + dlib_tensor(matrix, (256, 128, 1, 1))
    for found, vector in zip(dlib_vectors(data, [4736, 64, 300, 64]), vectors, strict=True):
        np.testing.assert_array_equal(found, vector)
    np.testing.assert_array_equal(dlib_matrix(data, 256, 128), matrix)
    with pytest.raises(InputError, match="no tensor of 65 values"):
        dlib_vectors(data, [4736, 65])
    with pytest.raises(InputError, match="cut off"):
        dlib_vectors(data[:5000], [4736])
    with pytest.raises(InputError, match="no matrix"):
        dlib_matrix(data[:-1], 256, 128)


def test_the_identity_network_is_read_from_dlibs_own_file():
    """Convolutions (kernel and bias in one tensor) and affine layers take turns, the stem first."""
    rng = np.random.default_rng(5)
    arrays, data = {}, b"\x01\x01loss_metric_2"
    for index, unit in enumerate(FaceResNet().units):
        wide = unit.out_channels
        shapes = {"weight": tuple(unit.weight.shape), "bias": (wide,), "gain": (wide,), "shift": (wide,)}
        own = {name: rng.random(shape, np.float32) for name, shape in shapes.items()}
        for first, second in (("weight", "bias"), ("gain", "shift")):
            vector = np.concatenate([own[first].ravel(), own[second]])
            data += dlib_tensor(vector, (vector.size, 1, 1, 1)) + b"\x04name"
        arrays |= {f"units.{index}.{name}": array for name, array in own.items()}
    arrays["embedding"] = rng.random((256, 128), np.float32)
    found = identity_dlib(data + dlib_tensor(arrays["embedding"], (256, 128, 1, 1)))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    network = FaceResNet()
    network.load_published({name: torch.from_numpy(array) for name, array in found.items()})
    x = torch.randn(1, 32, 5, 5)
    weight, bias, gain, shift = (
        torch.from_numpy(arrays[f"units.1.{name}"]) for name in ("weight", "bias", "gain", "shift")
    )
    expected = torch.conv2d(x, weight, bias, padding=1) * gain.view(-1, 1, 1) + shift.view(-1, 1, 1)
    torch.testing.assert_close(network.units[1](x), expected, rtol=1e-4, atol=1e-3)


def test_kernels_turn_as_torch_has_them():
    rng = np.random.default_rng(3)
    kernel = rng.normal(size=(3, 2, 4, 5)).astype(np.float32)
    assert torch_kernel(kernel)[4, 1, 2, 0] == kernel[2, 0, 1, 4]
    depthwise = rng.normal(size=(3, 3, 7, 1)).astype(np.float32)
    assert torch_depthwise(depthwise).shape == (7, 1, 3, 3)
    assert torch_depthwise(depthwise)[6, 0, 2, 1] == depthwise[2, 1, 6, 0]


def test_a_torch_file_is_read_without_running_anything(tmp_path):
    file, mark = tmp_path / "a.pth", tmp_path / "ran"
    torch.save({"w": torch.arange(3.0), "bn.num_batches_tracked": torch.tensor(1)}, file)
    found = efficientnet_lite0(file.read_bytes())
    assert list(found) == ["w"]
    np.testing.assert_array_equal(found["w"], [0, 1, 2])
    torch.save({"w": _Evil(mark)}, file)
    with pytest.raises(InputError, match="without running anything"):
        efficientnet_lite0(file.read_bytes())
    assert not mark.exists()


def test_a_dlib_file_cut_short_is_refused():
    with pytest.raises(InputError, match="not the dlib network"):
        identity_dlib(bytes(1000))


def test_the_table_names_only_conversions_that_exist():
    import importlib

    for artefact in ARTEFACTS.values():
        for source in artefact.sources:
            if source.convert is not None:
                module, _, function = source.convert.partition(":")
                assert callable(getattr(importlib.import_module(module), function))
    assert artefact_path("inception") is None or artefact_path("inception").is_file()
