"""Every verb that draws refuses alike what cannot be drawn: one line, exit code 2, nothing written."""

from pathlib import Path

import pytest

from drawers import styled_file
from test_cli import Fails, pictures

VERBS = {
    "generate": ("--out", "o"),
    "mix": ("--rows", "0", "--columns", "1", "--out", "o.png"),
    "video": ("--out", "o.webp"),
    "mosaic": ("--keep", "0-3", "--out", "o.png"),
    "pick": ("--out", "o.html"),
}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def conditional(tmp_path: Path) -> Path:
    """A file that knows no labels which it learnt from, as an imported one is."""
    return styled_file(tmp_path, names=("man", "woman"))


@pytest.mark.parametrize("verb", VERBS)
def test_what_every_verb_refuses(verb: str, conditional: Path, fails: Fails) -> None:
    out = VERBS[verb]
    assert "conditional; say which with --label: man, woman" in fails(verb, conditional, *out)
    assert "choose from man, woman" in fails(verb, conditional, *out, "--label", "dog")
    for trunc in ("nan", "inf", "-1000"):
        error = fails(verb, conditional, *out, "--label", "man", "--trunc", trunc)
        assert f"--trunc {float(trunc)}: psi is a number, usually from 0 to 1" in error
    assert [path.name for path in Path().iterdir()] == [conditional.name]


def test_scores_have_the_same_psi(conditional: Path, fails: Fails) -> None:
    data = pictures(Path("data"))
    error = fails("evaluate", conditional, "--data", data, "--trunc", "nan", "--network", "vgg-random")
    assert "--trunc nan: psi is a number" in error
