"""Directions are what was planted: by name, with the right sign, and one unit is a standard deviation."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from latent.planted import ATTRIBUTES, DIM, LAYERS, Brightness, Flat, Planted, axes, drawing, even
from mien.core import artefacts
from mien.core.errors import InputError, MienError
from mien.core.events import Event, Events, Notice
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.directions import learn as module
from mien.latent.directions.direction import Directions
from mien.latent.directions.effects import (
    ENOUGH,
    Bench,
    Candidate,
    best_range,
    cancelling,
    conditional,
    expected_steps,
    lengths_in,
    merit,
)
from mien.latent.directions.fit import Parts, TooFew, extremes, fit, wilson
from mien.latent.directions.reach import quality_of
from mien.latent.readings import Readers

Run = Any


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Learn on a planted generator with given readers; gives the directions and what was said."""

    def run(network: Any, readers: Readers | None = None, **options: Any) -> tuple[Directions, list[str]]:
        planted = drawing(network)
        monkeypatch.setattr(Drawing, "of", classmethod(lambda cls, *a, **k: planted))
        monkeypatch.setattr(module, "quality_of", lambda *where: "nobody looked")
        if readers is not None:
            monkeypatch.setattr(Readers, "open", classmethod(lambda cls, names: readers))
        said: list[Event] = []
        options = {"samples": 600, "out": tmp_path / "d.safetensors"} | options
        found = module.learn(None, **options).run(said.append)
        return found, [event.text for event in said if isinstance(event, Notice)]

    return run


def _effect(found: Directions, name: str, network: Any) -> np.ndarray:
    """What one unit adds to each of ATTRIBUTES, in standard deviations, on fresh latents."""
    planted = drawing(network)
    codes = Codes.of_seeds(planted, range(5000, 5200))
    reader = Readers((Brightness(),))
    spread = reader.read(codes.draw(planted)).spread()
    bench = Bench(planted, codes, reader.read, spread)
    return bench.effects(found[name].step[None]).mean[0]


def test_each_direction_moves_its_own_attribute_and_no_other(learned: Run) -> None:
    found, _ = learned(Planted(even()), Readers((Brightness(),)))
    assert found.names == ATTRIBUTES
    for own, name in enumerate(ATTRIBUTES):
        effect = _effect(found, name, Planted(even()))
        assert effect[own] == pytest.approx(1, abs=0.15)
        assert np.abs(np.delete(effect, own)).max() < 0.15
        assert found[name].about.selectivity is not None
        assert found[name].about.selectivity > 5
        accuracy = found[name].about.accuracy
        assert accuracy is not None
        assert accuracy.value >= 0.95
        assert accuracy.low < accuracy.value <= accuracy.high <= 1


def test_columns_are_taken_by_name_never_by_place(learned: Run) -> None:
    """Defect 13: an attribute trained on another's column."""
    turned = Readers((Brightness(tuple(reversed(ATTRIBUTES))),))
    found, _ = learned(Planted(even()), turned, attributes="below,left")
    assert found.names == ("below", "left")
    assert _effect(found, "below", Planted(even())).argmax() == 2
    assert _effect(found, "left", Planted(even())).argmax() == 0


