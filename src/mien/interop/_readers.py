"""Readers of foreign files, to be run in the sandbox: from bytes to facts and tensors."""

import argparse
import mmap
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor

from mien.core.errors import InputError
from mien.interop._facts import LATENT_MEAN, Contents, FileFacts, NetworkFacts, counted
from mien.interop._machine import Machine, Unsafe
from mien.interop._modules import Module, is_plain, plain
from mien.interop._values import is_known, resolve

_ZIP = b"PK\x03\x04"
_TORCH_LEGACY = (
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number that torch.save wrote before zips
)
_OLD_PICKLE = re.compile(rb"[(}\]c]")  # how a pickle of protocol 0 or 1 begins
_STATE_DICTS = {"G_ema": "g_ema", "G": "g", "D": "d"}  # our keys, and rosinality's
_CLASSES = {"G_ema": "Generator", "G": "Generator", "D": "Discriminator"}
_MOST_ATTRIBUTES = 20_000


def read(path: Path, keys: Sequence[str]) -> Contents:
    """Read a non-empty file. Raises InputError.

    keys: networks whose tensors are wanted, of which the first is taken that is there.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        head = data[:16]
        if not head.startswith((_ZIP, _TORCH_LEGACY)):
            _refuse_others(head)
            # mmap reads what is there, however much a damaged length asks for.
            return read_pickle(cast(IO[bytes], data), keys)
    return read_state_dicts(path, keys)


def _refuse_others(head: bytes) -> None:
    if head[8:9] == b"{" and head[4:8] == bytes(4):
        raise InputError("it is a safetensors file already; nothing is to be imported")
    if head[:1] != b"\x80" and not _OLD_PICKLE.match(head):
        raise InputError("it is no checkpoint: neither a pickle (.pkl) nor a torch file (.pt)")


def read_pickle(stream: IO[bytes], keys: Sequence[str]) -> Contents:
    """NVlabs' and R3GAN's networks. Raises InputError saying what the file asks for, or how it is damaged."""
    found = resolve(Machine(allowed=is_known).read(stream))
    if not isinstance(found, dict):
        raise InputError("it holds no dictionary of networks")
    networks = {str(name): value for name, value in found.items() if isinstance(value, Module)}
    if not networks:
        raise InputError("it holds no network (looked for G_ema, G and D)")
    tensors = {name: module.tensors() for name, module in networks.items()}
    facts = FileFacts(
        maker="nvlabs",
        networks={name: _of_module(module, tensors[name]) for name, module in networks.items()},
        other={str(name): plain(value) for name, value in found.items() if name not in networks},
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
    chosen = next((key for key in keys if key in networks), None)
    if keys and chosen is None:
        raise InputError(f"it has no {' or '.join(keys)}; it holds: {', '.join(networks)}")
    return Contents(facts, chosen, networks[chosen] if chosen else {})


def read_state_dicts(path: Path, keys: Sequence[str]) -> Contents:
    """rosinality's `.pt`: dictionaries of tensors by torch's own restricted loader. Raises InputError."""
    found = _load(path)
    if not isinstance(found, dict):
        raise InputError("it is a torch file without a dictionary; rosinality's .pt has g_ema")
    networks = {
        ours: _tensors(found[theirs], theirs) for ours, theirs in _STATE_DICTS.items() if found.get(theirs)
    }
    if not networks:
        raise InputError("it is a torch file, but holds neither g_ema nor g, as rosinality's .pt does")
    mean = found.get(LATENT_MEAN)
    if isinstance(mean, Tensor):
        networks |= {name: {**networks[name], LATENT_MEAN: mean} for name in networks if name != "D"}
    arguments = _arguments(found.get("args"))
    facts = FileFacts(
        maker="rosinality",
        networks={
            name: NetworkFacts(name=_CLASSES[name], arguments=arguments, **counted(tensors))
            for name, tensors in networks.items()
        },
        other={str(name): plain(value) for name, value in found.items() if is_plain(value)},
    )
    return _with_weights(facts, networks, keys)


def _load(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # a bag of options, as its `args` are
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = re.search(r"Unsupported \w+[^.\n]*[\w.]*", str(error))
        what = reason[0] if reason else "it is damaged, or asks for more than weights need"
        raise Unsafe(f"torch's restricted loader refuses it ({what[:120]}); nothing of it was run") from error
    except MemoryError:
        raise
    except Exception as error:  # torch raises nearly anything for damaged files
        reason_text = " ".join(str(error).split())[:120]
        raise InputError(f"not a torch file that can be read ({reason_text})") from error


def _tensors(found: Any, name: str) -> dict[str, Tensor]:
    values = found if isinstance(found, dict) else {}
    if not values or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in values.items()):
        raise InputError(f"its {name} is no dictionary of tensors")
    return values


def _arguments(found: Any) -> dict[str, Any]:
    values = vars(found) if isinstance(found, argparse.Namespace) else {}
    shown = plain(values)
    return shown if isinstance(shown, dict) else {}
