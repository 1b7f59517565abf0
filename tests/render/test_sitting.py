"""Sittings: one person, the same light, a neutral face first, then peaks whose units are known."""

from collections import Counter
from pathlib import Path

import numpy as np

from mien.datasets.opening import open_dataset
from mien.render.render import render
from mien.render.shot import ACTION_UNITS, sample_shot
from mien.render.sitting import peak_units, seated


def test_a_neutral_face_and_then_peaks_of_the_same_person(tmp_path: Path) -> None:
    render(tmp_path / "s.zip", count=2, size=32, seed=5, sitting=3).run()
    dataset = open_dataset(str(tmp_path / "s.zip"))
    labels = [record["labels"] for record in dataset.records]
    assert [one["role"] for one in labels] == ["neutral", "peak", "peak"] * 2
    people = [one["person"] for one in labels]
    assert people[0] == people[1] == people[2] != people[3]
    for record in dataset.records:
        units = {k: v for k, v in record["measurements"].items() if k.startswith("AU") and v}
        assert bool(units) == (record["labels"]["role"] == "peak")
        assert all(1 <= value <= 5 for value in units.values())
        assert abs(record["measurements"]["yaw"]) <= 6
        assert not record["labels"]["Eyeglasses"]
    corners = dataset.images(np.arange(6))[:, :, :4, :4].astype(float).mean((1, 2, 3))
    assert np.ptp(corners[:3]) < 4  # one wall, one light
    assert np.ptp(corners[3:]) < 4
    assert abs(corners[0] - corners[3]) > 1.5


def test_the_light_stays_and_the_head_moves() -> None:
    first, second = (seated(sample_shot(8), number) for number in (0, 1))
    other = seated(sample_shot(9), 0)
    light = ("key_yaw", "key_pitch", "key_strength", "fill", "background_colour", "exposure")
    assert all(getattr(first, name) == getattr(second, name) != getattr(other, name) for name in light)
    assert first.yaw != second.yaw
    assert first == seated(sample_shot(8), 0)


def test_every_unit_comes_often_enough_to_be_learnt() -> None:
    drawn = [dict(peak_units(person, number)) for person in range(200) for number in (1, 2, 3)]
    counts = Counter(unit for units in drawn for unit in units)
    assert all(counts[unit] > 0.08 * len(drawn) for unit in ACTION_UNITS)
    assert all(units and all(1 <= value <= 5 for value in units.values()) for units in drawn)
    assert len({tuple(units.items()) for units in drawn}) > 500
