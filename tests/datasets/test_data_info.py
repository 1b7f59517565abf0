"""What `mien data info` says of each layout, and that everything amiss is named."""

import json
from pathlib import Path

import numpy as np
import pytest

from layouts import halves, head, labelled, mpiigaze, paired_folders, save, unityeyes
from mien.cli import main
from mien.core.errors import InputError
from mien.core.manifest import append_records
from mien.core.packed import PackWriter, encode_png
from mien.datasets.info import inspect
from mien.datasets.opening import open_dataset, open_index
from mien.labels.statistics import label_stats, on_two_sides
from miniatures_celeba import celeba_rows, write_celeba
from miniatures_ckplus import write_ckplus
from miniatures_sd18 import write_sd18


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


def folder_of_classes(root: Path) -> Path:
    for number in range(4):
        save(root / ("one" if number else "two") / f"{number}.png", head(number))
    return root


def pack(path: Path, *, count: int = 4) -> Path:
    with PackWriter(path, class_names=("dull", "bright")) as writer:
        for number in range(count):
            record = {"licence": "CC0", "labels": {"person": number // 2, "hair": "dark", "hidden": ["a"]}}
            writer.add_png(encode_png(head(number)), number % 2, record)
        writer.add_record({"source": "x.jpg", "reason": "no-face"})
    return path


LAYOUTS = {
    "celeba": lambda root: write_celeba(root, celeba_rows()),
    "ckplus": write_ckplus,
    "sd18": write_sd18,
    "pairs": paired_folders,
    "eyes": unityeyes,
    "table": labelled,
    "folder": folder_of_classes,
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_recognised_with_its_counts(tmp_path, name):
    root = tmp_path / "here"
    LAYOUTS[name](root)
    info = inspect(str(root))
    assert info.layout == name
    assert info.broken == ()
    assert sum(info.sizes.values()) > 0
    assert info.licence
    assert info.citation
    if name != "folder":
        assert info.counts == dict(open_index(f"{name}:{root}").counts)
        assert info.pictures == len(open_index(f"{name}:{root}").entries)


def test_halves_and_matlab_files_are_looked_at_as_they_are_stored(tmp_path):
    assert inspect(str(halves(tmp_path / "halves"))).sizes == {"96x48 RGB": 4}
    assert inspect(str(mpiigaze(tmp_path / "eyes"))).sizes == {"60x36 L": 12}


def test_a_packed_dataset_tells_classes_people_licence_and_what_was_dropped(tmp_path):
    path = pack(tmp_path / "a.zip")
    append_records(path, [{"file": "00000/img00000003.png", "verdict": "dropped", "reason": "tossed"}])
    info = inspect(str(path))
    assert (info.layout, info.pictures) == ("packed", 3)
    assert info.counts == {"pictures": 3, "people": 2, "tossed": 1, "dropped": 1}
    assert info.licence == "CC0 (3)"
    assert {label.name: label.values for label in info.labels} == {
        "class": {"dull": 2, "bright": 1},
        "hair": {"dark": 3},
    }
    assert any("no-face" in note for note in info.notes)


def test_label_figures():
    values = [(True, 1, 0.5, "a"), (False, 2, 1.5, "a"), (True, 2, 9.25, "b")]
    records = [{"labels": dict(zip(("y", "n", "f", "t"), row, strict=True))} for row in values]
    yes, whole, number, text = label_stats([*records, {"labels": {}}])
    assert (yes.kind, yes.known, yes.values) == ("yes or no", 3, {"yes": 2, "no": 1})
    assert (whole.values, whole.low, whole.middle, whole.high) == ({"2": 2, "1": 1}, 1, 2, 2)
    assert (number.kind, number.values, number.low, number.middle, number.high) == (
        "number",
        {},
        0.5,
        1.5,
        9.25,
    )
    assert (text.kind, text.values) == ("text", {"a": 2, "b": 1})


def test_people_on_two_sides_are_named(tmp_path, capsys):
    """Defect 12: a split that put one person's frames on both sides."""
    records = [{"person": "p", "split": "train"}, {"person": "p", "split": "test"}, {"person": "q"}]
    assert on_two_sides(records) == ("p",)
    assert on_two_sides(records[::2]) == ()
    root = labelled(tmp_path / "t")
    rows = (root / "labels.csv").read_text().splitlines()
    sides = ["split", *("train" if at < 3 else "test" for at in range(6))]
    (root / "labels.csv").write_text(
        "\n".join(f"{row},{side}" for row, side in zip(rows, sides, strict=True))
    )
    assert main(["data", "info", str(root)]) == 0
    said = capsys.readouterr().out
    assert "people on several sides of its split go to train: 1 (first p1)" in said


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([("p", "train"), ("p", "train"), ("q", "test")], "nobody is on two sides of the split"),
        ([("", "train"), ("", "train"), ("", "test")], "whether a person is on two sides cannot be checked"),
    ],
    ids=["nobody", "no person known"],
)
def test_what_is_known_of_the_people_of_a_split_is_said(tmp_path, capsys, records, words):
    png = encode_png(head(0, size=8))
    with PackWriter(tmp_path / "a.zip") as writer:
        for person, split in records:
            writer.add_png(png, record={"split": split} | ({"person": person} if person else {}))
    assert main(["data", "info", str(tmp_path / "a.zip")]) == 0
    assert words in " ".join(capsys.readouterr().out.split())


def test_of_many_problems_the_first_fifty_are_listed(tmp_path, capsys):
    root = labelled(tmp_path / "t")
    with open(root / "labels.csv", "a") as table:
        table.write("\n" + "\n".join(f"pictures/gone{at:02d}.png,3,yes,dark,p" for at in range(53)))
    assert main(["data", "info", "--quick", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("53 problems:")
    assert sum("gone" in line for line in lines[start + 1 : start + 51]) == 50
    assert lines[start + 51].strip() == "and 3 more; --json names all"
    assert len(inspect(str(root), quick=True).problems) == 53


def test_two_folders_of_the_same_names_are_told_how_else_they_may_be_read(tmp_path):
    root = paired_folders(tmp_path / "p")
    as_classes, as_pairs = inspect(f"folder:{root}?size=16"), inspect(str(root))
    assert f"taken as classes; as pairs, open pairs:{root}" in " ".join(as_classes.notes)
    assert f"taken as pairs; as classes, open folder:{root}" in " ".join(as_pairs.notes)
    (root / "front" / "000.png").unlink()
    assert "taken as classes" not in " ".join(inspect(f"folder:{root}?size=16").notes)


def test_missing_and_broken_files_are_named_and_the_exit_code_is_0(tmp_path, capsys):
    root = labelled(tmp_path / "t")
    (root / "pictures" / "0.png").unlink()
    (root / "pictures" / "1.png").write_bytes((root / "pictures" / "1.png").read_bytes()[:-300])
    (root / "pictures" / "2.png").write_text("hello")
    assert main(["data", "info", str(root)]) == 0
    said = capsys.readouterr().out
    assert "labels.csv:2: pictures/0.png is not there" in said
    assert "pictures/1.png: the file is cut off" in said
    assert "pictures/2.png: it is no picture but text" in said
    quick = inspect(str(root), quick=True)
    assert [problem.where for problem in quick.broken] == ["pictures/2.png"]  # only decoding finds the other
    assert not quick.decoded


def test_a_damaged_member_of_a_zip_is_named(tmp_path):
    path = pack(tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    at = data.index(b"IDAT") + 40
    data[at] ^= 255
    path.write_bytes(data)
    (broken,) = inspect(str(path)).broken
    assert broken.where == "00000/img00000000.png"
    assert "damaged" in broken.text


def test_json_holds_everything(tmp_path, capsys):
    assert main(["data", "info", str(labelled(tmp_path / "t")), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["layout"] == "table"
    assert told["opened_as"] == f"table:{tmp_path / 't'}"
    assert told["sizes"] == {"48x48 RGB": 6}
    assert [label["name"] for label in told["labels"]] == ["age", "smiling", "hair"]
    assert told["problems"] == told["broken"] == []


def test_a_layout_without_a_picture_is_bad_input(tmp_path, fails):
    (tmp_path / "labels.csv").write_text("file,age\n")
    assert "table: there are no pictures in it" in fails("data", "info", f"table:{tmp_path}")


def test_what_cannot_be_recognised_is_bad_input(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no zip")
    for source in (tmp_path / "empty", tmp_path / "text.zip", tmp_path / "absent", "nonsense:4", ""):
        assert main(["data", "info", str(source)]) == 2
        assert capsys.readouterr().err.startswith("mien: ")


def test_rendered_heads_are_described(tmp_path):
    info = inspect("rendered:3:16")
    assert (info.layout, info.pictures, info.sizes) == ("rendered", 3, {"16x16 RGB": 3})
    assert "Smiling" in {label.name for label in info.labels}


def test_progress_counts_every_picture(tmp_path):
    told: list[tuple[int, int]] = []
    inspect(str(paired_folders(tmp_path / "p")), progress=lambda done, total: told.append((done, total)))
    assert told == [(n, 8) for n in range(1, 9)]


def test_an_image_beyond_the_last_one_is_told_by_number(tmp_path):
    dataset = open_dataset(str(folder_of_classes(tmp_path / "f")))
    with pytest.raises(IndexError, match="image 4 of 4"):
        dataset[4]
    assert np.array_equal(dataset[-1][0], dataset[3][0])


def test_pictures_of_several_sizes_are_hinted_at(tmp_path):
    root = folder_of_classes(tmp_path / "f")
    save(root / "one" / "9.png", np.zeros((20, 30), np.uint8))
    info = inspect(str(root))
    assert info.sizes == {"48x48 RGB": 4, "30x20 L": 1}
    assert any(f"mien prepare {root} OUT.zip" in note for note in info.notes)
    sized = inspect(f"folder:{root}?size=32")
    assert not any("mien prepare" in note for note in sized.notes)  # they are made alike already
    with pytest.raises(InputError):
        inspect(f"table:{root}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layout", "pictures", "label"),
    [
        ("faces", "folder", 4000, "class"),
        ("eyes", "folder", 847, "class"),
        ("photos", "folder", 879, None),
    ],
)
def test_real_folders(shared_data, name, layout, pictures, label):
    info = inspect(str(shared_data / name), quick=True)
    assert (info.layout, info.pictures, info.broken) == (layout, pictures, ())
    assert [found.name for found in info.labels] == ([label] if label else [])
