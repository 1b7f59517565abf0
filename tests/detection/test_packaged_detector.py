"""The detector that comes with mien."""

import hashlib
from pathlib import Path

import pytest

from mien.cli import main
from mien.core import packaged
from mien.core.errors import InputError
from mien.core.network import load_network
from mien.detection import judge
from mien.models.detector import KIND


def test_it_is_small_says_what_it_is_and_can_be_loaded() -> None:
    path = packaged.folder() / judge.NAME
    if not path.is_file():
        pytest.skip("no detector is packaged here")
    assert path.stat().st_size < 2_000_000
    network = load_network(path, KIND).network
    assert network.threshold(0.05) > network.threshold(0.2)
    card = path.with_suffix(".md").read_text("utf-8")
    assert hashlib.sha256(path.read_bytes()).hexdigest() in card
    assert "Trained on" in card
    assert "Limits" in card


def test_it_is_no_generator() -> None:
    assert all("detector" not in name for name in packaged.names())


def test_where_there_is_none_that_is_said(assets: Path) -> None:
    with pytest.raises(InputError, match="mien detector train"):
        judge.source_of(None)
    assert main(["detect", str(assets.parent)]) == 2
