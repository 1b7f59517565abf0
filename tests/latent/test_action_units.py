"""Action units: nobody is on both sides, figures against what is known, bad input."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from drawers import styled_file
from mien.core.errors import InputError
from mien.core.events import Notice
from mien.core.types import Spec
from mien.core.views import Indexed
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.units import gathered, units
from mien.latent.units.action_units import (
    Reduction,
    UnitLabels,
    best_threshold,
    cross_validate,
    fit_units,
    out_of_fold,
    unit_labels,
)
from mien.latent.units.features import image_features, latent_features
from mien.latent.units.model import UnitReader, train_units


class _Faces(Indexed):
    """Gray pictures whose upper half is bright with AU12, of people who have each their own shade."""

    def __init__(self, count: int = 120, people: int = 12, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.name, self.content_hash, self.labels = "made", "0" * 64, None
        self.spec = Spec(16, 1)
        grades = rng.integers(0, 6, (count, 2)) * (rng.random((count, 2)) < 0.5)
        self.grades = grades
        who = np.arange(count) % people
        self._images = np.full((count, 1, 16, 16), 90, np.uint8) + who[:, None, None, None].astype(np.uint8)
        self._images[:, :, :8] += (grades[:, 0] * 15)[:, None, None, None].astype(np.uint8)
        self._images += rng.integers(0, 6, self._images.shape).astype(np.uint8)
        self.records = [
            {
                "file": f"{index:03d}.png",
                "labels": {"person": f"P{who[index]:02d}", "action_units": {"AU12": int(a), "AU04": int(b)}},
            }
            for index, (a, b) in enumerate(grades)
        ]

    def __len__(self) -> int:
        return len(self._images)

    def images(self, indexes: np.ndarray) -> np.ndarray:
        return self._images[indexes]


@pytest.fixture
def faces(monkeypatch: pytest.MonkeyPatch) -> _Faces:
    made = _Faces()
    monkeypatch.setattr(gathered, "open_dataset", lambda source, progress=None: made)
    return made


def test_labels_of_grades_and_of_yes_and_no() -> None:
    made = _Faces()
    labels = unit_labels(made)
    assert labels.names == ("AU04", "AU12")
    assert np.array_equal(labels.present[:, 1], made.grades[:, 0] >= 1)
    assert np.array_equal(labels.intensity[:, 1], made.grades[:, 0])
    made.records[0]["labels"]["action_units"] = {}
    for record in made.records[1:]:
        units_of = record["labels"]["action_units"]
        grade = units_of["AU12"]
        units_of["AU12"] = bool(grade)
        if grade and grade != 2:
            record["labels"]["intensity_AU12"] = grade
        del units_of["AU04"]
    mixed = unit_labels(made)
    assert mixed.names == ("AU12",)
    assert np.isnan(mixed.present[0, 0])
    grades = made.grades[1:, 0]
    assert np.array_equal(mixed.present[1:, 0], grades >= 1)
    expected = np.where(grades == 2, np.nan, grades)  # there, but nobody said how much
    assert np.array_equal(mixed.intensity[1:, 0], expected, equal_nan=True)


def test_nobody_is_learnt_from_and_tested_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features that name the person and labels that follow the person say nothing of strangers."""
    people = tuple(f"P{index // 10}" for index in range(200))
    rng = np.random.default_rng(0)
    answers = rng.integers(0, 2, 20).repeat(10).astype(float)
    features = np.eye(20).repeat(10, axis=0)
    labels = UnitLabels(("AU01",), answers[:, None], np.full((200, 1), np.nan), people)
    scores = cross_validate(features, labels, "mesh")
    auc = scores.units[0].reading.auc
    assert auc is not None
    assert auc.value < 0.6
    seen: list[tuple[set[str], set[str]]] = []
    from mien.latent.units import action_units

    def spy(rows: np.ndarray, part: UnitLabels) -> Any:
        seen.append((set(part.people), set(people) - set(part.people)))
        return fit_units(rows, part)

    monkeypatch.setattr(action_units, "fit_units", spy)
    out_of_fold(features, labels, 5)
    assert len(seen) == 5
    assert all(len(learnt) == 16 and len(kept) == 4 for learnt, kept in seen)
    assert set().union(*(kept for _, kept in seen)) == set(people)


