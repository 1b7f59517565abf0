"""The generator that comes with mien: found, drawn from where no run is named, and named by its pictures."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mien
from mien.cli import main
from mien.core import packaged
from mien.core.checkpoint import load_generator
from mien.core.errors import InputError
from mien.core.events import Event, Events, Notice, Started, Table
from mien.core.picture import read_picture
from mien.core.run import RunFolder
from mien.core.types import Spec
from mien.demo import demo, draw_packaged
from mien.metrics.features import vgg_random
from mien.models import lite
from mien.reports.score_tables import read_scores
from narrow import narrow_vgg
from packaged_model import CONFIG, package
from test_cli import Fails, pictures


def test_it_is_found_by_its_names_and_files_of_such_names_go_first(assets: Path) -> None:
    path = package(assets)
    assert packaged.names() == ("faces-64",)  # its discriminator is none
    for source in (None, Path("packaged"), Path("faces-64")):
        assert packaged.source_of(source) == path
    assert packaged.source_of(Path("faces-64.safetensors")) == Path("faces-64.safetensors")
    assert packaged.name_of(path) == "faces-64"
    assert packaged.name_of(Path("faces-64.safetensors")) is None
    Path("packaged").mkdir()
    assert packaged.source_of(Path("packaged")) == Path("packaged")
    shutil.copy(path, assets / "faces-128.safetensors")
    shutil.copy(path, assets / "faces-64.directions.safetensors")
    assert packaged.names() == ("faces-64", "faces-128")
    assert packaged.source_of(Path("faces-128")) == assets / "faces-128.safetensors"


def test_a_package_without_one_says_so_in_one_line(assets: Path, fails: Fails) -> None:
    for command in (["generate", "--out", "o"], ["generate", "packaged", "--out", "o"], ["evaluate"]):
        more = ["--data", "x"] if command == ["evaluate"] else []
        assert "comes without the model faces-64" in fails(*command, *more)
    with pytest.raises(InputError, match="comes without"):
        mien.load()
    assert not Path("o").exists()


def test_no_run_draws_from_it(assets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = package(assets)
    for out, source in (("a", []), ("b", ["packaged"]), ("c", [str(path)])):
        assert main(["generate", *source, "--seeds", "0-1", "--out", out]) == 0
    drawn = [Path(out, "seed0001.png").read_bytes() for out in "abc"]
    assert drawn[0] == drawn[1] == drawn[2]
    assert drawn[0] != Path("a/seed0000.png").read_bytes()
    assert [file.name for file in mien.generate(seeds="7", out=Path("d"))] == ["seed0007.png"]
    assert mien.load().path == path
    capsys.readouterr()
    assert main(["verify", "a/seed0000.png"]) == 0
    assert "(faces-64, which comes with mien), seed 0" in capsys.readouterr().out
    package(assets, seed=1)  # a later mien packages another: the mark is not of that one
    assert main(["verify", "a/seed0000.png"]) == 0
    assert "comes with" not in capsys.readouterr().out


def test_every_verb_that_draws_takes_no_run_or_its_name(assets: Path) -> None:
    package(assets)
    assert main(["mosaic", "--keep", "0-3", "--out", "m.png"]) == 0
    assert main(["pick", "--seeds", "0-3", "--out", "p.html"]) == 0
    assert main(["video", "--seeds", "0-1", "--frames", "2", "--out", "v.webp"]) == 0
    assert main(["export", "packaged", "mine.safetensors"]) == 0
    assert load_generator(Path("mine.safetensors"))[1].nimg == 812_000
    assert "A face generator." in Path("mine.md").read_text()
    (assets / "faces-64.md").write_text("its own card")
    assert main(["export", "packaged", "again.safetensors"]) == 0
    assert Path("again.md").read_text() == "its own card"
    data = pictures(Path("faces"))
    assert main(["evaluate", "--data", str(data), "--metric", "swd", "--features", "vgg-random"]) == 0
    with Image.open("m.png") as wall:
        assert np.asarray(wall).shape == (32, 32, 3)


def test_the_demo_shows_faces_first_and_says_when_it_has_none(assets: Path) -> None:
    heard: list[Event] = []
    draw_packaged(Path("demo"), Events(heard.append))
    assert "comes without one; training begins from nothing" in _sentences(heard)
    assert not Path("demo").exists()
    package(assets)
    draw_packaged(Path("demo"), Events(heard.append))
    (grid,) = Path("demo").rglob("*.png")
    assert str(grid) in _sentences(heard)
    with Image.open(grid) as picture:
        assert picture.size == (8 * 16, 8 * 16)


@pytest.mark.slow
def test_the_demo_goes_from_rendered_people_to_a_report(
    assets: Path, monkeypatch: pytest.MonkeyPatch, fails: Fails
) -> None:
    """A tiny family in the place of the preset begins with the packaged model, learns, and is measured."""
    assert "--minutes 0.0: more than 0" in fails("demo", "--minutes", "0")
    assert not Path("demo").exists()
    monkeypatch.setitem(lite.PRESETS, "quick", CONFIG.model_copy(update={"batch_size": 8}))
    monkeypatch.setattr(vgg_random, "_vgg", narrow_vgg)
    package(assets, spec=Spec(64), config=lite.PRESETS["quick"])
    heard: list[Event] = []
    report = demo(minutes=0.02, people=12).run(heard.append)
    said = _sentences(heard)
    steps = [event.what for event in heard if isinstance(event, Started)]
    steps = [line for line in steps if line[1:3] == "/6"]
    assert [line[0] for line in steps] == list("123456")
    assert steps[1] == "2/6 renders 12 people who do not exist, 64 px"
    assert steps[2] == "3/6 learns to draw such people, for 0.02 minutes"

    (run,) = Path("demo").glob("0*-lite-64")
    config = RunFolder.open(run).read_config()
    assert (config["family"], config["dataset"]["num_images"]) == ("lite", 12)
    assert config["options"]["minutes"] == 0.02
    assert len(list((run / "faces").glob("seed*.png"))) == 64
    before, after = (draw_seeds(source) for source in (assets / "faces-64.safetensors", run))
    assert np.array_equal(read_picture(run / "faces" / "seed0005.png"), after[5])
    assert not np.array_equal(before, after), "it has learnt something else"
    assert report == run / "report.html"
    assert f"report, for your browser: {report}" in said
    scores, _ = read_scores(RunFolder.open(run))
    subjects = {score.subject: score for score in scores if score.metric == "kernel"}
    assert {"generator", "noise"} <= set(subjects)
    assert (subjects["generator"].num_fake, subjects["generator"].num_real) == (12, 12)
    (table,) = [event for event in heard if isinstance(event, Table)]
    assert any("kernel" in str(row) for row in table.rows)


def draw_seeds(source: Path) -> np.ndarray:
    images: np.ndarray = mien.load(source).draw(range(6))
    return images


def _sentences(heard: list[Event]) -> str:
    return "\n".join(event.text for event in heard if isinstance(event, Notice))
