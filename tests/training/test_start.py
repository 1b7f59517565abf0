"""`mien train --from`: what is taken, what is refused, and that it is part of a run's identity."""

import shutil
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mien.cli import main
from mien.core.checkpoint import NetworkHeader, load_generator, newest_state, save_generator
from mien.core.errors import InputError
from mien.core.run import RunFolder, find_runs
from mien.core.types import Spec
from mien.models import lite
from mien.training import start as start_module
from mien.training.start import _changes, read_start
from test_cli import Fails, pictures

SMALL = [
    *("--set", "width_g=4", "--set", "width_d=4", "--set", "z_dim=8", "--set", "batch_size=250"),
    *("--precision", "fp32", "--snapshot-kimg", "1", "--device", "cpu"),
]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    for name in ("dark", "light"):
        pictures(tmp_path / "classes" / name)
    for name in ("ann", "bob", "cleo"):
        pictures(tmp_path / "three" / name, 8)


def trained(*arguments: str, kimg: str = "1") -> RunFolder:
    before = {run.path for run in find_runs(Path("runs"))}
    assert main(["train", *arguments, "--kimg", kimg, *SMALL]) == 0
    (new,) = [run for run in find_runs(Path("runs")) if run.path not in before]
    return new


@pytest.fixture
def base() -> RunFolder:
    return trained("classes")