@pytest.mark.slow
def test_what_can_be_seen_is_read_and_what_cannot_is_chance() -> None:
    made = _Faces(240)
    labels = unit_labels(made)
    rows = image_features("pixels", torch.from_numpy(made.images(np.arange(240))))
    scores = cross_validate(rows, labels, "pixels")
    blind, seen = scores.units
    assert (blind.name, seen.name) == ("AU04", "AU12")
    assert seen.reading.f1 is not None
    assert seen.reading.auc is not None
    assert blind.reading.auc is not None
    assert seen.reading.f1.value > 0.95
    assert seen.reading.auc.low > 0.95
    assert 0.35 < blind.reading.auc.value < 0.65
    share = float((made.grades[:, 0] >= 1).mean())
    assert seen.guess == pytest.approx(share)
    assert seen.always == pytest.approx(2 * share / (1 + share))
    assert seen.intensity is not None
    assert seen.intensity.mae.value < 0.5 * seen.intensity.mae_of_median
    f1s = [one.reading.f1.value for one in scores.units if one.reading.f1]
    assert scores.mean_f1.value == pytest.approx(np.mean(f1s))
    assert scores.mean_gain.value == pytest.approx(np.mean(f1s) - np.mean([o.guess for o in scores.units]))
    assert scores.mean_f1.low < scores.mean_f1.value < scores.mean_f1.high


def test_guessing_by_prevalence_scores_the_prevalence() -> None:
    rng = np.random.default_rng(0)
    truth, said = rng.random(200_000) < 0.3, rng.random(200_000) < 0.3
    f1 = 2 * (truth & said).sum() / (truth.sum() + said.sum())
    assert f1 == pytest.approx(0.3, abs=0.01)


def test_the_threshold_has_the_best_f1() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random(60) < 0.3).astype(float)
    scores = np.round(rng.normal(size=60) + truth, 1)  # with ties
    best = best_threshold(scores, truth)

    def f1(at: float) -> float:
        said = scores >= at
        return float(2 * (said * truth).sum() / (said.sum() + truth.sum()))

    assert f1(best) == max(f1(at) for at in np.unique(scores))


def test_one_linear_model_is_scaling_components_and_regression() -> None:
    rng = np.random.default_rng(0)
    for width in (20, 300):
        x = rng.normal(size=(250, width)) * rng.uniform(0.1, 5, width) + 3
        reduction = Reduction.of(x)
        small = reduction(x)
        assert small.shape[1] == (20 if width == 20 else 100)
        assert np.allclose(small.mean(0), 0, atol=1e-9)
        inner = rng.normal(size=small.shape[1])
        weights, bias = reduction.unfolded(inner, 0.5)
        assert np.allclose(x @ weights + bias, small @ inner + 0.5)


def test_a_model_is_read_back_and_damage_is_named(tmp_path: Path) -> None:
    made = _Faces()
    rows = image_features("pixels", torch.from_numpy(made.images(np.arange(120))))
    model = train_units(rows, unit_labels(made), "pixels")
    path = tmp_path / "units.safetensors"
    model.save(path)
    back = UnitReader.load(path)
    assert (back.names, back.features, back.scores) == (model.names, "pixels", model.scores)
    for one, two in zip(model.read(rows), back.read(rows), strict=True):
        assert np.array_equal(one, two)
    with pytest.raises(InputError, match="3 numbers a face, and these units are read from 1024"):
        back.read(rows[:, :3])
    data = path.read_bytes()
    for wrong in (b"", data[:100], data[:-9], data[:-1] + b"\x7f", b"\xff" * 99):
        path.write_bytes(wrong)
        with pytest.raises(InputError, match="no model of action units, or damaged"):
            UnitReader.load(path)
    with pytest.raises(InputError, match="cannot be read"):
        UnitReader.load(tmp_path / "none")


@pytest.mark.slow
def test_train_predict_and_evaluate(faces: _Faces, tmp_path: Path) -> None:
    said: list[object] = []
    for record in faces.records[5:]:
        record["labels"]["action_units"]["AU09"] = 0
    for record in faces.records[:5]:
        record["labels"]["action_units"]["AU09"] = 3
    model = tmp_path / "units.safetensors"
    units.train("made", out=model, features="pixels").run(said.append)
    assert any(isinstance(e, Notice) and "AU09 is left out: 5 pictures of 5 people" in e.text for e in said)
    count = units.predict(model, "made", out=tmp_path / "said.csv").run()
    assert count == 120
    rows = list(csv.DictReader((tmp_path / "said.csv").read_text().splitlines()))
    assert rows[0]["file"] == "000.png"
    said12 = np.array([row["AU12"] == "1" for row in rows])
    assert (said12 == (faces.grades[:, 0] >= 1)).mean() > 0.95
    assert 0 <= float(rows[3]["AU12_probability"]) <= 1
    scores = units.evaluate("made", out=tmp_path / "out", features=("pixels",)).run()
    assert [one.features for one in scores] == ["pixels"]
    page = (tmp_path / "out" / "units.html").read_text()
    assert "lip corner puller" in page
    assert "AU09 was left out" in page
    assert "<script" not in page
    assert (tmp_path / "out" / "units.json").stat().st_size > 500


