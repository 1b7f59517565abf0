"""Fixtures for all tests: nothing here reaches the network or the user's own cache."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mien.cli import main

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real pictures; tests that need it are skipped where it is absent."""
    data = SHARED / "data"
    if not data.is_dir():
        pytest.skip("no folder of real pictures beside the repository (../shared/data)")
    return data


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail with a code and one line; give the line."""

    def run(*arguments: object, code: int = 2) -> str:
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == code
        error = capsys.readouterr().err.strip()
        assert error.startswith("mien: ")
        assert "\n" not in error
        assert "Traceback" not in error
        return error

    return run
