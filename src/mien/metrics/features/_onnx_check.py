"""Inputs, outputs and external data of an ONNX file, read without running it.

A reader of the protobuf wire format for the few fields of ModelProto that matter (onnx.proto, IR version 3
on). The file may come from anywhere: everything is bounded by the bytes at hand, and depth is limited.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mien.core.errors import InputError

_DEEPEST = 16  # graphs within graphs
_FLOAT = 1

# Field numbers of onnx.proto.
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_SPARSE = 1, 5, 11, 12, 15
_NODE_ATTRIBUTE, _FUNCTION_NODE = 5, 7
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_TENSOR_NAME, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 8, 13, 14

Fields = Iterator[tuple[int, int | memoryview]]


@dataclass(frozen=True)
class Value:
    """An input or output. shape: a number or None (not fixed) for each axis; None where it says nothing."""

    name: str
    is_float: bool
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Signature:
    """inputs: without the initializers. outputs: in the file's order."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


def signature(data: bytes) -> Signature:
    """Inputs and outputs of an ONNX model. Raises InputError for other bytes, or with data in other files."""
    try:
        graphs = []
        for field, value in _fields(memoryview(data)):
            if field == _MODEL_GRAPH:
                graphs.append(_message(value))
            elif field == _MODEL_FUNCTIONS:
                for part, node in _fields(_message(value)):
                    if part == _FUNCTION_NODE:
                        _check_node(_message(node), 1)
        if len(graphs) != 1:
            raise ValueError("not one graph")
        return _graph(graphs[0], 0)
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError("not an ONNX model") from error


def _graph(graph: memoryview, depth: int) -> Signature:
    if depth > _DEEPEST:
        raise ValueError("graphs too deep")
    inputs, outputs, initial = [], [], set()
    for field, value in _fields(graph):
        if field == _GRAPH_NODE:
            _check_node(_message(value), depth)
        elif field == _GRAPH_INITIALIZER:
            initial.add(_check_tensor(_message(value)))
        elif field == _GRAPH_SPARSE:
            _check_sparse(_message(value))
        elif field == _GRAPH_INPUT:
            inputs.append(_value(_message(value)))
        elif field == _GRAPH_OUTPUT:
            outputs.append(_value(_message(value)))
    return Signature(tuple(one for one in inputs if one.name not in initial), tuple(outputs))


def _check_node(node: memoryview, depth: int) -> None:
    for field, attribute in _fields(node):
        if field != _NODE_ATTRIBUTE:
            continue
        for part, value in _fields(_message(attribute)):
            if part in _ATTRIBUTE_TENSORS:
                _check_tensor(_message(value))
            elif part in _ATTRIBUTE_SPARSE:
                _check_sparse(_message(value))
            elif part in _ATTRIBUTE_GRAPHS:
                _graph(_message(value), depth + 1)


def _check_tensor(tensor: memoryview) -> str:
    """Refuse data in another file; the tensor's name."""
    name = ""
    for field, value in _fields(tensor):
        if field == _TENSOR_EXTERNAL or (field == _TENSOR_LOCATION and value != 0):
            raise InputError(
                "keeps weights in another file, which is not read: save it with everything in one file"
            )
        if field == _TENSOR_NAME:
            name = _text(value)
    return name


def _check_sparse(tensor: memoryview) -> None:
    for field, value in _fields(tensor):
        if field in (1, 2):  # values, indices
            _check_tensor(_message(value))


def _value(message: memoryview) -> Value:
    """ValueInfoProto: name 1, type 2; TypeProto: tensor_type 1; Tensor: elem_type 1, shape 2."""
    name, is_float, shape = "", False, None
    for field, value in _fields(message):
        if field == 1:
            name = _text(value)
        elif field == 2:
            for kind, tensor in _fields(_message(value)):
                if kind == 1:
                    for part, inner in _fields(_message(tensor)):
                        if part == 1:
                            is_float = inner == _FLOAT
                        elif part == 2:
                            shape = tuple(
                                _axis(_message(axis)) for one, axis in _fields(_message(inner)) if one == 1
                            )
    return Value(name, is_float, shape)


def _axis(dimension: memoryview) -> int | None:
    """Dimension: dim_value 1, or a name."""
    for field, value in _fields(dimension):
        if field == 1 and isinstance(value, int) and 0 < value < 1 << 31:
            return value
    return None


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message should be")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)).decode()


def _fields(message: memoryview) -> Fields:
    """Field numbers with a number or bytes each. Raises ValueError where the bytes end too soon."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        field, kind = tag >> 3, tag & 7
        if kind == 0:
            number, at = _varint(message, at)
            yield field, number
            continue
        size = {1: 8, 5: 4}.get(kind)
        if size is None:
            if kind != 2:
                raise ValueError("no such kind of field")
            size, at = _varint(message, at)
        if at + size > len(message) or field == 0:
            raise ValueError("cut off")
        yield field, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    number = 0
    for place in range(10):
        if at >= len(message):
            raise ValueError("cut off")
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return number, at
    raise ValueError("no number")
