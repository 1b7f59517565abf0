"""`mien train --model simgan`, `refine` and `evaluate`: from two datasets to refined pictures and figures."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.cli import main
from mien.core.packed import PackReader, PackWriter, encode_png
from mien.core.picture import read_picture
from mien.core.provenance import SourceType, verify
from mien.core.run import RunFolder
from mien.translation import refiner_kind
from mien.translation.fresh_classifier import UPDATES, Sight, accuracies, split
from mien.translation.refiner_kind import (
    RefinerExamination,
    known_pupils,
    moved,
    nearest,
    over_seeds,
    pupil_centre,
)
from pictures import ArrayDataset

SIZE = 16
QUICK = ["--model", "simgan", "--precision", "fp32"]
for change in (
    "batch_size=8",
    "width=8",
    "blocks=1",
    "width_d=12",
    "pretrain_r=130",
    "pretrain_d=10",
    "keep=0.1",
):
    QUICK += ["--set", change]


def eye(
    x: float, y: float, *, tint: tuple[int, int, int], size: int = SIZE, radius: float = 2.5
) -> np.ndarray:
    """A dark disc at (x, y) in a plain picture."""
    rows, columns = np.mgrid[:size, :size] + 0.5
    cover = np.clip(radius + 0.5 - np.hypot(columns - x, rows - y), 0, 1)[..., None]
    return np.uint8(np.array(tint) * (1 - cover) + 20 * cover + 0.5)


def write_eyes(path: Path, tint: tuple[int, int, int], *, count: int = 24, size: int = SIZE) -> Path:
    """A packed dataset with labels, and places of pupils as the renderer writes them."""
    rng = np.random.default_rng(count)
    with PackWriter(path, class_names=("gaze_x", "gaze_y")) as pack:
        for number in range(count):
            x, y = (rng.uniform(-2, 2, 2) + size / 2).tolist()
            record = {
                "landmarks": {"pupil_left": [x, y], "pupil_right": [99.0, 99.0]},
                "labels": {"person": number // 2, "hidden": ["pupil_right"]},
                "licence": "CC0-1.0",
            }
            pack.add_png(encode_png(eye(x, y, tint=tint, size=size)), [x, y], record)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with drawn.zip, real.zip and a run that refines the one towards the other."""
    root = tmp_path_factory.mktemp("refine")
    write_eyes(root / "drawn.zip", (240, 240, 235))
    write_eyes(root / "real.zip", (150, 90, 60), count=30)
    real = os.path.relpath(root / "real.zip")  # evaluate finds it from another working folder too
    out = ["--real", real, "--kimg", "3", "--out", str(root / "runs")]
    assert main(["train", str(root / "drawn.zip"), *QUICK, *out]) == 0
    return root


def run_of(root: Path) -> Path:
    (run,) = (root / "runs").glob("0*")
    return run


@pytest.mark.slow
def test_a_run_leaves_strips_from_the_first_update_on(trained: Path) -> None:
    """input | refined | nearest real, a row each; the timelapse has the pretraining too."""
    run = RunFolder.open(run_of(trained))
    strips = [read_picture(path) for path in run.all_fakes()]
    assert [path.name for path in run.all_fakes()] == [f"fakes{kimg:06d}.png" for kimg in range(4)]
    assert {shown.shape for shown in strips} == {(8 * SIZE, 3 * SIZE, 3)}
    inputs = {shown[:, :SIZE].tobytes() for shown in strips}
    assert len(inputs) == 1  # the chosen inputs stay the same
    assert len({shown[:, SIZE : 2 * SIZE].tobytes() for shown in strips}) == 4
    after_pretraining, last = (
        np.abs(shown[:, :SIZE].astype(int) - shown[:, SIZE : 2 * SIZE]).mean() for shown in strips[1::2]
    )
    assert after_pretraining < last
    pack = PackReader(trained / "real.zip")
    reals = {read_picture(pack.read(index)).tobytes() for index in range(len(pack))}
    near = [strips[-1][row : row + SIZE, 2 * SIZE :].tobytes() for row in range(0, 8 * SIZE, SIZE)]
    assert set(near) <= reals
    with Image.open(run.timelapse) as film:
        assert film.n_frames == 4  # type: ignore[attr-defined]
    mark = verify(run.fakes(3000))
    assert mark is not None
    assert mark.source_type == SourceType.COMPOSITE
    assert run.reals.is_file()
    assert [path.name for path in run.products("refiner")] == ["refiner-000003.safetensors"]


@pytest.mark.slow
def test_refine_keeps_every_label_and_record(trained: Path, tmp_path: Path) -> None:
    assert (
        main(["refine", str(run_of(trained)), str(trained / "drawn.zip"), "--out", str(tmp_path / "out.zip")])
        == 0
    )
    before, after = PackReader(trained / "drawn.zip"), PackReader(tmp_path / "out.zip")
    assert (after.labels, after.class_names) == (before.labels, before.class_names)
    for old, new in zip(before.records, after.records, strict=True):
        assert {name: new[name] for name in old} == dict(old)  # type: ignore[literal-required]
        assert str(new["made_by"]).startswith("simgan-")  # type: ignore[typeddict-item]


