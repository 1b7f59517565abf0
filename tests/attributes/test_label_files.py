"""Labels of one's own: CSV and JSON, read leniently, and face-annotation JSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.attributes.annotate import annotate, matched, write_labels
from mien.attributes.label_files import read_label_file, seed_of
from mien.core.errors import InputError
from mien.core.manifest import read_continuation
from mien.core.packed import encode_png

FACE = {
    "faceId": "8a7b",
    "faceRectangle": {"top": 10, "left": 20, "width": 30, "height": 40},
    "faceAttributes": {
        "smile": 0.75,
        "headPose": {"pitch": 0.0, "roll": -1.5, "yaw": 12.25},
        "gender": "female",
        "age": 31.0,
        "facialHair": {"moustache": 0.1, "beard": 0.0, "sideburns": 0.0},
        "glasses": "NoGlasses",
        "makeup": {"eyeMakeup": True, "lipMakeup": False},
        "accessories": [{"type": "headWear", "confidence": 0.9}],
        "hair": {"bald": 0.02, "invisible": False, "hairColor": [{"color": "brown", "confidence": 0.97}]},
    },
}


def _write(path: Path, document: Any) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_face_annotations(tmp_path: Path) -> None:
    other = {"faceAttributes": {"gender": "male", "glasses": "ReadingGlasses", "smile": 0.0}}
    document = {"seed0003.png": [FACE, {"faceAttributes": {"age": 99}}], "seed0004.png": [other]}
    rows = read_label_file(_write(tmp_path / "faces.json", document))
    first = rows["seed0003.png"]
    assert first["smile"] == 0.75
    assert (first["yaw"], first["roll"], first["age"]) == (12.25, -1.5, 31.0)
    assert (first["moustache"], first["beard"]) == (0.1, 0.0)  # not one for the other
    assert (first["gender=female"], first["gender=male"]) == (1.0, 0.0)
    assert (first["eyeMakeup"], first["lipMakeup"], first["invisible"]) == (1.0, 0.0, 0.0)
    assert first["accessories=headWear"] == 0.9
    assert first["hairColor=brown"] == 0.97
    assert not any("face" in name.lower() or name in ("top", "left", "width") for name in first)
    assert rows["seed0004.png"]["gender=female"] == 0.0
    assert rows["seed0004.png"]["glasses=NoGlasses"] == 0.0
    assert "age" not in rows["seed0004.png"]


def test_a_folder_of_annotations(tmp_path: Path) -> None:
    for seed in (3, 12):
        _write(tmp_path / f"seed{seed:04d}.json", [FACE])
    _write(tmp_path / "seed0013.json", [])
    rows = read_label_file(tmp_path)
    assert sorted(rows) == ["seed0003", "seed0012", "seed0013"]
    assert rows["seed0012"]["yaw"] == 12.25
    assert rows["seed0013"] == {}


def test_csv(tmp_path: Path) -> None:
    text = (
        "seed,Smiling,yaw,glasses,Male,note\n"
        "3,yes,-1,none,1,\n"
        "4,no,12.5,sun,-1,n/a\n"
        "5,?,,round,1,\n"
    )  # fmt: skip
    rows = read_label_file(_write(tmp_path / "x.csv", "\ufeff" + text))
    assert rows["3"]["Smiling"] == 1
    assert rows["4"]["Smiling"] == 0
    assert "Smiling" not in rows["5"]
    assert rows["3"]["yaw"] == -1  # a number, for others are no signs
    assert [rows[seed]["Male"] for seed in "345"] == [1, 0, 1]  # CelebA's no
    assert [rows[seed]["glasses=sun"] for seed in "45"] == [1, 0]
    assert "yaw" not in rows["5"]


def test_a_list_of_objects(tmp_path: Path) -> None:
    entries = [{"File": "a/seed0007.png", "labels": {"smile": True}}, {"file": "b", "age": "41"}]
    rows = read_label_file(_write(tmp_path / "x.json", entries))
    assert rows == {"a/seed0007.png": {"smile": 1.0}, "b": {"age": 41.0}}


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("seed0003.png", 3),
        ("out/seed12-edited.png", None),
        ("7", 7),
        ("c:\\x\\seed0009.jpg", 9),
        ("me", None),
    ],
)
def test_seeds_in_names(name: str, seed: int | None) -> None:
    assert seed_of(name) == seed


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.csv", "a,b\n1,2\n", "no column file"),
        ("x.csv", "", "no column file"),
        ("x.csv", "file,smile\na,\n", "no labels can be read"),
        ("x.json", "{", "not JSON"),
        ("x.json", "[" * 100_000, "not JSON"),
        ("x.json", "3", "a list of pictures with labels"),
        ("x.json", '[{"smile": 1}]', "entry 1: it names no file"),
        ("x.json", "[4]", "entry 1"),
        ("x.json", '{"a": {"smile": NaN}}', "no labels can be read"),
        ("x.json", "{}", "no labels can be read"),
    ],
)
def test_files_that_hold_none(tmp_path: Path, name: str, content: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_label_file(_write(tmp_path / name, content))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_label_file(tmp_path / "none.csv")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x81")
    with pytest.raises(InputError, match="no text file"):
        read_label_file(tmp_path / "x.csv")


def test_pictures_by_member_source_or_stem() -> None:
    files, sources = ["00/a.png", "00/b.png", "00/c.png"], ["holiday/x.jpg", "home/y.jpg", "home/x.jpg"]
    rows = {
        "00/a.png": {"s": 1.0},
        "y.jpg": {"s": 0.0},
        "c": {"t": 2.0},
        "x.jpg": {"s": 1.0},
        "q": {"s": 0.0},
    }
    found, unknown = matched(rows, files, sources)
    assert found == {"00/a.png": {"s": 1.0}, "00/b.png": {"s": 0.0}, "00/c.png": {"t": 2.0}}
    assert unknown == ["x.jpg", "q"]  # two pictures came from an x.jpg


def test_labels_into_a_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(encode_png(np.zeros((16, 16, 3), np.uint8)))
    said: list[str] = []
    source = _write(tmp_path / "x.csv", "file,smile\na.png,yes\nnobody.png,no\n")
    assert write_labels(folder, source, warn=said.append) == (1, 2)
    assert "'nobody.png'" in said[0]
    records = {record["file"]: record for record in read_continuation(folder)}
    assert records["a.png"]["labels"] == {"smile": 1.0}
    annotate(folder, labels=_write(tmp_path / "z.csv", "file,smile\nb.png,no\n")).run()
    assert read_continuation(folder)[-1]["labels"] == {"smile": 0.0}
    with pytest.raises(InputError, match="none of its 1 rows names a picture"):
        write_labels(folder, _write(tmp_path / "y.csv", "file,smile\nz.png,no\n"), warn=said.append)


def test_what_is_no_label_is_passed_over(tmp_path: Path) -> None:
    document = {
        "a.png": {"faceId": 5, "faceRectangle": {"top": 10}, "faceLandmarks": {"nose": 3}, "smile": 0.5},
        "b.png": {"faceAttributes": None},
        "c.png": 3,
        "d.png": "no face",
        "e.png": {"wears": ["hat", 7, "glasses"]},
        "f.png": {"wears": ["hat"]},
    }
    rows = read_label_file(_write(tmp_path / "x.json", document))
    assert rows["a.png"] == {"smile": 0.5}
    assert rows["b.png"] == rows["c.png"] == rows["d.png"] == {}
    assert rows["e.png"] == {"wears=hat": 1.0, "wears=glasses": 1.0}
    assert rows["f.png"] == {"wears=hat": 1.0, "wears=glasses": 0.0}


def test_a_table_that_breaks_off_into_a_text_without_end_is_named_with_its_line(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.csv", "file,smile\na.png,1\nb.png," + "y" * 200_000 + "\n")
    with pytest.raises(InputError, match=r"x\.csv, line 3: not a table \(field larger"):
        read_label_file(path)


def test_a_file_far_too_large_for_labels_is_not_read(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.json", "{}")
    with open(path, "r+b") as file:
        file.truncate((256 << 20) + 1)  # a hole, which takes no place
    with pytest.raises(InputError, match=r"x\.json: larger than 256 MiB; labels are smaller"):
        read_label_file(path)
