"""Gaze labels follow the formulas; 36 x 60 pictures keep their pixels where they are."""

import json
import math

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat

from contracts.dataset_contract import DatasetContract
from layouts import mpiigaze, rendered_eyes, unityeyes
from mien.core.errors import InputError
from mien.core.picture import BadPicture
from mien.datasets.index import Entry
from mien.datasets.layouts import eyes
from mien.datasets.layouts.eyes import gaze_angles, head_angles
from mien.datasets.opening import open_dataset, open_index, recognise

DAY = "Data/Normalized/p00/day01.mat"


class TestUnityEyes(DatasetContract):
    def make(self, root):
        return f"eyes:{unityeyes(root)}?size=32"

    def make_other(self, root):
        return f"eyes:{unityeyes(root, 5)}?size=32"


class TestMPIIGaze(DatasetContract):
    def make(self, root):
        return f"eyes:{mpiigaze(root)}?size=60"

    def make_other(self, root):
        return f"eyes:{mpiigaze(root, people=1)}?size=60"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("look", "pitch", "yaw"),
    [
        ((0, 0, -1), 0, 0),  # into the camera
        ((0, -0.5, -math.sqrt(0.75)), 30, 0),  # up
        ((-0.5, 0, -math.sqrt(0.75)), 0, 30),  # to the picture's left
        ((2, 0, -2), 0, -45),  # of any length
    ],
)
def test_gaze_is_told_as_the_formulas_say(look, pitch, yaw):
    assert gaze_angles(*look) == pytest.approx({"gaze_pitch": pitch, "gaze_yaw": yaw}, abs=1e-3)


@pytest.mark.parametrize("look", [(0, 0, 0), (math.nan, 0, 1), (math.inf, 0, 1)])
def test_no_direction_has_no_angles(look):
    assert gaze_angles(*look) is None


def test_head_angles_are_those_of_the_third_column():
    cv2 = pytest.importorskip("cv2")
    for turn in ([0.0, 0.0, 0.0], [0.2, -0.4, 0.1], [-0.5, 0.3, 0.0]):
        x, y, z = cv2.Rodrigues(np.array(turn))[0][:, 2]
        expected = {"head_pitch": math.degrees(math.asin(y)), "head_yaw": math.degrees(math.atan2(x, z))}
        assert head_angles(turn) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("turn", [(math.nan, 0, 0), (0, math.inf, 0)])
def test_no_rotation_has_no_head_angles(turn):
    assert head_angles(turn) == {}


def test_unityeyes_labels_are_the_renderers_with_yaw_turned(tmp_path):
    root = unityeyes(tmp_path / "u")
    for towards, sign in (("left", -1), ("right", 1)):
        index = open_index(f"eyes:{root}?yaw_towards={towards}")
        assert [entry.file for entry in index.entries] == [f"{n}.jpg" for n in range(1, 7)]
        for number, entry in enumerate(index.entries, 1):
            _, yaw, pitch = rendered_eyes()[number]
            assert entry.labels["gaze_yaw"] == pytest.approx(sign * yaw, abs=0.02)
            assert entry.labels["gaze_pitch"] == pytest.approx(pitch, abs=0.02)
            assert entry.labels["head_pitch"] == pytest.approx(5)


def test_the_square_is_around_the_eye_whose_y_counts_from_below(tmp_path):
    root = unityeyes(tmp_path / "u")
    note = json.loads((root / "1.json").read_text())
    note["interior_margin_2d"] = ["(20, 55, 9)", "(40, 55, 9)"]  # five pixels below the upper edge
    (root / "1.json").write_text(json.dumps(note))
    x, y, side, height = open_index(f"eyes:{root}").entries[0].box
    assert (x + side / 2, y + height / 2) == (30, 5)
    assert side == height == pytest.approx(26)


def test_numbers_are_sorted_as_numbers(tmp_path):
    root = unityeyes(tmp_path / "u", 2)
    for end in (".jpg", ".json"):
        (root / f"1{end}").rename(root / f"10{end}")
    assert [entry.file for entry in open_index(f"eyes:{root}").entries] == ["2.jpg", "10.jpg"]


def test_what_unityeyes_lacks_is_named_and_costs_one_picture(tmp_path):
    root = unityeyes(tmp_path / "u")
    (root / "2.json").unlink()
    (root / "3.jpg").unlink()
    (root / "4.json").write_text("{")
    note = json.loads((root / "5.json").read_text())
    note["eye_details"]["look_vec"] = "(0, 0, 0, 0)"
    (root / "5.json").write_text(json.dumps(note))
    index = open_index(f"eyes:{root}")
    assert [entry.file for entry in index.entries] == ["1.jpg", "6.jpg"]
    named = {problem.where: problem.text for problem in index.problems}
    assert "not there" in named["2.json"]
    assert "not there" in named["3.jpg"]
    assert "JSON" in named["4.json"]
    assert "no direction" in named["5.json"]


