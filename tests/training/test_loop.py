"""The loop's own promises: guarded updates, budgets, one network at a time."""

import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from contracts.family_contract import assert_same
from mien.core.errors import MienError
from mien.core.types import Batch, Phase, Progress
from mien.models import lite
from mien.training import settings
from mien.training.loop import Budget, Step, Training, train
from mien.training.order import Stream
from mien.training.settings import choose, probe
from pictures import ArrayDataset

CPU = torch.device("cpu")
SMALL = lite.Config(batch_size=8, z_dim=8, width_g=4, width_d=4)


def make(trainable: lite.Lite | None = None) -> tuple[Training, Stream]:
    torch.manual_seed(0)
    dataset = ArrayDataset()
    training = Training(trainable or lite.build(SMALL, dataset.spec), 0, CPU)
    return training, Stream(dataset, seed=0, mirror=True, labels=False, device=CPU)


class NanOnce(lite.Lite):
    """Its generator's loss is not a number at the third step."""

    def loss(self, phase: Phase, batch: Batch) -> tuple[torch.Tensor, dict[str, Any]]:
        loss, logs = super().loss(phase, batch)
        if phase.name == "g" and self._step == 2:
            loss = loss * float("nan")
        return loss, logs

    def begin_step(self, progress: Progress) -> None:
        self._step = progress.step
        super().begin_step(progress)


def test_an_update_that_is_not_finite_is_withheld() -> None:
    training, stream = make(NanOnce(SMALL, ArrayDataset().spec))
    steps = [s.finite for s in itertools.islice(train(training, stream, Budget()), 5)]
    assert steps == [True, True, False, True, True]
    weights = training.trainable.networks["g"].parameters()
    assert all(bool(torch.isfinite(weight).all()) for weight in weights)


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (Budget(nimg=80), 0.5),
        (Budget(seconds=10), 0.4),
        (Budget(nimg=80, seconds=5), 0.8),
        (Budget(), 0.0),
        (Budget(nimg=10), 1.0),
    ],
)
def test_the_fraction_is_of_whichever_ends_first(budget: Budget, expected: float) -> None:
    assert budget.fraction(40, 4.0) == pytest.approx(expected)


def test_training_ends_with_its_budget_and_can_be_extended() -> None:
    training, stream = make()
    assert len(list(train(training, stream, Budget(nimg=40)))) == 5
    assert list(train(training, stream, Budget(nimg=40))) == []
    assert [step.nimg for step in train(training, stream, Budget(nimg=56))] == [48, 56]


def test_a_step_says_what_share_of_the_budget_is_spent_with_it() -> None:
    training, stream = make()
    assert [step.fraction for step in train(training, stream, Budget(nimg=32))] == [0.25, 0.5, 0.75, 1.0]


def test_a_phase_leaves_the_other_network_without_gradient() -> None:
    training, stream = make()
    next(train(training, stream, Budget()))
    g, d = training.trainable.networks["g"], training.trainable.networks["d"]
    assert all(p.requires_grad for p in g.parameters())  # the last phase was the generator's
    assert not any(p.requires_grad for p in d.parameters())


def test_bfloat16_stays_close_to_float32() -> None:
    results = []
    for precision in (torch.float32, torch.bfloat16):
        training, stream = make()
        training.precision = precision
        first = next(train(training, stream, Budget())).values
        results.append(first["Loss/D/loss"])
    assert results[0] != results[1]
    assert results[0] == pytest.approx(results[1], rel=0.05)