def test_others_are_held_still_though_they_are_not_learnt(
    learned: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """left and right share a part of their way: learnt alone, left moves right, too."""
    readers = Readers((Brightness(),))
    free, said = learned(Planted(even()), readers, attributes="left", hold="none")
    assert free.names == ("left",)
    assert _effect(free, "left", Planted(even()))[1] > 0.4
    assert not any("held still" in line for line in said)
    held, said = learned(Planted(even()), readers, attributes="left", hold="right")
    assert held.names == ("left",)
    assert held["left"].about.held == ("right",)
    assert abs(_effect(held, "left", Planted(even()))[1]) < 0.15
    assert "held still: right (--hold says which)" in said
    monkeypatch.setattr(module, "HELD", ("below", "right", "beard"))
    monkeypatch.setattr(module, "_SAME", 0.9)
    usual, said = learned(Planted(even()), readers, attributes="left")
    assert usual["left"].about.held == ("below", "right")
    assert "held still: below, right (--hold says which)" in said
    monkeypatch.setattr(module, "_SAME", 0.3)
    usual, said = learned(Planted(even()), readers, attributes="left")
    assert usual["left"].about.held == ("below",)
    assert any("right goes with left (r 0." in line for line in said)
    with pytest.raises(InputError, match="nobody reads beard"):
        learned(Planted(even()), readers, attributes="left", hold="beard")


def test_how_far_they_go_is_in_the_file(
    learned: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found, said = learned(Planted(even()), Readers((Brightness(),)), attributes="left")
    assert found["left"].about.reach is None
    assert "how far they go is not known: nobody looked" in said

    class Looks:
        def reach(self, step: torch.Tensor) -> tuple[float, float]:
            return -1.0, float((step[0] @ axes()[0]).sign()) * 3

    run = module._reaching
    monkeypatch.setattr(module, "quality_of", lambda *where: Looks())
    reaching = run(found.several, drawing(Planted(even())), Events())
    Directions(reaching, "w").save(tmp_path / "r.safetensors")
    assert Directions.read(tmp_path / "r.safetensors")["left"].about.reach == (-1, 3)


def test_the_sign_is_the_attributes_own(learned: Run) -> None:
    """Defect 14: a slider with its sign reversed."""
    for sign in (1.0, -1.0):
        found, _ = learned(Planted(even()), Readers((Brightness(sign=sign),)), attributes="left,below")
        for own, name in ((0, "left"), (2, "below")):
            assert np.sign(_effect(found, name, Planted(even()))[own]) == sign
            assert found[name].about.effects[name] > 0


def test_in_z_too(learned: Run) -> None:
    found, _ = learned(Flat(), Readers((Brightness(),)))
    assert found.space == "z"
    assert found["below"].vector.shape == (DIM,)
    assert float(found["below"].vector @ axes()[2]) > 0.97
    assert found["below"].about.layers == ()


def test_layers_part_what_no_projection_can(learned: Run) -> None:
    """Two attributes go along one direction of w, and different layers draw them."""
    shares = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1.0], [0, 1.0, 0, 0]])
    network = Planted(shares, one_axis=True)
    found, _ = learned(network, Readers((Brightness(),)))
    for own, name in enumerate(("left", "right")):
        step = found[name].step
        mine, others = ((0, 3), (3, 0))[own]
        assert step[mine].norm() > 3 * step[others].norm()
        effect = _effect(found, name, network)
        assert effect[own] == pytest.approx(1, abs=0.2)
        assert effect[own] > 5 * np.abs(np.delete(effect, own)).max()


def test_what_moves_nothing_is_left_out_and_named(learned: Run) -> None:
    class Dead(Brightness):
        names = (*ATTRIBUTES, "noise")

        def __init__(self) -> None:
            super().__init__()
            self.names = (*ATTRIBUTES, "noise", "same")

        def read(self, images: torch.Tensor) -> np.ndarray:
            self.names, mine = ATTRIBUTES, self.names
            values = super().read(images)
            self.names = mine
            noise = np.random.default_rng(int(images.long().sum()) % 997).normal(size=(len(images), 1))
            return np.concatenate([values, noise, np.ones_like(noise)], 1)

    found, said = learned(Planted(even()), Readers((Dead(),)))
    assert found.names == ATTRIBUTES
    assert any("noise does not move its own attribute" in line for line in said)
    assert any("same: 0 samples at either end" in line for line in said)


def test_labels_of_a_file_by_seed(learned: Run, tmp_path: Path) -> None:
    """Yes and no for generated faces, some of them unknown, with a row that names no face."""
    seeds = range(400)
    planted = drawing(Planted(even()))
    along = Codes.of_seeds(planted, seeds).values[:, 0] @ axes()[0]
    path = tmp_path / "labels.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "Lit", "Rare"])
        for seed in seeds:
            lit = "" if seed % 10 == 3 else "yes" if along[seed] > 0 else "no"
            writer.writerow([f"out/seed{seed:04d}.png", lit, "yes" if seed < 6 else "no"])
        writer.writerow(["holiday.jpg", "yes", "no"])
    found, said = learned(Planted(even()), reader=(str(path),))
    assert found.names == ("Lit",)
    cosine = found["Lit"].vector[0] / found["Lit"].vector[0].norm() @ axes()[0]
    assert cosine > 0.85
    assert found["Lit"].about.accuracy is not None
    assert found["Lit"].about.accuracy.value > 0.85
    assert any("'holiday.jpg'" in line for line in said)
    assert any("Rare: " in line and "at least 20 are needed" in line for line in said)