def test_latents_in_the_pictures_order_or_by_name(faces: _Faces, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grades = faces.grades[:, 0]
    w = np.repeat(rng.normal(size=(120, 1, 6)), 3, axis=1).astype(np.float32)
    w[..., 0] = grades[:, None]
    path = tmp_path / "w.npz"
    np.savez(path, w=w)
    assert latent_features(path).shape == (120, 6)  # three equal layers are one
    (scores,) = units.evaluate("made", out=tmp_path / "a", features=(), latents=path).run()
    assert scores.features == "latents"
    assert scores.units[1].reading.auc is not None
    assert scores.units[1].reading.auc.value > 0.95
    order = rng.permutation(120)[:100]
    np.savez(path, w=w[order], names=np.array([f"{index:03d}.png" for index in order]))
    (named,) = units.evaluate("made", out=tmp_path / "b", features=(), latents=path).run()
    assert named.pictures == 100
    assert named.units[1].reading.auc is not None
    assert named.units[1].reading.auc.value > 0.95
    np.savez(path, w=w[order], names=np.array([f"some/folder/{index:03d}.png" for index in order]))
    found = latent_features(path, ["007.png", "folder/008.png", "other/009.png"])
    assert np.isfinite(found).all(1).tolist() == [7 in order, 8 in order, False]
    np.savez(path, w=w[:7])
    with pytest.raises(InputError, match="7 latents, and there are 120 pictures"):
        units.evaluate("made", out=tmp_path / "c", features=(), latents=path).run()
    np.savez(path, w=w, names=np.array(["x"] * 120))
    with pytest.raises(InputError, match="names none of the pictures; its first is 'x'"):
        latent_features(path, [f"{index:03d}.png" for index in range(120)])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"\x93NUMPY"])
def test_latents_that_are_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(InputError, match="no latents"):
        latent_features(tmp_path / "x.npz")


def test_units_of_latents_that_are_drawn(faces: _Faces, tmp_path: Path) -> None:
    """A model of pictures reads what the generator draws of latents."""
    model, generator = tmp_path / "units.safetensors", styled_file(tmp_path)
    units.train("made", out=model, features="pixels").run()
    drawing = Drawing.of(generator, trunc=1, label=())
    Codes.of_seeds(drawing, [0, 1, 2]).save(tmp_path / "w.npz")
    out = tmp_path / "said.csv"
    assert units.predict(model, str(tmp_path / "w.npz"), out=out, source=generator).run() == 3
    assert out.read_text().splitlines()[1].startswith("latent0000,")


def test_a_model_of_latents_refuses_those_of_another_generator(faces: _Faces, tmp_path: Path) -> None:
    """Of one shape too: in a file, of pictures, or to be found. A file that does not say is taken."""
    w = np.random.default_rng(0).normal(size=(120, 5, 12)).astype(np.float32)
    w[..., 0] = faces.grades[:, :1]
    one, other, unsaid = (tmp_path / f"{name}.npz" for name in ("one", "other", "unsaid"))
    np.savez(one, w=w, model=np.array("lite-one"))
    np.savez(other, w=w, model=np.array("lite-other"))
    np.savez(unsaid, w=w)
    model, out = tmp_path / "units.safetensors", tmp_path / "said.csv"
    units.train("made", out=model, latents=one).run()
    assert UnitReader.load(model).model == "lite-one"
    apart = "latents of {}, and these units were learnt from those of lite-one"
    with pytest.raises(InputError, match=f"other.npz: {apart.format('lite-other')}"):
        units.predict(model, str(other), out=out).run()
    with pytest.raises(InputError, match=f"--latents .*other.npz: {apart.format('lite-other')}"):
        units.predict(model, "made", out=out, latents=other).run()
    with pytest.raises(InputError, match=f"--source .*: {apart.format('.*')}"):
        units.predict(model, "made", out=out, source=styled_file(tmp_path)).run()
    assert not out.exists()
    for path in (one, unsaid):
        assert units.predict(model, "made", out=out, latents=path).run() == 120


