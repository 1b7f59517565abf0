"""`mien worth`: who learns from what, who is tested, what is kept, and what the table says of it."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import forked
from drawers import PLAIN
from mien.cli import main
from mien.core.checkpoint import NetworkHeader, save_generator
from mien.core.errors import InputError, MienError
from mien.core.packed import PackWriter, encode_png
from mien.core.types import Lesson, Spec
from mien.datasets.opening import open_dataset
from mien.evaluation import worth_models, worth_sets
from mien.evaluation.worth import WorthOptions, worth
from mien.evaluation.worth_models import Arm, Plan, arms_of, training_set_of
from mien.evaluation.worth_scores import Worth
from mien.labels.split import person_of
from mien.models import lite
from mien.models.attributes import Config, build_product
from mien.training.order import Stream

Fails = Callable[..., str]
T4 = 2.776445  # Student's t of four degrees of freedom, at 97.5 %


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def pack(
    path: Path,
    count: int,
    *,
    first: int = 0,
    each: int = 2,
    sign: int = 1,
    size: int = 8,
    channels: int = 3,
    name: str = "level",
    **labels: Any,
) -> Path:
    """Pictures as bright as their label `name` (0 to 100) says, `each` of `count` people from `first` on."""
    rng = np.random.default_rng(first)
    with PackWriter(path) as writer:
        for index in range(count * each):
            level = float(rng.integers(0, 101))
            picture = np.full((size, size, channels), round(50 + level), np.uint8)
            picture += rng.integers(0, 20, picture.shape, np.uint8)
            record = {"person": f"P{first + index // each}", "labels": {name: sign * level, **labels}}
            writer.add_png(encode_png(picture), record=record)
    return path


@pytest.fixture
def real(tmp_path: Path) -> Path:
    return pack(tmp_path / "real.zip", 30)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Synthetic pictures of other people."""
    return pack(tmp_path / "made.zip", 40, first=500)


def plan_of(real: Path, *synthetic: str, real_count: int | None = None) -> Plan:
    sets = worth_sets.open_sets(str(real), synthetic, "level", held_out=0.2, drawn=10)
    return Plan(sets, Config(width=4, batch_size=16), 100, real_count, torch.device("cpu"))


def run(real: Path, out: Path, *synthetic: str, **options: Any) -> Worth:
    chosen = WorthOptions(synthetic=synthetic, **({"kimg": 0.1, "set": ("batch_size=16",)} | options))
    return worth(real=str(real), label="level", out=out, options=chosen).run()


class Stub:
    """Trains nothing: the model of an arm and seed errs by a known number, the same in every picture."""

    def __init__(self) -> None:
        self.calls: list[tuple[Lesson, Config, int, bool]] = []
        self.stop_after: int | None = None

    def __call__(
        self, plan: Plan, config: Config, lesson: Lesson, seed: int, *, mirror: bool, tick: Any
    ) -> tuple[np.ndarray, int]:
        if len(self.calls) == self.stop_after:
            raise KeyboardInterrupt
        self.calls.append((lesson, config, seed, mirror))
        truth = plan.sets.test.labels
        assert truth is not None
        people = {person_of(record) for record in lesson.train.records}
        real, made = any(int(p[8:]) < 500 for p in people), any(int(p[8:]) >= 500 for p in people)
        error = (7.0 if made else 8.0) if real else 12.0
        error += seed - (2.0 if mirror else 0.0)
        signs = np.where(np.arange(len(truth)) % 2, 1, -1)[:, None]  # no bias, the same size
        return truth + signs * error, plan.updates


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    found = Stub()
    monkeypatch.setattr(worth_models, "train_and_predict", found)
    return found


def test_the_table_is_what_the_models_said(real: Path, made: Path, tmp_path: Path, stub: Stub) -> None:
    found = run(real, tmp_path / "out", f"made={made}")
    arms = {arm.name: arm for arm in found.arms}
    assert list(arms) == ["real", "real, augmented", "made", "real + made"]
    # Seeds 0 to 4 err by 8, 9, 10, 11, 12: mean 10, variance 2.5 / 5.
    half = T4 * np.sqrt(0.5)
    mae = arms["real"].figures["MAE"]
    assert (mae.value, mae.low, mae.high) == pytest.approx((10, 10 - half, 10 + half), rel=1e-4)
    assert arms["real"].each == pytest.approx((8, 9, 10, 11, 12), abs=1e-4)
    gains = {name: arm.gains[0] for name, arm in arms.items() if arm.gains}
    assert gains["real, augmented"].gain.value == pytest.approx(2, abs=1e-4)
    assert gains["made"].gain.value == pytest.approx(-4, abs=1e-4)
    assert gains["real + made"].gain.value == pytest.approx(1, abs=1e-4)
    # All seeds gain alike, and so do all people.
    assert gains["real + made"].gain.low == pytest.approx(1, abs=1e-4)
    assert [gains[name].verdict for name in gains] == ["better", "worse", "better"]
    assert found.guess["MAE"] > 10
    written = Worth.model_validate_json((tmp_path / "out" / "worth.json").read_text())
    assert written == found
    page = (tmp_path / "out" / "worth.html").read_text()
    assert all(sentence in page for sentence in found.verdicts)
    assert "<script" not in page


