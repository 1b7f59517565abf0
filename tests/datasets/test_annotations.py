"""Labels in a file for each picture: LabelMe, Pascal VOC, FFHQ; and FFHQ's list."""

import json

import pytest
from PIL import Image

from mien.core.errors import InputError
from mien.datasets.layouts.table import index

VOC = "<annotation><filename>x.jpg</filename>{}</annotation>"


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), "teal").save(path)


def named(*names):
    return VOC.format("".join(f"<object><name>{name}</name></object>" for name in names))


def labels(root):
    return {entry.file: entry.labels for entry in index(root).entries}


def test_pascal_voc_beside_the_pictures(tmp_path):
    texts = {"a": named("cat"), "b": named("dog", "dog"), "c": named("cat", "dog"), "d": "<annotation",
             "e": '<!DOCTYPE a [<!ENTITY x "y">]><annotation>&x;</annotation>', "f": "<html/>"}  # fmt: skip
    (tmp_path / "Annotations").mkdir()
    for name, text in texts.items():
        picture(tmp_path / "JPEGImages" / f"{name}.jpg")
        (tmp_path / "Annotations" / f"{name}.xml").write_text(text)
    read = index(tmp_path)
    known = {"a": {"category": "cat"}, "b": {"category": "dog"}, "c": {}}
    assert labels(tmp_path) == {f"JPEGImages/{name}.jpg": own for name, own in known.items()}
    wheres = [problem.where for problem in read.problems]
    assert {f"Annotations/{name}.xml" for name in "def"} < set(wheres)


def test_labelme(tmp_path):
    for name, shapes in (("a", ["hat"]), ("b", [])):
        picture(tmp_path / f"{name}.png")
        annotation = {"flags": {"smile": name == "a"}, "shapes": [{"label": each} for each in shapes],
                      "imagePath": f"{name}.png", "imageData": None}  # fmt: skip
        (tmp_path / f"{name}.json").write_text(json.dumps(annotation))
    assert labels(tmp_path) == {"a.png": {"smile": True, "category": "hat"}, "b.png": {"smile": False}}


def test_features_of_ffhq(tmp_path):
    attributes = {"age": 23.5, "gender": "female", "hair": {"bald": 0.25, "hairColor": []}}
    annotations = ([{"faceAttributes": attributes}], [], [{"faceAttributes": {"age": 4.0, "gender": "male"}}])
    (tmp_path / "json").mkdir()
    for number, faces in enumerate(annotations):
        picture(tmp_path / "images" / f"{number:05d}.png")
        (tmp_path / "json" / f"{number:05d}.json").write_text(json.dumps(faces))
    assert labels(tmp_path) == {
        "images/00000.png": {"age": 23.5, "gender": "female", "hair_bald": 0.25},
        "images/00001.png": {},
        "images/00002.png": {"age": 4.0, "gender": "male"},
    }


def test_list_of_ffhq(tmp_path):
    for number in range(3):
        picture(tmp_path / "thumbnails128x128" / "00000" / f"{number:05d}.png")
    whole = {
        str(number): {
            "category": category,
            "metadata": {"license": "CC BY 2.0"},
            "image": {},
            "thumbnail": {},
        }
        for number, category in enumerate(["training", "validation", "training"])
    }
    (tmp_path / "ffhq-dataset-v2.json").write_text(json.dumps(whole))
    read = index(tmp_path)
    assert [entry.split for entry in read.entries] == ["train", "val", "train"]
    assert read.licence == "CC BY 2.0"
    assert not read.problems


def test_a_table_goes_before_annotations_and_without_either_it_is_said(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(InputError, match="no CSV, TSV or JSON table"):
        index(tmp_path)
    (tmp_path / "a.xml").write_text(named("cat"))
    (tmp_path / "labels.csv").write_text("file,kind\na.png,owl\n")
    assert labels(tmp_path) == {"a.png": {"kind": "owl"}}