def test_refined_pictures_are_not_their_inputs(trained: Path, tmp_path: Path) -> None:
    """The project's defect: after 20,000 epochs the same picture."""
    assert (
        main(["refine", str(run_of(trained)), str(trained / "drawn.zip"), "--out", str(tmp_path / "out")])
        == 0
    )
    before = PackReader(trained / "drawn.zip")
    for index, path in enumerate(sorted((tmp_path / "out").rglob("*.png"))):
        change = np.abs(read_picture(path).astype(int) - read_picture(before.read(index)))
        assert change.mean() > 10
        mark = verify(path)
        assert mark is not None
        assert mark.source_type == SourceType.ENHANCED
    # Towards the reals: brown skin, where it was white.
    colour = read_picture(path)[0].mean(axis=0)
    assert np.abs(colour - [150, 90, 60]).mean() < np.abs(colour - [240, 240, 235]).mean()


def test_refine_takes_other_sizes_only_when_asked(
    trained: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    Image.fromarray(eye(10, 9, tint=(240, 240, 235), size=20)[:18]).save(tmp_path / "eye.png")
    command = ["refine", run_of(trained), tmp_path / "eye.png", "--out", tmp_path / "out"]
    error = fails(*command)
    assert "eye.png" in error
    assert "20x18" in error
    assert not (tmp_path / "out").exists()
    assert main([*map(str, command), "--any-size"]) == 0
    assert read_picture(tmp_path / "out/eye.png").shape == (18, 20, 3)


@pytest.mark.slow
def test_evaluate_says_what_changed_and_what_did_not(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refiner_kind, "SEEDS", 2)
    monkeypatch.chdir(trained / "runs")
    run = RunFolder.open(run_of(trained))
    assert RefinerExamination.newest(run) is None
    assert main(["evaluate", str(run.path), "--data", str(trained / "drawn.zip")]) == 0
    shown = capsys.readouterr().out
    found = RefinerExamination.newest(run)
    assert found is not None
    assert (found.num_pictures, found.num_reals, found.learnt_from) == (24, 30, True)
    assert [(one.sight, one.updates) for one in found.classifiers] == [
        (sight, updates) for sight in ("pictures", "patches") for updates in UPDATES
    ]
    for one in found.classifiers:
        assert len(one.raw) == len(one.refined) == 2
        assert one.fall.value == pytest.approx(np.mean(one.raw) - np.mean(one.refined))
    assert min(found.classifiers[-1].raw) > 0.9  # white against brown
    assert 0.02 < found.l1 < 0.6
    assert found.pupils is not None
    assert found.pupils.count > 20
    for words in ("raw", "refined", "points", "which it learnt from", "pupils"):
        assert words in shown


def test_a_lone_file_cannot_be_evaluated(trained: Path, fails: Callable[..., str]) -> None:
    path = RunFolder.open(run_of(trained)).newest_product("refiner")
    assert "the run's folder" in fails("evaluate", path, "--data", trained / "drawn.zip")


@pytest.mark.parametrize(
    ("real", "data", "words"),
    [
        (None, "drawn.zip", "config.json: does not say which pictures were the real ones"),
        ("gone.zip", "drawn.zip", "the real pictures that .* was trained with: .*gone.zip"),
        ("few.zip", "few.zip", "mien: few, few: a classifier needs 10 pictures of each"),
        ("real.zip", "few.zip", "mien: few, real: a classifier needs 10 pictures of each"),
        ("gray.zip", "gray.zip", r"mien: gray: simgan-\w+ refines pictures of other colours"),
        (
            "real.zip",
            "gray.zip",
            "mien: gray is gray, real is in colour; both must be gray or both in colour",
        ),
    ],
)
def test_what_a_run_cannot_be_examined_with_is_named(
    trained: Path, tmp_path: Path, fails: Callable[..., str], real: str | None, data: str, words: str
) -> None:
    for name in ("drawn.zip", "real.zip"):
        shutil.copy(trained / name, tmp_path / name)
    write_eyes(tmp_path / "few.zip", (150, 90, 60), count=9)
    with PackWriter(tmp_path / "gray.zip") as pack:
        for number in range(12):
            pack.add_png(encode_png(np.full((SIZE, SIZE, 1), number, np.uint8)))
    run = RunFolder.open(Path(shutil.copytree(run_of(trained), tmp_path / "run")))
    config = run.read_config()
    config["options"]["real"] = real and str(tmp_path / real)
    run.write_config(config)
    run.metric("refiner").unlink(missing_ok=True)  # what another test may have measured
    assert re.search(words, fails("evaluate", run.path, "--data", tmp_path / data))
    assert RefinerExamination.newest(run) is None


@pytest.mark.parametrize(
    ("real", "one"),
    [
        ("large.zip", "one size"),
        ("gray.zip", "gray"),
        ("empty", "no pictures"),
        ("missing.zip", "missing.zip"),
    ],
)
def test_a_real_side_that_does_not_fit(
    trained: Path, tmp_path: Path, fails: Callable[..., str], real: str, one: str
) -> None:
    write_eyes(tmp_path / "large.zip", (1, 2, 3), size=24)
    with PackWriter(tmp_path / "gray.zip") as pack:
        pack.add_png(encode_png(np.zeros((SIZE, SIZE, 1), np.uint8)))
    (tmp_path / "empty").mkdir()
    error = fails(
        "train", trained / "drawn.zip", *QUICK, "--real", tmp_path / real, "--out", tmp_path / "runs"
    )
    assert one in error
    assert not (tmp_path / "runs").exists()


def test_training_asks_for_the_real_side(trained: Path, fails: Callable[..., str]) -> None:
    assert "--real" in fails("train", trained / "drawn.zip", *QUICK)


@pytest.mark.slow
def test_a_fresh_classifier_tells_what_differs_and_nothing_else() -> None:
    dull, same = ArrayDataset(60, seed=1), ArrayDataset(60, seed=2)
    pictures, others = (side.images(np.arange(60)) for side in (dull, same))
    bright = np.uint8(np.clip(others.astype(int) + 60, 0, 255))

    def tell(one: np.ndarray, two: np.ndarray, sight: Sight = "pictures", seed: int = 0) -> tuple[float, ...]:
        return accuracies(one[:40], two[:40], (one[40:], two[40:]), sight=sight, seed=seed)

    assert tell(pictures, bright)[-1] > 0.9
    assert tell(pictures, bright, "patches")[-1] > 0.8
    alike = tell(pictures, others)
    assert len(alike) == len(UPDATES)
    assert 0.3 < np.mean(alike) < 0.7
    assert tell(pictures, others) == alike
    assert tell(pictures, others, seed=1) != alike


@pytest.mark.slow
def test_a_few_of_the_rare_kind_weigh_as_much() -> None:
    """Balanced: calling everything the common kind scores a half."""
    few, many = np.zeros((6, 3, 16, 16), np.uint8), np.zeros((94, 3, 16, 16), np.uint8)
    assert accuracies(few, many, (few, many), sight="patches", seed=0) == (0.5, 0.5, 0.5)


def test_frames_of_a_film_are_not_parted_one_by_one() -> None:
    dataset = ArrayDataset(100)
    sides = split(dataset, 0)
    assert len(sides.train) + len(sides.held_out) == 100
    assert len(sides.held_out) == pytest.approx(30, abs=5)
    assert set((sides.held_out // 5).tolist()).isdisjoint((sides.train // 5).tolist())
    assert split(dataset, 1).held_out.tolist() != sides.held_out.tolist()
    dataset.records = [{"person": f"p{index % 10}"} for index in range(100)]
    sides = split(dataset, 0)
    assert set((sides.held_out % 10).tolist()).isdisjoint((sides.train % 10).tolist())


def test_how_far_a_pupil_moved() -> None:
    places = np.array([[32.0, 30.0], [35.5, 33.2]])
    before, after, dark = (
        np.stack([eye(x + dx, y + dy, tint=tint, size=64).transpose(2, 0, 1) for x, y in places])
        for dx, dy, tint in ((0, 0, (230, 230, 230)), (1.2, -0.9, (230, 230, 230)), (0, 0, (140, 90, 70)))
    )
    assert moved(before, before, places).tolist() == [0, 0]
    assert moved(before, after, places) == pytest.approx([1.5, 1.5], abs=0.2)
    assert moved(before, dark, places) == pytest.approx([0, 0], abs=0.05)  # another tint is no movement
    assert pupil_centre(before[1], places[1] + [1, -1]) == pytest.approx(places[1], abs=0.3)
    assert len(moved(after, before, places + 3)) == 0  # not where it is known to be: not measured


def test_pupils_are_taken_where_they_can_be_seen() -> None:
    dataset = ArrayDataset(3)
    marks = {"pupil_left": [3, 4], "pupil_right": [5, 6], "chin": [7, 8]}
    hidden = {"labels": {"hidden": ["pupil_left"]}, "landmarks": marks}
    dataset.records = [{}, hidden, {"landmarks": marks}]
    where, places = known_pupils(dataset)
    assert where.tolist() == [1, 2, 2]
    assert places.tolist() == [[5, 6], [3, 4], [5, 6]]


def test_the_nearest_real() -> None:
    reals = np.stack([np.full((3, 16, 16), value, np.uint8) for value in (10, 120, 250)])
    refined = np.stack([np.full((3, 16, 16), value, np.uint8) for value in (240, 20)])
    assert nearest(refined, reals).tolist() == [2, 0]


def test_the_interval_is_students() -> None:
    found = over_seeds(np.array([0.10, 0.20, 0.30]))
    assert found.value == pytest.approx(0.2)
    assert found.high - found.value == pytest.approx(4.303 * 0.1 / 3**0.5, rel=1e-3)
    assert over_seeds(np.array([0.25])).low == 0.25