def test_a_set_is_also_held_against_those_before_it(
    real: Path, made: Path, tmp_path: Path, stub: Stub
) -> None:
    other = pack(tmp_path / "other.zip", 10, first=700)
    third = pack(tmp_path / "third.zip", 10, first=800)
    sets = (f"made={made}", f"other={other}", f"third={third}")
    found = run(real, tmp_path / "out", *sets, seeds=2)
    over = {arm.name: [one.over for one in arm.gains] for arm in found.arms}
    assert over["other"] == ["real", "made"]
    assert over["real + other"] == ["real", "real + made"]
    assert over["third"] == ["real", "made", "other"]
    assert over["made"] == over["real + made"] == ["real"]


def test_one_seed_is_one_choice_of_real_pictures(real: Path, made: Path, tmp_path: Path, stub: Stub) -> None:
    run(real, tmp_path / "out", f"made={made}", seeds=3, real_count=11)
    by_seed: dict[int, set[bytes]] = {}
    for lesson, _, seed, _ in stub.calls:
        mine = [i for i, record in enumerate(lesson.train.records) if int(person_of(record)[8:]) < 500]
        assert len(mine) in (0, 11)
        if mine:
            by_seed.setdefault(seed, set()).add(lesson.train.images(np.array(mine)).tobytes())
    assert all(len(choices) == 1 for choices in by_seed.values())
    assert len(set().union(*by_seed.values())) == 3


def test_only_the_augmented_arm_is_disturbed(real: Path, made: Path, tmp_path: Path, stub: Stub) -> None:
    run(real, tmp_path / "out", f"made={made}", seeds=2)
    assert [mirror for *_, mirror in stub.calls] == [False, True, False, False] * 2
    for _, config, _, mirror in stub.calls:
        assert (config.shift > 0, config.zoom > 0, config.brightness > 0) == (mirror, mirror, mirror)
        assert config.model_copy(update={"shift": 0, "zoom": 0, "brightness": 0}) == stub.calls[0][1]


