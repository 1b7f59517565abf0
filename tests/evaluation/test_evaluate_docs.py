"""docs/evaluate.md: its commands run."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

from mien.cli import main
from mien.core import artefacts
from mien.core.checkpoint import NetworkHeader, save_generator
from mien.core.packed import PackWriter, encode_png
from mien.core.run import RunFolder
from mien.core.types import Spec
from mien.evaluation import audit, measure, mode_scores
from mien.models import lite
from rendered_heads import small_heads

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evaluate.md"
COMMANDS = re.findall(r"^    mien (.*)$", PAGE.read_text("utf-8"), re.MULTILINE)
RUN = "runs/00000-photos-lite-64"
NEEDED = ("lpips-alexnet", "identity", "expressions")

# Fewer images and the network that needs no file, where the page leaves them to the defaults.
CHEAP = {"evaluate": ["--count", "16"], "modes": ["--count", "60", "--bins", "2"], "audit": ["--count", "12"]}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(audit, "_PLANTED", 3)
    monkeypatch.setattr(measure, "_PATHS", 16)
    monkeypatch.setattr(mode_scores, "_PLANTINGS", 8)
    images = small_heads(72)
    for name, part in (("photos.zip", images[:60]), ("unseen.zip", images[60:])):
        with PackWriter(Path(name)) as pack:
            for image in part:
                pack.add_png(encode_png(image.transpose(1, 2, 0)), None)
    np.savez("others.npz", images[20:50].transpose(0, 2, 3, 1))
    run, spec = RunFolder(Path(RUN)), Spec(64)
    run.path.mkdir(parents=True)
    run.write_config({"family": "lite"})
    config = lite.Config(width_g=4, width_d=4, max_width=8, z_dim=5)
    torch.manual_seed(0)
    header = NetworkHeader(family="lite", config=config.model_dump(), spec=spec, nimg=3000, tool="mien test")
    save_generator(run.generator(3000), lite.build_generator(config, spec).state_dict(), header)
    return tmp_path


def cheaply(command):
    words = shlex.split(command)
    words += CHEAP.get(words[0], [])
    if words[0] in ("evaluate", "modes") and "--features" not in words:
        words += ["--features", "vgg-random"]
    if words[0] == "evaluate" and "--metric" not in words and "--psi-curve" not in words:
        words += ["--metric", "kernel", "--metric", "prdc"]
    return words


@pytest.mark.slow
@pytest.mark.skipif(
    any(artefacts.artefact_path(name) is None for name in NEEDED), reason="not cached (mien artefacts fetch)"
)
def test_the_commands_of_the_page_run(here, capsys):
    assert {command.split()[0] for command in COMMANDS} == {"evaluate", "modes", "audit", "internals"}
    for command in COMMANDS:
        words = cheaply(command)
        code = main(words)
        said = capsys.readouterr()
        assert code in ((0, 1, 3) if words[0] == "audit" else (0,)), f"{command}: {said.err}"
    for name in ("photos.npz", "modes/modes.html", "audit/audit.html", "internals.html"):
        assert (here / name).is_file(), name
