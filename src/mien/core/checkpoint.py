"""What training leaves behind: generators that stand alone, and states to go on from.

Neither executes anything when read: generators are safetensors, states load with `weights_only`.
"""

import hashlib
import io
import json
import pickle
import shlex
import zipfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError, model_validator
from torch import Tensor

from mien.core.atomic import file_sha256, write_bytes, write_text
from mien.core.errors import InputError, did_you_mean, first_problem
from mien.core.limits import try_apart
from mien.core.types import Spec

_KEY = "mien"
_MOST_HEADER = 32 << 20  # bytes; label rows of the widest labels take a few million
_SHORT_HEADER = 1 << 20  # bytes, of which reading takes no more than some 40 MB
_MOST_SIDE, _MOST_LABELS = 8192, 1 << 16
_STATES = "state-*.pt"
FOREIGN = (".pkl", ".pt", ".pth", ".ckpt", ".bin")  # checkpoints of other programs
_PLAIN = (type(None), bool, int, float, str)


class DatasetInfo(BaseModel):
    """Which pictures a generator learned from; `content_hash` identifies them wherever they lie."""

    model_config = ConfigDict(frozen=True)

    name: str
    content_hash: str
    num_images: int


class NetworkHeader(BaseModel):
    """What a file of a trained network says about itself.

    kind: what it is for: a "generator" draws, "attributes" are read off pictures. format: version of this
    layout. family, config, spec: enough to build the network again. nimg: images seen. tool: program and
    version. dataset: what it learned from, if known. created: ISO 8601, or "". origin: for an imported
    network, the file and class that it came from, else "". label_rows: of a conditional generator, labels as
    they occur together in the pictures it learned from; older files have none. roles: of a translator, what
    it turns into what: ("front", "profile").
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    kind: str = "generator"
    family: str
    config: dict[str, Any]
    spec: Spec
    nimg: int
    tool: str
    dataset: DatasetInfo | None = None
    created: str = ""
    origin: str = ""
    label_rows: tuple[tuple[FiniteFloat, ...], ...] = ()
    roles: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _rows_fit(self) -> Self:
        sides = 1 <= self.spec.resolution <= _MOST_SIDE and 1 <= self.spec.channels <= 4
        if not sides or not 0 <= self.spec.label_dim <= _MOST_LABELS:
            raise ValueError("pictures or labels of sizes that no network has")
        if any(len(row) != self.spec.label_dim for row in self.label_rows):
            raise ValueError(f"a label row is not {self.spec.label_dim} wide")
        return self


def save_generator(path: Path, tensors: Mapping[str, Tensor], header: NetworkHeader) -> None:
    """Write tensors (any dtypes and devices) and header as one safetensors file, atomically.

    The same input gives the same bytes.
    """
    # A copy each: safetensors refuses tensors that share memory or are strided.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    envelope = {"header": header.model_dump(mode="json"), "sha256": _digest(plain)}
    text = json.dumps(envelope, sort_keys=True, ensure_ascii=False, allow_nan=False)
    sound = text.encode("utf-8", "backslashreplace").decode()  # names of folders may hold any byte
    write_bytes(path, safetensors.torch.save(plain, {_KEY: sound}))


def load_generator(path: Path) -> tuple[dict[str, Tensor], NetworkHeader]:
    """Read the tensors (on the CPU) and header of a generator.

    Raises InputError, naming the file, where it is no safetensors file, not one of ours, or damaged.
    """
    header, digest = _read_envelope(path)
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error
    if _digest(tensors) != digest:
        raise InputError(f"{path}: damaged, its weights are not those that were saved; take another copy")
    return tensors, header


def read_header(path: Path) -> NetworkHeader:
    """The header of a generator alone, without reading its weights; errors as `load_generator`'s."""
    return _read_envelope(path)[0]


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a generator, without reading its weights; errors as `load_generator`'s."""
    _try_header(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def is_ours(path: Path) -> bool:
    """Whether `path` is a file that mien wrote of a network; it may still be damaged."""
    try:
        _try_header(path)
        return _text(path) is not None
    except InputError:
        return False


def model_id(path: Path) -> str:
    """A generator's name: "<family>-<first 12 hex digits of the file's sha256>"."""
    return f"{read_header(path).family}-{file_sha256(path)[:12]}"


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a training state and, beside it, `<path>.sha256`, so that a kill at any moment costs nothing.

    state: tensors, numbers, strings, None, and dicts, lists and tuples of them (numpy numbers become plain
    ones). Raises TypeError for anything else, MienError when the disk is full.
    """
    buffer = io.BytesIO()
    torch.save(_plain(state, "state"), buffer)
    data = buffer.getvalue()
    new = f"{hashlib.sha256(data).hexdigest()}  {path.name}\n"
    sums = _sums_path(path)
    # The checksum lands first: a state is then never without one. Where it replaces an older state of the
    # same name, both sums stand there until the new state has taken the old one's place.
    old = sums.read_text("utf-8") if path.exists() and sums.exists() else ""
    write_text(sums, new + old)
    write_bytes(path, data)
    if old:
        write_text(sums, new)


def load_state(path: Path) -> dict[str, Any]:
    """Read a training state. Raises InputError where it is unfinished, damaged or not a state of ours."""
    try:
        data = path.read_bytes()
        sums = _sums_path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the state or its checksum cannot be read ({error})") from error
    if hashlib.sha256(data).hexdigest() not in sums.split():
        raise InputError(f"{path}: damaged, its content does not match its checksum")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as members:
            if sum(member.file_size for member in members.infolist()) > len(data):
                raise InputError(f"{path}: not a training state (it is packed, and ours never are)")
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (
        *(RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError),
        zipfile.BadZipFile,
    ) as error:
        raise InputError(f"{path}: not a training state ({type(error).__name__})") from error
    if not isinstance(state, dict):
        raise InputError(f"{path}: not a training state (it holds a {type(state).__name__})")
    return state


def newest_state(folder: Path, *, report: Callable[[str], None]) -> tuple[Path, dict[str, Any]] | None:
    """The newest state in `folder` that can be read, with its path; None where there is none.

    report: called with one line for each newer state that had to be passed over.
    """
    for path in reversed(_states(folder)):
        try:
            return path, load_state(path)
        except InputError as error:
            report(f"{error}; falling back to the state before it")
    return None


def prune_states(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep` states, and checksums that belong to no state."""
    if keep < 1:
        raise ValueError("at least one state must be kept")
    for path in _states(folder)[:-keep]:
        path.unlink()
    for sums in folder.glob(_STATES + ".sha256"):
        if not sums.with_suffix("").exists():
            sums.unlink()


def _states(folder: Path) -> list[Path]:
    return sorted(folder.glob(_STATES), key=lambda path: (len(path.name), path.name))  # by number


def _sums_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _read_envelope(path: Path) -> tuple[NetworkHeader, str]:
    _try_header(path)
    return _envelope(path)


def _try_header(path: Path) -> None:
    """Read what a stranger's file says of itself where a long text can do no harm; a short one cannot."""
    if path.is_file() and _header_bytes(path) > _SHORT_HEADER:
        file = path.stat()
        _try_apart(path, (file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns))


@lru_cache(maxsize=256)
def _try_apart(path: Path, _: tuple[int, ...]) -> None:
    try_apart(path, lambda: _envelope(path))


def _header_bytes(path: Path) -> int:
    """How long a safetensors file says that its header is; 0 where it is none."""
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
    except OSError:  # which is said where the file is read
        return 0
    return length if length <= path.stat().st_size else 0


def _text(path: Path) -> str | None:
    """The text in which a network's file says what it is; None where mien did not write it."""
    if path.is_file() and _header_bytes(path) > _MOST_HEADER:
        raise InputError(f"{path}: its header is larger than any of mien's")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get(_KEY)
    except (safetensors.SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def _envelope(path: Path) -> tuple[NetworkHeader, str]:
    text = _text(path)
    if text is None:
        raise InputError(f"{path}: a safetensors file, but not a generator saved by mien; {_advice(path)}")
    try:
        envelope = json.loads(text)
        return NetworkHeader.model_validate(envelope["header"]), str(envelope["sha256"])
    except ValidationError as error:
        name, _, reason = first_problem(error)
        why = ": ".join(filter(None, (name, reason)))
        raise InputError(f"{path}: its header does not fit this version ({why})") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: its header is damaged ({type(error).__name__})") from error


def _unreadable(path: Path, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: there is no such file or run{did_you_mean(path)}")
    if isinstance(error, OSError):
        return InputError(f"{path}: cannot be read ({error.strerror or error})")
    if instead := _something_else(path):
        return InputError(f"{path}: {instead}")
    reason = " ".join(str(error).split())[:160]
    return InputError(f"{path}: not a generator (.safetensors) that can be read, or damaged: {reason}")


def _something_else(path: Path) -> str:
    """What a file that is no safetensors seems to be, and what to do with it; "" where that is not known."""
    if path.name.startswith("state-") and path.suffix == ".pt":
        return "a training state; name the folder of its run"
    if path.suffix.lower() == ".onnx":
        return "an exported generator, which mien generate draws from; for this the run or its .safetensors"
    with open(path, "rb") as file:
        begins = file.read(4)
    if begins == b"PK\x03\x04" and path.suffix.lower() not in FOREIGN and not _is_torch_s(path):
        return "a zip, not a generator; name a run folder or a .safetensors file"
    is_ours = path.suffix.lower() == ".safetensors" and not begins.startswith((b"\x80", b"PK\x03\x04"))
    return "" if is_ours else f"not a generator of mien's; {_advice(path)}"


def _is_torch_s(path: Path) -> bool:
    """Whether a zip, whatever it is called, is one as torch.save writes it."""
    try:
        with zipfile.ZipFile(path) as file:
            return any(name.endswith("/data.pkl") for name in file.namelist())
    except zipfile.BadZipFile:
        return False


def _advice(path: Path) -> str:
    return f"if it is of another program, make a file of ours of it: mien import {shlex.quote(str(path))}"


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _plain(value: Any, where: str) -> Any:
    """`value` in the types that `weights_only` loading takes."""
    if type(value) in _PLAIN:  # not isinstance: np.float64 is a float to Python, but not to the loader
        return value
    if isinstance(value, np.generic) and type(value.item()) in _PLAIN:
        return value.item()
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        return {_plain_key(key, where): _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    raise TypeError(
        f"{where} is a {type(value).__name__}; states hold tensors, numbers, strings, lists, dicts"
    )


def _plain_key(key: Any, where: str) -> Any:
    if type(key) in (str, int):
        return key
    raise TypeError(f"{where} has the key {key!r}; keys are strings or integers")
