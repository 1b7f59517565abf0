"""Faces read against their person's neutral one, and latents that a generator's encoder finds."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from latent.projecting import generator_file, without_artefacts
from mien.core.errors import InputError
from mien.core.events import Notice
from mien.core.network import load_network
from mien.core.types import Spec
from mien.core.views import Indexed
from mien.datasets.opening import open_dataset
from mien.latent.projection.encoder import encoder, open_encoder
from mien.latent.units import gathered, units
from mien.latent.units.model import UnitReader
from mien.latent.units.neutral import against, neutral_rows
from miniatures_ckplus import write_ckplus


class _Sittings(Indexed):
    """Gray pictures of 16 px: each person has a shade of their own, at peaks the middle may be brighter."""

    def __init__(self, people: int = 16, pictures: int = 7, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        count = people * pictures
        self.name, self.content_hash, self.labels = "made", "0" * 64, None
        self.spec = Spec(16, 3)
        peak, who = np.arange(count) % pictures > 0, np.arange(count) // pictures
        self.smiles = (rng.random(count) < 0.4) & peak
        self._images = rng.integers(60, 160, (people, 3, 16, 16), dtype=np.uint8)[who]
        self._images[:, :, 6:10, 6:10] += (8 * self.smiles).astype(np.uint8)[:, None, None, None]
        self._images += rng.integers(0, 4, self._images.shape, dtype=np.uint8)
        self.records: list[dict[str, Any]] = [
            {
                "file": f"{index:03d}.png",
                "labels": {
                    "person": f"P{who[index]:02d}",
                    "role": "peak" if peak[index] else "neutral",
                    "action_units": {"AU12": 4 * int(self.smiles[index])},
                },
            }
            for index in range(count)
        ]

    def __len__(self) -> int:
        return len(self._images)

    def images(self, indexes: np.ndarray) -> np.ndarray:
        return self._images[indexes]


@pytest.fixture
def faces(monkeypatch: pytest.MonkeyPatch) -> _Sittings:
    made = _Sittings()
    monkeypatch.setattr(gathered, "open_dataset", lambda source, progress=None: made)
    without_artefacts(monkeypatch)
    return made


def test_the_neutral_picture_of_the_film_before_that_of_the_person() -> None:
    made = _Sittings(people=2, pictures=3)
    assert neutral_rows(made) == [[], [0], [0], [], [3], [3]]
    made.records[1]["labels"]["group"] = made.records[3]["labels"]["group"] = "a film"
    made.records[5]["labels"]["person"] = "somebody else"
    assert neutral_rows(made) == [[], [3], [0], [], [3], []]
    values = np.arange(12.0).reshape(6, 2)
    values[0] = np.nan
    expected = [[np.nan] * 2, [-4, -4], [np.nan] * 2, [np.nan] * 2, [2, 2], [np.nan] * 2]
    assert np.array_equal(against(values, neutral_rows(made)), expected, equal_nan=True)


def test_what_the_person_hides_is_read_against_their_neutral_face(faces: _Sittings, tmp_path: Path) -> None:
    said: list[object] = []
    arguments: dict[str, Any] = {"features": ("pixels",)}
    (read,) = units.evaluate("made", out=tmp_path / "a", **arguments).run(said.append)
    assert any(isinstance(e, Notice) and "against each person's neutral one" in e.text for e in said)
    assert (read.neutral, read.pictures, read.people) == (True, 96, 16)
    assert read.units[0].reading.f1 is not None
    assert read.units[0].reading.f1.value > 0.95
    assert read.units[0].guess == pytest.approx(faces.smiles.sum() / 96)
    assert "read against the neutral face" in (tmp_path / "a" / "units.html").read_text()
    (alone,) = units.evaluate("made", out=tmp_path / "b", neutral="ignore", **arguments).run()
    assert (alone.neutral, alone.pictures) == (False, 112)
    assert alone.units[0].reading.f1 is not None
    assert alone.units[0].reading.f1.value < 0.8


def test_a_model_of_differences_wants_neutral_faces(faces: _Sittings, tmp_path: Path) -> None:
    model, out = tmp_path / "m.safetensors", tmp_path / "said.csv"
    units.train("made", out=model, features="pixels").run()
    assert UnitReader.load(model).neutral
    assert units.predict(model, "made", out=out).run() == 96
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["AU12"] == "" for row in rows] == [index % 7 == 0 for index in range(112)]
    said = np.array([row["AU12"] == "1" for row in rows])
    assert (said == faces.smiles).mean() > 0.95
    np.savez(tmp_path / "w.npz", w=np.zeros((3, 2, 4), np.float32))
    with pytest.raises(InputError, match="reads faces against each person's neutral one"):
        units.predict(model, str(tmp_path / "w.npz"), out=out).run()
    for record in faces.records:
        record["labels"]["role"] = "peak"
    with pytest.raises(InputError, match='no picture whose person has another with "role": "neutral"'):
        units.predict(model, "made", out=out).run()
    again = units.evaluate("made", out=tmp_path / "c", features=("pixels",)).run()
    assert not again[0].neutral


def test_few_neutral_faces_are_not_used_unasked(faces: _Sittings, tmp_path: Path) -> None:
    for record in faces.records[28:]:
        record["labels"]["role"] = "peak"
    arguments: dict[str, Any] = {"out": tmp_path, "features": ("pixels",), "support": 5}
    assert not units.evaluate("made", **arguments).run()[0].neutral
    assert units.evaluate("made", neutral="use", **arguments).run()[0].pictures == 24


def test_latents_are_found_by_the_encoder(faces: _Sittings, tmp_path: Path) -> None:
    model = generator_file(tmp_path, "lite")
    path = encoder(model, out=tmp_path / "e", kimg=0.01, preset="tiny", precision="fp32", device="cpu").run()
    place: dict[str, Any] = {"source": model, "encoder": path, "device": "cpu", "features": ()}
    (scores,) = units.evaluate("made", out=tmp_path / "u", **place).run()
    assert (scores.features, scores.pictures) == ("latents", 96)
    with np.load(tmp_path / "u" / "latents.npz", allow_pickle=False) as kept:
        assert list(kept["names"][:2]) == ["000.png", "001.png"]
        found = open_encoder(path, load_network(model)).latents(
            torch.from_numpy(faces.images(np.arange(112)))
        )
        assert np.allclose(kept["w"], found.numpy(), atol=1e-5)
    (again,) = units.evaluate(
        "made", out=tmp_path / "v", latents=tmp_path / "u" / "latents.npz", features=()
    ).run()
    assert again.units == scores.units
    (refined,) = units.evaluate("made", out=tmp_path / "w", steps=2, **place).run()
    assert refined.pictures == 96
    with np.load(tmp_path / "w" / "latents.npz", allow_pickle=False) as moved:
        assert np.abs(moved["w"] - found.numpy()).max() > 1e-3
    faces.spec = Spec(16, 1)
    with pytest.raises(InputError, match=r"pictures of 16 px with 1 channels, and .* draws 16 px with 3"):
        units.evaluate("made", out=tmp_path / "x", **place).run()
    with pytest.raises(InputError, match="--steps -1: 0 or more"):
        units.evaluate("made", out=tmp_path / "x", steps=-1, **place).run()
    with pytest.raises(InputError, match="--latents are known already"):
        units.evaluate("made", out=tmp_path / "x", latents=tmp_path / "u" / "latents.npz", **place).run()
    with pytest.raises(InputError, match="--steps 3: --source RUN"):
        units.evaluate("made", out=tmp_path / "x", steps=3).run()


def test_first_frames_of_ckplus_are_the_neutral_ones(tmp_path: Path) -> None:
    root = write_ckplus(tmp_path / "films")
    arguments: dict[str, Any] = {"features": ("pixels",), "support": 2}
    (scores,) = units.evaluate(f"ckplus:{root}?frames=neutral+peak", out=tmp_path / "a", **arguments).run()
    assert scores.neutral
    assert scores.pictures == len(open_dataset(f"ckplus:{root}"))
    (peaks,) = units.evaluate(f"ckplus:{root}", out=tmp_path / "b", **arguments).run()
    assert not peaks.neutral
    assert peaks.pictures == scores.pictures