class Quadratic:
    """Learns the weight that makes pictures vanish; draws nothing, so that parts and wholes compare."""

    config = None
    batch_size = 8

    def __init__(self) -> None:
        network = torch.nn.Conv2d(3, 3, 1)
        self.networks: dict[str, torch.nn.Module] = {"g": network}
        self.optimizers: dict[str, torch.optim.Optimizer] = {"g": torch.optim.SGD(network.parameters(), 0.1)}
        self.counts: list[int] = []

    def begin_step(self, progress: Progress) -> None: ...

    def phases(self, progress: Progress) -> list[Phase]:
        return [Phase("g", "g", gain=2.0)]

    def loss(self, phase: Phase, batch: Batch) -> tuple[torch.Tensor, dict[str, Any]]:
        self.counts.append(len(batch.images))
        weight = 1.0 if batch.labels is None else batch.labels[:, 1].mean()
        loss = self.networks["g"](batch.images).square().mean() * weight
        return loss, {"Loss/G/loss": loss.detach()}

    def half_lives(self, progress: Progress) -> dict[str, float]:
        return {"g": 0.0}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def accumulated(micro_batch: int | None) -> tuple[Training, Step, list[int]]:
    torch.manual_seed(0)
    model = Quadratic()
    training = Training(model, 0, CPU, micro_batch=micro_batch)
    stream = Stream(ArrayDataset(), seed=0, mirror=True, labels=False, device=CPU)
    return training, next(train(training, stream, Budget())), model.counts


