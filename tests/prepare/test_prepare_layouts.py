"""`mien prepare NAME:FOLDER`: a real dataset's layout is prepared with its labels, and nothing else of it."""

from pathlib import Path

import pytest

from mien.cli import main
from mien.core import artefacts
from mien.core.packed import PackReader
from mien.faces.finder import needed_artefacts
from miniatures_celeba import celeba_rows, write_celeba
from miniatures_sd18 import write_sd18

pytestmark = pytest.mark.usefixtures("warm_workers")
FINDER = "mesh" if all(artefacts.artefact_path(name) for name in needed_artefacts("mesh")) else "haar"
LENIENT = (
    *("--finder", FINDER, "--size", "32", "--min-face", "0", "--keep-duplicates", "--no-keep-work"),
    *("--min-sharpness", "0", "--max-yaw", "180"),
)


@pytest.mark.slow
def test_celeba_keeps_its_attributes(tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "celeba", celeba_rows())
    out = tmp_path / "faces.zip"
    assert main(["prepare", f"celeba:{root}?labels=Male,Smiling", str(out), *LENIENT]) == 0
    pack = PackReader(out)
    assert pack.class_names == ("Male", "Smiling")
    truth = {row.file: row for row in celeba_rows()}
    for record, label in zip(pack.records, pack.labels or [], strict=True):
        known = truth[Path(record["source"]).name].attributes
        assert label == (float(known["Male"]), float(known["Smiling"]))
        assert record["labels"]["Young"] == known["Young"]


@pytest.mark.slow
def test_minors_of_sd18_are_never_looked_at(tmp_path: Path) -> None:
    root = write_sd18(tmp_path / "sd18")
    out = tmp_path / "faces.zip"
    assert main(["prepare", f"sd18:{root}?role=front", str(out), *LENIENT]) == 0
    sources = {record["source"] for record in PackReader(out).all_records}
    assert sources
    assert not [source for source in sources if "00007" in source or "00008" in source]
    everything = {path.name for path in root.rglob("*.png")}
    assert any("00007" in name for name in everything)


def test_an_unknown_layout_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", f"celebb:{tmp_path}", str(tmp_path / "out.zip"), *LENIENT]) == 2
    assert "celeba" in capsys.readouterr().err
