"""When a phase is captured, and what becomes of those that cannot be; `test_gpu` has real graphs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mien.core.types import Batch, Phase
from mien.training import graphs
from mien.training.graphs import Graphs

PHASE = Phase("d", "d")


class Phases:
    """A model of one network whose phase draws, leaves gradients, and moves a mean and a buffer in place."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = nn.BatchNorm2d(3)
        self.mean = torch.zeros(())
        self.model: Any = SimpleNamespace(
            networks={"d": self.network}, state_dict=lambda: {"mean": self.mean}
        )

    def compute(self, batch: Batch) -> dict[str, Tensor]:
        x = batch.images + torch.randn(batch.images.shape, generator=batch.rng)
        loss = (self.network(x) + 1).pow(3).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        self.mean.lerp_(loss.detach(), 0.5)
        return {"loss": loss.detach()}

    def state(self) -> list[Tensor]:
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        return [t.clone() for t in (*self.network.buffers(), self.mean, *gradients)]


def batch(count: int = 2) -> Batch:
    images = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(7))
    return Batch(images, None, torch.Generator())


@dataclass
class Fake:
    """In the place of a captured phase: computes it, and adds an error to the gradients."""

    compute: Callable[[Batch], dict[str, Tensor]]
    network: nn.Module
    error: float

    def replay(self, given: Batch, seed: int) -> dict[str, Tensor]:
        given.rng.manual_seed(seed)
        self.network.zero_grad(set_to_none=True)
        logs = self.compute(given)
        for parameter in self.network.parameters():
            assert parameter.grad is not None
            parameter.grad += self.error
        return logs


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """How often something was captured; error: of what is replayed; fails: whether capturing does."""
    seen = SimpleNamespace(count=0, error=0.0, fails=False)

    def capture(self: Graphs, given: Batch, seed: int, network: nn.Module, compute: Any) -> Fake:
        seen.count += 1
        if seen.fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        return Fake(compute, network, seen.error)

    monkeypatch.setattr(Graphs, "_capture", capture)
    return seen


def asked(
    them: Graphs, phases: Phases, *, phase: Phase = PHASE, key: float = 1.0, count: int = 2, seed: int = 0
) -> dict[str, Tensor] | None:
    phases.model.networks[phase.network] = phases.network
    phases.network.zero_grad(set_to_none=True)
    return them.computed(phase, key, batch(count), seed, phases.model, phases.compute)


def once(seed: int) -> tuple[Tensor, list[Tensor]]:
    """Loss and state after the phase was computed once."""
    phases, given = Phases(), batch()
    given.rng.manual_seed(seed)
    return phases.compute(given)["loss"], phases.state()


def test_a_phase_is_captured_when_it_comes_again(captures: SimpleNamespace) -> None:
    them, phases = Graphs(), Phases()
    assert asked(them, phases) is None
    assert asked(them, phases) is not None
    assert asked(them, phases) is not None
    assert captures.count == 1


@pytest.mark.parametrize("trouble", ["none", "wrong", "fails"])
def test_the_phase_counts_once_whatever_becomes_of_its_graph(captures: SimpleNamespace, trouble: str) -> None:
    """A graph that errs, or cannot be made, leaves no trace and is not asked again."""
    captures.error, captures.fails = 0.3 * (trouble == "wrong"), trouble == "fails"
    loss, state = once(seed=5)
    them, phases = Graphs(), Phases()
    asked(them, phases)  # in truth the caller computes it then
    logs = asked(them, phases, seed=5)
    assert logs is not None
    assert torch.equal(logs["loss"], loss)
    for ours, theirs in zip(phases.state(), state, strict=True):
        assert torch.equal(ours, theirs)
    assert (asked(them, phases, seed=6) is None) == (trouble != "none")
    assert captures.count == 1


@pytest.mark.parametrize(
    "other", [{"key": 2.0}, {"count": 3}, {"phase": replace(PHASE, gain=4.0)}, {"phase": Phase("g", "g")}]
)
def test_whatever_it_depends_on_has_a_graph_of_its_own(captures: SimpleNamespace, other: Any) -> None:
    them, phases = Graphs(), Phases()
    asked(them, phases)
    asked(them, phases)
    assert asked(them, phases, **other) is None
    assert asked(them, phases, **other) is not None
    assert captures.count == 2


def test_a_key_that_changes_at_every_step_is_given_up(captures: SimpleNamespace) -> None:
    them, phases = Graphs(), Phases()
    for step in range(100):
        assert asked(them, phases, key=step) is None
    assert asked(them, phases, key=99) is None
    assert not captures.count
    assert len(them._met) == graphs._MOST


def test_after_a_return_to_an_earlier_state_it_is_captured_anew(captures: SimpleNamespace) -> None:
    them, phases = Graphs(), Phases()
    asked(them, phases)
    asked(them, phases)
    them.clear()
    assert asked(them, phases) is None
    assert asked(them, phases) is not None
    assert captures.count == 2