def test_parts_add_up_to_the_whole() -> None:
    """8 pictures as 3 + 3 + 2: gradients and logs are the whole batch's, each picture counting alike."""
    whole, step, _ = accumulated(None)
    parts, step_in_parts, counts = accumulated(3)
    assert counts == [3, 3, 2]
    assert step_in_parts.nimg == step.nimg == 8
    assert step_in_parts.values == pytest.approx(step.values, rel=1e-5)
    for ours, theirs in zip(*(t.trainable.networks["g"].parameters() for t in (parts, whole)), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


class Hungry(Quadratic):
    """Out of memory at more than `most` images at once."""

    most = 3
    error: Exception = torch.OutOfMemoryError("CUDA out of memory")

    def loss(self, phase: Phase, batch: Batch) -> tuple[torch.Tensor, dict[str, Any]]:
        if len(batch.images) > self.most:
            raise self.error
        return super().loss(phase, batch)


def test_out_of_memory_halves_what_is_computed_at_once_and_no_batch() -> None:
    """8 do not fit, nor 4: it trains by 2, to the same weights, and says so; a resumed run begins there."""
    whole, expected, _ = accumulated(None)
    torch.manual_seed(0)
    model = Hungry()
    training = Training(model, 0, CPU)
    stream = Stream(ArrayDataset(), seed=0, mirror=True, labels=False, device=CPU)
    step = next(train(training, stream, Budget()))
    assert model.counts == [2, 2, 2, 2]
    assert (step.nimg, step.fits) == (8, 2)
    assert step.values == pytest.approx(expected.values, rel=1e-5)
    for ours, theirs in zip(
        *(t.trainable.networks["g"].parameters() for t in (training, whole)), strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-6)
    resumed = Training(Hungry(), 0, CPU)
    resumed.load_state_dict(training.state_dict())
    assert resumed.fits == 2


def test_graphs_let_go_of_their_memory_before_a_batch_is_parted() -> None:
    """It may be all that was lacking: the whole batch is tried again without them."""

    class Crowded(Hungry):
        @property
        def most(self) -> int:  # type: ignore[override]
            return 0 if training.graphs._captured else 8

    training = Training(Crowded(), 0, CPU)
    training.graphs._captured["phase"] = object()  # type: ignore[assignment]
    stream = Stream(ArrayDataset(), seed=0, mirror=True, labels=False, device=CPU)
    step = next(train(training, stream, Budget()))
    assert step.fits is None
    assert training.trainable.counts == [8]  # type: ignore[attr-defined]
    assert not training.graphs._captured


@pytest.mark.parametrize("error", [Hungry.error, RuntimeError("could not create a primitive")])
def test_memory_for_no_image_at_all_is_said(error: Exception) -> None:
    model = Hungry()
    model.most, model.error = 0, error
    stream = Stream(ArrayDataset(), seed=0, mirror=True, labels=False, device=CPU)
    with pytest.raises(MienError, match="a single image a step is too much"):
        next(train(Training(model, 0, CPU), stream, Budget()))


def test_an_error_that_is_not_of_memory_stays_what_it_is() -> None:
    model = Hungry()
    model.most, model.error = 4, RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    training = Training(model, 0, CPU)
    stream = Stream(ArrayDataset(), seed=0, mirror=True, labels=False, device=CPU)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        next(train(training, stream, Budget()))
    assert training.fits is None  # no smaller parts were tried


def test_labels_go_with_their_part() -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    class Watching(Quadratic):
        def loss(self, phase: Phase, batch: Batch) -> tuple[torch.Tensor, dict[str, Any]]:
            assert batch.labels is not None
            seen.append((batch.images, batch.labels))
            return super().loss(phase, batch)

    stream = Stream(ArrayDataset(labelled=True), seed=0, mirror=True, labels=True, device=CPU)
    next(train(Training(Watching(), 0, CPU, micro_batch=3), stream, Budget()))
    images, labels, _ = stream.batch(0, 8)
    assert torch.equal(torch.cat([i for i, _ in seen]), images)
    assert torch.equal(torch.cat([c for _, c in seen]), labels)


def test_a_batch_that_fits_is_left_whole_bit_for_bit() -> None:
    results = []
    for micro_batch in (None, 8, 100):
        training, stream = make()
        training.micro_batch = micro_batch
        steps = list(itertools.islice(train(training, stream, Budget()), 3))
        results.append((steps, training.state_dict()))
    for steps, state in results[1:]:
        assert steps == results[0][0]
        assert_same(state, results[0][1])


def test_the_probe_measures_both_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    training, stream = make()
    before = training.trainable.networks["g"].state_dict()["layers.0.weight"].clone()
    speeds = probe(lambda: lite.build(SMALL, ArrayDataset().spec), stream, CPU, rounds=1)
    assert set(speeds) == {"fp32", "bf16"}
    assert min(speeds.values()) > 0
    assert torch.equal(before, training.trainable.networks["g"].state_dict()["layers.0.weight"])


@pytest.mark.parametrize(
    ("fp32", "bf16", "chosen", "turns"),
    [
        ((9, 4, 4, 4), (9, 2, 2, 2), "bf16", 4),
        ((9, 4, 4, 4, 4, 4, 4), (9, 5, 6, 5, 5, 2, 5), "bf16", 7),  # a neighbour slowed its first turns
        ((9, 4, 4, 4, 4, 4, 4, 4, 4, 4), (9, *[5] * 9), "fp32", 10),
    ],
)
def test_the_probe_looks_again_where_float32_seems_faster(
    fp32: tuple[int, ...], bf16: tuple[int, ...], chosen: str, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = {"now": 0.0, "turns": 0.0}

    def steps(training: Training, *_: object) -> Iterator[None]:
        low = training.precision == torch.bfloat16
        for seconds in bf16 if low else fp32:
            clock["now"] += seconds
            clock["turns"] += low
            yield None

    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(settings, "train", steps)
    monkeypatch.setattr(settings, "time", SimpleNamespace(perf_counter=lambda: clock["now"]))
    _, stream = make()
    assert choose(probe(lambda: lite.build(SMALL, ArrayDataset().spec), stream, CPU)) == chosen
    assert clock["turns"] == turns


def test_bfloat16_is_not_timed_where_it_takes_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    _, stream = make()
    assert set(probe(lambda: lite.build(SMALL, ArrayDataset().spec), stream, CPU, rounds=1)) == {"fp32"}


def test_bfloat16_must_win_clearly() -> None:
    assert choose({"fp32": 100.0, "bf16": 104.0}) == "fp32"
    assert choose({"fp32": 100.0, "bf16": 130.0}) == "bf16"
    assert choose({"fp32": 100.0}) == "fp32"
