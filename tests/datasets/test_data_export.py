"""Exports read back: by our own reader, by pyarrow, bit for bit; nothing half-written."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from layouts import head, labelled, paired_folders, save
from mien.cli import main
from mien.core.errors import InputError
from mien.core.events import Progress, Written
from mien.core.manifest import append_records
from mien.core.packed import PackReader, PackWriter, encode_png
from mien.core.provenance import verify
from mien.datasets import export as data_export
from mien.datasets import export_files
from mien.datasets.export import export
from mien.datasets.export_files import columns_of
from mien.datasets.opening import open_dataset, open_index
from mien.render.render import render


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


def pack(path: Path, count: int = 8, *, people: int = 4) -> Path:
    with PackWriter(path) as writer:
        for number in range(count):
            labels = {"age": 20 + number, "smiling": number % 2 == 0, "person": f"p{number % people}"}
            if number == 3:
                del labels["age"]
            record = {
                "source": f"in/{number}.jpg",
                "licence": "CC0",
                "labels": labels,
                "measurements": {"yaw": number / 4},
            }
            writer.add_png(encode_png(head(number)), None, record)
    return path


def decoded(data: bytes | Path) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data) if isinstance(data, bytes) else data))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def written(heard: list, path: Path) -> str:
    """What the job says is at `path`."""
    (event,) = [event for event in heard if isinstance(event, Written)]
    assert event.path == path
    return event.text


def test_imagefolder_is_read_back_by_our_reader_bit_for_bit(tmp_path):
    source = open_dataset(str(pack(tmp_path / "a.zip")))
    heard = []
    export(str(tmp_path / "a.zip"), tmp_path / "out", format="imagefolder").run(heard.append)
    assert "8 train" in written(heard, tmp_path / "out")
    index = open_index(f"table:{tmp_path / 'out'}")
    assert index.problems == ()
    assert index.licence == "CC0"
    assert len(index.entries) == 8
    for number, entry in enumerate(index.entries):
        expected = dict(source.records[number]["labels"])
        assert entry.person == expected.pop("person")
        assert entry.split == "train"
        assert dict(entry.labels) == {**expected, "source": f"in/{number}.jpg"}
        pixels = decoded(tmp_path / "out" / entry.file)
        np.testing.assert_array_equal(pixels.transpose(2, 0, 1), source.images(np.array([number]))[0])


def test_imagefolder_says_null_for_what_is_not_known(tmp_path):
    export(str(pack(tmp_path / "a.zip")), tmp_path / "out", format="imagefolder").run()
    rows = lines(tmp_path / "out" / "train" / "metadata.jsonl")
    assert {tuple(row) for row in rows} == {("file_name", "age", "person", "smiling", "source", "licence")}
    assert [row["age"] for row in rows] == [20, 21, 22, None, 24, 25, 26, 27]


def test_measurements_come_on_request(tmp_path):
    export(str(pack(tmp_path / "a.zip")), tmp_path / "out", format="imagefolder", measurements=True).run()
    assert [row["yaw"] for row in lines(tmp_path / "out" / "train" / "metadata.jsonl")][:3] == [0, 0.25, 0.5]


def test_parquet_holds_pictures_and_says_so(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    source = open_dataset(str(pack(tmp_path / "a.zip")))
    export(str(tmp_path / "a.zip"), tmp_path / "out", format="parquet").run()
    (path,) = (tmp_path / "out" / "data").iterdir()
    assert path.name == "train-00000-of-00001.parquet"
    table = parquet.read_table(path)
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features == {
        "image": {"_type": "Image"},
        "age": {"dtype": "int64", "_type": "Value"},
        "smiling": {"dtype": "bool", "_type": "Value"},
        "person": {"dtype": "string", "_type": "Value"},
        "source": {"dtype": "string", "_type": "Value"},
        "licence": {"dtype": "string", "_type": "Value"},
    }
    assert list(features) == table.column_names
    assert {name: str(table.schema.field(name).type) for name in features if name != "image"} == {
        name: feature["dtype"] for name, feature in features.items() if name != "image"
    }
    rows = table.to_pylist()
    assert [row["age"] for row in rows] == [20, 21, 22, None, 24, 25, 26, 27]
    for number, row in enumerate(rows):
        assert set(row["image"]) == {"bytes", "path"}
        pixels = decoded(row["image"]["bytes"])
        np.testing.assert_array_equal(pixels.transpose(2, 0, 1), source.images(np.array([number]))[0])


def test_parquet_is_read_back_by_our_reader(tmp_path):
    pytest.importorskip("pyarrow")
    source = open_dataset(str(pack(tmp_path / "a.zip")))
    export(str(tmp_path / "a.zip"), tmp_path / "out", format="parquet").run()
    back = open_dataset(f"parquet:{tmp_path / 'out'}?size=48&labels=smiling")
    np.testing.assert_array_equal(back.images(np.arange(8)), source.images(np.arange(8)))
    assert [record["labels"].get("age") for record in back.records] == [20, 21, 22, None, 24, 25, 26, 27]
    assert {record["licence"] for record in back.records} == {"CC0"}


def test_parquet_files_end_at_their_size_and_know_how_many_they_are(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = columns_of(open_dataset(str(pack(tmp_path / "a.zip"))), measurements=False)[:1]
    rows = [(bytes(600), {"age": number}) for number in range(5)]
    assert len(list(export_files.write_parquet(tmp_path, "train", rows, columns, shard_bytes=1000))) == 5
    names = sorted(path.name for path in (tmp_path / "data").iterdir())
    assert names == [f"train-0000{n}-of-00003.parquet" for n in range(3)]
    tables = [parquet.read_table(tmp_path / "data" / name) for name in names]
    assert [age for table in tables for age in table["age"].to_pylist()] == list(range(5))


@pytest.mark.parametrize("format", ["imagefolder", "parquet"])
def test_a_split_leaves_every_person_on_one_side(tmp_path, format):
    parquet = pytest.importorskip("pyarrow.parquet")
    export(str(pack(tmp_path / "a.zip", 24, people=8)), tmp_path / "out", format=format, split=0.75).run()
    if format == "parquet":
        found = {
            path.name.split("-")[0]: parquet.read_table(path)["person"].to_pylist()
            for path in (tmp_path / "out" / "data").iterdir()
        }
    else:
        found = {
            path.parent.name: [row["person"] for row in lines(path)]
            for path in (tmp_path / "out").glob("*/metadata.jsonl")
        }
    assert found.keys() == {"train", "test"}
    assert not set(found["train"]) & set(found["test"])
    assert (len(found["train"]), len(found["test"])) == (18, 6)


def test_the_datasets_own_split_is_kept(tmp_path):
    root = labelled(tmp_path / "t")
    rows = (root / "labels.csv").read_text().splitlines()
    sides = ["split", "train", "train", "val", "val", "test", "test"]
    (root / "labels.csv").write_text(
        "\n".join(f"{row},{side}" for row, side in zip(rows, sides, strict=True))
    )
    heard = []
    export(f"table:{root}?size=48", tmp_path / "out", format="imagefolder").run(heard.append)
    assert written(heard, tmp_path / "out").startswith("2 train, 2 validation, 2 test")
    before, after = open_index(f"table:{root}"), open_index(f"table:{tmp_path / 'out'}")
    assert sorted(e.split for e in after.entries) == sorted(e.split for e in before.entries)
    told = {entry.labels["source"]: {**entry.labels} for entry in after.entries}
    for entry in before.entries:
        assert told[entry.file] == {**entry.labels, "source": entry.file}
    pixels = decoded(tmp_path / "out" / "validation" / "00000000.png")
    np.testing.assert_array_equal(pixels, head(2))


def test_classes_get_their_names(tmp_path):
    for number in range(4):
        save(tmp_path / "c" / ("fair" if number < 1 else "dark") / f"{number}.png", head(number))
    export(str(tmp_path / "c"), tmp_path / "out", format="imagefolder").run()
    rows = lines(tmp_path / "out" / "train" / "metadata.jsonl")
    assert [row["label"] for row in rows] == ["dark", "dark", "dark", "fair"]
    assert [row["source"] for row in rows] == ["dark/1.png", "dark/2.png", "dark/3.png", "fair/0.png"]


def test_pairs_keep_role_and_group(tmp_path):
    export(f"pairs:{paired_folders(tmp_path / 'p')}?size=48", tmp_path / "out", format="imagefolder").run()
    rows = lines(tmp_path / "out" / "train" / "metadata.jsonl")
    assert [(row["role"], row["group"]) for row in rows[:3]] == [
        ("front", "000"),
        ("profile", "000"),
        ("front", "001"),
    ]
    assert "label" not in rows[0]


def test_rendered_heads_keep_their_marks_and_labels(tmp_path):
    render(tmp_path / "r.zip", count=2, size=16, seed=0).run()
    export(str(tmp_path / "r.zip"), tmp_path / "out", format="imagefolder").run()
    place = tmp_path / "out" / "train"
    assert (place / "00000001.png").read_bytes() == PackReader(tmp_path / "r.zip").read(1)
    assert verify(place / "00000001.png").source_type.value == "algorithmicMedia"
    (first, _) = lines(place / "metadata.jsonl")
    assert isinstance(first["Smiling"], bool)
    assert first["licence"] == "CC0-1.0"


def test_tossed_pictures_are_left_out(tmp_path):
    path = pack(tmp_path / "a.zip")
    append_records(path, [{"file": "00000/img00000000.png", "verdict": "dropped"}])
    export(str(path), tmp_path / "out", format="imagefolder").run()
    rows = lines(tmp_path / "out" / "train" / "metadata.jsonl")
    assert [row["source"] for row in rows] == [f"in/{number}.jpg" for number in range(1, 8)]
    np.testing.assert_array_equal(decoded(tmp_path / "out" / "train" / "00000000.png"), head(1))


def test_pictures_that_are_no_png_become_png_bit_for_bit(tmp_path):
    for number in range(3):
        (tmp_path / "j").mkdir(exist_ok=True)
        Image.fromarray(head(number)).save(tmp_path / "j" / f"{number}.jpg")
    source = open_dataset(str(tmp_path / "j"))
    export(str(tmp_path / "j"), tmp_path / "out", format="imagefolder").run()
    for number in range(3):
        pixels = decoded(tmp_path / "out" / "train" / f"{number:08d}.png")
        np.testing.assert_array_equal(pixels.transpose(2, 0, 1), source.images(np.array([number]))[0])


def test_nothing_is_overwritten(tmp_path, capsys):
    path = pack(tmp_path / "a.zip")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert main(["data", "export", str(path), str(tmp_path / "out"), "--format", "imagefolder"]) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("format", ["imagefolder", "parquet"])
def test_a_stopped_export_leaves_nothing(tmp_path, monkeypatch, format):
    path = pack(tmp_path / "a.zip")
    before = sorted(tmp_path.iterdir())

    def stop(event):
        if isinstance(event, Progress) and event.what == "exporting" and event.done == 5:
            raise KeyboardInterrupt

    open_dataset(str(path))
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(data_export, "open_dataset", lambda source, progress: open_dataset(source))
    with pytest.raises(KeyboardInterrupt):
        export(str(path), tmp_path / "out", format=format).run(stop)
    assert sorted(tmp_path.iterdir()) == before


def test_bad_options_are_named(tmp_path):
    path = pack(tmp_path / "a.zip", people=1)
    with pytest.raises(InputError, match="imagefolder or parquet"):
        export(str(path), tmp_path / "out", format="csv").run()
    with pytest.raises(InputError, match="between 0 and 1"):
        export(str(path), tmp_path / "out", format="parquet", split=1.0).run()
    with pytest.raises(InputError, match="too few people"):
        export(str(path), tmp_path / "out", format="parquet", split=0.5).run()
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_wrote(tmp_path, capsys):
    path = pack(tmp_path / "a.zip")
    assert main(["data", "export", str(path), str(tmp_path / "out"), "--format", "imagefolder"]) == 0
    assert "8 train pictures; columns: age, person, smiling, source, licence" in capsys.readouterr().out
