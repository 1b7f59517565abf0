"""Feature networks of one's own: what they answer, and files that are none."""

import contextlib
import hashlib
import sys

import numpy as np
import pytest
import torch

from contracts.metric_contract import smooth_pictures
from mien.core.errors import InputError, MienError
from mien.metrics.features import open_network
from mien.metrics.features._onnx_check import signature

onnx = pytest.importorskip("onnx")
from onnx import SparseTensorProto, TensorProto, helper, numpy_helper  # noqa: E402

SIDE = 16


def model(
    *, shape=("N", 3, SIDE, SIDE), nodes=None, weights=None, out=("N", 4), kind=TensorProto.FLOAT, graph=None
):
    """By default: the mean of each channel, times a matrix [3, 4]."""
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4) / 10
    weights = {"matrix": matrix, "axes": np.array([2, 3])} if weights is None else weights
    nodes = nodes or [
        helper.make_node("ReduceMean", ["x", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "matrix"], ["y"]),
    ]
    built = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(built, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def saved(path, built):
    path.write_bytes(built.SerializeToString())
    return path


@pytest.fixture(params=["onnxruntime", "opencv"])
def engine(request, monkeypatch):
    if request.param == "opencv":
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
    else:
        pytest.importorskip("onnxruntime")
    return request.param


@pytest.mark.parametrize("shape", [("N", 3, SIDE, SIDE), (1, 3, SIDE, SIDE)])
def test_it_answers_what_the_network_would(tmp_path, engine, shape):
    file = saved(tmp_path / "means.onnx", model(shape=shape, out=(shape[0], 4)))
    network = open_network(str(file))
    assert (network.name, network.dims) == ("means", 4)
    assert network.hash == hashlib.sha256(file.read_bytes()).hexdigest()
    pictures = smooth_pictures(5, seed=0, size=SIDE)
    means = (pictures.double() / 127.5 - 1).mean((2, 3)).numpy()
    expected = means @ (np.arange(12).reshape(3, 4) / 10)
    answer = network.features(pictures)
    assert answer.dtype == np.float32
    assert np.allclose(answer, expected, atol=1e-4)
    assert network.features(pictures[:0]).shape == (0, 4)


@pytest.mark.parametrize(
    ("span", "low", "high"),
    [
        ("-1..1", -1, 1),
        ("0..1", 0, 1),
        ("0..255", 0, 255),
        (
            "imagenet",
            [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
            [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225],
        ),
    ],
)
def test_the_range_is_what_was_asked_for(tmp_path, span, low, high):
    nodes = [helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0)]
    built = model(nodes=nodes, weights={"axes": np.array([2, 3])}, out=("N", 3))
    network = open_network(f"{saved(tmp_path / 'n.onnx', built)}?range={span}")
    ends = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(-1, 3, SIDE, SIDE)
    found = network.features(ends)
    assert np.allclose(found[0], low, atol=1e-3)
    assert np.allclose(found[1], high, rtol=1e-4)
    assert span in network.resize


def test_a_free_size_is_chosen_and_maps_are_averaged(tmp_path, engine):
    built = model(
        shape=("N", 3, "H", "W"),
        nodes=[helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])],
        weights={},
        out=("N", 3, "h", "w"),
    )
    network = open_network(f"{saved(tmp_path / 'maps.onnx', built)}?size=32")
    assert "to 32" in network.resize
    pictures = smooth_pictures(3, seed=0, size=32)
    assert np.allclose(network.features(pictures), (pictures.double() / 127.5 - 1).mean((2, 3)), atol=1e-5)
    assert "to 224" in open_network(str(tmp_path / "maps.onnx")).resize


def test_images_that_would_mix_in_a_batch_are_run_one_by_one(tmp_path):
    nodes = [
        helper.make_node("ReduceMean", ["x", "all"], ["level"], keepdims=1),  # over the batch too
        helper.make_node("Sub", ["x", "level"], ["apart"]),
        helper.make_node("ReduceMean", ["apart", "axes"], ["y"], keepdims=0),
    ]
    weights = {"axes": np.array([2, 3]), "all": np.array([0, 1, 2, 3])}
    network = open_network(
        str(saved(tmp_path / "mix.onnx", model(nodes=nodes, weights=weights, out=("N", 3))))
    )
    pictures = smooth_pictures(4, seed=0, size=SIDE)
    alone = np.concatenate([network.features(one) for one in torch.split(pictures, 1)])
    assert np.allclose(network.features(pictures), alone, atol=1e-5)


