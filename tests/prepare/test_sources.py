"""What is taken as input, with which label, and what is refused."""

import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mien.core.errors import InputError
from mien.core.manifest import continuation
from mien.core.packed import PackReader, PackWriter, encode_png
from mien.core.picture import BadPicture
from mien.datasets.opening import open_index
from mien.prepare.prepare import open_inputs
from mien.prepare.sources import Input, Reader, list_inputs
from miniatures_sd18 import write_sd18


def folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def packed(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def names(inputs):
    return [file.name for file in inputs.files]


def test_flat_folder_has_no_labels_and_lists_every_visible_file(tmp_path):
    inputs = list_inputs(folder(tmp_path, "b.jpg", "a.png", "notes.txt", ".DS_Store"))
    assert names(inputs) == ["a.png", "b.jpg", "notes.txt"]
    assert inputs.labels is None
    assert inputs.class_names == ()


def test_class_folders_become_numbers_in_alphabetical_order(tmp_path):
    inputs = list_inputs(folder(tmp_path, "old/b.jpg", "new/a.jpg", "new/deep/c.jpg", "README.md"))
    assert inputs.class_names == ("new", "old")
    assert inputs.labels == {"old/b.jpg": 1, "new/a.jpg": 0, "new/deep/c.jpg": 0}
    assert inputs.notes == ()


def test_a_common_outer_folder_is_no_class(tmp_path):
    inputs = list_inputs(folder(tmp_path, "all/x/1.jpg", "all/y/2.jpg", "all/y/unnamed"))
    assert inputs.class_names == ("x", "y")
    assert inputs.labels == {"all/x/1.jpg": 0, "all/y/2.jpg": 1, "all/y/unnamed": 1}
    assert list_inputs(folder(tmp_path / "other", "only/1.jpg", "only/2.jpg")).labels is None


def test_pictures_beside_class_folders_void_the_labels_and_say_so(tmp_path):
    inputs = list_inputs(folder(tmp_path, "x/1.jpg", "y/2.jpg", "stray.jpg"))
    assert inputs.labels is None
    assert "1 pictures lie beside the class folders, first stray.jpg" in inputs.notes[0]


def test_own_output_is_left_out(tmp_path):
    folder(tmp_path, "a.jpg", "photos.zip", "photos-sheet.jpg")
    inputs = list_inputs(tmp_path, without=[tmp_path / "photos.zip", tmp_path / "photos-sheet.jpg"])
    assert names(inputs) == ["a.jpg"]


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_labels_of_a_packed_dataset_are_kept(tmp_path, kind):
    labels = [["00000/b.png", 1], ["00000/a.png", 0]]
    members = {
        "00000/a.png": b"a",
        "00000/b.png": b"b",
        "manifest.jsonl": b"",
        "dataset.json": json.dumps({"labels": labels, "class_names": ["no", "yes"]}).encode(),
    }
    source = packed(tmp_path / "set.zip", members)
    if kind == "folder":
        source = tmp_path / "set"
        zipfile.ZipFile(tmp_path / "set.zip").extractall(source)
    inputs = list_inputs(source)
    assert names(inputs) == ["00000/a.png", "00000/b.png"]
    assert inputs.labels == {"00000/a.png": 0, "00000/b.png": 1}
    assert inputs.class_names == ("no", "yes")


def test_zip_is_read_without_unpacking_and_bad_names_are_not_read(tmp_path):
    members = {
        "x/1.jpg": b"one",
        "../evil.jpg": b"out",
        "/abs.jpg": b"abs",
        "c:\\win.jpg": b"win",
        "y/2.jpg": b"2",
    }
    source = packed(tmp_path / "photos.zip", members)
    inputs = list_inputs(source)
    assert len(inputs.files) == 5
    assert inputs.class_names == ("x", "y")
    read, refused = {}, set()
    with Reader(source) as reader:
        for file in inputs.files:
            try:
                read[file.name] = reader.read(file)
            except BadPicture as error:
                refused.add(error.reason)
    assert read == {"x/1.jpg": b"one", "y/2.jpg": b"2"}
    assert refused == {"unsafe-name"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos.zip"]


def test_damaged_member_costs_only_itself(tmp_path):
    source = packed(tmp_path / "photos.zip", {"a.jpg": b"a" * 500, "b.jpg": b"b" * 500})
    data = bytearray(source.read_bytes())
    data[35] ^= 0xFF  # inside the first member's compressed bytes
    source.write_bytes(data)
    first, second = list_inputs(source).files
    with Reader(source) as reader:
        with pytest.raises(BadPicture) as caught:
            reader.read(first)
        assert reader.read(second) == b"b" * 500
    assert caught.value.reason == "unreadable"


def test_member_that_unpacks_too_large_is_not_read(tmp_path, monkeypatch):
    source = packed(tmp_path / "photos.zip", {"a.jpg": b"\0" * 5000})
    monkeypatch.setattr("mien.prepare.archive.MAX_BYTES", 4999)
    with Reader(source) as reader, pytest.raises(BadPicture) as caught:
        reader.read(Input("a.jpg"))
    assert caught.value.reason == "too-large"


@pytest.mark.parametrize("kind", ["missing", "empty folder", "text", "cut zip", "empty zip"])
def test_bad_sources_are_one_line(tmp_path, kind):
    source = tmp_path / "photos.zip"
    if kind == "empty folder":
        source = tmp_path / "photos"
        source.mkdir()
    elif kind == "text":
        source.write_text("hello")
    elif kind == "cut zip":
        source.write_bytes(packed(source, {"a.jpg": b"a" * 500}).read_bytes()[:-40])
    elif kind == "empty zip":
        packed(source, {})
    with pytest.raises(InputError) as caught:
        list_inputs(source)
    assert str(caught.value).startswith(str(source))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_what_prepare_is_told_are_the_chosen_files_and_all_that_is_known(tmp_path):
    root = write_sd18(tmp_path / "nist")
    told = open_inputs(f"sd18:{root}?labels=sex&fold=1/2&split=train")
    index = open_index(f"sd18:{root}?fold=1/2&split=train")
    assert told.root == root
    assert names(told) == sorted(entry.file for entry in index.entries)
    assert told.class_names == ("female", "male")
    sexes = {entry.file: entry.labels["sex"] for entry in index.entries}
    assert {file: told.class_names[number] for file, number in told.labels.items()} == sexes
    entry = index.entries[0]
    assert told.extra[entry.file] == {
        "person": entry.person,
        "role": entry.role,
        "group": entry.group,
        "split": "train",
        "licence": index.licence,
        "labels": entry.labels,
    }
    vectors = open_inputs(f"sd18:{root}?labels=sex,age")
    assert vectors.labels["sd18/single/f1_p1/png/00001/00001_1_F.png"] == (0.0, 1.0, 30.0)
    assert open_inputs(f"sd18:{root}").labels is None


def tarred(path: Path, root: Path, mode: str) -> Path:
    with tarfile.open(path, mode) as archive:
        archive.add(root, arcname=".")
    return path


@pytest.mark.parametrize(("name", "mode"), [("heap.tar", "w"), ("heap.tar.gz", "w:gz"), ("heap.tgz", "w:gz")])
def test_a_tar_is_read_as_the_folder_in_it(tmp_path, name, mode):
    root = folder(tmp_path / "in", "train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg", ".hidden/4.jpg")
    archive = tarred(tmp_path / name, root, mode)
    inputs, plain = list_inputs(archive), list_inputs(root)
    assert names(inputs) == names(plain) == ["test/a/3.jpg", "train/a/1.jpg", "train/b/2.jpg"]
    assert (inputs.labels, inputs.class_names, inputs.extra) == (plain.labels, plain.class_names, plain.extra)
    with Reader(archive) as reader:
        assert [reader.read(file) for file in inputs.files] == [name.encode() for name in names(plain)]


def test_rows_of_parquet_are_inputs_with_their_labels_and_splits(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for split, ages in (("train", (20, 21, 22)), ("test", (30,))):
        rows = [{"image": {"bytes": b"%d" % age, "path": None}, "age": age} for age in ages]
        file = tmp_path / "data" / f"{split}-00000-of-00001.parquet"
        file.parent.mkdir(exist_ok=True)
        parquet.write_table(arrow.Table.from_pylist(rows), file, row_group_size=2)
    inputs = open_inputs(f"parquet:{tmp_path}")
    with Reader(inputs.root) as reader:
        ages = {name.name: int(reader.read(name)) for name in inputs.files}
    assert sorted(ages.values()) == [20, 21, 22, 30]
    for name, age in ages.items():
        assert inputs.extra[name]["labels"] == {"age": age}
        assert inputs.extra[name]["split"] == ("train" if age < 30 else "test")
    assert len({file.key for file in inputs.files}) == 4
    with pytest.raises(InputError, match=r"no picture files in it; it looks like parquet.*parquet:"):
        open_inputs(str(tmp_path))
    alone = open_inputs(str(tmp_path / "data" / "test-00000-of-00001.parquet"))
    with Reader(alone.root) as reader:
        assert [reader.read(file) for file in alone.files] == [b"30"]


def test_labels_that_lie_beside_the_pictures_are_pointed_at(tmp_path):
    root = folder(tmp_path, "1.jpg", "2.jpg")
    (root / "labels.csv").write_text("file_name,age\n1.jpg,20\n2.jpg,30\n")
    assert any(f"table:{root} reads them" in note for note in open_inputs(str(root)).notes)


def test_how_many_records_may_share_a_picture_is_what_the_site_file_says(tmp_path):
    for site, most in (("twins", 6), ("strict", 2)):
        folder(tmp_path, f"pictures/{site}.jpg", f"pictures/own-{site}.jpg", "sites/x")
        limits = f'name = "{site}"\n[limits]\nsame_picture = {most}\n'
        (tmp_path / "sites" / f"{site}.toml").write_text(limits)
    lines = [
        {"file": f"pictures/{file}.jpg", "page": f"p{number}", "site": site, "record": f"{number}"}
        for site in ("twins", "strict")
        for file, count in ((site, 5), (f"own-{site}", 1))
        for number in range(count)
    ]
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    inputs = list_inputs(tmp_path)
    assert names(inputs) == [f"pictures/{name}.jpg" for name in ("own-strict", "own-twins", "twins")]
    assert any("placeholders" in note and "pictures/strict.jpg" in note for note in inputs.notes)


def test_a_dataset_json_in_a_sub_folder_labels_what_lies_beside_it(tmp_path):
    names = [f"inner/00000/{number}.png" for number in range(3)]
    labels = [[name.removeprefix("inner/"), number % 2] for number, name in enumerate(names)]
    with zipfile.ZipFile(tmp_path / "sub.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"")
        archive.writestr("inner/dataset.json", json.dumps({"labels": labels}))
    found = list_inputs(tmp_path / "sub.zip")
    assert [file.name for file in found.files] == names
    assert found.labels == dict(zip(names, (0, 1, 0), strict=True))


def test_a_zip_from_windows_is_read_as_every_command_reads_it(tmp_path):
    source = tmp_path / "photos.zip"
    with zipfile.ZipFile(source, "w") as archive:
        for name in ("My Photos\\", "My Photos\\a\\1.jpg", "My Photos\\b\\10:30.jpg", "./My Photos/b/3.jpg"):
            archive.writestr(name, name)
    inputs = list_inputs(source)
    assert inputs.labels == {"My Photos/a/1.jpg": 0, "My Photos/b/10:30.jpg": 1, "My Photos/b/3.jpg": 1}
    assert sorted(inputs.labels) == sorted(entry.file for entry in open_index(f"folder:{source}").entries)
    with Reader(source) as reader:
        assert reader.read(inputs.files[0]) == b"My Photos\\a\\1.jpg"


def test_links_are_followed_once_and_those_that_lead_nowhere_named(tmp_path):
    root = folder(tmp_path / "in", "x/1.jpg", "y/2.jpg")
    folder(tmp_path / "else", "3.jpg")
    (root / "z").symlink_to(tmp_path / "else")
    (root / "z again").symlink_to(tmp_path / "else")
    (root / "y" / "up").symlink_to(tmp_path)
    (root / "y" / "self.jpg").symlink_to("self.jpg")
    (root / "y" / "gone.jpg").symlink_to(tmp_path / "gone.jpg")
    inputs = list_inputs(root)
    assert len(inputs.files) == 3
    assert inputs.class_names == ("x", "y", "z")
    note = "not followed: 4 links or folders, first y/gone.jpg"
    assert note in inputs.notes
    index = open_index(f"folder:{root}")
    assert [entry.file for entry in index.entries] == names(inputs)
    assert note in index.notes
    for layout in ("lfw", "table"):
        with pytest.raises(InputError):
            open_index(f"{layout}:{root}")


@pytest.mark.parametrize("unzipped", [False, True])
def test_a_packed_dataset_prepared_again_keeps_who_is_shown_without_what_was_tossed(tmp_path, unzipped):
    path = tmp_path / "faces.zip"
    with PackWriter(path) as pack:
        for number, person in enumerate("aabc"):
            png = encode_png(np.full((8, 8, 3), 40 * number, np.uint8))
            side = "train" if person == "a" else "test"
            record = {"person": person, "split": side, "labels": {"age": number}}
            pack.add_png(png, record={**record, "measurements": {"yaw": 3.0}, "licence": "CC0"})
    if unzipped:
        zipfile.ZipFile(path).extractall(tmp_path / "faces")
        path = tmp_path / "faces"
    tossed = {"file": "00000/img00000003.png", "verdict": "dropped", "reason": "tossed"}
    continuation(path).write_text(json.dumps(tossed) + "\n")
    inputs = list_inputs(path)
    assert [file.name for file in inputs.files] == [f"00000/img0000000{at}.png" for at in range(3)]
    assert inputs.extra["00000/img00000002.png"] == {
        **{"person": "b", "split": "test", "licence": "CC0"},
        "labels": {"age": 2},
    }
    assert "left out as tossed in curate: 00000/img00000003.png" in inputs.notes


def test_a_crawl_of_which_no_picture_is_there_is_no_source(tmp_path):
    folder(tmp_path, "1.jpg", "2.jpg")
    line = {"file": "gone.jpg", "page": "p", "site": "e", "record": "0", "source": "s", "fields": {}}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(InputError, match=r"manifest\.jsonl names none of the 2 files in it"):
        list_inputs(tmp_path)


def test_a_labelled_zip_with_a_member_that_leads_out_keeps_its_other_pictures(tmp_path):
    source = packed(
        tmp_path / "a.zip",
        {
            "../out.png": b"out",
            "0.png": b"a",
            "1.png": b"b",
            "dataset.json": json.dumps({"labels": [["0.png", 1], ["1.png", 0]]}).encode(),
        },
    )
    with pytest.raises(InputError, match="leads out"):
        PackReader(source)
    inputs = list_inputs(source)
    assert inputs.labels == {"0.png": 1, "1.png": 0}
    with Reader(source) as reader:
        read = {file.name: reader.read(file) for file in inputs.files if file.name in inputs.labels}
    assert read == {"0.png": b"a", "1.png": b"b"}
