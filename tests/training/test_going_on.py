"""Going on with a run: by which options, on which data, with which preset."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

import mien
from mien.cli import main
from mien.core.checkpoint import newest_state
from mien.core.errors import InputError
from mien.core.events import Event, Notice, Progress
from mien.core.run import RunFolder, find_runs
from mien.models import lite
from mien.training.command import TrainOptions
from mien.training.plan import core_minutes, make_plan
from mien.training.resume import check_related
from test_cli import SMALL, Fails, pictures

TRAIN = ["train", "faces", *SMALL]


@pytest.fixture(autouse=True)
def _faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    pictures(Path("faces"), 12)


@pytest.fixture
def run() -> RunFolder:
    assert main([*TRAIN, "--kimg", "1"]) == 0
    (found,) = find_runs(Path("runs"))
    return found


def text(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--set", "batch_size=16"], "--set batch_size=16 (it is"),
        (["--augment", "none"], "--augment none (it is ada)"),
        (["--seed", "3"], "--seed 3 (it is 0)"),
        (["--cond"], "--cond True (it is False)"),
        (["--model", "dcgan"], "--model dcgan (it is lite)"),
        (["--preset", "quick"], "--preset"),
        (["--from", "none"], "--from"),
        (["--new"], "--new"),
        (["--out", "elsewhere"], "--out"),
    ],
)
def test_an_option_that_differs_from_the_run_is_refused(
    run: RunFolder, fails: Fails, options: list[str], named: str
) -> None:
    error = fails("train", "--resume", run.path, "--kimg", "2", *options)
    assert named in error
    assert "a run goes on as it was begun" in error


@pytest.mark.slow
def test_an_unknown_number_is_refused_when_going_on_too(run: RunFolder, fails: Fails) -> None:
    assert "nonsense" in fails("train", "--resume", run.path, "--kimg", "2", "--set", "nonsense=3")


@pytest.mark.slow
def test_options_that_say_the_same_are_taken(run: RunFolder) -> None:
    width = run.read_config()["config"]["width_g"]
    same = ["--seed", "0", "--model", "lite", "--set", f"width_g={width}", "--augment", "auto"]
    assert main(["train", "--resume", str(run.path), "--kimg", "2", *same, "--device", "cpu"]) == 0
    assert run.newest_generator().name == "generator-000002.safetensors"


@pytest.mark.slow
def test_nearly_the_same_data_is_named_with_both_ways_on(run: RunFolder, fails: Fails) -> None:
    next(Path("faces").iterdir()).unlink()
    error = fails(*TRAIN, "--kimg", "1")
    assert f"{run.path} learnt from this data when it was another (12 images, now 11)" in error
    assert main([*TRAIN, "--kimg", "1", "--from", str(run.path)]) == 0
    assert main([*TRAIN, "--kimg", "1", "--new"]) == 0
    assert len(find_runs(Path("runs"))) == 3


def test_nearly_the_same_data_by_another_name_is_named_with_both_ways_on(
    run: RunFolder, fails: Fails
) -> None:
    """A curated copy, and one to which strangers were added; not a folder of strangers."""
    shutil.copytree("faces", "curated")
    for path in sorted(Path("curated").iterdir())[:3]:
        path.unlink()
    error = fails("train", "curated", *SMALL, "--kimg", "1")
    place = Path("faces").resolve()
    assert f"{run.path} learnt from {place}, most of whose images are these (12 images, here 9)" in error
    assert f"--from {run.path}" in error
    assert "--new" in error
    config = run.read_config()  # of a newer run on fewer of these pictures
    less = {"name": "less", "source": "/less", "content_hash": "", "sample": config["dataset"]["sample"][:6]}
    RunFolder.create(Path("runs"), "less").write_config(config | {"identity": "", "dataset": less})
    assert f"{run.path} learnt from {place}" in fails("train", "curated", *SMALL, "--kimg", "1")
    pictures(Path("strangers"), 9, seed=7)
    plan = make_plan("strangers", TrainOptions(out=Path("runs"), device="cpu"))
    check_related(plan, pytest.fail)
    for path in Path("strangers").iterdir():
        shutil.copy(path, Path("curated", f"new-{path.name}"))
    plan = make_plan("curated", TrainOptions(out=Path("runs"), device="cpu"))
    check_related(plan, pytest.fail)  # nine of twenty-one
    for path in list(Path("curated").glob("new-*"))[:4]:
        path.unlink()
    with pytest.raises(InputError, match="here 14"):
        check_related(make_plan("curated", TrainOptions(out=Path("runs"), device="cpu")), pytest.fail)


@pytest.mark.slow
def test_data_that_moved_goes_on_by_its_new_place(run: RunFolder) -> None:
    Path("faces").rename("elsewhere")
    assert main(["train", "elsewhere", "--resume", str(run.path), "--kimg", "2", "--device", "cpu"]) == 0
    assert main(["train", "elsewhere", *SMALL, "--kimg", "3"]) == 0
    assert len(find_runs(Path("runs"))) == 1


@pytest.mark.slow
def test_a_run_with_other_options_on_the_same_data_is_named(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main([*TRAIN, "--kimg", "1", "--seed", "4"]) == 0
    out = text(capsys)
    assert f"{run.path} learnt from the same data with other options: seed 0 (now 4)" in out


def test_a_file_of_a_run_names_its_folder(run: RunFolder, fails: Fails) -> None:
    for file in (run.path / "config.json", run.newest_generator()):
        assert f"name its folder: {run.path}" in fails("train", "--resume", file)


def test_a_device_that_computes_nothing_is_refused(run: RunFolder, fails: Fails) -> None:
    assert "--device meta: not available here" in fails("train", "--resume", run.path, "--device", "meta")


def test_a_folder_of_runs_names_them(run: RunFolder, fails: Fails) -> None:
    error = fails("train", "--resume", "runs", "--kimg", "2")
    assert "a folder of runs" in error
    assert str(run.path) in error


@pytest.mark.slow
def test_the_preset_follows_from_the_budget_and_stays_with_its_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Begun for a moment, a run keeps the small network when minutes are added."""
    quick, wide = lite.PRESETS["quick"].width_g, lite.PRESETS["default"].width_g
    command = ["train", "faces", "--device", "cpu", "--from", "none", "--precision", "fp32"]
    assert main([*command, "--minutes", "0.01"]) == 0
    (run,) = find_runs(Path("runs"))
    assert run.read_config()["config"]["width_g"] == quick
    config = json.loads((run.path / "config.json").read_text("utf-8"))
    assert config["options"]["preset"] == "auto"
    options = TrainOptions(device="cpu", minutes=600.0, start=Path("none"), precision="fp32")
    assert make_plan("faces", options).config.width_g == wide  # type: ignore[attr-defined]
    capsys.readouterr()
    assert main([*command, "--minutes", "600", "--kimg", "0.001"]) == 0
    assert "goes on at" in text(capsys)
    assert len(find_runs(Path("runs"))) == 1
    assert main([*command, "--minutes", "600", "--kimg", "0.001", "--preset", "default"]) == 0
    assert len(find_runs(Path("runs"))) == 2