def first_state(run: RunFolder) -> dict:
    """What a run of one thousand images began with."""
    (run.path / "state-000001.pt").unlink()
    found = newest_state(run.path, report=pytest.fail)
    assert found is not None
    assert found[1]["counters"]["nimg"] == 0
    return found[1]


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_a_run_gives_generator_and_discriminator(base: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    found = newest_state(base.path, report=pytest.fail)
    assert found is not None
    new = trained("three", "--from", str(base.path), "--freeze-d", "1")
    out = said(capsys)
    assert "generator from generator-000001.safetensors" in out
    assert "discriminator from generator-000001.safetensors" in out
    held = newest_state(new.path, report=pytest.fail)[1]["networks"]["d"]["layers.0.weight"]
    state = first_state(new)
    given = found[1]["networks"]["d"]
    assert all(torch.equal(state["networks"]["d"][name], given[name]) for name in given)
    assert torch.equal(held, given["layers.0.weight"])
    averaged, _ = load_generator(base.newest_generator())
    assert all(torch.equal(state["networks"]["g"][name], averaged[name]) for name in averaged)
    assert all(torch.equal(state["averages"]["g"][name], averaged[name]) for name in averaged)


@pytest.mark.slow
def test_a_lone_file_gives_the_generator_and_says_so(
    base: RunFolder, capsys: pytest.CaptureFixture[str], fails: Fails
) -> None:
    shutil.copy(base.newest_generator(), "alone.safetensors")
    trained("three", "--from", "alone.safetensors")
    out = said(capsys)
    assert "generator from alone.safetensors" in out
    assert "alone.safetensors comes without a discriminator" in out
    assert "discriminator from" not in out
    error = fails("train", "three", "--from", "alone.safetensors", "--freeze-d", "1", *SMALL)
    assert "comes without a discriminator" in error


@pytest.mark.slow
def test_a_discriminator_may_lie_beside_its_generator(base: RunFolder) -> None:
    shutil.copy(base.newest_generator(), "alone.safetensors")
    tensors = newest_state(base.path, report=pytest.fail)[1]["networks"]["d"]
    _, header = load_generator(Path("alone.safetensors"))
    save_generator(
        Path("alone.discriminator.safetensors"), tensors, header.model_copy(update={"kind": "discriminator"})
    )
    start = read_start(Path("alone.safetensors"))
    assert start.notes == ()
    assert start.d is not None
    assert all(torch.equal(start.d[name], tensors[name]) for name in tensors)
    assert start.digest == read_start(base.path).digest  # the same weights, wherever they lie


@pytest.mark.slow
def test_a_damaged_state_costs_only_the_discriminator(base: RunFolder) -> None:
    state = base.path / "state-000001.pt"
    state.write_bytes(state.read_bytes()[:-20])
    start = read_start(base.path)
    assert start.d is None
    assert "damaged" in start.notes[0]


@pytest.mark.slow
def test_a_damaged_newest_network_is_passed_over(base: RunFolder) -> None:
    whole = base.newest_generator()
    for number, content in (("000002", whole.read_bytes()[:-9]), ("000003", b"")):
        whole.with_name(f"generator-{number}.safetensors").write_bytes(content)
    start = read_start(base.path)
    assert start.path == whole
    assert [note for note in start.notes if "falling back to" in note] == list(start.notes[:2])
    whole.write_bytes(b"")
    with pytest.raises(InputError, match="generator-000003"):
        read_start(base.path)


def test_a_class_has_one_name_whichever_option_asked_for_it() -> None:
    there, here = Spec(16, 3, 3, ("ann", "bob", "cleo")), Spec(16, 3, 2, ("class=bob", "class=dora"))
    columns = start_module._columns(there, here, lite, lite.PRESETS["default"], "g")
    assert columns is not None
    assert columns.pairs == ((0, 1),)
    same = replace(there, class_names=tuple(f"class={name}" for name in there.class_names))
    assert start_module._columns(there, same, lite, lite.PRESETS["default"], "g") is None


@pytest.mark.slow
def test_labels_may_be_new_or_gone_and_both_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    plain = trained("classes")
    labelled = trained("three", "--cond", "--from", str(plain.path))
    out = said(capsys)
    assert "in part: fc.0.weight, start.weight; new: embed.weight" in out
    assert "it took no label columns, this run takes 3 label columns" in out
    trained("classes", "--from", str(labelled.path))
    assert "it took 3 label columns, this run takes no labels" in said(capsys)
    trained("three", "--cond", "--seed", "5", "--from", str(labelled.path))
    assert "in part" not in said(capsys)


@pytest.mark.slow
def test_what_does_not_fit_is_one_line(base: RunFolder, fails: Fails) -> None:
    run = base.path
    error = fails("train", "three", "--model", "dcgan", "--from", run)
    assert "of the family lite, not dcgan; leave --model out" in error
    error = fails("train", "three", "--from", run, *SMALL, "--set", "width_g=8", "--set", "batch_size=20")
    assert "generator does not fit" in error
    assert error.endswith("it was made with --set width_g=4")  # the size of a batch changes no shape
    error = fails("train", "three", "--from", run, *SMALL, "--set", "width_d=8")
    assert "discriminator does not fit" in error
    assert "this discriminator has 2 layers" in fails(
        "train", "three", "--from", run, "--freeze-d", "3", *SMALL
    )
    assert "say from whom with --from" in fails("train", "three", "--freeze-d", "1", *SMALL)
    assert "no such" in fails("train", "three", "--from", "nowhere", *SMALL)
    assert "no such" in fails("train", "three", "--from", "other.pkl", *SMALL)
    state = run / "state-000001.pt"
    assert "give the folder of its run" in fails("train", "three", "--from", state, *SMALL)
    assert "cannot begin with another's weights" in fails(
        "train", "three", "--from", run, "--model", "attributes"
    )
    assert len(find_runs(Path("runs"))) == 1  # nothing was begun


@pytest.mark.slow
def test_classes_are_matched_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns are sorted by name: "cleo" is the third of three and the first of the others."""
    for name in ("cleo", "dora", "ann2", "bob"):
        pictures(Path("others") / name, 8)
    three = trained("three", "--cond")
    given = newest_state(three.path, report=pytest.fail)[1]
    state = first_state(trained("others", "--cond", "--from", str(three.path)))
    out = said(capsys)
    assert "labels taken by name: bob, cleo; new: ann2, dora" in out
    for network in ("g", "d"):
        old = (given["averages"] if network == "g" else given["networks"])[network]["embed.weight"]
        new = state["networks"][network]["embed.weight"]
        assert torch.equal(new[:, 1:3], old[:, 1:3])  # ann, bob, cleo; ann2, bob, cleo, dora
        assert not torch.equal(new[:, 0], old[:, 0])
    assert torch.equal(state["networks"]["d"]["layers.0.weight"], given["networks"]["d"]["layers.0.weight"])


@pytest.mark.slow
def test_of_another_size_what_fits_is_taken_and_named(
    base: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    large = pictures(Path("large"), size=32)
    state = first_state(trained(str(large), "--from", str(base.path)))
    out = said(capsys)
    assert "it drew 16 px, this run draws 32 px" in out
    assert "new: start.weight" in out
    taken, _ = load_generator(base.newest_generator())
    assert torch.equal(state["networks"]["g"]["fc.0.weight"], taken["fc.0.weight"])


@pytest.mark.slow
def test_the_weights_are_part_of_the_identity(base: RunFolder) -> None:
    scratch = trained("three")
    new = trained("three", "--from", str(base.path))
    assert main(["train", "three", "--from", str(base.path), "--kimg", "2", *SMALL]) == 0
    assert new.newest_generator().name == "generator-000002.safetensors"  # goes on
    assert scratch.newest_generator().name == "generator-000001.safetensors"
    trained("three", "--from", str(base.path), "--freeze-d", "1")
    assert len(find_runs(Path("runs"))) == 4


@pytest.mark.slow
def test_a_run_goes_on_without_the_weights_it_began_with(base: RunFolder, fails: Fails) -> None:
    new = trained("three", "--from", str(base.path), "--freeze-d", "1")
    shutil.rmtree(base.path)
    assert main(["train", "--resume", str(new.path), "--kimg", "2", "--device", "cpu"]) == 0
    assert new.newest_generator().name == "generator-000002.safetensors"
    first, second = (
        torch.load(new.path / f"state-00000{n}.pt", weights_only=True)["networks"]["d"] for n in (0, 2)
    )
    assert torch.equal(first["layers.0.weight"], second["layers.0.weight"])  # still held
    assert not torch.equal(first["layers.2.weight"], second["layers.2.weight"])
    for state in new.path.glob("state-*.pt"):
        state.write_bytes(b"gone")
    error = fails("train", "--resume", new.path, "--kimg", "3", "--device", "cpu")
    assert "none of its training states can be read" in error


def test_labels_without_names_are_said_to_be_learnt_anew(tmp_path: Path) -> None:
    header = NetworkHeader(family="lite", config={}, spec=Spec(32, 3, 2, ("a", "b")), nimg=0, tool="x")
    start: Any = types.SimpleNamespace(header=header)
    assert _changes(start, Spec(32, 3, 2)) == (
        "the labels of this run have no names, so all are learnt anew",
    )
    assert _changes(start, Spec(32, 3, 2, ("b", "a"))) == ("labels taken by name: b, a; new: none",)
