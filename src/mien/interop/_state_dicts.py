"""State dicts as people save them: bare, wrapped, several in one; what is in them, under plain names."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mien.core.errors import InputError
from mien.interop._facts import LATENT_MEAN

# Names under which programs keep a network, and names that wrappers (DataParallel, compile) put before all.
_KEYS = {
    **dict.fromkeys(("G_ema", "g_ema", "ema", "generator_ema", "netG_ema", "params_ema"), "G_ema"),
    **dict.fromkeys(("G", "g", "generator", "netG", "params", "decoder"), "G"),
    **dict.fromkeys(("D", "d", "discriminator", "netD"), "D"),
}
_WRAPPERS = ("module", "_orig_mod", "model", "net")
_WHOLE = ("state_dict", "model", "model_state_dict", "module", "weights")
_COUNTERS = ("n_averaged", "num_batches_tracked")
_SUFFIX = "_state_dict"  # as in netG_state_dict
_OF_D = ("head.", "final_linear.", "final_conv.", "b4.out.", "Model.ExtractionLayer.")


def networks_in(content: Mapping[Any, Any]) -> dict[str, dict[str, Tensor]]:
    """The networks ("G_ema", "G", "D") of a file's dictionary; {} where it holds none. Raises InputError.

    A bare state dict is one network. A mean of w beside its generators becomes one of their tensors.
    """
    content = {name: _from_arrays(value) for name, value in content.items()}
    networks = {
        key: _unwrapped(_tensors(value, str(name)))
        for name, value in content.items()
        if (key := _KEYS.get(str(name).removesuffix(_SUFFIX))) and isinstance(value, Mapping) and value
    }
    if not networks:
        inside = next((content[name] for name in _WHOLE if isinstance(content.get(name), Mapping)), None)
        if inside is not None:
            return networks_in({LATENT_MEAN: content.get(LATENT_MEAN), **inside})
        networks = _split(
            _unwrapped({n: t for n, t in content.items() if isinstance(t, Tensor) and n != LATENT_MEAN})
        )
    mean = content.get(LATENT_MEAN)
    if isinstance(mean, Tensor):
        for key in networks.keys() - {"D"}:
            networks[key].setdefault(LATENT_MEAN, mean)
    return networks


def _from_arrays(value: Any) -> Any:
    """Arrays of numpy, also in a dictionary, as tensors: weights that were saved without torch."""
    if isinstance(value, Mapping):
        return {n: v if isinstance(v, Mapping) else _from_arrays(v) for n, v in value.items()}
    is_array = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return torch.from_numpy(value.astype(np.float32)) if is_array else value


def _tensors(values: Mapping[Any, Any], name: str) -> dict[str, Tensor]:
    """Tensors by name; plain numbers between them are left out."""
    wrong = [k for k, v in values.items() if not isinstance(v, Tensor | bool | int | float | None)]
    tensors = {str(name): value for name, value in values.items() if isinstance(value, Tensor)}
    if wrong or not tensors:
        raise InputError(f"its {name} is no dictionary of tensors")
    return tensors


def _unwrapped(tensors: Mapping[Any, Tensor]) -> dict[str, Tensor]:
    """Without counters, and without what wrappers put before every name."""
    unwrapped = {str(n): t for n, t in tensors.items() if str(n).rpartition(".")[2] not in _COUNTERS}
    while unwrapped and (first := _common(unwrapped)) in _WRAPPERS:
        unwrapped = {name[len(first) + 1 :]: tensor for name, tensor in unwrapped.items()}
    return unwrapped


def _common(tensors: Mapping[str, Tensor]) -> str:
    """The first part of all names; "" where they differ."""
    firsts = {name.partition(".")[0] for name in tensors}
    return firsts.pop() if len(firsts) == 1 and all("." in name for name in tensors) else ""


def _split(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """A flat dictionary: of several networks by the first part of their names, else of one."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        first, _, rest = name.partition(".")
        if rest and first in _KEYS:
            parts.setdefault(_KEYS[first], {})[rest] = tensor
    if parts:
        return {key: _unwrapped(part) for key, part in parts.items()}
    if not tensors:
        return {}
    of_tutorial = "main.0.weight" in tensors and "main.1.weight" not in tensors  # no norm after the first
    return {"D" if of_tutorial or any(name.startswith(_OF_D) for name in tensors) else "G": tensors}
