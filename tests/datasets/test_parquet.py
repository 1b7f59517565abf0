"""Parquet as `mien data export` and Hugging Face's `datasets` write it."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from contracts.dataset_contract import DatasetContract
from layouts import head
from mien.core.errors import InputError
from mien.core.packed import encode_png
from mien.datasets.opening import open_dataset, open_index, recognise

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def rows(numbers):
    return [
        {
            "image": {"bytes": encode_png(head(n)), "path": None},
            "age": 20 + n,
            "mood": n % 2,
            "person": f"p{n}",
        }
        for n in numbers
    ]


def write(path: Path, rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    features = {"image": {"_type": "Image"}, "mood": {"names": ["sad", "glad"], "_type": "ClassLabel"}}
    table = pyarrow.Table.from_pylist(rows)
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    parquet.write_table(table.replace_schema_metadata(metadata), path, row_group_size=2)


def folder(root: Path, *, last: int = 5) -> Path:
    write(root / "data" / "train-00000-of-00001.parquet", rows([0, 1, 2, 3, 4]))
    write(root / "data" / "validation-00000-of-00001.parquet", rows([last]))
    return root


class TestParquet(DatasetContract):
    def make(self, root):
        return f"parquet:{folder(root)}?size=32"

    def make_other(self, root):
        return f"parquet:{folder(root, last=6)}?size=32"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


def test_pictures_stay_with_their_labels(tmp_path):
    root = folder(tmp_path / "hf")
    assert recognise(root) == "parquet"
    index = open_index(f"parquet:{root}")
    assert [entry.split for entry in index.entries] == ["train"] * 5 + ["val"]
    dataset = open_dataset(f"parquet:{root}?size=48")
    for number, entry in enumerate(index.entries):
        assert dict(entry.labels) == {"age": 20 + number, "mood": ("sad", "glad")[number % 2]}
        assert entry.person == f"p{number}"
        np.testing.assert_array_equal(dataset.images(np.array([number]))[0], head(number).transpose(2, 0, 1))


def test_null_is_a_label_that_is_absent(tmp_path):
    some = rows([0, 1])
    some[0]["age"] = None
    write(tmp_path / "hf" / "a.parquet", some)
    first, second = open_index(f"parquet:{tmp_path / 'hf'}").entries
    assert "age" not in first.labels
    assert second.labels["age"] == 21


def test_what_is_broken_is_named_and_costs_only_itself(tmp_path):
    root = folder(tmp_path / "hf")
    (root / "data" / "test-1.parquet").write_bytes(b"PAR1 and nothing")
    parquet.write_table(pyarrow.table({"text": ["no picture"]}), root / "data" / "test-2.parquet")
    some = rows([0, 1])
    some[0]["image"]["bytes"] = None
    write(root / "data" / "test-3.parquet", some)
    index = open_index(f"parquet:{root}")
    named = {problem.where: problem.text for problem in index.problems}
    assert "no parquet file" in named["data/test-1.parquet"]
    assert "no column of pictures" in named["data/test-2.parquet"]
    dataset = open_dataset(f"parquet:{root}")
    assert len(dataset) == 7
    assert any("test-3.parquet#0: the row holds no picture" in note for note in dataset.notes)


def test_plain_bytes_are_pictures(tmp_path):
    path = tmp_path / "a.parquet"
    table = {"key": [b"no picture"] * 2, "img": [encode_png(head(0)), encode_png(head(1))], "age": [3, 4]}
    parquet.write_table(pyarrow.table(table), path)
    for source in (str(path), f"parquet:{path}"):
        dataset = open_dataset(source)
        assert dataset.labels.tolist() == [[3], [4]]
    dataset = open_dataset(f"parquet:{path}?size=48")
    np.testing.assert_array_equal(dataset.images(np.array([1]))[0], head(1).transpose(2, 0, 1))


def test_the_layout_of_refs_convert_has_its_splits_in_folders(tmp_path):
    for split, numbers in (("train", [0, 1]), ("partial-train", [2]), ("validation", [3]), ("test", [4])):
        write(tmp_path / "hf" / "default" / split / "0000.parquet", rows(numbers))
    assert recognise(tmp_path / "hf") == "parquet"
    index = open_index(f"parquet:{tmp_path / 'hf'}")
    assert {entry.labels["age"]: entry.split for entry in index.entries} == {
        20: "train",
        21: "train",
        22: "train",
        23: "val",
        24: "test",
    }


@pytest.mark.parametrize("nested", [True, False])
def test_files_that_rows_name_are_read_beside_the_parquet(tmp_path, nested):
    (tmp_path / "t" / "pics").mkdir(parents=True)
    for n in range(2):
        (tmp_path / "t" / "pics" / f"{n}.png").write_bytes(encode_png(head(n)))
    (tmp_path / "secret.png").write_bytes(encode_png(head(3)))
    files = ["pics/0.png", "/data/of/others/1.png", "../secret.png"]
    cells = [{"bytes": None, "path": file} for file in files] if nested else files
    name = "image" if nested else "file_name"
    listed = pyarrow.table({name: cells, "age": [1, 2, 3]})
    parquet.write_table(listed, tmp_path / "t" / "metadata.parquet")
    dataset = open_dataset(f"parquet:{tmp_path / 't'}?size=32")
    assert dataset.labels.tolist() == [[1], [2]]
    expected = open_dataset(f"folder:{tmp_path / 't'}?size=32")
    np.testing.assert_array_equal(dataset.images(np.arange(2)), expected.images(np.arange(2)))
    assert any("metadata.parquet#2: ../secret.png is not beside the parquet file" in n for n in dataset.notes)


def test_parquet_in_an_archive_says_what_to_do(tmp_path):
    folder(tmp_path / "hf")
    with zipfile.ZipFile(tmp_path / "hf.zip", "w") as archive:
        archive.write(tmp_path / "hf" / "data" / "train-00000-of-00001.parquet", "data/train.parquet")
    with pytest.raises(
        InputError, match=r"data/train\.parquet lies in it: unpacked, parquet:FOLDER reads it"
    ):
        open_dataset(str(tmp_path / "hf.zip"))
