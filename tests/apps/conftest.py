"""A real headless browser for the pages, and an empty folder for packaged models."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mien.core import packaged


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; tests skip where it is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as driver:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        opened = driver.chromium.launch(executable_path=program, args=options)
        yield opened
        opened.close()


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where packaged models are looked for, a folder still to be made; the test runs beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(packaged, "folder", lambda: tmp_path / "assets")
    return tmp_path / "assets"
