"""Whole runs: what is written, stopping at any moment, divergence and rescue."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from contracts.family_contract import assert_same
from mien.core.checkpoint import load_state
from mien.core.errors import InputError, MienError
from mien.core.provenance import verify
from mien.core.run import RunFolder
from mien.core.types import Batch, Phase, Progress
from mien.models import lite
from mien.reports.log import read_log
from mien.training.loop import Budget, Training
from mien.training.monitor import Limits, Notice
from mien.training.order import Stream
from mien.training.outputs import is_grid_due
from mien.training.session import DivergedError, Session
from mien.training.states import States
from pictures import ArrayDataset

CPU = torch.device("cpu")
SMALL = lite.Config(batch_size=50, z_dim=8, width_g=4, width_d=4)


def session(
    folder: Path, *, kimg: int, trainable: lite.Lite | None = None, family: str = "lite"
) -> tuple[Training, Session]:
    torch.manual_seed(0)
    dataset = ArrayDataset(resolution=8)
    training = Training(trainable or lite.build(SMALL, dataset.spec), 0, CPU)
    stream = Stream(dataset, seed=0, mirror=True, labels=False, device=CPU)
    run = RunFolder(folder)
    folder.mkdir(exist_ok=True)
    run.write_config({})
    return training, Session(
        run, training, stream, dataset, Budget(nimg=kimg * 1000), family=family, snapshot_nimg=1000
    )


@pytest.mark.slow
def test_a_run_leaves_what_formats_say(tmp_path: Path) -> None:
    _, running = session(tmp_path, kimg=3)
    assert not running.resume(pytest.fail)
    events = list(running.events())
    names = {path.name for path in tmp_path.iterdir()}
    assert {"reals.png", "fakes000000.png", "fakes000003.png", "timelapse.webp", "log.jsonl"} <= names
    assert {"generator-000001.safetensors", "generator-000003.safetensors"} <= names
    assert {"state-000001.pt", "state-000002.pt", "state-000003.pt"} <= names
    assert "state-000000.pt" not in names  # only the newest three are kept
    ticks = [record for record in RunFolder(tmp_path).read_log() if "event" not in record]
    assert [tick["Progress/kimg"] for tick in ticks] == [1, 2, 3]
    assert {"Loss/scores/fake", "Loss/scores/real", "Timing/total_sec"} <= set(ticks[0])
    assert sum(event.nimg == 3000 for event in events) >= 1


class Shrinking(lite.Lite):
    """Takes 300 pictures a step, then 70, as a growing model does."""

    def begin_step(self, progress: Progress) -> None:
        super().begin_step(progress)
        self.batch_size = 300 if progress.nimg < 1200 else 70


def test_ticks_and_checkpoints_come_once_where_the_batch_changes(tmp_path: Path) -> None:
    """Steps end at 300, 600, 900, 1200, then every 70: what is due at 1000 is done at 1200, and only then."""
    _, running = session(tmp_path, kimg=3, trainable=Shrinking(SMALL, ArrayDataset(resolution=8).spec))
    running.resume(pytest.fail)
    list(running.events())
    ticks = [record["nimg"] for record in RunFolder(tmp_path).read_log() if "event" not in record]
    assert ticks == [1200, 2040, 3020]
    kept = {load_state(path)["counters"]["nimg"] for path in tmp_path.glob("state-*.pt")}
    assert kept == {1200, 2040, 3020}


def test_grids_are_marked_as_generated_and_reals_are_not(tmp_path: Path) -> None:
    _, running = session(tmp_path, kimg=1)
    running.resume(pytest.fail)
    list(running.events())
    for name in ("fakes000001.png", "timelapse.webp"):
        mark = verify(tmp_path / name)
        assert mark is not None
        assert mark.source_type == "trainedAlgorithmicMedia"
    assert verify(tmp_path / "reals.png") is None


@pytest.mark.slow
def test_the_timelapse_has_a_frame_for_each_grid(tmp_path: Path) -> None:
    _, running = session(tmp_path, kimg=3)
    running.resume(pytest.fail)
    list(running.events())
    with Image.open(tmp_path / "timelapse.webp") as animation:
        assert animation.n_frames == len(list(tmp_path.glob("fakes*.png"))) == 4


@pytest.mark.slow
def test_stopped_anywhere_it_goes_on_as_if_never_stopped(tmp_path: Path) -> None:
    straight, running = session(tmp_path / "straight", kimg=4)
    running.resume(pytest.fail)
    list(running.events())
    for stop_at in (7, 33, 60):
        _, running = session(tmp_path / "stopped", kimg=4)
        running.resume(pytest.fail)
        list(itertools.islice(running.events(), stop_at))  # dropped in the middle, as a kill would
    resumed, running = session(tmp_path / "stopped", kimg=4)
    assert running.resume(pytest.fail)
    list(running.events())
    assert_same(straight.state_dict(), resumed.state_dict())
    first, second = (
        [r["nimg"] for r in RunFolder(tmp_path / name).read_log() if "event" not in r]
        for name in ("straight", "stopped")
    )
    assert first == second


@pytest.mark.slow
def test_a_damaged_newest_state_costs_one_interval(tmp_path: Path) -> None:
    _, running = session(tmp_path, kimg=3)
    running.resume(pytest.fail)
    list(running.events())
    newest = tmp_path / "state-000003.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    said: list[str] = []
    training, running = session(tmp_path, kimg=3)
    assert running.resume(said.append)
    assert training.nimg == 2000
    assert len(said) == 1
    assert "state-000003.pt" in said[0]
    assert not (tmp_path / "generator-000003.safetensors").exists()


def test_another_familys_checkpoint_is_refused(tmp_path: Path) -> None:
    _, running = session(tmp_path, kimg=1)
    running.resume(pytest.fail)
    list(running.events())
    _, other = session(tmp_path, kimg=1, family="dcgan")
    with pytest.raises(InputError, match="checkpoint of the family 'lite'"):
        other.resume(pytest.fail)


def test_a_state_of_another_configuration_is_refused_and_nothing_is_removed(tmp_path: Path) -> None:
    _, running = session(tmp_path, kimg=1)
    running.resume(pytest.fail)
    list(running.events())
    wider = lite.build(SMALL.model_copy(update={"width_g": 8}), ArrayDataset(resolution=8).spec)
    before = sorted(path.name for path in tmp_path.iterdir())
    _, other = session(tmp_path, kimg=1, trainable=wider)
    with pytest.raises(
        InputError, match=r"state-000001\.pt: does not fit this run's configuration"
    ) as caught:
        other.resume(pytest.fail)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_rescue_passes_over_damaged_states_and_says_where_none_is_left(tmp_path: Path) -> None:
    training, running = session(tmp_path, kimg=3)
    running.resume(pytest.fail)
    list(running.events())
    states = States(RunFolder(tmp_path), training, family="lite")
    newest, first = tmp_path / "state-000002.pt", tmp_path / "state-000001.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    states.roll_back(2500)  # 2 kimg would be the newest before it
    assert training.nimg == 1000
    assert sorted(path.name for path in tmp_path.glob("state-*.pt")) == ["state-000001.pt"]
    assert not (tmp_path / "generator-000003.safetensors").exists()
    first.write_bytes(b"")
    with pytest.raises(MienError, match="no training state is left to return to; start anew with --new"):
        states.roll_back(2500)
    assert training.nimg == 1000


class Poisoned(lite.Lite):
    """Its discriminator's weights become NaN at 2,500 images, until it was rescued `heals_after` times."""

    heals_after = 1

    def begin_step(self, progress: Progress) -> None:
        super().begin_step(progress)
        rescues = round(np.log2(progress.gamma_scale))
        self.lr_seen = progress.lr_scale
        if progress.nimg == 2500 and rescues < self.heals_after:
            with torch.no_grad():
                next(self.networks["d"].parameters()).fill_(float("nan"))


