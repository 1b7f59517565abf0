"""What is read off faces, against heads whose truth is known, and readings by name."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from latent.planted import ATTRIBUTES, Brightness
from mien.core.artefacts import artefact_path
from mien.core.checkpoint import NetworkHeader, save_generator
from mien.core.errors import InputError
from mien.core.types import Spec
from mien.faces.age_sex import AgeSexNetworks
from mien.faces.expressions import EXPRESSIONS, ExpressionNetwork
from mien.faces.finder import open_finder
from mien.latent.face_measures import SHAPES, face_shape, frontal
from mien.latent.readings import READERS, FaceReader, ModelReader, Readers, Readings, fitted, log_odds
from mien.models.attributes import PRESETS, Reader, build_product
from mien.render.shot import Shot
from rendered_heads import head, heads


@pytest.fixture(scope="module")
def reader() -> FaceReader:
    return FaceReader(("mesh", "colours"))


def _read(reader: FaceReader, picture: np.ndarray) -> dict[str, float]:
    images = torch.from_numpy(picture.transpose(2, 0, 1).copy())[None]
    return dict(zip(reader.names, reader.read(images)[0].tolist(), strict=True))


def _shot(**units: float) -> Shot:
    numbered = {int(name.removeprefix("au")): value for name, value in units.items()}
    return replace(Shot(seed=4), action_units=numbered)


@pytest.mark.slow
def test_units_move_their_measures(reader: FaceReader) -> None:
    """A smile widens the mouth and lifts its corners, a dropped jaw opens it, raised brows rise."""
    rest = _read(reader, head(4, _shot()))
    smile = _read(reader, head(4, _shot(au12=5)))
    assert smile["mouth_width"] > rest["mouth_width"] + 0.02
    assert smile["mouth_corners"] > rest["mouth_corners"]
    gaping = _read(reader, head(4, _shot(au25=4, au26=5)))
    assert gaping["mouth_open"] > rest["mouth_open"] + 0.05
    assert gaping["jaw_dropped"] > rest["jaw_dropped"]
    surprised = _read(reader, head(4, _shot(au1=5, au2=5)))
    assert surprised["brow_middle_raised"] > rest["brow_middle_raised"] + 0.01


def test_yaw_is_read_and_hardly_changes_the_shape(reader: FaceReader) -> None:
    rest = _read(reader, head(4, _shot()))
    for yaw in (-25.0, 25.0):
        turned = _read(reader, head(4, replace(_shot(), yaw=yaw)))
        assert turned["yaw"] == pytest.approx(yaw, abs=10)
        assert turned["mouth_open"] == pytest.approx(rest["mouth_open"], abs=0.08)


def test_the_frame_of_the_head_undoes_pose_and_size() -> None:
    face = open_finder("mesh").find(head(4, _shot()))[0]
    assert face.points is not None
    own = frontal(face.points)
    angle = math.radians(20)
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    moved = (face.points @ turn.T * 3 + 40).astype(np.float32)
    assert np.allclose(frontal(moved), own, atol=1e-3)
    assert np.allclose(own[33] + own[263], 0, atol=1e-5)
    assert float(own[263, 0] - own[33, 0]) == pytest.approx(1, abs=1e-5)
    assert tuple(face_shape(face.points)) == SHAPES


def test_colours_of_skin_and_hair(reader: FaceReader) -> None:
    """Lightness of what was painted: a light face and a dark one, told apart by far."""
    picture = head(4, _shot())
    light = _read(reader, picture)
    dark = _read(reader, (picture * 0.5).astype(np.uint8))
    assert dark["skin_lightness"] < light["skin_lightness"] - 15
    assert dark["hair_lightness"] < light["hair_lightness"]
    redder = picture.astype(int)
    redder[..., 0] = np.minimum(redder[..., 0] + 30, 255)
    assert _read(reader, redder.astype(np.uint8))["skin_redness"] > light["skin_redness"] + 5


def test_no_face_is_not_known(reader: FaceReader) -> None:
    images = torch.full((2, 3, 64, 64), 127, dtype=torch.uint8)
    assert np.isnan(reader.read(images)).all()


def test_readings_by_name() -> None:
    found = Readings(("a", "b", "c"), np.arange(12.0).reshape(4, 3), frozenset({"c"}))
    assert found.column("b").tolist() == [1, 4, 7, 10]
    turned = found.only(("c", "a"))
    assert turned.values[0].tolist() == [2, 0]
    assert turned.yes_no == {"c"}
    found.values[0, 0] = np.nan
    assert found.spread()[0] == pytest.approx(np.std([3, 6, 9]))
    with pytest.raises(InputError, match="nobody reads hat; there are: a, b, c"):
        found.only(("a", "hat"))


def test_the_first_reader_of_an_attribute_counts() -> None:
    two = Readers((Brightness(), Brightness(("right", "left"), -1.0)))
    assert two.names == ATTRIBUTES
    images = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    assert np.array_equal(two.read(images).values, Brightness().read(images))
    assert two.narrowed(("below",)).several == (two.several[0],)


def test_readers_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--reader hat: mesh, colours, expressions, age, sex"):
        Readers.open(["hat"])
    assert len(READERS) == 5
    both = Readers.open(["mesh", "colours"])
    assert len(both.several) == 1  # each face is found once


def test_an_attribute_model_by_the_names_of_its_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log-odds of yes-no labels and of a one-of's values, numbers as they are; pictures are made to fit."""
    names = ("Smiling", "hair=black", "hair=blond", "age:number")
    network: Reader = build_product(PRESETS["quick"], Spec(16, 3, 4, names)).eval()
    loaded = type("Loaded", (), {"network": network})()
    monkeypatch.setattr("mien.latent.readings.load_network", lambda source, kind: loaded)
    model = ModelReader(Path("x"))
    assert model.names == ("Smiling", "hair=black", "hair=blond", "age")
    images = torch.randint(0, 256, (5, 1, 32, 32), dtype=torch.uint8)
    values = model.read(images)
    with torch.no_grad():
        read = network.read(fitted(images, 3, 16).float() / 127.5 - 1).numpy()
    assert np.allclose(values[:, 3], read[:, 3], atol=1e-5)
    assert np.allclose(values[:, :3], log_odds(read[:, :3]), atol=1e-3)


