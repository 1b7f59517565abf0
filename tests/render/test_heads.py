"""Pictures of heads: reproducible, antialiased, posed as documented."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien.core.cluster import cores
from mien.core.errors import InputError, MienError
from mien.render import people
from mien.render.heads import render_one
from mien.render.people import person_id, render_people
from mien.render.person import Person, sample_person
from mien.render.shot import Shot, facing, sample_shot
from mien.render.surface import PART


def _share(parts: np.ndarray, *names: str) -> float:
    return float(np.isin(parts, [PART[n] for n in names]).mean())


def test_same_seed_same_bytes_whatever_was_rendered_before() -> None:
    persons = [sample_person(k) for k in range(3)]
    shots = [sample_shot(k, male=p.male) for k, p in enumerate(persons)]
    first = [render_one(p, s, size=32) for p, s in zip(persons, shots, strict=True)]
    for k in (2, 0):
        again = render_one(persons[k], shots[k], size=32)
        assert np.array_equal(again.image, first[k].image)
        assert again.labels == first[k].labels
        assert np.array_equal(again.parts, first[k].parts)


@pytest.mark.slow
def test_workers_change_nothing() -> None:
    ours, labels = render_people(3, size=32, seed=5, workers=1)
    theirs, their_labels = render_people(3, size=32, seed=5, workers=2)
    assert np.array_equal(ours, theirs)
    assert labels == their_labels
    longer, _ = render_people(4, size=32, seed=5, workers=1)
    assert np.array_equal(longer[:3], ours)
    assert [x["person"] for x in labels] == [person_id(5, k) for k in range(3)]


def test_progress_counts_every_picture() -> None:
    seen: list[tuple[int, int]] = []
    render_people(2, size=16, seed=0, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_seeds_give_different_people() -> None:
    images, labels = render_people(4, size=32, seed=9, workers=1)
    flat = images.reshape(4, -1).astype(float)
    for a in range(4):
        for b in range(a):
            assert np.abs(flat[a] - flat[b]).mean() > 5
    assert len({x["person"] for x in labels}) == 4


def test_pictures_are_antialiased(person: Person, plain: Shot) -> None:
    """A small picture agrees with a large one scaled down, and its outline has in-between values."""
    shot = replace(
        plain, background_colour=(0.9, 0.9, 0.9), background_second=(0.9, 0.9, 0.9), background="gradient"
    )
    small = render_one(person, shot, size=48).image.astype(float)
    large = render_one(person, shot, size=96, samples=2).image.astype(float)
    linear = (large / 255) ** 2.2
    down = linear.reshape(3, 48, 2, 48, 2).mean(axis=(2, 4)) ** (1 / 2.2) * 255
    assert np.abs(small - down).mean() < 4
    aliased = render_one(person, shot, size=48, samples=1).image.astype(float)
    assert np.abs(small - down).mean() < 0.8 * np.abs(aliased - down).mean()
    dark = person.hair_colour == "black" and small[:, 0, :].mean() > 150
    assert dark, "this test needs dark hair before a light background"
    rows = small[:, 8:20, :24].mean(axis=0)  # hair before the background, left of the middle
    between = (rows > rows.min() + 25) & (rows < rows.max() - 25)
    assert between.any(axis=1).mean() >= 0.5


def test_framing_is_ffhq_like(person: Person, plain: Shot) -> None:
    picture = render_one(person, plain, size=64)
    left, right = (np.array(picture.labels["landmarks"][f"pupil_{s}"]) for s in ("left", "right"))
    assert 0.40 < (left[1] + right[1]) / 2 / 64 < 0.50
    assert 0.20 < (right[0] - left[0]) / 64 < 0.28
    assert _share(picture.parts, "background") < 0.6


@pytest.mark.parametrize(("yaw", "sign"), [(30.0, 1), (-30.0, -1)])
def test_positive_yaw_turns_to_the_right(person: Person, plain: Shot, yaw: float, sign: int) -> None:
    points = render_one(person, replace(plain, yaw=yaw), size=32).labels["landmarks"]
    eyes = (points["pupil_left"][0] + points["pupil_right"][0]) / 2
    assert sign * (points["nose_tip"][0] - eyes) > 1


def test_pitch_and_roll_signs(person: Person, plain: Shot) -> None:
    level = render_one(person, plain, size=32).labels["landmarks"]
    up = render_one(person, replace(plain, pitch=15.0), size=32).labels["landmarks"]
    gap = [p["nose_tip"][1] - p["nose_root"][1] for p in (level, up)]
    assert gap[1] < gap[0]  # the nose points up
    tilted = render_one(person, replace(plain, roll=15.0), size=32).labels["landmarks"]
    assert tilted["pupil_right"][1] > tilted["pupil_left"][1] + 1  # clockwise: the right eye is lower


def test_profile_shows_one_side(person: Person, plain: Shot) -> None:
    picture = render_one(person, facing(plain, 90.0), size=64)
    seen = picture.labels["visible"]
    assert seen["ear_left"]
    assert not seen["ear_right"]
    assert not seen["eye_right_outer"]
    points = picture.labels["landmarks"]
    assert points["nose_tip"][0] > points["eye_left_outer"][0] + 5
    assert _share(picture.parts, "ear") > 0.005


def test_a_person_stays_the_same_from_shot_to_shot(person: Person, plain: Shot) -> None:
    fixed = ("Male", "Young", "Big_Nose", "Pale_Skin", "Black_Hair", "No_Beard", "Oval_Face")
    front = render_one(person, plain, size=32).labels
    other = render_one(person, replace(sample_shot(77), hat="none", yaw=20.0), size=32).labels
    assert front["person"] == other["person"] == person.seed
    assert [front["attributes"][n] for n in fixed] == [other["attributes"][n] for n in fixed]


def test_gaze_label_is_where_the_iris_goes(person: Person, plain: Shot) -> None:
    ahead, right = (render_one(person, replace(plain, eye_yaw=e), size=96) for e in (0.0, 25.0))
    assert right.labels["gaze_yaw"] == pytest.approx(25.0)

    def centre(parts: np.ndarray) -> float:
        return float(np.nonzero(parts == PART["iris"])[1].mean())

    assert centre(right.parts) > centre(ahead.parts) + 0.8
    turned = Shot(seed=1, yaw=20.0, eye_yaw=-20.0)
    assert turned.gaze()[0] == pytest.approx(0.0, abs=1e-6)


def test_wrong_sizes_and_counts_are_refused(person: Person, plain: Shot) -> None:
    with pytest.raises(InputError, match="multiple of 8"):
        render_one(person, plain, size=50)
    with pytest.raises(InputError, match="at least 1"):
        render_people(0, size=32, seed=0)


def test_a_worker_that_dies_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(size: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-c", "pass"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    monkeypatch.setattr(people, "_start_worker", start)
    with pytest.raises(MienError, match="render"):
        render_people(2, size=16, seed=0, workers=2)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux which signals a process ignores")
@pytest.mark.skipif(cores() < 2, reason="one core has no workers")
def test_ctrl_c_is_one_word_though_workers_hear_it_too(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mien", "render", str(tmp_path / "heads.zip"), "--count", "5000"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    end = time.monotonic() + 120
    while not (begun := children.read_text().split()) or not all(map(_ignores_interrupts, begun)):
        if time.monotonic() > end:
            process.kill()
            pytest.fail(f"a worker does not leave interrupts to its parent: {process.communicate()[0]}")
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 130, said
    assert said.splitlines() == ["stopped"]
    assert not any(Path(f"/proc/{pid}").exists() for pid in begun)
    assert not list(tmp_path.iterdir())


def _ignores_interrupts(pid: str) -> bool:
    fields = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(fields["SigIgn"], 16) >> (signal.SIGINT - 1) & 1)