def external(tmp_path):
    built = model()
    tensor = built.graph.initializer[0]
    (tmp_path / "weights.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    return built


def hidden(tmp_path):
    """Data in another file within a graph within a node."""
    inner = external(tmp_path).graph
    built = model()
    node = built.graph.node.add(op_type="If", input=["c"], output=["z"])
    node.attribute.append(helper.make_attribute("then_branch", inner))
    return built


def nested(depth=24):
    graph = helper.make_graph([], "g", [], [])
    for _ in range(depth):
        node = helper.make_node("If", ["c"], ["z"])
        node.attribute.append(helper.make_attribute("then_branch", graph))
        graph = helper.make_graph([node], "g", [], [])
    built = model()
    built.graph.node.append(graph.node[0])
    return built


def infinite():
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["m"], keepdims=0),
        helper.make_node("Div", ["m", "zero"], ["y"]),
    ]
    return model(
        nodes=nodes, weights={"axes": np.array([2, 3]), "zero": np.zeros(1, np.float32)}, out=("N", 3)
    )


def in_a_constant(tmp_path, *, attribute, sparse=False):
    """Data in another file within what a node holds: a tensor, or the values of a sparse one."""
    tensor = external(tmp_path).graph.initializer[0]
    if sparse:
        held = SparseTensorProto(dims=[3, 4])
        held.values.CopyFrom(tensor)
        tensor = held
    built = model()
    node = built.graph.node.add(op_type="Constant", output=["z"])
    node.attribute.append(helper.make_attribute(attribute, tensor))
    return built


def in_a_function(tmp_path):
    """Data in another file within a node of a function of the file's own."""
    built = model()
    nodes = [in_a_constant(tmp_path, attribute="value").graph.node[-1]]
    built.functions.append(helper.make_function("own", "F", [], ["z"], nodes, built.opset_import))
    return built


def two_inputs():
    built = model()
    built.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))
    return built


def whole_numbers():
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["means"], keepdims=0),
        helper.make_node("Cast", ["means"], ["y"], to=TensorProto.INT32),
    ]
    built = model(nodes=nodes, weights={"axes": np.array([2, 3])}, out=("N", 3))
    built.graph.output[0].type.tensor_type.elem_type = TensorProto.INT32
    return built


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: external(p), "another file"),
        (lambda p: hidden(p), "another file"),
        (lambda p: in_a_constant(p, attribute="value"), "another file"),
        (lambda p: in_a_constant(p, attribute="sparse_value", sparse=True), "another file"),
        (lambda p: in_a_function(p), "another file"),
        (lambda p: two_inputs(), "has 2 inputs and 1 outputs; one input is needed"),
        (lambda p: whole_numbers(), r"first output is int32 \[1, 3\], not float32"),
        (lambda p: nested(), "not an ONNX model"),
        (lambda p: infinite(), "finite vector"),
        (lambda p: model(shape=("N", 1, SIDE, SIDE)), r"float32 \[free, 1, 16, 16\].*3, S, S"),
        (lambda p: model(shape=("N", SIDE, SIDE, 3)), "channels first"),
        (lambda p: model(shape=("N", 3, SIDE, 8)), "square"),
        (lambda p: model(shape=(4, 3, SIDE, SIDE)), "exactly 4"),
        (lambda p: model(shape=("N", 3, 100_000, 100_000)), "8 to 1024"),
        (lambda p: model(shape=("N", 3)), "not float32"),
        (lambda p: model(kind=TensorProto.UINT8), "another type"),
    ],
)
def test_what_is_no_feature_network_is_refused_in_a_line(tmp_path, make, says):
    file = saved(tmp_path / "bad.onnx", make(tmp_path))
    with pytest.raises(InputError, match=says) as caught:
        open_network(str(file))
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_an_unknown_operator_is_refused_by_either_engine(tmp_path, engine):
    built = model(nodes=[helper.make_node("Explode", ["x"], ["y"], domain="evil")], weights={})
    with pytest.raises(InputError, match=r"cannot load|cannot run"):
        open_network(str(saved(tmp_path / "bad.onnx", built)))


