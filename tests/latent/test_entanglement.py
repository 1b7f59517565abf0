"""The entanglement table: effects that are known, reach, the page."""

from pathlib import Path

import numpy as np
import pytest
import torch

from latent.planted import ATTRIBUTES, Brightness, Planted, axes, drawing, even
from mien.core.errors import InputError
from mien.core.events import Events
from mien.generation.drawing import Drawing
from mien.latent.directions import entanglement as module
from mien.latent.directions import reach as reaching
from mien.latent.directions.direction import Direction, Directions
from mien.latent.directions.entanglement import Entanglement, Far, Looks, reach, varied
from mien.latent.directions.reach import AMOUNTS, blurred
from mien.latent.readings import Readers, Readings


class _Mean:
    """A feature network, identity network and finder in one: means of the picture's quarters."""

    def features(self, images: torch.Tensor) -> np.ndarray:
        return Brightness().read(images).astype(np.float32) / 64

    def find(self, pixels: np.ndarray, *, most: int = 8) -> list[int]:
        return [1] if pixels[:4, :4].mean() < 210 else []


@pytest.fixture
def simple(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "open_finder", lambda name: _Mean())
    monkeypatch.setattr(reaching, "MeshFeatures", _Mean)
    monkeypatch.setattr(module.IdentityNetwork, "load", staticmethod(_Mean))
    monkeypatch.setattr(module.artefacts, "obtain", lambda name, announce: None)


def _directions() -> list[Direction]:
    """The planted axes of left and below, and the opposite of the latter by another name."""
    left, _, below = axes()
    steps = {"left": left, "below": below, "above": -below}
    return [Direction.of(step.expand(4, -1).clone(), name) for name, step in steps.items()]


@pytest.mark.usefixtures("simple")
def test_effects_are_those_that_were_planted() -> None:
    looks = Looks(drawing(Planted(even())), 64, Readers((Brightness(),)))
    table = looks.table(_directions(), Events())
    assert table.attributes == ATTRIBUTES
    left, below, above = table.rows
    # The axes of left and right have a cosine of .6; latents are standard normal, so a unit is a deviation.
    assert left.effects["left"] == pytest.approx(1, abs=0.15)
    assert left.effects["right"] == pytest.approx(0.6, abs=0.12)
    assert left.effects["below"] == pytest.approx(0, abs=0.02)
    assert below.effects["below"] == pytest.approx(1, abs=0.15)
    assert above.effects["below"] == pytest.approx(-below.effects["below"], abs=1e-6)
    assert left.selectivity == pytest.approx(left.effects["left"] / left.effects["right"], rel=1e-3)
    assert above.selectivity is None
    assert all(error is not None and error < 0.05 for error in left.errors.values())
    assert len(left.far) == 2 * len(AMOUNTS)
    drifts = {one.amount: one.drift for one in below.far}
    assert drifts[1.0] < drifts[2.0] < drifts[3.0]
    assert below.drift == pytest.approx((drifts[1.0] + drifts[-1.0]) / 2)


class _Sex:
    """Women are bright on the left."""

    names = ("female",)

    def read(self, images: torch.Tensor) -> np.ndarray:
        return Brightness().read(images)[:, :1] - 128


@pytest.mark.usefixtures("simple")
def test_who_looks_the_other_sex_is_counted() -> None:
    looks = Looks(drawing(Planted(even())), 64, Readers((Brightness(), _Sex())))
    left, below, _ = looks.table(_directions(), Events()).rows
    shares = {one.amount: one.other_sex for one in left.far}
    for amount in (-2.0, 1.0):
        moved = looks._quality.moved(amount * _directions()[0].step)
        both = [_Sex().read(images)[:, 0] > 0 for images in (looks._quality.images, moved)]
        assert shares[amount] == pytest.approx(np.mean(both[0] != both[1]))
    assert 0.2 < shares[1.0] < shares[2.0]  # a deviation turns a third of a normal distribution's one half
    assert {one.other_sex for one in below.far} == {0.0}
    assert below.other_sex == "0%, 0%"
    without = Looks(drawing(Planted(even())), 16, Readers((Brightness(),))).table(_directions()[:1], Events())
    assert without.rows[0].other_sex == "-, -"


