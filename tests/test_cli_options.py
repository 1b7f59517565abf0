"""No command, option or default of the command line gets lost."""

from pathlib import Path
from typing import Any

import pytest
from cyclopts import App

from mien.cli import app, main

BEFORE = Path(__file__).with_name("cli_options.txt").read_text("utf-8").splitlines()


def _options(command: App) -> dict[str, str]:
    """Names (as in "--again/--no-again") and default of each option and argument."""
    found = {}
    for argument in command.assemble_argument_collection(parse_docstring=False):
        names, field = sorted(argument.names), argument.field_info
        if names and names != ["*"]:
            found["/".join(names)] = "required" if field.default is field.empty else _told(field.default)
    return found


def _told(default: Any) -> str:
    return repr(str(default)) if isinstance(default, Path) else repr(default)


@pytest.mark.slow
@pytest.mark.parametrize("line", BEFORE, ids=[line.partition(":")[0] for line in BEFORE])
def test_every_option_is_still_there(line: str) -> None:
    path, _, options = line.partition(": ")
    command = app
    for name in path.split():
        command = command[name]
    now = _options(command)
    for option in filter(None, options.split("; ")):
        names, _, default = option.partition("=")
        assert now.get(names) == default, f"mien {path}: {names} was {default}, is {now.get(names)}"


def test_the_help_of_one_command_is_its_docstring(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "--help"]) == 0
    assert "Run it again with other rules" in capsys.readouterr().out
    assert main(["data", "--help"]) == 0
    assert "Say what a dataset is" in capsys.readouterr().out
