"""What `mien doctor` says of a machine."""

import json
import resource
from pathlib import Path
from typing import Any

import pytest

from mien.core.errors import InputError
from mien.core.events import Notice, Table
from mien.scale import doctor as module
from mien.scale.doctor import advice, doctor


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(module, "_SECONDS", 0.0)
    monkeypatch.setattr(module, "cores", lambda: 1)
    monkeypatch.setattr(module, "probe", lambda *_, **__: {"fp32": 1.0, "bf16": 2.0})
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_it_measures_and_advises(quick: Path) -> None:
    said: list[Any] = []
    report = doctor(json=True).run(said.append)
    (note,) = [event for event in said if isinstance(event, Notice)]
    assert json.loads(note.text) == report
    assert report["machine"]["memory_free_GB"] <= report["machine"]["memory_GB"]
    assert "face-finder" in report["missing"]["artefacts"]
    assert all(value > 0 for value in report["speed"].values())
    # 64 px, 3 channels, float32: an image alone is 49 kB, and autograd keeps many layers of it.
    assert 100_000 < report["fit"]["bytes_an_image"] < 20_000_000
    assert report["fit"]["precision"] == "bf16"
    assert any("mien artefacts fetch face-finder" in line for line in report["advice"])
    assert any("mien artefacts add inception FILE" in line for line in report["advice"])
    assert list(quick.iterdir()) == []


@pytest.mark.slow
def test_it_shows_tables(quick: Path) -> None:
    said: list[Any] = []
    report = doctor().run(said.append)
    machine, missing, speed = [event for event in said if isinstance(event, Table)]
    assert dict(machine.rows)["cores"] == "1"
    assert "inception" in dict(missing.rows)["artefacts"]
    (row,) = [row for row in speed.rows if row[0].startswith("train")]
    assert float(row[1]) / float(row[2]) == pytest.approx(float(row[3]), abs=0.01)
    assert [event.text for event in said if isinstance(event, Notice)] == report["advice"]


@pytest.mark.slow
def test_a_copy_without_a_generator_measures_the_rest(
    quick: Path, monkeypatch: pytest.MonkeyPatch, assets: Path
) -> None:
    speed_of = module.speeds()
    assert len(speed_of) == 4
    assert not any(name.startswith("draw") for name in speed_of)
    assert all(value > 0 for value in speed_of.values())


@pytest.mark.slow
def test_what_trains_fastest_is_found_by_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The precision is probed for the model that an image's memory is told of."""
    monkeypatch.setattr(module, "_SECONDS", 0.0)
    monkeypatch.setattr(module, "cores", lambda: 1)
    found = module.fit()
    assert found["threads"] == 1
    assert list(found["images_a_second_by_threads"]) == ["1"]
    assert found["precision"] in ("fp32", "bf16")
    assert found["bytes_an_image"] > 100_000


def test_a_folder_that_cannot_take_the_test_file_is_named(quick: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(InputError) as caught:
            module._disk_seconds()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value) == f"{quick}: cannot be written (File too large); go to a folder of yours"
    assert list(quick.iterdir()) == []


def test_little_room_is_said() -> None:
    report = {
        "machine": {"memory_free_GB": 0.1, "disk_free_GB": 1.0, "devices": ["cpu"]},
        "missing": {"artefacts": [], "extras": ["video"]},
        "fit": {"threads": 2, "precision": "fp32", "bytes_an_image": 10_000_000},
    }
    lines = advice(report)
    assert any("--micro-batch 5" in line for line in lines)
    assert any(line.startswith("disk: only 1.0 GB") for line in lines)
    assert any(line.startswith("memory: only 0.1 GB") for line in lines)
    assert any(".[video]" in line for line in lines)
