"""ONNX files from strangers: one picture is drawn within limits first; what is wrong is said in a line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from mien.core.checkpoint import NetworkHeader
from mien.core.errors import InputError
from mien.core.types import Spec
from mien.interop import _onnx_child, onnx_file
from mien.interop.onnx_file import OnnxGenerator

SPEC = Spec(8)


def file(path: Path, *nodes: Any, constants: dict[str, Any] | None = None, z: Any = 4) -> Path:
    """An ONNX file that says it is a generator of 8 px; its nodes lead from "z" [N, z] to "image"."""
    inputs = [
        helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", z]),
        helper.make_tensor_value_info("psi", TensorProto.FLOAT, []),
    ]
    outputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, None)]
    kept = [numpy_helper.from_array(np.array(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "g", inputs, outputs, kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    header = NetworkHeader(family="lite", config={}, spec=SPEC, nimg=0, tool="mien")
    for key, text in (("mien", header.model_dump_json()), ("model", "lite-0")):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, text
    onnx.save(model, path)
    return path


def pictures(path: Path, *shape: int) -> Path:
    """Every picture 0, of this shape."""
    constants = {"rest": np.array(shape, np.int64), "zero": np.array([0], np.int64)}
    nodes = [
        helper.make_node("Shape", ["z"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "zero"], ["count"]),
        helper.make_node("Concat", ["count", "rest"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["image"]),
    ]
    return file(path, *nodes, constants=constants)


def test_an_honest_one_draws(tmp_path: Path) -> None:
    drawn = OnnxGenerator(pictures(tmp_path / "g.onnx", 3, 8, 8))(torch.randn(5, 4))
    assert tuple(drawn.shape) == (5, 3, 8, 8)


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 8, 8), (3, 8)])
def test_wrong_output_is_named(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = pictures(tmp_path / "g.onnx", *shape)
    with pytest.raises(
        InputError, match=r"it gives float32 \[1, .*\], not the pictures \[1, 3, 8, 8\]"
    ) as caught:
        OnnxGenerator(path)(torch.randn(1, 4))
    assert str(caught.value).startswith(f"{path}: ")


def test_latents_that_do_not_fit_are_named_and_not_drawn(tmp_path: Path) -> None:
    path = pictures(tmp_path / "g.onnx", 3, 8, 8)
    with pytest.raises(InputError, match="it cannot be run") as caught:
        OnnxGenerator(path)(torch.randn(1, 5))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_what_is_no_generator_of_ours_is_named(tmp_path: Path) -> None:
    """Also where it was made just now, and is not tried apart first."""
    other, broken = pictures(tmp_path / "other.onnx", 3, 8, 8), tmp_path / "broken.onnx"
    model = onnx.load(other)
    del model.metadata_props[:]
    onnx.save(model, other)
    broken.write_bytes(b"not onnx")
    for trusted in (False, True):
        with pytest.raises(InputError, match=r"other\.onnx: an ONNX file, but not a generator exported by"):
            OnnxGenerator(other, trusted=trusted)
        with pytest.raises(InputError, match=r"broken\.onnx: not an ONNX file") as caught:
            OnnxGenerator(broken, trusted=trusted)
        assert "\n" not in str(caught.value)


def _huge(path: Path) -> Path:
    return pictures(path, 3, 100_000, 100_000)  # 120 GB


def _endless(path: Path) -> Path:
    """A loop that never ends."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["again"]), helper.make_node("Identity", ["x"], ["y"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
        ],
    )
    constants = {"most": np.int64(2**62), "true": np.bool_(True)}
    return file(
        path, helper.make_node("Loop", ["most", "true", "z"], ["image"], body=body), constants=constants
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "seconds", "words"),
    [(_huge, 20, "more memory than"), (_endless, 7, r"it took more than 66 s")],
)
def test_graphs_that_ask_for_too_much_are_stopped(
    tmp_path: Path, make: Callable[[Path], Path], seconds: float, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "g.onnx")
    usual = _onnx_child.limits_of(path.stat().st_size)
    assert usual.cpu_seconds < 70
    monkeypatch.setattr(_onnx_child, "limits_of", lambda size: replace(usual, wall_seconds=seconds))
    with pytest.raises(InputError, match=words) as caught:
        OnnxGenerator(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_one_without_a_number_of_latents_is_no_generator(tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["z"], ["image"])
    for z in ("any", 1 << 30):
        path = file(tmp_path / "g.onnx", node, z=z)
        with pytest.raises(InputError, match=r"g\.onnx: .*(not a generator|more memory)"):
            OnnxGenerator(path)


def test_a_network_too_large_for_onnx_says_so(tmp_path: Path) -> None:
    with torch.device("meta"):
        network = torch.nn.Linear(40_000, 20_000)
    header = NetworkHeader(family="lite", config={}, spec=SPEC, nimg=0, tool="mien")
    with pytest.raises(InputError, match=r"big\.onnx: its weights are 3\.2 GB, and an ONNX file holds 2"):
        onnx_file.write(tmp_path / "big.onnx", network, header, "lite-0")