def test_labels_that_name_no_face_or_say_nothing_are_named(learned: Run, tmp_path: Path) -> None:
    """By chance alone: the attribute is left out aloud; where that leaves none, nothing is written."""
    path = tmp_path / "labels.csv"
    path.write_text("file,Lit\nholiday.jpg,yes\nparty.jpg,no\n")
    with pytest.raises(InputError, match=r"labels\.csv: none of its rows names a generated face"):
        learned(Planted(even()), reader=(str(path),))
    rows = [f"seed{seed:04d}.png,{'yes' if seed * 7 % 11 < 5 else 'no'}" for seed in range(300)]
    path.write_text("\n".join(["file,Lit", *rows]))
    said: list[str] = []
    with pytest.raises(InputError, match="no attribute could be learnt"):
        said += learned(Planted(even()), reader=(str(path),))[1]
    assert not (tmp_path / "d.safetensors").exists()


def test_without_the_mesh_it_is_said_why_reach_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str, *, announce: object) -> None:
        raise MienError(f"artefact {name} cannot be had")

    monkeypatch.setattr(artefacts, "obtain", offline)
    assert quality_of(drawing(Planted(even())), 0, 4) == "artefact face-finder cannot be had"


class _Unasked(Brightness):
    def read(self, images: torch.Tensor) -> np.ndarray:
        raise AssertionError("read before the names were checked")


def test_an_unknown_attribute_costs_no_reading_and_few_samples_are_refused(learned: Run) -> None:
    with pytest.raises(InputError, match="nobody reads beard; there are: left, right, below"):
        learned(Planted(even()), Readers((_Unasked(),)), attributes="beard,left")
    with pytest.raises(InputError, match="--samples 7"):
        learned(Planted(even()), Readers((Brightness(),)), samples=7)


def test_sides_are_balanced_and_disjoint() -> None:
    values = np.r_[np.zeros(90), np.ones(30)]
    low, high = extremes(values, np.arange(120), "x", yes_no=True, rng=np.random.default_rng(0))
    assert len(low) == len(high) == 30
    assert (values[low] == 0).all()
    assert (values[high] == 1).all()
    numbers = np.random.default_rng(1).normal(size=10_000)
    low, high = extremes(numbers, np.arange(10_000), "x", yes_no=False, rng=np.random.default_rng(0))
    assert len(low) == len(high) == 200  # two per cent
    assert (
        numbers[low].max() <= np.quantile(numbers, 0.02) < np.quantile(numbers, 0.98) <= numbers[high].min()
    )
    with pytest.raises(TooFew, match="flat: 0 samples"):
        extremes(np.ones(1000), np.arange(1000), "flat", yes_no=False, rng=np.random.default_rng(0))


def test_a_mouth_may_open_while_a_smile_is_learnt() -> None:
    readable = ("age", "smile", "mouth_open")
    assert module._held(None, ["smile"], readable) == ("age",)
    assert module._held(None, ["age"], readable) == ("smile", "mouth_open")
    assert module._held("mouth_open", ["smile"], readable) == ("mouth_open",)


def test_held_out_samples_are_held_out() -> None:
    """Pure chance stays chance, however many dimensions there are to fit."""
    rng = np.random.default_rng(0)
    features, values = rng.normal(size=(1000, 400)), rng.normal(size=1000)
    parts = Parts.of(1000)
    assert sorted(np.concatenate([parts.train, parts.choose, parts.held_out])) == list(range(1000))
    accuracy = fit(features, values, "noise", parts, yes_no=False).accuracy
    assert accuracy.low < 0.5 < accuracy.high


def test_wilson() -> None:
    """Values of Newcombe 1998, table I: 81 of 263, and 0 of 20."""
    one = wilson(81, 263)
    assert (round(one.low, 4), round(one.high, 4)) == (0.2553, 0.3662)
    none = wilson(0, 20)
    assert (none.low, round(none.high, 4)) == (0.0, 0.1611)


