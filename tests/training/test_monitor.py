"""The monitor speaks when it should, in words, and not otherwise."""

import math

import pytest
import torch

from mien.training.loop import Step
from mien.training.monitor import Limits, Monitor, duplicate_rate

HEALTHY = {
    "Loss/D/loss": 0.6,
    "Loss/G/loss": 0.8,
    "Loss/scores/real": 0.3,
    "Loss/scores/fake": -0.3,
    "Grad/g": 1.0,
    "Grad/d": 1.5,
    "Loss/r1_penalty": 0.05,
    "Loss/r2_penalty": 0.05,
}


def step(number: int, *, finite: bool = True, **changes: float) -> Step:
    values = HEALTHY | {name.replace("__", "/"): value for name, value in changes.items()}
    return Step(number * 64, number, 0.0, values, finite)


def feed(monitor: Monitor, count: int, start: int = 0, *, finite: bool = True, **changes: float) -> list[str]:
    notices = [n for i in range(count) for n in monitor.observe(step(start + i, finite=finite, **changes))]
    return [notice.kind for notice in notices]


def test_a_healthy_run_is_left_alone() -> None:
    assert feed(Monitor(), 1000) == []


def test_one_bad_gradient_is_mentioned_several_are_fatal() -> None:
    monitor = Monitor()
    assert feed(monitor, 1, finite=False) == ["nonfinite-step"]
    assert feed(monitor, 10, 1) == []
    notices = [n for i in range(5) for n in monitor.observe(step(20 + i, finite=False))]
    fatal = next(notice for notice in notices if notice.fatal)
    assert fatal.kind == "nonfinite"
    assert fatal.nimg == 22 * 64
    assert monitor.first_symptom("nonfinite") == 20 * 64


def test_penalty_far_above_its_average_is_fatal_within_fifty_steps() -> None:
    monitor = Monitor()
    feed(monitor, 100)
    for i in range(50):
        # a penalty phase every eighth step only: the other steps carry no penalty
        values = dict(HEALTHY) if i % 8 == 0 else {k: v for k, v in HEALTHY.items() if "penalty" not in k}
        if i % 8 == 0:
            values["Loss/r1_penalty"] = 5.0
        notices = monitor.observe(Step((100 + i) * 64, 100 + i, 0.0, values, True))
        if any(notice.fatal for notice in notices):
            assert i < 50
            return
    pytest.fail("not caught")


def test_penalty_growing_slowly_is_no_alarm() -> None:
    monitor = Monitor()
    kinds = [
        kind for i in range(400) for kind in feed(monitor, 1, i, Loss__r1_penalty=0.05 * math.exp(i / 100))
    ]
    assert kinds == []


def test_a_spike_does_not_raise_the_average() -> None:
    monitor = Monitor()
    feed(monitor, 50)
    assert feed(monitor, 2, 50, Loss__r1_penalty=50.0) == []
    assert not monitor.calm()
    assert feed(monitor, 6, 52) == []
    assert monitor.calm()
    assert "penalty" in feed(monitor, 3, 58, Loss__r1_penalty=50.0)


def test_a_flickering_symptom_is_divergence_too() -> None:
    monitor = Monitor()
    feed(monitor, 50)
    kinds = [k for i in range(20) for k in feed(monitor, 1, 50 + i, Loss__r1_penalty=50.0 if i % 2 else 0.05)]
    assert "penalty" in kinds


def test_saturation_and_gradient_imbalance_give_advice_once() -> None:
    assert feed(Monitor(), 500, Loss__D__loss=0.001) == ["saturated"]
    monitor = Monitor()
    notices = [n for i in range(500) for n in monitor.observe(step(i, Grad__d=500.0))]
    assert [notice.kind for notice in notices] == ["gradients"]
    assert "500" in notices[0].text
    assert "learning rate" in notices[0].text


def test_a_warning_is_repeated_only_after_many_images() -> None:
    monitor = Monitor(Limits(repeat_nimg=64 * 300))
    assert feed(monitor, 900, Loss__D__loss=0.001) == ["saturated"] * 3


def test_runaway_scores_are_fatal() -> None:
    notices = [n for i in range(30) for n in Monitor().observe(step(i, Loss__scores__real=5000.0))]
    assert notices == []  # each a new monitor: one step is no streak
    monitor = Monitor()
    notices = [n for i in range(30) for n in monitor.observe(step(i, Loss__scores__real=5000.0))]
    assert notices[0].kind == "exploded"
    assert notices[0].fatal


def test_an_explosion_that_passes_by_itself_is_fatal() -> None:
    # Of a real run, step by step: it came down again within a dozen steps, and drew fog from then on.
    d = [1.23, 3.07, 1.54, 9.38, 1.83, 19.0, 18.4, 198.0, 1010.0, 1670.0, 261.0, 64.5, 18.1, 11.5, 8.09, 10.5]
    g = [1.81, 0.88, 5.95, 1.12, 28.9, 11.5, 28.4, 25.8, 1110.0, 165.0, 17.5, 35.4, 15.6, 16.1, 14.5, 15.6]
    monitor = Monitor()
    assert feed(monitor, 100) == []
    kinds = [feed(monitor, 1, 100 + i, Grad__d=d[i], Grad__g=g[i]) for i in range(len(d))]
    assert next(i for i, found in enumerate(kinds) if "jump" in found) == 9  # two steps after the first jump
    assert not monitor.calm()


def test_a_single_jump_of_a_gradient_is_no_alarm() -> None:
    monitor = Monitor()
    feed(monitor, 100)
    assert feed(monitor, 1, 100, Grad__d=90.0) == []
    assert feed(monitor, 1, 101) == []
    assert feed(monitor, 1, 102, Grad__g=90.0) == []
    assert feed(monitor, 20, 103) == []
    assert monitor.calm()


def test_duplicates_are_counted() -> None:
    torch.manual_seed(0)
    varied = torch.rand(16, 3, 8, 8).repeat_interleave(4, 2).repeat_interleave(4, 3) * 2 - 1
    assert duplicate_rate(varied) == 0
    collapsed = varied.clone()
    collapsed[:8] = varied[0] + 0.01 * torch.randn(8, 3, 32, 32)
    assert duplicate_rate(collapsed) == 0.5
    assert Monitor().observe_fakes(collapsed, 1000) == []  # too early to tell
    notices = Monitor().observe_fakes(collapsed, 20_000)
    assert notices[0].kind == "duplicates"
    assert "50%" in notices[0].text


def test_few_kinds_of_face_are_noticed_against_the_reals() -> None:
    """Half as bright and dark as reals are, two grids running: no two are copies, yet they are all alike."""
    torch.manual_seed(0)
    reals = torch.rand(40, 3, 8, 8) * 2 - 1
    dull = reals[:20] * 0.3
    monitor = Monitor(reals=reals)
    assert monitor.observe_fakes(dull, 20_000) == []
    (notice,) = monitor.observe_fakes(dull, 21_000)
    assert notice.kind == "variety"
    assert "30%" in notice.text
    calm = Monitor(reals=reals)
    assert [calm.observe_fakes(reals[:20], 20_000 + 1000 * i) for i in range(5)] == [[]] * 5