def test_every_model_has_as_many_updates(
    real: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many pictures an arm has; 100 pictures in steps of 16 are 7 updates."""
    results = []
    original = worth_models.result_of

    def watched(*args: Any, **options: Any) -> worth_models.Result:
        results.append(original(*args, **options))
        return results[-1]

    monkeypatch.setattr("mien.evaluation.worth.result_of", watched)
    found = run(real, tmp_path / "out", f"made={made}", seeds=2, real_count=5)
    assert found.updates == 7
    assert [one.updates for one in results] == [7] * 8
    assert [(arm.num_real, arm.num_synthetic) for arm in found.arms] == [(5, 0), (5, 0), (0, 80), (5, 80)]


def test_one_seed_begins_with_the_same_weights(
    real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(real, f"made={pack(tmp_path / 'made.zip', 40, first=500)}")
    monkeypatch.setattr(worth_models, "train", lambda training, stream, budget: iter(()))
    monkeypatch.setattr(worth_models.attributes.Attributes, "meet", lambda self, dataset: None)

    def begun(arm: Arm, seed: int) -> np.ndarray:
        lesson = training_set_of(plan, arm, seed).lesson
        said, _ = worth_models.train_and_predict(
            plan, plan.config, lesson, seed, mirror=False, tick=lambda nimg: None
        )
        return said

    first, *others = arms_of(plan.sets)
    assert all(np.array_equal(begun(first, 0), begun(arm, 0)) for arm in others)
    assert not np.array_equal(begun(first, 0), begun(first, 1))


def test_nobody_is_learnt_from_and_tested_on(real: Path, tmp_path: Path) -> None:
    """Defect 12, over two sets: the synthetic one shows the same people as the real one."""
    same = pack(tmp_path / "same.zip", 30, each=3)
    plan = plan_of(real, f"same={same}")
    tested = set(plan.sets.people)
    assert len(tested) == 6
    for arm in arms_of(plan.sets):
        learnt = training_set_of(plan, arm, 0).lesson.train
        assert not {person_of(record) for record in learnt.records} & tested
        assert len(learnt) >= 48
    assert len(plan.sets.synthetic["same"]) == 3 * 24
    assert "same: 18 pictures left out, of people who are tested on (by their name)" in plan.sets.notes


def test_labels_stay_with_their_pictures_in_short_and_mixed_batches(real: Path, made: Path) -> None:
    """Defect 3: labels of a mixed batch given to equal halves, though the last batch was short."""
    plan = plan_of(real, f"made={made}", real_count=7)
    arm = arms_of(plan.sets)[-1]
    learnt = training_set_of(plan, arm, 0)
    assert (learnt.num_real, len(learnt.lesson.train)) == (7, 87)
    stream = Stream(learnt.lesson.train, seed=0, mirror=False, labels=True, device=torch.device("cpu"))
    seen: set[float] = set()
    for step in range(12):  # 192 pictures: over two ends of an epoch of 87
        drawn = stream.batch(16 * step, 16)
        assert drawn.labels is not None
        bright = (drawn.images.mean(dim=(1, 2, 3)) + 1) * 127.5
        assert torch.allclose(bright, drawn.labels[:, 0] + 59.5, atol=2)
        seen |= set(drawn.labels[:, 0].tolist())
    labels = learnt.lesson.train.labels
    assert labels is not None
    assert seen == set(labels[:, 0].tolist())


def test_a_stopped_run_goes_on_and_finds_the_same(real: Path, made: Path, tmp_path: Path, stub: Stub) -> None:
    whole = run(real, tmp_path / "whole", f"made={made}", seeds=2)
    calls, out = len(stub.calls), tmp_path / "out"
    stub.stop_after = calls + 3
    with pytest.raises(KeyboardInterrupt):
        run(real, out, f"made={made}", seeds=2)
    assert not (out / "worth.json").exists()
    stub.stop_after = None
    assert run(real, out, f"made={made}", seeds=2) == whole
    assert len(stub.calls) == 2 * calls  # three, and then the other five
    kept = sorted((out / "models").glob("*.json"))
    assert len(kept) == 8
    kept[0].write_text(kept[0].read_text()[:-40])
    assert run(real, out, f"made={made}", seeds=2) == whole
    assert len(stub.calls) == 2 * calls + 1  # the damaged one alone
    more = run(real, out, f"made={made}", seeds=3)
    assert len(stub.calls) == 2 * calls + 5  # one more seed of four arms
    assert more.seeds == 3


@pytest.mark.slow
def test_a_killed_run_finds_the_same_as_a_whole_one(real: Path, made: Path, tmp_path: Path) -> None:
    """True models, and a kill that nothing can catch while one of them learns."""
    numbers = ("--seeds", "2", "--kimg", "1", "--set", "batch_size=64", "--set", "width=4")
    command = ["worth", "--real", str(real), "--label", "level", "--synthetic", f"made={made}", *numbers]
    out = tmp_path / "killed"
    child = forked.Popen(
        [sys.executable, "-m", "mien", *command, "--out", str(out)], stdout=subprocess.DEVNULL
    )
    while len(list(out.glob("models/[!.]*.json"))) < 2 and child.poll() is None:
        time.sleep(0.01)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    kept = {path: path.stat().st_mtime_ns for path in out.glob("models/[!.]*.json")}
    assert 2 <= len(kept) < 8
    for folder in (out, tmp_path / "whole"):
        assert main([*command, "--out", str(folder)]) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert (out / "worth.json").read_text() == (tmp_path / "whole" / "worth.json").read_text()
    assert not [path for path in out.rglob("*") if path.name.startswith(".tmp")]


def test_other_labels_are_another_question(real: Path, made: Path, tmp_path: Path, stub: Stub) -> None:
    """Nothing that was kept may answer for other pictures, labels, people or budgets."""
    out = tmp_path / "out"
    run(real, out, f"made={made}", seeds=2)
    run(pack(tmp_path / "real2.zip", 30, first=50), out, f"made={made}", seeds=2)
    assert len(stub.calls) == 16  # also those of `made`, which have other pictures to answer for
    for change in (
        {"kimg": 0.2},
        {"real_count": 9},
        {"held_out": 0.3},
        {"set": ("batch_size=16", "lr=0.01")},
    ):
        before = len(stub.calls)
        run(real, out, f"made={made}", seeds=2, **change)
        # How few real ones there are is nothing to the two models of `made` alone.
        assert len(stub.calls) - before == (6 if "real_count" in change else 8)
    before = len(stub.calls)
    run(real, out, f"made={pack(tmp_path / 'other.zip', 40, first=500, sign=-1)}", seeds=2)
    assert len(stub.calls) - before == 4  # the same pictures, other labels: two arms of two seeds


@pytest.mark.slow
def test_true_models_learn_from_what_they_are_given(real: Path, made: Path, tmp_path: Path) -> None:
    """Small true models: good pictures help, and pictures with the label's sign reversed are found out."""
    wrong = pack(tmp_path / "wrong.zip", 40, first=800, sign=-1)
    found = run(
        real,
        tmp_path / "out",
        f"made={made}",
        f"wrong={wrong}",
        seeds=2,
        kimg=3,
        real_count=6,
        set=("width=4", "batch_size=32", "lr=0.01", "weight_decay=0"),
    )
    mae = {arm.name: arm.figures["MAE"].value for arm in found.arms}
    assert mae["made"] < 0.7 * found.guess["MAE"]
    assert mae["wrong"] > 1.5 * found.guess["MAE"]
    assert [line[:5] for line in found.warnings] == ["wrong"]
    rmse = {arm.name: arm.figures["RMSE"].value for arm in found.arms}
    assert all(rmse[name] > mae[name] for name in mae)


def test_a_generator_is_drawn_from_with_labels_it_knows(tmp_path: Path) -> None:
    names, rows = ("Smiling", "Hat"), ((1.0, 0.0), (0.0, 0.0), (0.0, 1.0))
    spec = Spec(16, 3, 2, names)
    torch.manual_seed(0)
    header = NetworkHeader(
        family="lite", config=PLAIN.model_dump(), spec=spec, nimg=0, tool="test", label_rows=rows
    )
    path = tmp_path / "generator-000001.safetensors"
    save_generator(path, lite.build_generator(PLAIN, spec).state_dict(), header)
    drawn = worth_sets.draw_labelled(path, 70)
    assert len(drawn) == len(drawn.records) == 70
    assert drawn.labels is not None
    assert {tuple(row) for row in drawn.labels.tolist()} == set(rows)
    assert drawn.images(np.arange(70)).shape == (70, 3, 16, 16)
    assert len(np.unique(drawn.images(np.arange(70)).reshape(70, -1), axis=0)) == 70
    bare = tmp_path / "bare.safetensors"
    save_generator(
        bare,
        lite.build_generator(PLAIN, Spec(16)).state_dict(),
        header.model_copy(update={"spec": Spec(16), "label_rows": ()}),
    )
    with pytest.raises(InputError, match="knows no labels"):
        worth_sets.draw_labelled(bare, 4)


def test_labels_that_a_model_read_are_taken_and_named(real: Path, tmp_path: Path) -> None:
    guessed = tmp_path / "guessed.zip"
    with PackWriter(guessed) as writer:
        for level in (0, 50, 100):
            writer.add_png(
                encode_png(np.full((8, 8, 3), level, np.uint8)),
                record={"predictions": {"level": 1.5 * level}},
            )
    plan = plan_of(real, f"guessed={guessed}")
    labels = plan.sets.synthetic["guessed"].labels
    assert labels is not None
    assert labels[:, 0].tolist() == [0, 75, 150]
    assert "guessed: its labels are what a model read off the pictures" in plan.sets.notes


def two_kinds(path: Path) -> Path:
    """Dark and bright pictures of 30 people, of each one."""
    with PackWriter(path) as writer:
        for index in range(60):
            record = {"person": f"P{index // 2}", "labels": {"level": bool(index % 2)}}
            writer.add_png(encode_png(np.full((16, 16, 3), 50 + 100 * (index % 2), np.uint8)), record=record)
    return path


def test_a_generator_is_a_synthetic_set_like_others(tmp_path: Path) -> None:
    """Its pictures are drawn in turns, which are told, and labelled with what each was drawn for."""
    real, path = two_kinds(tmp_path / "real.zip"), tmp_path / "generator-000001.safetensors"
    spec = Spec(16, 3, 1, ("level",))
    header = NetworkHeader(
        family="lite",
        config=PLAIN.model_dump(),
        spec=spec,
        nimg=0,
        tool="test",
        label_rows=((0.0,), (1.0,)),
    )
    save_generator(path, lite.build_generator(PLAIN, spec).state_dict(), header)
    ticks: list[tuple[int, int]] = []
    sets = worth_sets.open_sets(
        *(str(real), (f"drawn={path}",), "level"),
        held_out=0.2,
        drawn=70,
        progress=lambda done, total: ticks.append((done, total)),
    )
    drawn = sets.synthetic["drawn"]
    assert drawn.labels is not None
    assert (len(drawn), set(drawn.labels[:, 0].tolist())) == (70, {0.0, 1.0})
    assert ticks[-2:] == [(64, 70), (70, 70)]
    config = Config(width=4)
    model = tmp_path / "attributes.safetensors"
    header = header.model_copy(update={"kind": "attributes", "family": "attributes", "label_rows": ()})
    header = header.model_copy(update={"config": config.model_dump(), "spec": spec})
    save_generator(model, build_product(config, spec).state_dict(), header)
    with pytest.raises(InputError, match="it holds 'attributes', and here a 'generator' is needed"):
        worth_sets.open_sets(str(real), (f"m={model}",), "level", held_out=0.2, drawn=4)


def test_gaze_is_both_of_its_angles(tmp_path: Path, fails: Fails) -> None:
    real = pack(tmp_path / "eyes.zip", 30, name="gaze_yaw", gaze_pitch=-4.5)
    sets = worth_sets.open_sets(str(real), (), "gaze", held_out=0.2, drawn=1)
    assert [target.name for target in sets.targets] == ["gaze_yaw", "gaze_pitch"]
    assert sets.train.labels is not None
    bright = sets.train.images(np.arange(len(sets.train))).mean((1, 2, 3))
    assert np.allclose(sets.train.labels[:, 0], bright - 59.5, atol=2)
    assert set(sets.train.labels[:, 1].tolist()) == {-4.5}
    half = pack(tmp_path / "half.zip", 30, name="gaze_yaw")
    error = fails("worth", "--real", half, "--label", "gaze", "--out", tmp_path / "o")
    assert "no picture has the label 'gaze'; there are: gaze_yaw" in error


def relabelled(path: Path, real: Path, known: Callable[[str], bool]) -> Path:
    """The pictures of a set, of those people alone with labels who are known."""
    dataset = open_dataset(str(real))
    with PackWriter(path) as writer:
        for index, record in enumerate(dataset.records):
            picture = dataset.images(np.array([index]))[0].transpose(1, 2, 0)
            labels = dict(record["labels"]) if known(record["person"]) else {}
            writer.add_png(encode_png(np.ascontiguousarray(picture)), record={**record, "labels": labels})
    return path


def test_labels_must_be_known_of_those_who_are_tested_and_of_two_of_them(
    real: Path, tmp_path: Path, fails: Fails
) -> None:
    tested = set(plan_of(real).sets.people)
    assert len(tested) == 6

    def asked(path: Path) -> str:
        return fails("worth", "--real", path, "--label", "level", "--out", tmp_path / "o")

    others = relabelled(tmp_path / "others.zip", real, lambda person: not is_of(person, tested))
    assert "of no real picture to test on is level known" in asked(others)
    own = relabelled(tmp_path / "own.zip", real, lambda person: is_of(person, tested))
    assert "of no real picture to learn from is level known" in asked(own)
    few = pack(tmp_path / "few.zip", 3, each=8)
    assert "too few people, 1 to test on; it takes two or more" in asked(few)


def is_of(person: str, people: set[str]) -> bool:
    return any(one.endswith(person) for one in people)


def test_what_a_synthetic_set_cannot_give_is_said(real: Path, tmp_path: Path, fails: Fails) -> None:
    """People of whom the label is not known are left out; a set of none but tested people is refused."""
    made = pack(tmp_path / "made.zip", 40, first=500)
    part = relabelled(tmp_path / "part.zip", made, lambda person: int(person[1:]) >= 505)
    plan = plan_of(real, f"part={part}")
    assert len(plan.sets.synthetic["part"]) == 70
    assert "part: 10 of 80 pictures left out, whose label is not known" in plan.sets.notes

    tested = set(plan.sets.people)
    same = tmp_path / "same.zip"
    with PackWriter(same) as writer:
        for index in range(30):
            if is_of(f"P{index}", tested):
                record = {"person": f"P{index}", "labels": {"level": float(index)}}
                writer.add_png(encode_png(np.full((8, 8, 3), index, np.uint8)), record=record)
    error = fails(
        *("worth", "--real", real, "--label", "level", "--synthetic", f"s={same}", "--out", tmp_path / "o")
    )
    assert "--synthetic s: all of its people are among those to test on" in error


def test_a_model_that_diverged_or_sees_one_label_alone_is_named(
    real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    even = tmp_path / "even.zip"
    with PackWriter(even) as writer:
        for index in range(6):
            record = {"person": f"P{700 + index}", "labels": {"level": 50.0}}
            writer.add_png(encode_png(np.full((8, 8, 3), index, np.uint8)), record=record)
    plan = plan_of(real, f"even={even}")
    alone = next(arm for arm in arms_of(plan.sets) if arm.name == "even")
    with pytest.raises(InputError, match=r"even: its 6 pictures .* all have the same label \(seed 3\)"):
        training_set_of(plan, alone, 3)
    monkeypatch.setattr(worth_models, "train_and_predict", lambda *given, **named: (np.array([[np.nan]]), 7))
    arm, unused = arms_of(plan.sets)[0], lambda *given: None
    with pytest.raises(MienError, match=r"real, seed 1: training diverged; lower the rate, --set lr=0\.0005"):
        worth_models.result_of(plan, arm, 1, tmp_path, tick=unused, report=unused)
    assert not list(tmp_path.glob("*.json"))


def test_bad_input_is_named(real: Path, made: Path, tmp_path: Path, fails: Fails) -> None:
    other = pack(tmp_path / "other.zip", 3, first=600, name="age")
    worded = pack(tmp_path / "worded.zip", 3, first=600, level="bright")
    large, gray = pack(tmp_path / "large.zip", 3, size=16), pack(tmp_path / "gray.zip", 3, channels=1)
    one = pack(tmp_path / "one.zip", 1, each=8)
    bare = pack(tmp_path / "bare.zip", 30, level=7)
    usual = ["--real", real, "--label", "level", "--kimg", "0.1", "--seeds", "2"]
    for arguments, words in (
        (["--real", real, "--label", "age"], "no picture has the label 'age'; there are: level"),
        ([*usual, "--synthetic", f"o={other}"], "o: other: no picture has the label 'level'; there are: age"),
        ([*usual, "--synthetic", f"w={worded}"], "--synthetic w: no picture of it has a level"),
        (["--real", real, "--label", "a,b"], "name one label"),
        ([*usual, "--synthetic", f"big={large}"], "--synthetic big: 16 px"),
        ([*usual, "--synthetic", f"g={gray}"], "g: its pictures are gray, the real ones coloured"),
        ([*usual, "--synthetic", made], "write NAME=DATASET"),
        ([*usual, "--synthetic", f"a={made}", "--synthetic", f"a={large}"], "'a' is taken"),
        ([*usual, "--synthetic", f"real={made}"], "'real' is taken"),
        ([*usual, "--synthetic", f"a={real}"], "it is the real set itself"),
        ([*usual, "--synthetic", "a=nowhere.zip"], "nowhere.zip"),
        (["--real", one, "--label", "level"], "1 people cannot be parted"),
        (["--real", bare, "--label", "level"], "level is the same in all 48 real pictures to learn from"),
        ([*usual, "--real-count", "400"], "--real-count 400: there are 48 real pictures"),
        ([*usual, "--set", "labels=level"], "say that with --label"),
        ([*usual, "--set", "depth=3"], "not NAME=VALUE"),
    ):
        assert words in fails("worth", *arguments, "--out", tmp_path / "out")
    assert not list((tmp_path / "out").glob("**/*.json"))


def test_bad_numbers_are_bad_usage(real: Path) -> None:
    for option in (("--seeds", "1"), ("--held-out", "1"), ("--kimg", "0"), ("--real-count", "1")):
        assert main(["worth", "--real", str(real), "--label", "level", *option]) == 2


def test_the_command_prints_the_table(
    real: Path, made: Path, tmp_path: Path, stub: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["worth", "--real", str(real), "--synthetic", f"made={made}", "--label", "level"]
    assert main([*command, "--seeds", "2", "--kimg", "0.1", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "adding made helps: MAE better by 1.000 (1.000 to 1.000) than real alone" in said
    assert "real + made" in said
    assert json.loads((out / "worth.json").read_text())["num_people"] == 6
