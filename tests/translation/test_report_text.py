"""Figures as text in the page: columns stand under their headings, numbers to the right."""

from pathlib import Path

import pytest

from mien.cli import main
from mien.core.errors import InputError
from mien.core.events import Column, Notice, Progress, Table
from mien.core.run import RunFolder
from mien.training.kinds import kind, kind_at
from mien.translation.report import as_text


def test_a_table_is_text_in_columns() -> None:
    columns = (Column("method"), Column("PSNR", numbers=True))
    table = Table(columns, (("noisy", "20.1"), ("this model", "8.25")), title="gaussian 40", caption="in dB")
    shown = as_text([Notice("above"), Progress("measuring", 1, 2), table, Notice("below")])
    assert shown.splitlines() == [
        "above",
        "",
        "gaussian 40",
        "method      PSNR",
        "----------------",
        "noisy       20.1",
        "this model  8.25",
        "in dB",
        "",
        "below",
    ]


@pytest.mark.parametrize(
    ("family", "name"), [("pix2pix", "translator"), ("noise2noise", "denoiser"), ("simgan", "refiner")]
)
def test_a_run_that_has_drawn_nothing_yet_says_that_it_is_not_measured(
    tmp_path: Path, family: str, name: str
) -> None:
    run = RunFolder.create(tmp_path / "runs", family)
    run.write_config({"family": family, "spec": {"resolution": 64}})
    assert kind_at(run.path) == name
    pages = []
    for _ in range(2):
        assert main(["report", str(run.path)]) == 0
        pages.append(" ".join(run.report.read_text("utf-8").split()))
        run.append_log({"event": "rescue", "kind": "nan", "text": "went back", "nimg": 1000})
    for page in pages:
        assert "for pictures of 64 pixels, trained on unknown pictures" in page
        assert "How well it does has not been measured yet: mien evaluate RUN does." in page
    assert ["Training diverged on the way; see the warnings." in page for page in pages] == [False, True]


def test_a_run_that_cannot_say_what_it_is_of_counts_as_a_generator_s(tmp_path: Path) -> None:
    """So that a report can say what is wrong with it."""
    run = RunFolder.create(tmp_path / "runs", "x")
    for config in ("{", '{"family": "of another version"}', "{}"):
        (run.path / "config.json").write_text(config)
        assert kind_at(run.path) == "generator"
    with pytest.raises(InputError, match="neither evaluate nor report networks of the kind 'poem'"):
        kind("poem")