def test_conditional_projection_is_at_right_angles() -> None:
    steps = torch.randn(4, 3, 10, generator=torch.Generator().manual_seed(0))
    left = conditional(steps, 1)
    for other in (0, 2, 3):
        assert torch.allclose((left * steps[other]).sum(1), torch.zeros(3), atol=1e-5)
    assert torch.allclose(conditional(steps[:1], 0), steps[0])


def test_what_is_expected_of_an_attribute_alone() -> None:
    """Two attributes go together in the samples, and the latents follow each along an axis of its own."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=2000)
    both = np.stack([first, 0.8 * first + 0.6 * rng.normal(size=2000)], axis=1)
    there = both @ np.array([[2.0, 0, 0], [0, 1.0, 0]]) + 0.1 * rng.normal(size=(2000, 3))
    latents = torch.from_numpy(there).float()[:, None].expand(-1, 4, -1)
    steps = expected_steps(latents, both)
    assert steps is not None
    expected = torch.tensor([[2.0, 0, 0], [0, 1.0, 0]])[:, None].expand(-1, 4, -1)
    assert torch.allclose(steps, expected, atol=0.06)
    both[25:] = np.nan
    assert expected_steps(latents, both) is None


def test_a_step_is_long_where_latents_hardly_vary() -> None:
    latents = torch.randn(4000, 1, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [4.0, 2.0, 1.0]
    )
    length = lengths_in(latents.expand(-1, 5, -1), [range(5)])
    along = [float(length(step.expand(5, 3))) for step in torch.eye(3)]
    assert along == pytest.approx([1 / 4, 1 / 2, 1], rel=0.2)
    one_row = torch.zeros(5, 3)
    one_row[2] = torch.tensor([4.0, 0, 0])
    assert length(one_row) == pytest.approx(5**-0.5, rel=0.1)
    flat = lengths_in(latents[:, 0], [(0,)])
    assert flat(torch.tensor([4.0, 0, 0])) == pytest.approx(1, rel=0.1)
    assert merit(3.0, 1.0) > merit(5.0, 4.0), "more selective, and far from where latents lie"
    assert merit(20.0, 1.0) == merit(ENOUGH, 1.0) > merit(20.0, 1.1)


def test_ranges_and_combinations_of_measured_effects() -> None:
    by_block = np.array([[0.1, 0.8], [0.9, 0.05], [0.8, 0.1], [0.05, 0.7]])
    assert best_range(by_block, 0) in (range(1, 2), range(1, 3))
    assert best_range(np.array([[1.0, 0.0]]), 0) is None
    effects = np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])
    weights = cancelling(effects, 0, 0.0)
    made = weights @ effects
    assert made[0] > 0.7
    assert abs(made[1]) < 0.12
    assert made[2] == pytest.approx(0)
    assert LAYERS == 4


def test_what_was_corrected_is_corrected_again_on_other_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    """From where the first correction left it; what a correction does not help stays as it was."""
    calls: list[tuple[str, str, float]] = []

    def correct(
        steps: torch.Tensor, measure: str, check: str, owns: list[int], length: object
    ) -> list[tuple[torch.Tensor, float] | None]:
        calls.append((measure, check, float(steps[0, 0])))
        return [(steps[0] * 2, float(len(calls))), None]

    monkeypatch.setattr(module, "refined", correct)
    lesson = module.Lesson(*[None] * 4)  # type: ignore[arg-type]
    best = {at: (Candidate(torch.ones(3), "plain"), {"plain": 0.5}) for at in (0, 1)}
    benches: Any = (("first", "its check"), ("second", "its own check"))
    kept, compared = lesson._refined(best, torch.ones(1, 3), benches, ["one", "two", "held"], float)  # type: ignore[arg-type]
    assert calls == [("first", "its check", 1.0), ("second", "its own check", 2.0)]
    assert torch.equal(kept[0].step, torch.full((3,), 4.0))
    assert [one.how for one in kept.values()] == ["plain and refined", "plain"]
    assert compared == [("one", {"plain": 0.5, "refined": 2.0}), ("two", {"plain": 0.5})]
