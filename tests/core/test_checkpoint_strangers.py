"""Generator files from strangers: what they promise is compared before memory is taken; others are named."""

import json
import os
import pickle
import resource
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import forked
import mien
from mien.cli import main
from mien.core import discover
from mien.core.checkpoint import (
    NetworkHeader,
    is_ours,
    load_generator,
    read_header,
    read_shapes,
    save_generator,
)
from mien.core.errors import InputError
from mien.core.family import GENERATOR, kind_of
from mien.core.network import load_network, read_network
from mien.core.run import RunFolder
from mien.core.types import Spec

SMALL = {"z_dim": 8, "width_g": 4, "width_d": 4}


def saved(path: Path, *, nimg: int = 0, seed: int = 0, **changes: Any) -> Path:
    """A small generator of random weights."""
    torch.manual_seed(seed)
    family = discover.load("mien.models", "lite")
    network = family.build_generator(family.Config(**SMALL), Spec(16))
    header = NetworkHeader(family="lite", config={**SMALL, **changes}, spec=Spec(16), nimg=nimg, tool="mien")
    save_generator(path, network.state_dict(), header)
    return path


def hostile(path: Path, family: str, config: dict[str, Any], spec: dict[str, Any] | None = None) -> Path:
    """A file of some hundred bytes whose header says anything."""
    header = {
        **{"family": family, "config": config, "nimg": 0, "tool": "x"},
        "spec": {"resolution": 64, "channels": 3, **(spec or {})},
    }
    text = json.dumps({"header": header, "sha256": ""})
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, {"mien": text})
    return path


def sparse(path: Path, count: int) -> Path:
    """A file whose one tensor has `count` numbers, all in a hole of the file."""
    text = json.dumps({"header": read_header(saved(path)).model_dump(mode="json"), "sha256": ""})
    tensor = {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}
    head = json.dumps({"__metadata__": {"mien": text}, "a": tensor}).encode()
    with open(path, "wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        file.truncate(8 + len(head) + 4 * count)
    return path


def largest(family: str) -> dict[str, Any]:
    """Every number of a family at its upper bound."""
    config = {}
    for name, info in discover.load("mien.models", family).Config.model_fields.items():
        if bounds := [rule.le for rule in info.metadata if hasattr(rule, "le")]:
            config[name] = int(bounds[0]) if "int" in str(info.annotation) else bounds[0]
    return config


@pytest.mark.parametrize("family", discover.names("mien.models"))
def test_every_number_has_an_upper_bound(family: str) -> None:
    fields = discover.load("mien.models", family).Config.model_fields
    free = [
        name
        for name, info in fields.items()
        if info.annotation in (int, float, int | None, float | None)
        and not any(hasattr(rule, "le") or hasattr(rule, "lt") for rule in info.metadata)
    ]
    assert free == []


def wordy(path: Path, rows: str, tensors: str = "") -> Path:
    """A file with a header of many megabytes: so many label rows, or tensors."""
    header = '{"family": "lite", "config": {}, "nimg": 0, "tool": "x", "spec": {"resolution": 64, '
    header += f'"channels": 3, "label_dim": 0}}, "label_rows": [{rows}]}}'
    text = json.dumps(f'{{"header": {header}, "sha256": ""}}')
    head = f'{{"__metadata__": {{"mien": {text}}}{tensors}}}'.encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head)
    return path


