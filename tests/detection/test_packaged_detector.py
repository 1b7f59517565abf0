"""The detector that comes with mien."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from mien.attributes.agreement import auc
from mien.cli import main
from mien.core import packaged
from mien.core.errors import InputError
from mien.core.network import load_network
from mien.core.picture import list_pictures, read_picture
from mien.detection import judge
from mien.detection.crops import all_crops
from mien.detection.scores import FALSE_ALARMS, log_odds, parts_of
from mien.faces.finder import open_finder
from mien.generation.drawing import Drawing, rgb
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


def test_it_tells_the_faces_of_the_generator_that_comes_with_it(shared_data: Path) -> None:
    finder = open_finder("haar")
    network = load_network(judge.source_of(None), KIND).network
    folder = shared_data / "expressions" / "neutral"
    photos = [read_picture(path) for path in list_pictures(folder)[:40]]
    drawn = Drawing.of(Path("packaged"), trunc=0.5, label=()).faces(range(2_000_000, 2_000_040))
    odds = []
    for pictures in (photos, [rgb(one) for one in drawn]):
        found = [faces[0] for picture in pictures if (faces := all_crops(picture, finder))]
        assert len(found) >= 30
        odds.append(log_odds(network, parts_of(network, np.stack([crop for _, crop in found]))))
    truth = np.repeat([0, 1], [len(one) for one in odds])
    assert auc(truth, np.concatenate(odds)) > 0.8
    assert (odds[0] >= network.threshold(FALSE_ALARMS)).mean() <= 2 * FALSE_ALARMS
