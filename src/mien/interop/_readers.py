"""Readers of foreign files, to be run in the sandbox: from bytes to facts and tensors."""

import argparse
import mmap
import pathlib
import pickle
import re
import types
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy._core import multiarray
from torch import Tensor

from mien.core.checkpoint import is_ours
from mien.core.errors import InputError
from mien.interop._facts import Contents, FileFacts, NetworkFacts, counted
from mien.interop._machine import Machine, Unsafe
from mien.interop._modules import Module, is_plain, plain
from mien.interop._state_dicts import networks_in
from mien.interop._values import is_known, resolve

_ZIP = b"PK\x03\x04"
_TORCH_LEGACY = (
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number that torch.save wrote before zips
)
_OLD_PICKLE = re.compile(rb"[(}\]c]")  # how a pickle of protocol 0 or 1 begins
_CLASSES = {"G_ema": "Generator", "G": "Generator", "D": "Discriminator"}
_MOST_ATTRIBUTES = 20_000
# What lies beside weights and can do nothing: bags of options, places, numbers of numpy.
_NUMBERS = [type(np.dtype(code)) for code in "?bBhHiIlLqQefd"]
_HARMLESS: list[Any] = [
    *(argparse.Namespace, types.SimpleNamespace, np.dtype, np.ndarray, *_NUMBERS),
    *((pathlib.PurePosixPath, f"pathlib{home}.PosixPath") for home in ("", "._local")),
    *((pathlib.PureWindowsPath, f"pathlib{home}.WindowsPath") for home in ("", "._local")),
    *((multiarray.scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((multiarray._reconstruct, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
]


def read(path: Path, keys: Sequence[str]) -> Contents:
    """Read a non-empty file, with the tensors of those networks of `keys` that it holds.

    Raises InputError, where none of them is there too.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        head = data[:16]
        if not head.startswith((_ZIP, _TORCH_LEGACY)) and not _is_safetensors(head):
            if head[:1] != b"\x80" and not _OLD_PICKLE.match(head):
                lfs = head.startswith(b"version https:/")
                pointer = "; it is a Git LFS pointer to one: git lfs pull" if lfs else ""
                what = "neither a pickle (.pkl) nor a torch file (.pt)"
                raise InputError(f"it is no checkpoint: {what}{pointer}")
            # mmap reads what is there, however much a damaged length asks for.
            return read_pickle(cast(IO[bytes], data), keys)
    content = _safetensors(path) if _is_safetensors(head) else _torch(path)
    if not isinstance(content, dict):
        raise InputError(f"it is a torch file of a {type(content).__name__}, not of a dictionary of weights")
    return read_state_dicts(content, keys)


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and head[4:8] == bytes(4)


def read_pickle(stream: IO[bytes], keys: Sequence[str]) -> Contents:
    """NVlabs' and R3GAN's networks. Raises InputError saying what the file asks for, or how it is damaged."""
    content = resolve(Machine(allowed=is_known).read(stream))
    if not isinstance(content, dict):
        raise InputError("it holds no dictionary of networks")
    networks = {str(name): value for name, value in content.items() if isinstance(value, Module)}
    if not networks and any(isinstance(value, Tensor | np.ndarray | dict) for value in content.values()):
        return read_state_dicts(content, keys)
    if not networks:
        raise InputError("it holds no network (looked for G_ema, G and D)")
    tensors = {name: module.tensors() for name, module in networks.items()}
    facts = FileFacts(
        form="pickle",
        networks={name: _of_module(module, tensors[name]) for name, module in networks.items()},
        other={str(name): plain(value) for name, value in content.items() if name not in networks},
    )
    return _with_weights(facts, tensors, keys)


def _of_module(module: Module, tensors: Mapping[str, Tensor]) -> NetworkFacts:
    attributes = module.attributes()
    if len(attributes) > _MOST_ATTRIBUTES:
        raise Unsafe(f"a network with more than {_MOST_ATTRIBUTES:,} attributes")
    return NetworkFacts(
        name=module.name,
        module=module.module,
        arguments=plain(module.arguments),
        attributes=attributes,
        sources=tuple(module.sources()),
        **counted(tensors),
    )


def _with_weights(
    facts: FileFacts, networks: Mapping[str, Mapping[str, Tensor]], keys: Sequence[str]
) -> Contents:
    chosen = {key: networks[key] for key in keys if key in networks}
    if keys and not chosen:
        raise InputError(f"it has no {' or '.join(keys)}; it holds: {', '.join(networks)}")
    return Contents(facts, chosen)


def read_state_dicts(content: Mapping[Any, Any], keys: Sequence[str]) -> Contents:
    """Dictionaries of tensors, as rosinality's `.pt` has them, or one of them bare. Raises InputError."""
    if {"networks", "counters"} <= content.keys():
        raise InputError("it is a training state of mien; name the folder of its run")
    networks = networks_in(content)
    if not networks:
        raise InputError("it holds no weights of a network: neither a state dict, nor g_ema, g or d")
    arguments = _arguments(content.get("args"))
    facts = FileFacts(
        form="state dict",
        networks={
            name: NetworkFacts(name=_CLASSES[name], arguments=arguments, **counted(tensors))
            for name, tensors in networks.items()
        },
        other={str(name): plain(value) for name, value in content.items() if is_plain(value)},
    )
    return _with_weights(facts, networks, keys)


def _torch(path: Path) -> Any:
    """A torch file by torch's own restricted loader."""
    try:
        if zipfile.is_zipfile(path):
            _check_zip(path)
        with torch.serialization.safe_globals(_HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if re.search(r"GLOBAL torch\.nn\.modules\.|GLOBAL __main__\.", str(error)):
            raise Unsafe(
                "it is a whole module, which carries code; mien reads weights alone: save its state_dict()"
            ) from error
        reason = re.search(r"Unsupported \w+[^.\n]*[\w.]*", str(error))
        what = reason[0] if reason else "it is damaged, or asks for more than weights need"
        raise Unsafe(f"torch's restricted loader refuses it ({what[:120]}); nothing of it was run") from error
    except (MemoryError, InputError):
        raise
    except Exception as error:  # torch raises nearly anything for damaged files
        reason_text = " ".join(str(error).split()).split(". ")[0][:120]
        raise InputError(f"not a torch file that can be read ({reason_text})") from error


def _check_zip(path: Path) -> None:
    """That a zip is a torch file of values. Raises InputError."""
    with zipfile.ZipFile(path) as archive:
        names = {name.partition("/")[2] for name in archive.namelist()}
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        raise InputError(
            "it is a TorchScript program, which carries code; mien reads weights alone: save its state_dict()"
        )
    if "data.pkl" not in names:
        raise InputError(
            "it is a zip, but no torch file; a dataset of pictures is for mien train, not import"
        )


def _safetensors(path: Path) -> dict[str, Tensor]:
    """Weights alone, of another program."""
    if is_ours(path):
        raise InputError("it is a file of mien's own already; nothing is to be imported")
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise InputError(f"not a safetensors file that can be read ({str(error)[:120]})") from error
    return tensors


def _arguments(namespace: Any) -> dict[str, Any]:
    if isinstance(namespace, argparse.Namespace | types.SimpleNamespace):
        return dict(plain(vars(namespace)))  # a dictionary stays one
    return {}
