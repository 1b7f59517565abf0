"""When a phase is captured, and what becomes of others; `test_gpu` says what graphs compute."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from mien.core.types import Batch, Phase
from mien.training import graphs
from mien.training.graphs import Graphs

PHASE = Phase("d", "d")
NETWORK = nn.Linear(1, 1)


def batch(count: int = 2) -> Batch:
    return Batch(torch.zeros(count, 3, 8, 8), None, torch.Generator())


class Fake:
    """In the place of a captured phase."""

    def replay(self, given: Batch, seed: int) -> dict[str, torch.Tensor]:
        return {"seed": torch.tensor(seed)}


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """The batches that something was captured with."""
    seen: list[Batch] = []

    def capture(self: Graphs, given: Batch, *rest: Any) -> Fake:
        seen.append(given)
        return Fake()

    monkeypatch.setattr(Graphs, "_capture", capture)
    return seen


def asked(them: Graphs, *, phase: Phase = PHASE, key: float = 1.0, count: int = 2, seed: int = 0) -> Any:
    return them.computed(phase, key, batch(count), seed, NETWORK, lambda kept: {})


def test_a_phase_is_captured_when_it_comes_again(captured: list[Batch]) -> None:
    them = Graphs()
    assert asked(them) is None
    assert asked(them, seed=5) == {"seed": 5}
    assert asked(them, seed=6) == {"seed": 6}
    assert len(captured) == 1


@pytest.mark.parametrize(
    "other", [{"key": 2.0}, {"count": 3}, {"phase": replace(PHASE, gain=4.0)}, {"phase": Phase("g", "g")}]
)
def test_whatever_it_depends_on_has_a_graph_of_its_own(captured: list[Batch], other: Any) -> None:
    them = Graphs()
    asked(them)
    asked(them)
    assert asked(them, **other) is None
    assert asked(them, **other) is not None
    assert len(captured) == 2


def test_a_key_that_changes_at_every_step_is_given_up(captured: list[Batch]) -> None:
    them = Graphs()
    for step in range(100):
        assert asked(them, key=step) is None
    assert asked(them, key=99) is None
    assert not captured
    assert len(them._met) == graphs._MOST


def test_what_cannot_be_captured_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def capture(*_: Any) -> None:
        tries.append(1)
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(Graphs, "_capture", capture)
    them = Graphs()
    assert [asked(them) for _ in range(5)] == [None] * 5
    assert len(tries) == 1


def test_after_a_return_to_an_earlier_state_it_is_captured_anew(captured: list[Batch]) -> None:
    them = Graphs()
    asked(them)
    asked(them)
    them.clear()
    assert asked(them) is None
    assert asked(them) is not None
    assert len(captured) == 2
