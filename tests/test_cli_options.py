"""No command, option or default of the command line gets lost."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App

from mien.cli import EXAMPLES, GROUPS, app, main


def test_the_list_of_commands_is_by_task_and_names_the_first_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert sorted(" ".join(GROUPS.values()).split()) == sorted(name for name in app if name[0] != "-")
    assert shown.index("Begin") < shown.index("Photos to a dataset") < shown.index("Judge")
    assert "mien prepare photos/ photos.zip --size 64" in shown


def test_help_is_a_word_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "demo"]) == 0
    assert "mien demo [OPTIONS]" in capsys.readouterr().out


def test_lines_of_a_docstring_are_joined_in_the_help(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["evaluate", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "pictures: a folder, a zip, an .npy or .npz, as for --data" in shown
    assert "Example: mien evaluate" in shown


def test_an_example_is_of_its_own_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert all(line.startswith(f"mien {command} ") for command, line in EXAMPLES.items())
    for command in (*EXAMPLES, "units train", "detector evaluate"):
        assert main([*command.split(), "--help"]) == 0
        shown = capsys.readouterr().out
        assert ("Example: mien" in shown) == (command in EXAMPLES), command
        assert f"Example: mien {command} " in shown or command not in EXAMPLES


# Their help answers at once; that of others waits two seconds for torch, which their modules import.
WITHOUT_TORCH = [
    *("collect", "prepare", "curate", "render", "train", "generate", "verify", "models"),
    *("data info", "data export", "study new", "study serve", "study results"),
    *("artefacts list", "artefacts fetch", "artefacts add"),
]
HELP = """
import sys
sys.modules["torch"] = None  # whatever imports it fails
from mien.cli import main
failed = [verb for verb in sys.argv[1:] if main([*verb.split(), "--help"])]
sys.exit(f"these load torch: {failed}" if failed else 0)
"""


@pytest.mark.slow
def test_help_of_these_commands_loads_no_torch() -> None:
    done = subprocess.run([sys.executable, "-c", HELP, *WITHOUT_TORCH], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: mien") == len(WITHOUT_TORCH)


BEFORE = Path(__file__).with_name("cli_options.txt").read_text("utf-8").splitlines()


def _options(command: App) -> dict[str, str]:
    """Names (as in "--again/--no-again") and default of each option and argument."""
    found = {}
    for argument in command.assemble_argument_collection(parse_docstring=False):
        # Not the "--empty-..." of cyclopts, which the parent command's default_parameter takes away.
        names, field = sorted(n for n in argument.names if n[:8] != "--empty-"), argument.field_info
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
    assert main(["demo", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Training begins with the packaged model." in shown
    assert "Returns" not in shown  # that is for Python
    assert main(["data", "--help"]) == 0
    assert "Say what a dataset is" in capsys.readouterr().out
