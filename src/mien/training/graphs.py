"""Phases as CUDA graphs: captured once, then replayed as a whole.

On a GPU small networks wait for their kernels to be started, one by one, by Python. A graph starts all of
them at once. What is replayed is what was captured, so that nothing but images, labels, chance, weights and
what a network itself keeps may differ: a family says by `Capturable` that this is so of it. A graph is used
only after it gave what the same phase gave without it.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mien.core.types import Batch, Phase, Trainable

Compute = Callable[[Batch], dict[str, Tensor]]  # leaves gradients, gives logs
_MOST = 16  # graphs; each holds what its phase computes
_SAME = 1e-2  # of a tensor's length, by which the order of sums may change it


@dataclass(frozen=True)
class _Captured:
    """A graph, the batch that it reads, and what it leaves: gradients and logs, which it overwrites."""

    graph: torch.cuda.CUDAGraph
    batch: Batch
    gradients: list[tuple[nn.Parameter, Tensor]]
    logs: dict[str, Tensor]

    def replay(self, batch: Batch, seed: int) -> dict[str, Tensor]:
        """As the phase computes it for this batch; the batch's generator is not used."""
        for kept, given in ((self.batch.images, batch.images), (self.batch.labels, batch.labels)):
            if kept is not None and given is not None:
                kept.copy_(given)
        self.batch.rng.manual_seed(seed)
        self.graph.replay()
        for parameter, gradient in self.gradients:
            parameter.grad = gradient
        return {name: value.clone() for name, value in self.logs.items()}


class Graphs:
    """The captured phases of one training. A phase is captured when it comes for the second time."""

    def __init__(self) -> None:
        self._met: set[Hashable] = set()
        self._captured: dict[Hashable, _Captured] = {}
        self._pool: Any = None
        self._gave_up = False

    def clear(self) -> None:
        """Forget what was captured, once tensors were put in the place of those that it reads."""
        self._met.clear()
        self._captured.clear()

    def give_up(self) -> bool:
        """Capture nothing any more; whether graphs were let go, and the memory that they held."""
        held, self._gave_up = bool(self._captured), True
        self.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return held

    def computed(
        self, phase: Phase, key: Hashable, batch: Batch, seed: int, model: Trainable, compute: Compute
    ) -> dict[str, Tensor] | None:
        """The phase's gradients and logs by its graph, or None: then it must be computed as ever.

        key: whatever else the phase depends on. compute: the phase itself, for any batch.
        """
        labels = None if batch.labels is None else batch.labels.shape
        key = (phase, key, batch.images.shape, labels)
        if self._gave_up or (key not in self._met and len(self._met) == _MOST):
            return None
        if key not in self._met:
            self._met.add(key)
            return None
        if key in self._captured:
            return self._captured[key].replay(batch, seed)
        return self._tried(key, batch, seed, model, model.networks[phase.network], compute)

    def _tried(
        self, key: Hashable, batch: Batch, seed: int, model: Trainable, network: nn.Module, compute: Compute
    ) -> dict[str, Tensor] | None:
        """The phase twice, kernel by kernel and by a new graph, which is kept if both are the same."""
        before = _copies(_kept_by(model))
        batch.rng.manual_seed(seed)
        logs = compute(batch)
        gradients = [(p, p.grad) for p in network.parameters() if p.grad is not None]
        after = _copies(_kept_by(model))
        expected = [*logs.values(), *(gradient for _, gradient in gradients), *after]
        _restore(model, before)
        network.zero_grad(set_to_none=True)
        try:
            captured = self._captured[key] = self._capture(batch, seed, network, compute)
            again = captured.replay(batch, seed)
            given = [p.grad for p in network.parameters() if p.grad is not None]
            if _alike([*again.values(), *given, *_kept_by(model)], expected):
                return again
        except (RuntimeError, AttributeError, AssertionError, TypeError, ValueError):
            pass  # something in it cannot be captured, or memory does not suffice for both
        self.give_up()
        _restore(model, after)
        network.zero_grad(set_to_none=True)
        for parameter, gradient in gradients:
            parameter.grad = gradient
        return logs

    def _capture(self, batch: Batch, seed: int, network: nn.Module, compute: Compute) -> _Captured:
        kept = replace(
            batch,
            images=batch.images.clone(memory_format=torch.preserve_format),
            labels=None if batch.labels is None else batch.labels.clone(),
            rng=torch.Generator(batch.images.device),
        )
        kept.rng.manual_seed(seed)
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(kept.rng)
        torch.cuda.synchronize()
        stream = torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph, pool=self._pool):
                logs = compute(kept)
        finally:  # a capture that fails leaves its own stream in place
            torch.cuda.set_stream(stream)
        gradients = [(p, p.grad) for p in network.parameters() if p.grad is not None]
        return _Captured(graph, kept, gradients, logs)


def _kept_by(model: Trainable) -> list[Tensor]:
    """What a phase may change beside gradients: running means of the networks, and of the model itself."""
    buffers = [buffer for network in model.networks.values() for buffer in network.buffers()]
    return [*buffers, *(value for value in model.state_dict().values() if isinstance(value, Tensor))]


def _copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.clone() for tensor in tensors]


@torch.no_grad()
def _restore(model: Trainable, values: Sequence[Tensor]) -> None:
    for tensor, value in zip(_kept_by(model), values, strict=True):
        tensor.copy_(value)


def _alike(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    """Whether both hold the same, but for the order of sums, which a GPU does not keep."""
    if [tensor.shape for tensor in ours] != [tensor.shape for tensor in theirs]:
        return False
    pairs = [(a.double(), b.double()) for a, b in zip(ours, theirs, strict=True)]
    return all(float((a - b).norm()) <= _SAME * float(b.norm()) + 1e-6 for a, b in pairs)