def test_a_unit_that_a_fold_knows_one_answer_of_is_not_guessed() -> None:
    """The only people with it are kept out once: those are not read, and all others are."""
    people = tuple(f"P{index // 10}" for index in range(60))
    rng = np.random.default_rng(0)
    present = np.stack([np.arange(60) < 10, rng.integers(0, 2, 60)], axis=1).astype(float)
    labels = UnitLabels(("AU01", "AU12"), present, np.full((60, 2), np.nan), people)
    probability, predicted, _ = out_of_fold(rng.normal(size=(60, 5)), labels, 6)
    assert np.isfinite(probability[:, 1]).all()
    assert np.isnan(probability[:10, 0]).all()
    assert np.isfinite(probability[10:, 0]).all()
    assert set(predicted[10:, 0].tolist()) <= {0.0, 1.0}
    with pytest.raises(InputError, match="1 person: action units are tested on people who were not learnt"):
        out_of_fold(np.zeros((60, 5)), UnitLabels(labels.names, present, labels.intensity, ("P",) * 60), 6)


def test_what_is_no_file_of_latents_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    for arrays, says in (
        ({"v": np.zeros((3, 4))}, "no latents in it"),
        ({"w": np.zeros((3, 4), int)}, "no latents in it"),
        ({"z": np.zeros(4)}, "no latents in it"),
        ({"z": np.full((3, 4), np.inf)}, "numbers that are not finite"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(InputError, match=says):
            latent_features(path)
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a hole, which takes no disk
    with pytest.raises(InputError, match=r"x\.npz: larger than [0-9]+ MiB"):
        latent_features(path)


def test_pictures_without_a_face_are_named_and_latents_are_read_as_they_are(
    faces: _Faces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = np.random.default_rng(0).normal(size=(120, 5, 12)).astype(np.float32)
    w[..., 0] = faces.grades[:, :1]
    path, model, out = tmp_path / "w.npz", tmp_path / "units.safetensors", tmp_path / "said.csv"
    np.savez(path, w=w)
    units.train("made", out=model, latents=path).run()
    assert units.predict(model, str(path), out=out).run() == 120
    whole = out.read_text().splitlines()
    reader = UnitReader.load(model)
    _, probability, _ = reader.read(latent_features(path))
    assert len(whole) == 121
    assert f"{probability[7, 0]:.4f}"[:5] in whole[8]

    seen = units.train("made", out=tmp_path / "pixels.safetensors", features="pixels").run()
    assert seen
    looked = gathered.picture_features

    def blind(kind: str, dataset: Any, tick: Any) -> np.ndarray:
        values = looked(kind, dataset, tick)
        values[[3, 8]] = np.nan
        return values

    monkeypatch.setattr(gathered, "picture_features", blind)
    heard: list[Any] = []
    told = units.predict(tmp_path / "pixels.safetensors", "made", out=out).run(heard.append)
    assert told == 118
    assert any("no face was found in 2 of 120, first '003.png'" in str(event) for event in heard)
    monkeypatch.setattr(gathered, "picture_features", lambda *given: np.full((120, 4), np.nan))
    with pytest.raises(InputError, match=r"made: there is nothing to read units from \(pixels\) in any"):
        units.predict(tmp_path / "pixels.safetensors", "made", out=out).run()
    with pytest.raises(InputError, match="--support 0: 1 or more"):
        units.train("made", out=tmp_path / "m.safetensors", features="pixels", support=0).run()


def test_bad_input(faces: _Faces, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    with pytest.raises(InputError, match="--features hair: choose from latents, mesh, pixels"):
        units.train("made", out=out, features="hair").run()
    with pytest.raises(InputError, match="--features latents: --latents FILE"):
        units.train("made", out=out, features="latents").run()
    with pytest.raises(InputError, match="no action unit has 500 pictures"):
        units.train("made", out=out, features="pixels", support=500).run()
    for record in faces.records:
        record["labels"]["person"] = "the same"
    with pytest.raises(InputError, match="pictures of one person"):
        units.train("made", out=out, features="pixels").run()
    for record in faces.records:
        record["labels"] = {}
    with pytest.raises(InputError, match="no picture has a label AU01"):
        units.train("made", out=out, features="pixels").run()
    assert not out.exists()
