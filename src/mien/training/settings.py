"""Resolve a command's settings: the family's config and the device."""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, get_args

import torch
from pydantic import BaseModel, ValidationError

from mien.core import ranks
from mien.core.errors import InputError, first_problem


def resolve_config(
    family: ModuleType,
    name: str,
    preset: str,
    changes: Sequence[str],
    numbers: Mapping[str, Any] | None = None,
) -> BaseModel:
    """The preset with `numbers`, then changes like "lr=0.0003". Raises InputError listing valid names."""
    presets: Mapping[str, BaseModel] = family.PRESETS
    if preset not in presets:
        raise InputError(f"{name} has no preset {preset!r}; choose from: {', '.join(presets)}")
    values = presets[preset].model_dump() | dict(numbers or {})
    for change in changes:
        key, equals, value = change.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or key not in values:
            raise InputError(f"--set {change}: not NAME=VALUE with a NAME from: {', '.join(values)}")
        values[key] = None if value.strip().lower() == "none" and _may_be_none(family, key) else value.strip()
    try:
        config: BaseModel = family.Config.model_validate(values)
    except ValidationError as error:
        name, value, reason = first_problem(error)
        raise InputError(f"--set {name}={value}: {reason}") from error
    return config


def _may_be_none(family: ModuleType, name: str) -> bool:
    return type(None) in get_args(family.Config.model_fields[name].annotation)


def pick_device(name: str) -> torch.device:
    """The named device, or for "auto" the best there is. Raises InputError where it is not there.

    Of several ranks each takes the GPU of its number on its machine. float32 is that on a GPU too:
    torch's default there rounds what convolutions take to 10 bits (TF32), and scores would differ.
    """
    torch.backends.cudnn.allow_tf32 = False
    if name.startswith("cuda:") and ranks.count() > 1:
        raise InputError(
            f"--device {name}: several processes take a GPU each by themselves; say --device cuda"
        )
    if name in ("auto", "cuda") and torch.cuda.is_available():
        if ranks.count() == 1:
            return torch.device("cuda")
        if ranks.local_rank() >= torch.cuda.device_count():
            raise InputError(
                f"this machine has {torch.cuda.device_count()} GPUs and more processes; start one for each"
            )
        torch.cuda.set_device(ranks.local_rank())
        return torch.device("cuda", ranks.local_rank())
    if name == "auto":
        return torch.device("mps" if torch.backends.mps.is_available() and ranks.count() == 1 else "cpu")
    try:
        device = torch.device(name)
        if torch.zeros(1, device=device).cpu().item():  # "meta", say, keeps no values
            raise RuntimeError("it does not compute")
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name}: not available here ({str(error).splitlines()[0]})") from error
    return device
