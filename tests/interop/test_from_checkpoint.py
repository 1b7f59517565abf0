"""`mien train --from` another program's checkpoint, which is read as `mien import` reads it: as data."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from interop import official, rosinality_reference
from interop.official import checkpoint, persistent_discriminator, persistent_generator
from mien.cli import main
from mien.core.checkpoint import load_generator, load_state
from mien.core.run import find_runs
from mien.interop.import_ import read_pair
from mien.training.start import read_start
from test_cli import Fails, pictures

pytestmark = pytest.mark.usefixtures("warm_sandbox")
LIKE_IT = [
    *("--model", "stylegan2", "--device", "cpu", "--precision", "fp32", "--set", "batch_size=50"),
    *(word for name, value in official.SIZES.items() for word in ("--set", f"{name}={value}")),
]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


def write(**networks: Any) -> Path:
    path = Path("official.pkl")
    path.write_bytes(checkpoint(**networks))
    return path


def both(**sizes: Any) -> tuple[Path, torch.nn.Module, torch.nn.Module]:
    g, d = official.generator(), official.discriminator(**sizes)
    return write(G_ema=persistent_generator(g), D=persistent_discriminator(d)), g, d


def same(tensors: Any, network: torch.nn.Module) -> bool:
    state = network.state_dict()
    return tensors.keys() == state.keys() and all(torch.equal(tensors[n], state[n]) for n in state)


@pytest.mark.slow
def test_training_begins_with_both_networks_and_goes_on_without_the_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, _, d = both(d_architecture="orig")
    data = str(pictures(Path("faces"), size=32))
    command = ["train", data, "--from", str(path), "--freeze-d", "1", "--kimg", "0.05"]
    assert main([*command, "--device", "cpu", "--precision", "fp32", "--set", "batch_size=50"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "generator from official.pkl" in out
    assert "discriminator from official.pkl" in out
    (run,) = find_runs(Path("runs"))
    first = load_state(run.state(0))
    assert first["counters"]["nimg"] == 50  # the state at the end of so short a run replaced the first
    learnt = first["networks"]["d"]
    held = [name for name, value in d.state_dict().items() if torch.equal(value, learnt[name])]
    assert "b32.fromrgb.weight" in held  # frozen
    assert len(held) < len(d.state_dict())
    shutil.move(path, "elsewhere.pkl")
    assert main(["train", "--resume", str(run.path), "--kimg", "0.1", "--device", "cpu"]) == 0
    assert load_state(run.state(0))["counters"]["nimg"] == 100


@pytest.mark.slow
def test_a_pair_is_read_bit_exact_and_digested() -> None:
    path, g, d = both(stddev_group=8)
    start = read_start(path)
    assert same(start.g, g)
    assert start.d is not None
    assert same(start.d, d)
    other = read_start(both(stddev_group=8, d_architecture="skip")[0])
    assert other.digest != start.digest


def test_import_writes_the_discriminator_that_from_finds(capsys: pytest.CaptureFixture[str]) -> None:
    path, g, d = both()
    assert main(["import", str(path), "ours.safetensors"]) == 0
    assert "ours.discriminator.safetensors: its discriminator" in " ".join(capsys.readouterr().out.split())
    path.unlink()
    start = read_start(Path("ours.safetensors"))
    assert start.notes == ()
    assert start.d is not None
    assert same(start.g, g)
    assert same(start.d, d)


def test_a_discriminator_of_another_file_is_not_taken() -> None:
    """It would fit, and be wrong."""
    both()
    assert main(["import", "official.pkl", "ours.safetensors"]) == 0
    write(G_ema=persistent_generator(official.generator(), note="another"))
    assert main(["import", "official.pkl", "ours.safetensors"]) == 0
    start = read_start(Path("ours.safetensors"))
    assert start.d is None
    assert "ours.discriminator.safetensors: came from another file" in start.notes[0]


@pytest.mark.slow
def test_rosinality_gives_both_networks() -> None:
    g = rosinality_reference.state_dict(16, 12, 3, {4: 24, 8: 16, 16: 8})
    d = rosinality_reference.discriminator_state({4: 24, 8: 16, 16: 8})
    torch.save(rosinality_reference.file_content(g, d=d), "100000.pt")
    pair = read_pair(Path("100000.pt"))
    assert pair.d is not None
    assert torch.equal(pair.d["b16.fromrgb.weight"], d["convs.0.0.weight"])
    assert torch.equal(pair.g["synthesis.b16.conv1.bias"], g["convs.3.activate.bias"])
    words = (("channel_base", 128), ("channel_max", 24), ("z_dim", 12), ("w_dim", 12), ("mapping_layers", 3))
    sizes = [word for name, value in words for word in ("--set", f"{name}={value}")]
    command = ["train", str(pictures(Path("faces"))), "--from", "100000.pt", "--model", "stylegan2", *sizes]
    assert main([*command, "--kimg", "0.02", "--set", "batch_size=20", "--device", "cpu"]) == 0
    told = find_runs(Path("runs"))[0].read_config()["start"]["told"]
    assert any(line.startswith("discriminator from 100000.pt") for line in told)


def test_asked_for_one_network_import_writes_that_alone() -> None:
    path, g, _ = both()
    assert main(["import", str(path), "g.safetensors", "--network", "G_ema"]) == 0
    assert sorted(file.name for file in Path().glob("*.safetensors")) == ["g.safetensors"]
    assert same(load_generator(Path("g.safetensors"))[0], g)


def test_a_discriminator_of_other_widths_costs_only_itself() -> None:
    path, g, _ = both(channel_base=512)
    pair = read_pair(path)
    assert pair.d is None
    assert "its discriminator cannot be used (its channel_base is 512, the generator's 256" in pair.notes[-1]
    start = read_start(path)
    assert same(start.g, g)


@pytest.mark.slow
def test_another_size_or_other_classes_take_what_fits(capsys: pytest.CaptureFixture[str]) -> None:
    def told(*arguments: object) -> str:
        assert main([str(word) for word in ("train", *arguments, *LIKE_IT, "--kimg", "0.05")]) == 0
        return " ".join(capsys.readouterr().out.split())

    path, *_ = both()
    out = told(pictures(Path("small")), "--from", path)
    assert "stylegan2 on small (24 pictures, 16 px)" in out
    assert "it drew 32 px, this run draws 16 px" in out
    labelled = write(G_ema=persistent_generator(official.generator(labels=3), labels=3))
    for name in ("a", "b"):
        pictures(Path("classes") / name, 8, 32)
    out = told("classes", "--cond", "--from", labelled)
    assert "labels taken by name: none; new: a, b" in out


@pytest.mark.slow
def test_bad_files_are_one_line(fails: Fails) -> None:
    data = pictures(Path("faces"), size=32)
    Path("tf.pkl").write_bytes(b"\x80\x03cdnnlib.tflib.network\nNetwork\n)\x81}b.")
    assert "this is a TensorFlow checkpoint" in fails("train", data, "--from", "tf.pkl", *LIKE_IT)
    canary = Path("canary").resolve()
    command = f"touch {canary}".encode()
    told = len(command).to_bytes(4, "little") + command
    Path("evil.pt").write_bytes(b"\x80\x02cos\nsystem\nX" + told + b"\x85R.")
    fails("train", data, "--from", "evil.pt", *LIKE_IT)
    assert not canary.exists()
    path, *_ = both()
    assert "leave --model out" in fails("train", data, "--from", path, "--model", "lite")
    assert not find_runs(Path("runs"))