def test_opencv_names_onnxruntime_where_it_cannot_run_a_file(tmp_path, monkeypatch):
    """Its layers fit each other for 16 pixels alone, and the file leaves the size free."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["y"]),
    ]
    weights = {"shape": np.array([1, 3 * SIDE * SIDE]), "matrix": np.ones((3 * SIDE * SIDE, 2), np.float32)}
    file = saved(
        tmp_path / "own.onnx", model(shape=(1, 3, "H", "W"), nodes=nodes, weights=weights, out=(1, 2))
    )
    assert open_network(f"{file}?size={SIDE}").dims == 2
    with pytest.raises(InputError, match=r"own\.onnx: OpenCV cannot (run|load) it \(.*onnxruntime may; "):
        open_network(f"{file}?size=32")


def test_functions_of_a_file_s_own_are_run(tmp_path):
    """Sums of squares by a function that the file defines, with a constant tensor in a node."""
    pytest.importorskip("onnxruntime")
    two = helper.make_node("Constant", [], ["two"], value=numpy_helper.from_array(np.array(2, np.float32)))
    power = helper.make_node("Pow", ["a", "two"], ["b"])
    nodes = [
        helper.make_node("Squared", ["x"], ["squares"], domain="own"),
        helper.make_node("ReduceMean", ["squares", "axes"], ["y"], keepdims=0),
    ]
    built = model(nodes=nodes, weights={"axes": np.array([2, 3])}, out=("N", 3))
    opsets = [helper.make_opsetid("", 18)]
    built.functions.append(helper.make_function("own", "Squared", ["a"], ["b"], [two, power], opsets))
    built.opset_import.append(helper.make_opsetid("own", 1))
    pictures = smooth_pictures(3, seed=0, size=SIDE)
    expected = (pictures.double() / 127.5 - 1).square().mean((2, 3)).numpy()
    network = open_network(saved(tmp_path / "own.onnx", built))
    assert np.allclose(network.features(pictures), expected, atol=1e-4)


def test_a_batch_that_it_cannot_take_is_run_one_by_one(tmp_path, engine):
    """The file says that any number goes, and then shapes its pictures as if there were one."""
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["one"]),
        helper.make_node("ReduceMean", ["one", "axes"], ["y"], keepdims=0),
    ]
    weights = {"axes": np.array([2, 3]), "shape": np.array([1, 3, SIDE, SIDE])}
    network = open_network(saved(tmp_path / "one.onnx", model(nodes=nodes, weights=weights, out=("N", 3))))
    pictures = smooth_pictures(3, seed=0, size=SIDE)
    expected = (pictures.double() / 127.5 - 1).mean((2, 3)).numpy()
    assert np.allclose(network.features(pictures), expected, atol=1e-4)


def test_a_feature_that_is_not_finite_for_some_picture_is_no_score(tmp_path):
    """The reciprocal of the mean: finite for noise, infinite for a gray that lies in the middle."""
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["means"], keepdims=0),
        helper.make_node("Sub", ["means", "level"], ["apart"]),
        helper.make_node("Reciprocal", ["apart"], ["y"]),
    ]
    weights = {"axes": np.array([2, 3]), "level": np.ones(1, np.float32)}
    network = open_network(saved(tmp_path / "odd.onnx", model(nodes=nodes, weights=weights, out=("N", 3))))
    pictures = torch.stack([torch.full((3, SIDE, SIDE), level, dtype=torch.uint8) for level in (0, 255)])
    assert np.allclose(network.features(pictures[:1]), -0.5)
    with pytest.raises(MienError, match="odd gave infinite or undefined features"):
        network.features(pictures)


def test_a_file_beyond_what_onnx_can_hold_is_not_read(tmp_path):
    file = tmp_path / "huge.onnx"
    with file.open("wb") as writer:
        writer.truncate((2 << 30) + 1)  # a hole, which takes no disk
    with pytest.raises(InputError, match="over 2 GB"):
        open_network(str(file))


def test_bytes_of_every_kind_are_refused(tmp_path):
    whole = model().SerializeToString()
    rng = np.random.RandomState(0)
    for data in (
        b"",
        b"\x00" * 40,
        b"\x3a" + b"\xff" * 12,
        b"PK\x03\x04" + bytes(60),
        rng.bytes(500),
        whole[:-30],
        whole[:100],
    ):
        file = tmp_path / "bad.onnx"
        file.write_bytes(data)
        with pytest.raises(InputError):
            open_network(str(file))
    for _ in range(300):  # the reader itself: nothing but its own error, whatever byte is changed
        damaged = bytearray(whole)
        for place in rng.randint(0, len(whole), 3):
            damaged[place] = rng.randint(256)
        with contextlib.suppress(InputError):
            signature(bytes(damaged))


def test_what_is_absent_or_asked_for_wrongly_is_named(tmp_path):
    file = saved(tmp_path / "n.onnx", model())
    for options, says in (
        ("size=32", "16 x 16"),
        ("size=x", "not a number"),
        ("range=2", "choose from"),
        ("a=1", "no option"),
    ):
        with pytest.raises(InputError, match=says):
            open_network(f"{file}?{options}")
    with pytest.raises(MienError, match="cannot be read"):
        open_network(str(tmp_path / "absent.onnx"))


def test_a_file_called_like_a_network_of_ours_keeps_its_ending(tmp_path):
    assert open_network(saved(tmp_path / "mesh.onnx", model())).name == "mesh.onnx"
