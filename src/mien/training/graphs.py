"""Phases as CUDA graphs: captured once, then replayed as a whole.

On a GPU small networks wait for their kernels to be started, one by one, by Python. A graph starts all of
them at once. What is replayed is what was captured, so that nothing but images, labels, chance, weights and
what a network itself keeps may differ: a family says by `Capturable` that this is so of it.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mien.core.types import Batch, Phase

Compute = Callable[[Batch], dict[str, Tensor]]  # leaves gradients, gives logs
_MOST = 16  # graphs; each holds what its phase computes


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

    def computed(
        self, phase: Phase, key: Hashable, batch: Batch, seed: int, network: nn.Module, compute: Compute
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
        if key not in self._captured:
            try:
                self._captured[key] = self._capture(batch, seed, network, compute)
            except RuntimeError:  # something in it cannot be captured, or memory does not suffice for both
                self._gave_up = True
                self.clear()
                torch.cuda.empty_cache()
                network.zero_grad(set_to_none=True)
                return None
        return self._captured[key].replay(batch, seed)

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
        with torch.cuda.graph(graph, pool=self._pool):
            logs = compute(kept)
        gradients = [(p, p.grad) for p in network.parameters() if p.grad is not None]
        return _Captured(graph, kept, gradients, logs)
