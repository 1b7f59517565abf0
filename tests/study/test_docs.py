"""docs/study.md: its commands run, its design is one."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from raters import fill_folder, run_all, running, serving

from mien.study import commands
from mien.study.design import parse_design

PAGE = Path(__file__).resolve().parents[2] / "docs" / "study.md"
TEXT = PAGE.read_text("utf-8")
COMMANDS = re.findall(r"^    mien study (.*)$", TEXT, re.MULTILINE)


def run(line: str, **changes: Any) -> Any:
    """Run a command of the page as the command line does."""
    from cyclopts import App

    app = App(result_action="return_value")
    for name in ("new", "serve", "results"):
        app.command(getattr(commands, name), name=name)
    command, bound, _ = app.parse_args(line.split(), exit_on_error=False)
    return command(*bound.args, **(bound.kwargs | changes)).run()


def test_the_design_of_the_page_is_one() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    design = parse_design(tomllib.loads(block), "study.md")
    assert design.task.kind == "hype-infinity"
    assert design.questions[0].quotas == {"18 to 39": 15}


@pytest.mark.slow
def test_the_commands_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [line.split()[0] for line in COMMANDS] == [
        "new", "new", "serve", "results", "serve", "new", "results",
    ]  # fmt: skip
    example, make, _, results, _, elsewhere, forget = COMMANDS
    run(example)
    for seed, name in enumerate(("photos", "model-a")):
        fill_folder(tmp_path / name, 52, seed=seed)
    place = run(make)
    assert place == "hype.sqlite"
    with running(place):
        pass
    with serving(place) as address:
        run_all(address, place, [lambda trial, sets: "real"])
    written = run(results)
    assert all((tmp_path / path).exists() for path in written)
    code = (tmp_path / "hype-results" / "participants.csv").read_text().splitlines()[1].partition(",")[0]
    run(re.sub(r"--forget \S+", f"--forget {code}", forget))
    assert code not in (tmp_path / "hype-results" / "participants.csv").read_text()
    run(re.sub(r"--db \S+", "--db sqlite:///other.sqlite", elsewhere))
    assert (tmp_path / "other.sqlite").exists()
