"""docs/latent.md: its commands run one after another, its pictures are there and small."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import forked
from curated import until
from mien.cli import main
from mien.core import artefacts, packaged
from mien.core.errors import MienError
from mien.core.provenance import SourceType, verify
from mien.latent.directions import learn

PAGE = Path(__file__).resolve().parents[2] / "docs" / "latent.md"
TEXT = PAGE.read_text("utf-8")
COMMANDS = re.findall(r"^    mien (.*)$", TEXT, re.MULTILINE)
# Less of the same, so that the test takes a minute.
LESS = {
    r"(directions (?:learn|measure))": r"\1 --reader mesh",
    r"(project generated packaged)": r"\1 --candidates 8",
    r"steps \d+": "steps 4",
    r"(directions learn)": r"\1 --samples 140",
    r"(directions measure)": r"\1 --only yaw",
    r"--faces \d+": "--faces 8",
    r"--attributes \S+": "--attributes yaw",
    r"--count \d+": "--count 12",
    r"(units evaluate)": r"\1 --support 4",
}
_LATENTS = {"TRIED": 4, "CHOSEN": 4, "REFINED": 8, "CHECKED": 8, "JUDGED": 8}
_LATENTS |= {"REFINED_AGAIN": 8, "CHECKED_AGAIN": 8}


def test_its_pictures_are_there_and_small() -> None:
    pictures = [PAGE.parent / name for name in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", TEXT)]
    assert len(pictures) == 5
    assert sum(path.stat().st_size for path in pictures) < 300_000


@pytest.mark.slow
def test_its_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        for name in ("face-finder", "face-mesh", "identity"):
            artefacts.require(name)
        packaged.source_of(None)
    except MienError as error:
        pytest.skip(f"the page needs pretrained networks and the packaged model ({error})")
    monkeypatch.chdir(tmp_path)
    for purpose, latents in _LATENTS.items():
        monkeypatch.setattr(learn, f"_{purpose}_ON", latents)
    monkeypatch.setattr(learn, "_ALL", sum(_LATENTS.values()))
    monkeypatch.setattr(learn, "_FOLLOWED", 8)
    assert [line.split()[0] for line in COMMANDS] == [
        "generate", "project", "edit", "directions", "directions", "edit", "edit",
        "render", "units",
    ]  # fmt: skip
    served = next(line for line in COMMANDS if "--serve" in line)
    for line in COMMANDS:
        if line is served:
            continue
        for old, new in LESS.items():
            line = re.sub(old, new, line)
        assert main(shlex.split(line)) == 0, line
    for file in (
        "found/report.html",
        "edited/strip-yaw.png",
        "measured/entanglement.html",
        "units/units.html",
    ):
        assert (tmp_path / file).stat().st_size > 1000
    latents = json.loads((tmp_path / "units" / "units.json").read_text())[0]
    assert (latents["features"], latents["neutral"], latents["people"]) == ("latents", True, 12)
    assert latents["mean_gain"]["value"] > 0.12  # .32 of the page's 160 people
    mark = verify(tmp_path / "pasted" / "seed0018-pasted.png")
    assert mark is not None
    assert mark.source_type == SourceType.COMPOSITE
    command = [sys.executable, "-u", "-m", "mien", *shlex.split(served)]
    with forked.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines: list[str] = []

            def listens() -> bool:
                lines.append(process.stdout.readline() if process.stdout else "")
                return "http://127.0.0.1" in lines[-1]

            until(listens, what=f"an address in {lines}")
        finally:
            process.kill()
