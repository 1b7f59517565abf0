"""Rendered datasets: readable, reproducible, in pairs, and eyes."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.core.errors import InputError
from mien.core.packed import PackReader
from mien.core.provenance import SourceType, verify
from mien.render.labels import ATTRIBUTES
from mien.render.people import render_eye
from mien.render.person import Person
from mien.render.render import render
from mien.render.shot import Shot


def _picture(reader: PackReader, index: int) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(reader.read(index)), formats=["PNG"]))


def test_dataset_is_readable_and_the_same_twice(tmp_path: Path) -> None:
    first, second = tmp_path / "a.zip", tmp_path / "b.zip"
    for out in (first, second):
        render(out, count=2, size=32, seed=4).run()
    assert first.read_bytes() == second.read_bytes()
    reader = PackReader(first)
    assert reader.names == ["00000/img00000000.png", "00000/img00000001.png"]
    assert tuple(reader.class_names) == ATTRIBUTES
    assert reader.labels is not None
    for index, record in enumerate(reader.records):
        assert _picture(reader, index).shape == (32, 32, 3)
        told = record["labels"]
        assert list(reader.labels[index]) == [float(told[name]) for name in ATTRIBUTES]
        assert "AU12" in record["measurements"]
        assert "nose_tip" in record["landmarks"]


def test_pictures_say_what_they_are(tmp_path: Path) -> None:
    render(tmp_path / "a.zip", count=1, size=16, seed=4).run()
    picture = tmp_path / "one.png"
    picture.write_bytes(PackReader(tmp_path / "a.zip").read(0))
    mark = verify(picture)
    assert mark is not None
    assert mark.source_type == SourceType.ALGORITHMIC


def test_front_profile_pairs(tmp_path: Path) -> None:
    render(tmp_path / "p.zip", count=2, size=16, seed=1, pairs="front-profile").run()
    records = PackReader(tmp_path / "p.zip").records
    assert [r["labels"]["role"] for r in records] == ["front", "profile"] * 2
    people = [r["labels"]["person"] for r in records]
    assert people[0] == people[1] != people[2] == people[3]
    assert [r["measurements"]["yaw"] for r in records] == [0.0, 90.0] * 2
    assert [r["labels"]["pair"] for r in records] == people


def test_neutral_smile_pairs(tmp_path: Path) -> None:
    render(tmp_path / "p.zip", count=1, size=32, seed=1, pairs="neutral-smile").run()
    reader = PackReader(tmp_path / "p.zip")
    assert [r["labels"]["Smiling"] for r in reader.records] == [False, True]
    changed = np.abs(_picture(reader, 0).astype(int) - _picture(reader, 1)).max(axis=2) > 8
    assert 0.01 < changed.mean() < 0.5
    assert changed[:12].mean() < changed[16:28].mean()  # the mouth, not the hair


def test_eyes_are_cut_out_and_gaze_is_labelled(tmp_path: Path, person: Person, plain: Shot) -> None:
    render(tmp_path / "e.zip", count=1, size=32, seed=2, eyes=True).run()
    reader = PackReader(tmp_path / "e.zip")
    assert [r["labels"]["eye"] for r in reader.records] == ["left", "right"]
    assert all({"gaze_yaw", "gaze_pitch"} <= set(r["measurements"]) for r in reader.records)
    _, labels = render_eye(person, plain, "left", size=32)
    inner, outer = (labels["landmarks"][f"eye_left_{n}"] for n in ("inner", "outer"))
    assert inner[0] - outer[0] == pytest.approx(32 / 2, abs=5)
    assert labels["landmarks"]["pupil_left"] == pytest.approx([16, 16], abs=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"count": 0}, "at least 1"),
        ({"name": "x"}, "ending in .zip"),
        ({"size": 33}, "multiple of 8"),
        ({"pairs": "twins"}, "front-profile"),
        ({"pairs": "front-profile", "eyes": True}, "not two"),
        ({"sitting": 3, "eyes": True}, "not two"),
        ({"sitting": 1}, "2 to 1000 pictures of each person"),
    ],
)
def test_bad_requests_leave_nothing(tmp_path: Path, options: dict[str, object], words: str) -> None:
    wanted: dict[str, object] = {"count": 1, "size": 32, "seed": 0, **options}
    name = str(wanted.pop("name", "x.zip"))
    with pytest.raises(InputError, match=words):
        render(tmp_path / name, **wanted).run()  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
