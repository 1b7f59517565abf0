"""What published networks read off faces lands in the manifest, once, with who said it."""

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from mien.attributes import annotate as app
from mien.attributes.predictions import BY
from mien.cli import main
from mien.core import artefacts
from mien.core.packed import PackReader, PackWriter, encode_png

COUNT = 5


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    rng = np.random.RandomState(0)
    with PackWriter(tmp_path / "faces.zip") as pack:
        for index in range(COUNT):
            picture = rng.randint(0, 256, (8, 8, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
            pack.add_png(encode_png(picture), None, {"labels": {"number": index}})
    return tmp_path / "faces.zip"


@pytest.fixture(params=get_args(app.Reading))
def reading(request: pytest.FixtureRequest) -> app.Reading:
    if any(artefacts.artefact_path(name) is None for name in app.NEEDS[request.param]):
        pytest.skip("the artefacts are not cached")
    found: app.Reading = request.param
    return found


def test_every_picture_is_read_once_and_says_by_what(dataset: Path, reading: app.Reading) -> None:
    assert app.read_faces(dataset, [reading]) == (COUNT, COUNT)
    label = app.LABEL[reading]
    for record in PackReader(dataset).records:
        predictions = record["predictions"]
        (model,) = predictions[BY]
        assert model.startswith(f"{reading}-")
        assert artefacts.artefact_sha256(reading).startswith(model.removeprefix(f"{reading}-"))
        if reading == "age":
            assert 0 <= predictions["age"] <= 80
            continue
        each = {key: value for key, value in predictions.items() if key.startswith(f"{label}=")}
        assert sum(each.values()) == pytest.approx(1, abs=1e-3)
        assert max(each, key=lambda key: each[key]) == f"{label}={predictions[label]}"
    assert app.read_faces(dataset, [reading]) == (0, COUNT)
    assert app.read_faces(dataset, [reading], again=True) == (COUNT, COUNT)


def test_the_limits_are_printed_and_age_is_no_filter_for_minors(
    dataset: Path, reading: app.Reading, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["annotate", str(dataset), "--read", reading]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert app.LIMITS[reading].split(";")[0] in printed
    if reading == "age":
        assert "Never a filter for minors" in printed


def test_a_second_reading_leaves_the_first(dataset: Path) -> None:
    if any(artefacts.artefact_path(name) is None for name in ("age", "sex")):
        pytest.skip("the artefacts are not cached")
    app.read_faces(dataset, ["sex", "age"])
    (predictions, *_) = [record["predictions"] for record in PackReader(dataset).records]
    assert sorted(label for labels in predictions[BY].values() for label in labels) == ["age", "sex"]
    assert {"age", "sex", "sex=female"} <= set(predictions)
    assert json.dumps(predictions)


def test_nothing_asked_for_is_refused_in_a_line(dataset: Path, fails) -> None:
    assert "--read age|sex|expressions" in fails("annotate", dataset)
