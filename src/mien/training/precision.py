"""The choice between float32 and bfloat16, by timing both on this machine."""

import time
from collections.abc import Callable

import torch

from mien.core.types import Drawn, Trainable
from mien.training.loop import Batches, Budget, Training, train

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

    The two take turns, so that a noisy neighbour slows both; the best of `rounds` steps counts.
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
    for _ in range(rounds + 1):  # the first round warms up and its times are beaten by the later ones
        for name, steps in streams.items():
            started = time.perf_counter()
            next(steps)
            best[name] = min(best[name], time.perf_counter() - started)
    return {name: copies[name].trainable.batch_size / seconds for name, seconds in best.items()}


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
