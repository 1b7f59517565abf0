"""Training begins with the packaged model where that fits, and the same command finds its run again."""

import shutil
from pathlib import Path

import pytest
import torch

from mien.cli import main
from mien.core.checkpoint import load_generator, newest_state
from mien.core.run import RunFolder, find_runs
from mien.core.types import Spec
from mien.models import lite
from mien.training.command import TrainOptions
from mien.training.loop import Beginning, Budget, Training
from mien.training.packaged_start import beginning
from mien.training.plan import make_plan
from mien.training.start import NOTHING, read_start
from packaged_model import CONFIG, package
from test_cli import SMALL, Fails, pictures

COMMAND = ["train", "three", *SMALL]


@pytest.fixture(autouse=True)
def _three(assets: Path) -> None:
    for name in ("ann", "bob", "cleo"):
        pictures(Path("three") / name, 8)


def trained(*arguments: str, kimg: str = "1") -> RunFolder:
    """The one run that this command made."""
    before = {run.path for run in find_runs(Path("runs"))}
    assert main([*COMMAND, *arguments, "--kimg", kimg]) == 0
    (new,) = [run for run in find_runs(Path("runs")) if run.path not in before]
    return new


def goes_on(run: RunFolder, *arguments: str, kimg: str) -> None:
    count = len(find_runs(Path("runs")))
    assert main([*COMMAND, *arguments, "--kimg", kimg]) == 0
    assert len(find_runs(Path("runs"))) == count
    assert run.newest_generator().name == f"generator-{int(kimg):06d}.safetensors"


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def begun_with(run: RunFolder) -> dict:
    """The first state of a run of one thousand images."""
    (run.path / "state-000001.pt").unlink()
    found = newest_state(run.path, report=pytest.fail)
    assert found is not None
    assert found[1]["counters"]["nimg"] == 0
    return found[1]