@pytest.mark.slow
def test_hostile_files_take_no_memory(tmp_path: Path) -> None:
    """What a file only promises is refused; where that takes memory and time, it is a copy's, and limited."""
    generators = [
        name
        for name in discover.names("mien.models")
        if kind_of(discover.load("mien.models", name)) == GENERATOR
    ]
    empty = ', "{}": {{"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}'
    files = [
        hostile(tmp_path / "layers.safetensors", "stylegan2", {"mapping_layers": 100_000_000}),
        hostile(tmp_path / "labels.safetensors", "lite", {}, {"label_dim": 1 << 40}),
        hostile(tmp_path / "wide.safetensors", "lite", {}, {"label_dim": 65_536}),
        hostile(tmp_path / "side.safetensors", "stylegan2", {}, {"resolution": 1 << 30}),
        hostile(tmp_path / "blocks.safetensors", "r3gan", {"stage_blocks": "99,99,99,99,99"}),
        *(hostile(tmp_path / f"{name}.safetensors", name, largest(name)) for name in generators),
        sparse(tmp_path / "sparse.safetensors", 200_000_000),
        wordy(tmp_path / "rows.safetensors", ",".join(["[]"] * 8_000_000)),
        wordy(tmp_path / "nested.safetensors", "[" * 16_000_000),
        wordy(tmp_path / "longer.safetensors", " " * (33 << 20)),
        wordy(tmp_path / "tensors.safetensors", "", "".join(map(empty.format, range(450_000)))),
    ]
    script = """
import forked
forked.preload()
import resource, sys
from pathlib import Path
from mien.core.errors import InputError
from mien.core.network import load_network
from mien.interop import sandbox
from mien.training.start import read_start
from mien.models import dcgan, dense, lite, r3gan, stylegan1, stylegan2
sandbox.subprocess = forked.LIKE_SUBPROCESS
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in map(Path, sys.argv[1:]):
    for read in (load_network, read_start):
        try:
            read(path)
            raise SystemExit(f"{path} was loaded")
        except InputError as error:
            assert str(error).startswith(f"{path}: ") and "\\n" not in str(error), error
processes = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
print(*(resource.getrusage(who).ru_maxrss - before for who in processes))
"""
    done = forked.run(
        [sys.executable, "-c", script, *map(str, files)],
        env=os.environ | {"PYTHONPATH": str(Path(mien.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    own, copies = map(int, done.stdout.split())
    assert own < 100_000  # kB; the first of them alone took 12 GB
    assert copies < 1_000_000


def test_what_does_not_fit_its_configuration_is_named(tmp_path: Path) -> None:
    for changes, words in (
        ({"width_g": 8}, r"layers\.\d+\.\w+ is \[.*\] and should be \["),
        ({"mapping_layers": 2}, "tensors are missing"),
        ({"width_g": 0}, r"\(width_g=0: should be greater than or equal to 1\)"),
        ({"nonsense": 1}, "nonsense"),
    ):
        path = saved(tmp_path / "g.safetensors", **changes)
        with pytest.raises(InputError, match=words) as caught:
            read_network(path)
        assert str(caught.value).startswith(f"{path}: its weights do not fit a lite generator")
    hostile(tmp_path / "g.safetensors", "unheard", {})
    with pytest.raises(InputError, match=r"g\.safetensors: 'unheard' is not one of the models"):
        read_network(tmp_path / "g.safetensors")


def test_a_packaged_file_that_does_not_fit_is_named_too(assets: Path) -> None:
    """Ours are not tried in a copy of the process first: what is wrong with one comes from reading it."""
    assets.mkdir()
    path = assets / "g.safetensors"
    for changes, words in (
        ({"width_g": 8}, r"layers\.\d+\.\w+ is \[.*\] and should be \["),
        ({"mapping_layers": 2}, r"\d+ of its \d+ tensors are missing"),
        ({"width_g": 0}, r"\(width_g=0: should be greater than or equal to 1\)"),
        ({"nonsense": 1}, "nonsense"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            read_network(saved(path, **changes))
        assert str(caught.value).startswith(f"{path}: its weights do not fit a lite generator (")
    tensors, header = load_generator(saved(path))
    save_generator(path, tensors | {"surplus\n": torch.zeros(1)}, header)
    with pytest.raises(InputError, match=r"it has 'surplus\\n', which is not known here"):
        read_network(path)
    save_generator(path, tensors, header.model_copy(update={"family": "attributes"}))
    with pytest.raises(InputError, match="it holds 'generator', and here a 'attributes' is needed"):
        read_network(path)


def test_a_discriminator_is_read_in_a_process_that_has_built_no_optimiser(tmp_path: Path) -> None:
    """The first one of a process loads much of torch, which a copy with limits may not."""
    path = saved(tmp_path / "g.safetensors")
    family = discover.load("mien.models", "lite")
    tensors = family.build(family.Config(**SMALL), Spec(16)).networks["d"].state_dict()
    header = read_header(path).model_copy(update={"kind": "discriminator"})
    save_generator(tmp_path / "g.discriminator.safetensors", tensors, header)
    script = """
import sys
from pathlib import Path
from mien.training.start import read_weights
weights = read_weights(Path(sys.argv[1]), print)
assert weights.d is not None
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env=os.environ | {"PYTHONPATH": str(Path(mien.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_half_precision_files_draw_in_float32(tmp_path: Path) -> None:
    path = saved(tmp_path / "g.safetensors")
    tensors, header = load_generator(path)
    save_generator(path, {n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}, header)
    network, _ = read_network(path)
    assert all(p.dtype == torch.float32 for p in network.parameters())
    assert network(torch.randn(2, 8)).isfinite().all()


def test_the_shapes_of_a_file_are_those_of_its_tensors(tmp_path: Path) -> None:
    path = saved(tmp_path / "g.safetensors")
    tensors, _ = load_generator(path)
    assert read_shapes(path) == {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert is_ours(path)
    safetensors.torch.save_file(tensors, path)
    assert not is_ours(path)
    assert not is_ours(tmp_path / "absent")


def run_of(tmp_path: Path, *nimgs: int) -> RunFolder:
    run = RunFolder.create(tmp_path / "runs", "x")
    run.write_config({"family": "lite"})
    for nimg in nimgs:
        saved(run.generator(nimg), nimg=nimg, seed=nimg)
    return run


def test_a_damaged_newest_generator_falls_back_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(tmp_path, 1000, 2000, 3000)
    assert load_network(run.path).notes == ()
    for nimg in (2000, 3000):
        data = run.generator(nimg).read_bytes()
        run.generator(nimg).write_bytes(data[:-7])
    loaded = load_network(run.path)
    assert loaded.path == run.generator(1000)
    assert [note.endswith("falling back to generator-000001.safetensors") for note in loaded.notes] == [
        True
    ] * 2
    assert "generator-000003.safetensors: " in loaded.notes[0]
    for command in (
        ["generate", str(run.path), "--seeds", "0", "--out", str(tmp_path / "o")],
        ["export", str(run.path), str(tmp_path / "e.safetensors")],
    ):
        assert main(command) == 0
        assert "falling back to generator-000001.safetensors" in " ".join(capsys.readouterr().out.split())
    run.generator(1000).write_bytes(b"")
    with pytest.raises(InputError, match="generator-000003"):
        load_network(run.path)


def test_files_of_others_are_named_with_what_to_do(tmp_path: Path) -> None:
    pickled, torched = tmp_path / "a b.pkl", tmp_path / "plain.pt"
    pickled.write_bytes(pickle.dumps({"G_ema": 1}))
    torch.save({"g_ema": {}}, torched)
    torch.save({"netG_state_dict": {}}, tmp_path / "weights.tar")
    torch.save({}, tmp_path / "state-000004.pt")
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("a.png", b"")
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "bare.safetensors")
    (tmp_path / "cut.zip").write_bytes((tmp_path / "data.zip").read_bytes()[:40])
    (tmp_path / "g.onnx").write_bytes(b"\x08\x08")
    for path, words in {
        pickled: f"mien import '{pickled}'",
        torched: f"mien import {torched}",
        tmp_path / "weights.tar": f"mien import {tmp_path / 'weights.tar'}",
        tmp_path / "bare.safetensors": "mien import ",
        tmp_path / "state-000004.pt": "a training state; name the folder of its run",
        tmp_path / "data.zip": "a zip, not a generator",
        tmp_path / "cut.zip": "a zip, not a generator",
        tmp_path / "g.onnx": "an exported generator",
    }.items():
        for read in (load_network, read_header):
            with pytest.raises(InputError) as caught:
                read(path)
            assert words in str(caught.value)
            assert str(caught.value).startswith(f"{path}: ")
            assert "\n" not in str(caught.value)


def test_weights_of_a_type_that_torch_does_not_have_are_named(tmp_path: Path) -> None:
    """Numbers of 6 bits, say: the file is sound for safetensors, but no network of ours has them."""
    path = tmp_path / "six.safetensors"
    text = json.dumps({"header": read_header(saved(path)).model_dump(mode="json"), "sha256": ""})
    tensor = {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 3]}
    head = json.dumps({"__metadata__": {"mien": text}, "a": tensor}).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(3))
    assert read_shapes(path) == {"a": (4,)}
    with pytest.raises(InputError, match=r"six\.safetensors: not a generator .*F6_E2M3") as caught:
        load_generator(path)
    assert "\n" not in str(caught.value)


def test_the_shapes_of_what_is_no_network_are_not_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "g.safetensors")
    shapes = {name: tuple(tensor.shape) for name, tensor in load_generator(path)[0].items()}
    assert read_shapes(path) == shapes
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"g\.safetensors: not a generator .* damaged"):
        read_shapes(path)
    with pytest.raises(InputError, match="there is no such file or run"):
        read_shapes(tmp_path / "none.safetensors")


@pytest.mark.parametrize("command", ["generate", "export", "evaluate"])
def test_commands_name_import_for_a_foreign_file(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plain.pt"
    torch.save({"g_ema": {}}, path)
    rest = {"generate": ["--out", "o"], "export": ["o.safetensors"], "evaluate": ["--data", "faces.zip"]}
    assert main([command, str(path), *rest[command]]) == 2
    error = capsys.readouterr().err
    assert f"mien import {path}" in error
    assert error.count("\n") == 1


def test_peak_memory_is_counted_in_kilobytes() -> None:
    """What the bound above rests on."""
    assert 10_000 < resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 100_000_000