@pytest.mark.parametrize(
    "text", ["(inf, 40, 9)", "(20, nan, 9)", "(20, 30) (40, 9)", "20, 30, 9", "(20,, 9)"]
)
def test_a_point_with_anything_but_numbers_in_it_is_none(tmp_path, text):
    root = unityeyes(tmp_path / "u")
    note = json.loads((root / "2.json").read_text())
    note["interior_margin_2d"][0] = text
    (root / "2.json").write_text(json.dumps(note))
    (problem,) = open_index(f"eyes:{root}").problems
    assert problem.where == "2.json"
    assert f"{text!r} is no vector" in problem.text


def test_notes_and_pictures_that_say_nothing_cost_one_picture_each(tmp_path):
    root = unityeyes(tmp_path / "u")
    (root / "1.jpg").write_bytes(b"no picture")
    for name, field, value in (
        ("2.json", "head_pose", "(355.0)"),
        ("3.json", "interior_margin_2d", ["(20, 30, 9)", "(20, 40, 9)"]),
        ("4.json", "interior_margin_2d", ["(20, 30, 9)", f"({'9' * 400}, 40, 9)"]),
        ("5.json", "interior_margin_2d", []),
    ):
        note = json.loads((root / name).read_text())
        (root / name).write_text(json.dumps(note | {field: value}))
    index = open_index(f"eyes:{root}")
    assert [entry.file for entry in index.entries] == ["6.jpg"]
    named = {problem.where: problem.text for problem in index.problems}
    assert list(named) == ["1.json", "2.json", "3.json", "4.json", "5.json"]
    assert "1.jpg: it is no picture but text" in named["1.json"]
    assert "'(355.0)' is no vector" in named["2.json"]
    assert "the eye's corners are one point" in named["3.json"]
    assert all("no note of UnityEyes" in named[f"{number}.json"] for number in range(2, 6))


def test_an_eye_whose_place_is_not_known_is_not_cut_out(tmp_path):
    root = unityeyes(tmp_path / "u", 2)
    assert eyes.picture_36x60(root, open_index(f"eyes:{root}").entries[0]).shape == (36, 60)
    with pytest.raises(BadPicture, match=r"1\.jpg: where the eye is in it is not known"):
        eyes.picture_36x60(root, Entry("1.jpg"))


def test_36x60_pictures_are_not_scrambled(tmp_path):
    """Defect 6: height and width were swapped when pictures were reshaped."""
    root = mpiigaze(tmp_path / "m")
    day = loadmat(root / DAY)["data"][0, 0]
    index = open_index(f"eyes:{root}")
    assert [entry.part for entry in index.entries[:4]] == ["0:left", "0:right", "1:left", "1:right"]
    dataset = open_dataset(f"eyes:{root}?size=60")
    drawn = Image.fromarray(rendered_eyes()[0][0]).convert("L").resize((60, 60))
    np.testing.assert_array_equal(dataset.images(np.array([0]))[0, 0, 12:48], np.asarray(drawn)[12:48])
    for at, entry in enumerate(index.entries[:6]):
        frame, side = entry.part.split(":")
        stored = day[side][0, 0]["image"][int(frame)]
        assert eyes.picture_36x60(root, entry).shape == stored.shape == (36, 60)
        np.testing.assert_array_equal(eyes.picture_36x60(root, entry), stored)
        np.testing.assert_array_equal(dataset.images(np.array([at]))[0, 0, 12:48], stored)


def test_a_square_may_be_cut_out_instead(tmp_path):
    root = mpiigaze(tmp_path / "m")
    dataset = open_dataset(f"eyes:{root}?size=36&fit=crop")
    for at, entry in enumerate(open_index(f"eyes:{root}").entries):
        stored = eyes.picture_36x60(root, entry)
        np.testing.assert_array_equal(dataset.images(np.array([at]))[0, 0], stored[:, 12:48])


def test_swapped_height_and_width_are_refused(tmp_path):
    root = mpiigaze(tmp_path / "m")
    sideways = {
        side: {"gaze": [[0, 0, -1.0]] * 2, "image": np.zeros((2, 60, 36), np.uint8)}
        for side in ("left", "right")
    }
    savemat(root / DAY, {"data": sideways})
    (problem,) = open_index(f"eyes:{root}").problems
    assert problem.where == DAY
    assert "swapped" in problem.text


