"""Files that mien 0.1 wrote before its rooms were moved still open, draw, read labels and go on training.

`old_files/` was made by commit ac79aac: two zips of rendered heads, two run folders (their data lay in
/data), two other networks, what they drew (`expected.npz`), and `expected/`: the generators after the old
code had gone on to 0.3 kimg.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mien.cli import main
from mien.core.checkpoint import load_generator
from mien.core.run import RunFolder
from mien.datasets.opening import open_dataset
from test_cli import Fails

OLD = Path(__file__).parent / "old_files"
RUNS = {"lite": "00000-faces-lite-16", "stylegan2": "00001-faces-stylegan2-16"}


@pytest.fixture(autouse=True)
def _copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)


def drawn(folder: str) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(Path(folder).rglob("*.png"))])


def expected(name: str) -> np.ndarray:
    return np.asarray(np.load("expected.npz")[name])


def test_a_zip_of_old_is_the_same_dataset() -> None:
    dataset = open_dataset("faces.zip")
    assert (
        dataset.content_hash
        == json.loads(Path("runs", RUNS["lite"], "config.json").read_text())["dataset"]["content_hash"]
    )
    assert len(dataset) == 12
    assert dataset.records[0]["labels"]["hair_colour"] == "gray"


@pytest.mark.slow
@pytest.mark.parametrize("family", RUNS)
def test_a_run_of_old_draws_the_same_and_goes_on_as_it_would_have(family: str, fails: Fails) -> None:
    run = Path("runs", RUNS[family])
    assert main(["generate", str(run), "--seeds", "0-3", "--out", "drawn"]) == 0
    assert np.abs(drawn("drawn").astype(int) - expected(family)).max() <= 1
    assert "train NEW/faces.zip --resume" in fails(
        "train", "--resume", run, "--kimg", "0.3"
    )  # /data is not here
    assert main(["train", "faces.zip", "--resume", str(run), "--kimg", "0.3"]) == 0
    tensors, header = load_generator(RunFolder.open(run).newest_generator())
    assert header.nimg >= 300
    for name, old in load_generator(Path("expected", f"{family}.safetensors"))[0].items():
        torch.testing.assert_close(
            tensors[name], old, rtol=1e-3, atol=1e-4, msg=lambda text, n=name: f"{n}: {text}"
        )


def test_networks_of_old_translate_and_read_labels_the_same() -> None:
    assert main(["translate", "translator-000000.safetensors", "pairs.zip", "--out", "fronts"]) == 0
    assert np.abs(drawn("fronts").astype(int) - expected("fronts")).max() <= 1
    assert main(["annotate", "faces.zip", "--model", "attributes-000000.safetensors"]) == 0
    lines = [json.loads(line) for line in Path("faces.manifest.jsonl").read_text().splitlines()]
    first = lines[0]["predictions"]
    assert first["hair_colour"] == "blond"
    assert first["hair_colour=blond"] == pytest.approx(0.3051, abs=2e-3)