@pytest.mark.skipif(
    any(artefact_path(name) is None for name in ("expressions", "age", "sex")), reason="they are not cached"
)
def test_networks_read_each_face_with_its_mirror_image() -> None:
    """Means of the two: log-odds of expressions and of sex, years of age; how far it is, is told."""
    images = torch.from_numpy(np.stack(heads(5)[0]).transpose(0, 3, 1, 2).copy())
    ticks: list[tuple[int, int]] = []
    readers = Readers.open(["expressions", "age", "sex"])
    found = readers.read(images, progress=lambda done, total: ticks.append((done, total)))
    assert ticks == [(5, 5)]
    expressions, guess = ExpressionNetwork.load(), AgeSexNetworks.load().guess
    sides = (images, images.flip(3))
    odds = np.mean([log_odds(expressions.probabilities(side)) for side in sides], axis=0)
    for index, name in enumerate(EXPRESSIONS):
        name = "smile" if name == "happy" else name
        assert np.allclose(found.column(name), odds[:, index], atol=1e-4)
    assert np.allclose(found.column("age"), np.mean([guess(side).years for side in sides], axis=0), atol=1e-3)
    female = np.mean([log_odds(guess(side).female) for side in sides], axis=0)
    assert np.allclose(found.column("female"), female, atol=1e-4)
    mirrored = readers.read(images.flip(3))
    assert np.allclose(mirrored.values, found.values, atol=1e-3), "a face and its mirror image read alike"
    assert found.spread().min() > 0, "faces differ"
    assert readers.narrowed(("age",)).names == ("age",)


def test_an_attribute_model_is_opened_by_its_file(tmp_path: Path) -> None:
    """Pictures that fit are read as they are."""
    spec, config = Spec(16, 3, 2, ("Smiling", "age:number")), PRESETS["quick"]
    torch.manual_seed(0)
    network: Reader = build_product(config, spec).eval()
    header = NetworkHeader(
        kind="attributes", family="attributes", config=config.model_dump(), spec=spec, nimg=0, tool="t"
    )
    path = tmp_path / "labels.safetensors"
    save_generator(path, network.state_dict(), header)
    images = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    found = Readers.open([str(path)]).read(images)
    with torch.no_grad():
        read = network.read(images.float() / 127.5 - 1).numpy()
    assert found.names == ("Smiling", "age")
    assert np.allclose(found.column("Smiling"), log_odds(read[:, 0]), atol=1e-3)
    assert np.allclose(found.column("age"), read[:, 1], atol=1e-4)
    assert np.array_equal(fitted(images, 3, 16), images)


def test_log_odds() -> None:
    values = log_odds(np.array([0.0, 0.5, 0.75, 1.0]))
    assert values[1:3] == pytest.approx([0, math.log(3)])
    assert values[[0, 3]] == pytest.approx([-6.9068, 6.9068], abs=1e-4)