@pytest.mark.slow
def test_nan_is_caught_rolled_back_and_survived(tmp_path: Path) -> None:
    trainable = Poisoned(SMALL, ArrayDataset(resolution=8).spec)
    training, running = session(tmp_path, kimg=4, trainable=trainable)
    running.resume(pytest.fail)
    kinds = [(e.kind, e.nimg) for e in running.events() if hasattr(e, "kind")]
    fatal = [nimg for kind, nimg in kinds if kind == "nonfinite"]
    assert fatal
    assert fatal[0] <= 2500 + 50 * 50  # within fifty steps
    assert [kind for kind, _ in kinds].count("rescue") == 1
    assert training.nimg == 4000
    assert training.rescues == 1
    assert trainable.lr_seen == 0.5
    weights = load_state(tmp_path / "state-000004.pt")["networks"]["d"].values()
    assert all(bool(torch.isfinite(weight).all()) for weight in weights)
    events = [record for record in RunFolder(tmp_path).read_log() if record.get("event") == "rescue"]
    assert "learning rate x0.5, gamma x2" in events[0]["text"]


@pytest.mark.slow
def test_after_three_rescues_it_stops_with_a_reason(tmp_path: Path) -> None:
    trainable = Poisoned(SMALL, ArrayDataset(resolution=8).spec)
    trainable.heals_after = 99
    _, running = session(tmp_path, kimg=4, trainable=trainable)
    running.resume(pytest.fail)
    with pytest.raises(DivergedError, match=r"again after 3 rescues .*lower the learning rate"):
        list(running.events())
    assert read_log(RunFolder(tmp_path)).diverged  # the report says so too


