"""Options of training on two ranks: the same as on one, augmentation, labels, precision and rescues too."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contracts.family_contract import assert_near, assert_same, plain
from mien.core import discover, ranks
from mien.core.run import RunFolder
from mien.core.types import Drawn
from mien.training.augment import Adaptive, Augmentation, Schedule, parse_pipe
from mien.training.loop import Budget, Training, train
from mien.training.monitor import Notice
from mien.training.order import Stream
from mien.training.outputs import Outputs
from mien.training.session import Session
from pictures import ArrayDataset
from ranked import Ranks

pytestmark = pytest.mark.slow
CPU = torch.device("cpu")
Start = Callable[[int], Ranks]
SMALL = {"batch_size": 24, "z_dim": 8, "width_g": 4, "width_d": 4, "mapping_layers": 2, "w_dim": 16}


def small(dataset: ArrayDataset, **options: Any) -> Training:
    torch.manual_seed(0)
    family = discover.load("mien.models", "lite")
    return Training(family.build(family.Config(**SMALL), dataset.spec), 0, CPU, **options)


def stepped(training: Training, stream: Stream, steps: int) -> tuple[list[dict[str, float]], Any]:
    records = list(train(training, stream, Budget(nimg=24 * steps)))
    return [record.values for record in records], plain(training.state_dict())


def augmented(pipe: str) -> tuple[list[dict[str, float]], Any]:
    """p moves by a quarter every four steps."""
    dataset = ArrayDataset(100)
    augmentation = Augmentation(parse_pipe(pipe))
    schedule = Schedule(augmentation, "ada", adaptive=Adaptive(augmentation, target=-1.0, ramp_nimg=4 * 96))
    stream = Stream(dataset, seed=0, mirror=True, labels=False, device=CPU)
    return stepped(small(dataset, augment=schedule), stream, 14)


@pytest.mark.parametrize("pipe", ["bgcfnc", "simple-colour,simple-translation,simple-cutout"])
def test_adaptive_augmentation(ranks_of: Start, pipe: str) -> None:
    values, state = augmented(pipe)
    assert state["augment"]["p"] == pytest.approx(0.75)
    together = ranks_of(2).run(augmented, pipe)
    for their_values, their_state in together:
        assert_near(values, their_values, "values", factor=5)
        assert_near(state, their_state, factor=5)
        assert_same(together[0][1], their_state)


def labelled() -> tuple[list[dict[str, float]], Any]:
    """A flipped picture's labels are others, as of a face that looks to the left."""
    dataset = ArrayDataset(100, labelled=True)
    assert dataset.labels is not None
    mirrored = dataset.labels[:, ::-1].copy()
    stream = Stream(dataset, seed=0, mirror=True, labels=True, device=CPU, mirrored_labels=mirrored)
    return stepped(small(dataset), stream, 8)


def test_labels_of_mirrored_pictures(ranks_of: Start) -> None:
    values, state = labelled()
    for their_values, their_state in ranks_of(2).run(labelled):
        assert_near(values, their_values, "values", factor=5)
        assert_near(state, their_state, factor=5)


def in_bfloat16() -> tuple[list[dict[str, float]], Any]:
    dataset = ArrayDataset(100)
    stream = Stream(dataset, seed=0, mirror=True, labels=False, device=CPU)
    return stepped(small(dataset, precision=torch.bfloat16), stream, 8)


def test_bfloat16(ranks_of: Start) -> None:
    """Its rounding is 2^16 times as coarse as float32's; all ranks round alike."""
    values, _ = in_bfloat16()
    together = ranks_of(2).run(in_bfloat16)
    for their_values, their_state in together:
        for step, expected in zip(their_values, values, strict=True):
            assert step["Loss/D/loss"] == pytest.approx(expected["Loss/D/loss"], abs=0.05)
            assert step["Loss/G/loss"] == pytest.approx(expected["Loss/G/loss"], abs=0.05)
        assert_same(together[0][1], their_state)


class Poisoned(Stream):
    """From 1,250 images on the last picture of a batch is not finite, until the run has been rescued."""

    training: Training

    def batch(self, nimg: int, count: int) -> Drawn:
        drawn = super().batch(nimg, count)
        if nimg >= 1250 and not self.training.rescues and ranks.rank() == ranks.count() - 1:
            drawn.images[-1] = math.nan
        return drawn


def rescued(folder: str) -> tuple[list[tuple[str, int]], Any]:
    dataset = ArrayDataset(100)
    training = small(dataset)
    stream = Poisoned(dataset, seed=0, mirror=True, labels=False, device=CPU)
    stream.training = training
    run = RunFolder(Path(folder))
    outputs = None if ranks.leads() else Outputs()
    budget = Budget(nimg=1400)
    session = Session(run, training, stream, dataset, budget, family="lite", outputs=outputs)
    session.resume(lambda line: None)
    notices = [(event.kind, event.nimg) for event in session.events() if isinstance(event, Notice)]
    return notices, plain(training.state_dict())


def test_a_rescue(ranks_of: Start, tmp_path: Path) -> None:
    """The picture that is not finite is seen by one rank; all withhold the update, and all go back."""
    for name in ("alone", "together"):
        (tmp_path / name).mkdir()
        RunFolder(tmp_path / name).write_config({})
    notices, state = rescued(str(tmp_path / "alone"))
    assert [kind for kind, _ in notices] == ["nonfinite-step", "nonfinite", "rescue"]
    assert state["counters"]["rescues"] == 1
    together = ranks_of(2).run(rescued, str(tmp_path / "together"))
    for their_notices, their_state in together:
        assert their_notices == notices
        assert_near(state, their_state, factor=10)
        assert_same(together[0][1], their_state)
    assert np.isfinite(state["networks"]["d"][next(iter(state["networks"]["d"]))]).all()
