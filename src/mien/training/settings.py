"""Resolve a command's settings: the family's config, the device, float32 or bfloat16 by timing both."""

import time
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, get_args

import torch
from pydantic import BaseModel, ValidationError

from mien.core import ranks
from mien.core.errors import InputError, first_problem
from mien.core.types import Drawn, Trainable
from mien.training.loop import Batches, Budget, Training, train


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
        values[key] = value.strip()
        if values[key].lower() == "none":
            may_be_none = type(None) in get_args(family.Config.model_fields[key].annotation)
            values[key] = None if may_be_none else values[key]
    try:
        config: BaseModel = family.Config.model_validate(values)
    except ValidationError as error:
        name, value, reason = first_problem(error)
        raise InputError(f"--set {name}={value}: {reason}") from error
    return config


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
        torch.zeros(1, device=device).cpu()  # which "meta", say, refuses: it keeps no values
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name}: not available here ({str(error).splitlines()[0]})") from error
    return device


NAMES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_LATE = 10**9  # images: a model that grows is timed as it will be in the end


class _RepeatedBatch:
    """The same batch again and again."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self._batch: Drawn | None = None

    def batch(self, nimg: int, count: int) -> Drawn:
        if self._batch is None:
            self._batch = self._batches.batch(0, count)
        return self._batch


def probe(
    build: Callable[[], Trainable],
    batches: Batches,
    device: torch.device,
    *,
    rounds: int = 3,
    micro_batch: int | None = None,
) -> dict[str, float]:
    """Training speed in images a second in each precision, of throw-away copies of the model.

    The two take turns, so that a noisy neighbour slows both; the best of `rounds` steps counts. Where
    float32 seems the faster there are up to twice as many more: it may have been the neighbour.
    """
    if not _bf16_works(device):
        return {"fp32": 1.0}
    same = _RepeatedBatch(batches)
    copies = {
        name: Training(build(), 0, device, precision, nimg=_LATE, micro_batch=micro_batch)
        for name, precision in NAMES.items()
    }
    streams = {name: train(copy, same, Budget()) for name, copy in copies.items()}
    best: dict[str, float] = dict.fromkeys(streams, float("inf"))
    speeds: dict[str, float] = {}
    for turns in (rounds + 1, rounds, rounds):  # the first warms up; later ones beat its times
        for _ in range(turns):
            for name, steps in streams.items():
                started = time.perf_counter()
                next(steps)
                best[name] = min(best[name], time.perf_counter() - started)
        speeds = {name: copies[name].trainable.batch_size / seconds for name, seconds in best.items()}
        if choose(speeds) == "bf16":
            break
    return speeds


def choose(speeds: dict[str, float]) -> str:
    """The faster one; bfloat16 must win by 5 % to be worth its rounding."""
    return "bf16" if speeds.get("bf16", 0.0) > 1.05 * speeds["fp32"] else "fp32"


def _bf16_works(device: torch.device) -> bool:
    """Whether bfloat16 may be worth timing: with AVX2 alone a step takes minutes, so not even once.

    GPUs without it (before Ampere) compute it as float32 and round.
    """
    if device.type == "cpu":
        return torch.backends.cpu.get_cpu_capability() != "AVX2"
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