@pytest.mark.slow
def test_a_rescue_survives_a_stop(tmp_path: Path) -> None:
    trainable = Poisoned(SMALL, ArrayDataset(resolution=8).spec)
    _, running = session(tmp_path, kimg=4, trainable=trainable)
    running.resume(pytest.fail)
    for event in running.events():
        if getattr(event, "kind", "") == "rescue":
            break
    training, running = session(tmp_path, kimg=4)
    running.resume(pytest.fail)
    assert training.rescues == 1


class Runaway(lite.Lite):
    """Its penalty explodes from 3,000 images on."""

    def loss(self, phase: Phase, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        loss, logs = super().loss(phase, batch)
        if phase.name == "penalty" and self.exploding:
            logs["Loss/r1_penalty"] = torch.tensor(1e6)
        return loss, logs

    def begin_step(self, progress: Progress) -> None:
        super().begin_step(progress)
        self.exploding = progress.nimg >= 3000 and progress.gamma_scale == 1


@pytest.mark.slow
def test_a_runaway_penalty_returns_to_a_state_well_before_it(tmp_path: Path) -> None:
    trainable = Runaway(SMALL, ArrayDataset(resolution=8).spec)
    training, running = session(tmp_path, kimg=5, trainable=trainable)
    running.resume(pytest.fail)
    notices = [event for event in running.events() if hasattr(event, "kind")]
    fatal = next(notice for notice in notices if notice.fatal)
    rescue = next(notice for notice in notices if notice.kind == "rescue")
    assert 3000 <= fatal.nimg <= 3000 + 50 * 50
    assert rescue.nimg <= 3000 - 50 * 50 + 1000
    assert training.nimg == 5000


def test_grids_thin_out() -> None:
    drawn = [tick for tick in range(1, 513) if is_grid_due(tick)]
    assert drawn[:64] == list(range(1, 65))
    assert len(drawn) == 63 + 32 + 32 + 32 + 1


def test_intervals_below_a_thousand_are_refused(tmp_path: Path) -> None:
    training, _ = session(tmp_path, kimg=1)
    with pytest.raises(ValueError, match="begin at 1000"):
        Session(
            RunFolder(tmp_path),
            training,
            None,
            ArrayDataset(),
            Budget(),
            family="lite",
            tick_nimg=10,  # type: ignore[arg-type]
        )


class Collapsing(lite.Lite):
    """A generator that forgets its latents: all that reaches the image is what does not depend on them."""

    def begin_step(self, progress: Progress) -> None:
        super().begin_step(progress)
        with torch.no_grad():
            next(self.networks["g"].parameters()).zero_()


@pytest.mark.slow
def test_a_run_made_to_collapse_is_warned_about_while_it_trains(tmp_path: Path) -> None:
    trainable = Collapsing(SMALL, ArrayDataset(resolution=8).spec)
    _, running = session(tmp_path, kimg=4, trainable=trainable)
    running._monitor.limits = Limits(duplicates_from_nimg=1000)
    running.resume(pytest.fail)
    notices = [event for event in running.events() if isinstance(event, Notice)]
    warned = {notice.kind: notice.nimg for notice in reversed(notices)}
    assert {"duplicates", "variety"} <= set(warned)
    assert max(warned["duplicates"], warned["variety"]) < 4000, "long before the end"
    logged = [record["kind"] for record in RunFolder(tmp_path).read_log() if record.get("event") == "warning"]
    assert "variety" in logged