@pytest.mark.usefixtures("simple")
def test_faces_that_vanish_end_the_reach() -> None:
    looks = Looks(drawing(Planted(even())), 64, Readers((Brightness(),)))
    left = looks.table(_directions()[:1], Events()).rows[0]
    found = {one.amount: one.found for one in left.far}
    assert looks.found == 1
    assert found[5.0] < 0.9 <= found[-5.0]
    assert all(not one.good for one in left.far if one.found < 0.9)
    _low, high = left.reach
    assert high < 5
    quality = reaching.Quality(drawing(Planted(even())), module._FIRST_SEED, 64)
    assert quality.reach(_directions()[0].step) == left.reach, (
        "with fewer looks, for it ends at the first break"
    )


@pytest.mark.usefixtures("simple")
def test_where_no_faces_are_drawn_no_reach_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Mean, "find", lambda self, pixels, *, most=8: [])
    assert reaching.quality_of(drawing(Planted(even())), 0, 8) == "a face is found in 0% of its images"


def _far(amount: float, good: bool) -> Far:
    return Far(amount=amount, found=1, distance=0, drift=0, good=good)


def test_reach_ends_at_the_first_amount_that_is_not_good() -> None:
    far = [_far(1, True), _far(2, True), _far(3, False), _far(4, True), _far(-1, False), _far(-2, True)]
    assert reach(far, 1) == 2
    assert reach(far, -1) == 0
    assert reach(far[:2], 1) == 2


def test_what_hardly_varies_is_left_out() -> None:
    values = np.random.default_rng(0).normal(size=(50, 3))
    values[:, 1] = -6.9
    values[0, 1] = -6.8  # one image in fifty: its standard deviation would make giants of all effects
    values[:, 2] = np.nan
    assert varied(Readings(("a", "b", "c"), values)) == ("a",)


def test_blur() -> None:
    flat = torch.full((1, 3, 16, 16), 77, dtype=torch.uint8)
    assert torch.equal(blurred(flat, 1.0), flat)
    dot = torch.zeros(1, 1, 33, 33, dtype=torch.uint8)
    dot[0, 0, 16, 16] = 255
    out = blurred(dot, 2.0)[0, 0].float()
    assert float(out[16, 16]) == pytest.approx(255 / (2 * np.pi * 4), abs=1)
    assert torch.equal(out, out.T)


@pytest.mark.usefixtures("simple")
def test_page_and_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    planted = drawing(Planted(even()))
    monkeypatch.setattr(Drawing, "of", classmethod(lambda cls, *a, **k: planted))
    monkeypatch.setattr(Readers, "open", classmethod(lambda cls, names: Readers((Brightness(),))))
    path = tmp_path / "d.safetensors"
    Directions(tuple(_directions()), "w", "planted-0").save(path)
    options = {"directions": path, "out": tmp_path / "out", "faces": 16}
    table = module.measure(None, only="left,above", **options).run()
    assert [row.name for row in table.rows] == ["left", "above"]
    back = Entanglement.model_validate_json((tmp_path / "out" / "entanglement.json").read_text())
    assert back == table
    page = (tmp_path / "out" / "entanglement.html").read_text()
    assert page.count("data:image/webp") == 2
    assert "<script" not in page
    reached = {one.name: one.about.reach for one in Directions.read(path)}
    assert reached == {"left": table.rows[0].reach, "below": None, "above": table.rows[1].reach}
    with pytest.raises(InputError, match="no direction 'hat'"):
        module.measure(None, only="hat", **options).run()
    with pytest.raises(InputError, match="--faces 3"):
        module.measure(None, **(options | {"faces": 3})).run()