def test_a_budget_in_images_or_on_a_gpu_has_no_minutes() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    cores = torch.get_num_threads()
    assert core_minutes(TrainOptions(minutes=5), cpu) == 5 * cores
    assert core_minutes(TrainOptions(), cpu) == 60 * cores
    assert core_minutes(TrainOptions(kimg=5), cpu) == float("inf")
    assert core_minutes(TrainOptions(minutes=5), gpu) == float("inf")


@pytest.mark.slow
def test_leaving_the_loop_over_events_saves_what_was_learnt() -> None:
    """Also where no budget is given, which would be minutes: the run goes on from there."""
    steps: list[Progress] = []
    for event in mien.train("faces", model="lite", set={"width_g": 4, "width_d": 4}, device="cpu"):
        steps += [event] if isinstance(event, Progress) and event.what == "training" else []
        if len(steps) == 2:
            break
    (run,) = find_runs(Path("runs"))
    found = newest_state(run.path, report=pytest.fail)
    assert found is not None
    reached = found[1]["counters"]["nimg"]
    assert steps[1].done <= reached < steps[1].total
    events: list[Event] = []
    mien.train(resume=run.path, kimg=(reached + 1) / 1000).run(events.append)
    assert any(
        isinstance(event, Notice) and f"goes on at {reached / 1000:.1f} kimg" in event.text
        for event in events
    )


@pytest.mark.slow
def test_tensorboard_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, fails: Fails) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    error = fails(*TRAIN, "--kimg", "1", "--tensorboard")
    assert "--tensorboard needs TensorBoard; " in error
    assert "[track]" in error