@pytest.mark.slow
def test_it_begins_with_both_networks_and_says_so(
    assets: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = read_start(package(assets))
    assert start.packaged == "faces-64"
    run = trained()
    out = said(capsys)
    assert "begins with the packaged faces-64 (lite), which saves the 812 kimg that it was trained for" in out
    assert "--from none begins from nothing" in out
    assert "tensors taken" not in out  # one line says it
    assert "so few pictures (" in out
    assert "next: mien generate runs" in out
    state = begun_with(run)
    for name, weights in (("g", start.g), ("d", start.d)):
        assert weights is not None
        assert all(torch.equal(state["networks"][name][key], weights[key]) for key in weights)
    assert all(torch.equal(state["averages"]["g"][key], start.g[key]) for key in start.g)
    assert run.read_config()["start"]["packaged"] == "faces-64"
    assert run.read_config()["beginning"]["seen_nimg"] == 812_000


@pytest.mark.slow
def test_none_begins_from_nothing_and_is_another_run(
    assets: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = read_start(package(assets, seed=7))
    run, scratch = trained(), trained("--from", "none")
    assert said(capsys).count("begins with the packaged") == 1
    goes_on(run, kimg="2")
    goes_on(run, "--from", "packaged", kimg="3")  # the same, said aloud
    goes_on(scratch, "--from", "none", kimg="2")
    (scratch.path / "state-000002.pt").unlink()
    state = begun_with(scratch)
    assert not any(
        torch.equal(state["networks"]["g"][key], start.g[key]) for key in start.g if key.endswith("weight")
    )


@pytest.mark.slow
def test_labels_are_learnt_anew(assets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = read_start(package(assets))
    state = begun_with(trained("--cond"))
    out = said(capsys)
    assert "begins with the packaged faces-64" in out
    assert "it took no label columns, this run takes 3 label columns" in out
    assert torch.equal(state["networks"]["g"]["ups.0.weight"], start.g["ups.0.weight"])


@pytest.mark.slow
def test_what_does_not_fit_begins_from_nothing(
    assets: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    package(assets)
    large = str(pictures(tmp_path / "large", size=32))
    assert main(["train", large, *SMALL, "--kimg", "1"]) == 0
    assert main(["train", "three", "--model", "dcgan", *SMALL, "--kimg", "1"]) == 0
    out = said(capsys)
    assert "packaged" not in out  # nobody expected it
    trained("--set", "width_g=8")
    out = said(capsys)
    assert (
        "begins from nothing; the packaged faces-64 has other shapes; it was made with --set width_g=4" in out
    )
    (assets / "faces-64.discriminator.safetensors").unlink()
    trained("--seed", "5")  # a generator alone would be unlearnt before a discriminator knows anything
    assert "begins from nothing" in said(capsys)
    assert all("start" not in run.read_config() for run in find_runs(Path("runs")))


def test_gray_pictures_begin_from_nothing(assets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package(assets, spec=Spec(16, channels=1))
    trained()
    assert "packaged" not in said(capsys)


@pytest.mark.slow
def test_a_later_mien_goes_on_with_what_an_earlier_one_began(
    assets: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    package(assets)
    run = trained()
    package(assets, seed=1)
    capsys.readouterr()
    goes_on(run, kimg="2")
    assert "this run began with an earlier faces-64, and goes on with what it has learnt" in said(capsys)
    assert main(["train", "--resume", str(run.path), "--kimg", "3", "--device", "cpu"]) == 0
    assert run.newest_generator().name == "generator-000003.safetensors"
    shutil.rmtree(assets)
    goes_on(run, kimg="4")
    package(assets, seed=1)
    new = trained("--new")
    assert new.read_config()["start"]["digest"] != run.read_config()["start"]["digest"]
    goes_on(new, kimg="2")  # what fits exactly goes first
    assert run.newest_generator().name == "generator-000004.safetensors"


@pytest.mark.slow
def test_a_run_from_before_there_was_one_goes_on(
    assets: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = trained()
    package(assets)
    goes_on(run, kimg="2")
    assert "this run began from nothing, and goes on" in said(capsys)


@pytest.mark.slow
def test_a_run_told_to_begin_from_nothing_is_no_other(assets: Path) -> None:
    scratch = trained("--from", "none")
    package(assets)
    new = trained()
    assert "start" in new.read_config()
    assert "start" not in scratch.read_config()


def test_layers_of_its_discriminator_may_be_held(assets: Path, fails: Fails) -> None:
    assert "say from whom" in fails(*COMMAND, "--freeze-d", "1")
    start = read_start(package(assets))
    held = newest_state(trained("--freeze-d", "1").path, report=pytest.fail)[1]["networks"]["d"]
    assert torch.equal(held["layers.0.weight"], start.d["layers.0.weight"])
    assert "say from whom" in fails(*COMMAND, "--freeze-d", "1", "--from", "none")


def test_its_shapes_are_taken_over_and_how_to_train_is_not(assets: Path) -> None:
    """Of a model of no preset's shapes; a preset that is asked for is kept, and then nothing fits."""
    other = {"width_g": 6, "full_resolution": False, "batch_size": 50, "lr": 1e-4, "ema_half_life_nimg": 1.0}
    package(assets, config=CONFIG.model_copy(update=other))
    options = TrainOptions(device="cpu", kimg=1.0, precision="fp32")
    plan = make_plan("three", options)
    assert plan.start is not None
    config = plan.config.model_dump()
    assert {name: config[name] for name in ("width_g", "width_d", "z_dim")} == {
        "width_g": 6,
        "width_d": 4,
        "z_dim": 8,
    }
    assert not config["full_resolution"]
    default = lite.PRESETS["default"].model_dump()
    for name in ("batch_size", "lr", "ema_half_life_nimg"):
        assert config[name] == default[name]
    for asked in (
        options.model_copy(update={"preset": "default"}),
        options.model_copy(update={"start": NOTHING}),
    ):
        fresh = make_plan("three", asked)
        assert fresh.start is None
        assert fresh.config == lite.PRESETS["default"]
    assert "has other shapes" in make_plan("three", options.model_copy(update={"preset": "default"})).note


def test_it_says_where_its_weights_are_no_help(assets: Path) -> None:
    """For more than some minutes of CPU cores; how it is on a GPU is not known."""
    assert lite.better_from_nothing(10.0)
    assert not lite.better_from_nothing(9.0)
    assert not lite.better_from_nothing(float("inf"))
    package(assets)
    options = TrainOptions(device="cpu", minutes=600.0, precision="fp32")
    plan = make_plan("three", options)
    assert plan.start is not None
    assert "minutes of a core --from none draws nearer faces than its weights do" in plan.note
    assert make_plan("three", options.model_copy(update={"minutes": 0.01})).note == ""
    assert make_plan("three", options.model_copy(update={"start": NOTHING})).note == ""


def test_the_learning_rate_rises_and_is_scaled(assets: Path) -> None:
    begun = Beginning(lr_scale=0.5, warmup_nimg=1000, seen_nimg=500_000)
    training = Training(lite.build(CONFIG, Spec(16)), 0, torch.device("cpu"), beginning=begun)
    rates = []
    for nimg in (0, 499, 999, 5000):
        training.nimg = nimg
        rates.append(training.progress(Budget()).lr_scale)
    assert rates == pytest.approx([0.0005, 0.25, 0.5, 0.5])
    training.nimg, training.rescues = 100, 1
    progress = training.progress(Budget())
    assert progress.lr_scale == pytest.approx(0.5 * 0.5 * 0.101)
    assert progress.nimg == 100
    assert training.half_lives(progress)["g"] == 0.05 * 40_100  # of what the weights saw no more counts
    plain = Training(lite.build(CONFIG, Spec(16)), 0, torch.device("cpu"))
    assert plain.half_lives(plain.progress(Budget()))["g"] == 0


@pytest.mark.slow
def test_the_options_say_how_it_begins(assets: Path) -> None:
    start = read_start(package(assets))
    asked = beginning(TrainOptions(lr_scale=0.25, warmup_kimg=2), start)
    assert asked == Beginning(0.25, 2000, 812_000)
    assert beginning(TrainOptions(), None) == Beginning()
    assert beginning(TrainOptions(lr_scale=2), None) == Beginning(lr_scale=2)
    run = trained()
    other = trained("--lr-scale", "0.5")
    assert other.read_config()["beginning"]["lr_scale"] == 0.5
    assert run.read_config()["beginning"]["lr_scale"] != 0.5
    state = newest_state(other.path, report=pytest.fail)[1]
    rate = state["optimizers"]["g"]["param_groups"][0]["lr"]
    full = newest_state(run.path, report=pytest.fail)[1]["optimizers"]["g"]["param_groups"][0]["lr"]
    assert rate == pytest.approx(full / 2)
    load_generator(other.newest_generator())