def test_people_are_kept_apart(tmp_path):
    index = open_index(f"eyes:{mpiigaze(tmp_path / 'm')}")
    assert index.counts == {"pictures": 12, "people": 2}
    assert {entry.person for entry in index.entries} == {"p00", "p01"}
    sides = [open_dataset(f"eyes:{tmp_path / 'm'}?fold=1/2&split={side}") for side in ("train", "test")]
    people = [{record["person"] for record in dataset.records} for dataset in sides]
    assert not people[0] & people[1]


def test_one_frame_keeps_its_axes(tmp_path):
    root = mpiigaze(tmp_path / "m", frames=1)
    index = open_index(f"eyes:{root}")
    assert len(index.entries) == 4
    assert index.problems == ()
    whole = open_dataset(f"eyes:{root}?size=60")
    day = loadmat(root / DAY, struct_as_record=False)["data"][0, 0]
    flat = {
        side: {name: getattr(getattr(day, side)[0, 0], name) for name in ("gaze", "image", "pose")}
        for side in ("left", "right")
    }
    for eye in flat.values():
        assert eye["image"].shape == (1, 36, 60)
        eye["image"] = eye["image"][0]  # as MATLAB itself would write it
    savemat(root / DAY, {"data": flat})
    again = open_dataset(f"eyes:{root}?size=60")
    assert [dict(record) | {"sha256": ""} for record in again.records] == [
        dict(record) | {"sha256": ""} for record in whole.records
    ]
    assert np.array_equal(again.images(np.arange(4)), whole.images(np.arange(4)))


@pytest.mark.parametrize(
    ("gaze", "image", "words"),
    [
        (
            2,
            np.zeros((2, 36, 60)),
            "expected image uint8 (N, 36, 60), gaze (N, 3); image float64 (2, 36, 60)",
        ),
        (3, np.zeros((2, 36, 60), np.uint8), "image uint8 (2, 36, 60), gaze (3, 3)"),
        (2, np.zeros((2, 36, 59), np.uint8), "image uint8 (2, 36, 59), gaze (2, 3)"),
    ],
    ids=["numbers", "more lines of sight than pictures", "width"],
)
def test_arrays_of_other_shapes_are_named_and_cost_one_day(tmp_path, gaze, image, words):
    root = mpiigaze(tmp_path / "m")
    eye = {"gaze": [[0, 0, -1.0]] * gaze, "image": image}
    savemat(root / DAY, {"data": {"left": eye, "right": eye}})
    index = open_index(f"eyes:{root}")
    assert {entry.person for entry in index.entries} == {"p01"}
    (problem,) = index.problems
    assert problem.where == DAY
    assert words in problem.text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "7.3"),
        (b"MATLAB 7.3 MAT-file, Platform" + bytes(600), "7.3"),
        (b"hello" * 100, "no day of MPIIGaze"),
        (b"", "no day of MPIIGaze"),
    ],
)
def test_files_that_are_no_days_are_named_and_cost_one_day(tmp_path, content, words):
    root = mpiigaze(tmp_path / "m")
    (root / DAY).write_bytes(content)
    index = open_index(f"eyes:{root}")
    assert {entry.person for entry in index.entries} == {"p01"}
    (problem,) = index.problems
    assert problem.where == DAY
    assert words in problem.text


def test_a_frame_without_direction_costs_one_eye(tmp_path):
    root = mpiigaze(tmp_path / "m")
    data = {
        side: {"gaze": np.array([[0, 0, -1.0], [0, 0, 0]]), "image": np.zeros((2, 36, 60), np.uint8)}
        for side in ("left", "right")
    }
    savemat(root / DAY, {"data": data})
    index = open_index(f"eyes:{root}")
    assert [problem.where for problem in index.problems] == [f"{DAY}#1:left", f"{DAY}#1:right"]
    assert len(index.entries) == 2 + 6


def test_unityeyes_is_cut_to_36x60_around_the_eye(tmp_path):
    root = unityeyes(tmp_path / "u")
    entry = open_index(f"eyes:{root}").entries[0]
    small = eyes.picture_36x60(root, entry)
    assert (small.shape, small.dtype) == ((36, 60), np.uint8)
    x, y, side, _ = entry.box
    whole = np.asarray(Image.open(root / "1.jpg").convert("L"), float)
    region = whole[int(y + side * 0.2) : int(y + side * 0.8), int(x) : int(x + side)]
    assert small.mean() == pytest.approx(region.mean(), abs=3)


def test_both_are_recognised_and_nothing_else(tmp_path):
    assert recognise(unityeyes(tmp_path / "u")) == "eyes"
    assert recognise(mpiigaze(tmp_path / "m")) == "eyes"
    assert recognise(tmp_path / "m" / "Data" / "Normalized") == "eyes"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "1.json").write_text('{"a": 1}')
    assert recognise(tmp_path / "other") is None
    with pytest.raises(InputError, match="neither UnityEyes"):
        open_index(f"eyes:{tmp_path / 'other'}")
