"""What `mien prepare` dropped comes back into the zip; of near-duplicates the other one can be taken."""

import fcntl
import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curated import make_dropped, serving
from mien.cli import main
from mien.core.errors import InputError
from mien.core.packed import PackReader, PackWriter, encode_png
from mien.core.picture import read_picture
from mien.curate.faces import Faces

httpx = pytest.importorskip("httpx", reason="httpx is not installed")
pytest.importorskip("fastapi", reason="the extra curate is not installed")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_dropped(tmp_path)


@contextmanager
def opened(path: Path) -> Iterator[Faces]:
    faces = Faces(path)
    try:
        yield faces
    finally:
        faces.close()


def kept(path: Path) -> list[str]:
    return [str(record["source"]) for record in PackReader(path).records]


def test_a_dropped_face_comes_back_as_a_member_with_its_record(path: Path) -> None:
    before = PackReader(path)
    with opened(path) as faces:
        saved = faces.restore([0])
        assert [change.after.tossed for change in saved.changes] == [False]
    after = PackReader(path)
    assert kept(path) == [*(f"kept/{number}.jpg" for number in range(6)), "soft/0.jpg"]
    assert after.names[:6] == before.names
    assert after.names[6] == "00000/img00000006.png"
    assert [after.read(at) for at in range(6)] == [before.read(at) for at in range(6)]
    assert read_picture(after.read(6)).shape == (16, 16, 3)
    assert after.records[6]["measurements"]["sharpness"] == 0.1
    assert len(after.all_records) == len(before.all_records)
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        lines = [json.loads(line) for line in file.read("manifest.jsonl").decode().split("\n") if line]
    assert [(line["source"], line["verdict"]) for line in lines if line["file"] == after.names[6]] == [
        ("soft/0.jpg", "dropped")
    ], "the zip itself says how it was; the continuation says that it was restored"


def test_undo_tosses_it_with_its_old_reason_and_redo_adds_nothing_twice(path: Path) -> None:
    with opened(path) as faces:
        faces.restore([0])
        faces.undo()
        assert "soft/0.jpg" not in kept(path)
        assert faces.verdicts[6].reason == "blurred"
        names = len(PackReader(path, with_tossed=True))
        faces.restore([0, 1, 0])
        assert len(PackReader(path, with_tossed=True)) == names + 1
        assert "soft/\u2028 1.jpg" in kept(path)
        assert faces.tossed_at(0).tolist() == [False] * 6 + [True, True]
    with opened(path) as again:
        assert not any(verdict.tossed for verdict in again.verdicts)


def test_labels_come_with_it(tmp_path: Path) -> None:
    path = make_dropped(tmp_path, labelled=True)
    with opened(path) as faces:
        faces.restore([0, 1])
    reader = PackReader(path)
    assert reader.labels == [0, 1, 0, 1, 0, 1, 0, 1]
    assert reader.class_names == ("cats", "dogs")


def test_the_new_zip_is_locked_as_the_old_one_was(path: Path) -> None:
    with opened(path) as faces:
        faces.restore([0])
        with open(path, "rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_what_has_no_crop_stays_out_and_nothing_changes(path: Path) -> None:
    before = path.read_bytes()
    with opened(path) as faces:
        with pytest.raises(InputError, match=r"wall\.jpg: there is no crop"):
            faces.restore([0, 4])
        with pytest.raises(InputError, match="no dropped input number 99"):
            faces.restore([99])
    shutil.rmtree(path.with_suffix(".work"))
    with opened(path) as faces, pytest.raises(InputError, match="there is no crop"):
        faces.restore([0])
    assert path.read_bytes() == before
    assert not path.with_name("some.manifest.jsonl").exists()


def test_a_damaged_store_is_as_none(path: Path) -> None:
    (path.with_suffix(".work") / "a.sqlite").write_bytes(b"no database at all" * 100)
    with opened(path) as faces:
        assert faces.dropped.picture(0) == b""
        assert len(faces) == 6


def test_the_other_of_two_doubles_and_back(path: Path) -> None:
    with opened(path) as faces:
        faces.take_other(1)
        assert "again/1.jpg" in kept(path)
        assert "kept/1.jpg" not in kept(path)
        faces.take_other(1)
        assert "again/1.jpg" not in kept(path)
        assert "kept/1.jpg" in kept(path)
        assert faces.verdicts[6].reason == "duplicate"
        faces.undo()
        faces.undo()
        assert kept(path) == [f"kept/{number}.jpg" for number in range(6)]
        faces.set([0], tossed=True)
        faces.take_other(0)
        assert ("again/0.jpg" in kept(path), "kept/0.jpg" in kept(path)) == (False, True)
        with pytest.raises(InputError, match="no pair number 2"):
            faces.take_other(2)


def test_the_server_shows_and_restores(path: Path) -> None:
    with opened(path) as faces, serving(faces) as address, httpx.Client(base_url=address) as reader:
        client: Any = reader
        client.headers["x-mien"] = "curate"
        items = client.get("inputs").json()["items"]
        assert [item["can_restore"] for item in items] == [True, True, True, True, False]
        assert client.get("inputs/0/picture").headers["content-type"] == "image/png"
        assert client.get("inputs/9/picture").status_code == 404
        done = client.post("inputs/restore", json={"numbers": [0, 2]}).json()
        assert (done["num_changed"], done["num_faces"], done["num_tossed"]) == (2, 8, 0)
        assert [item["kept"] for item in done["items"]] == [True, True]
        found = client.get("faces", params={"query": json.dumps({"text": "soft"})}).json()
        assert [item["source"] for item in found["items"]] == ["soft/0.jpg"]
        assert client.get("pictures/7").status_code == 200
        one, two = client.get("pairs").json()["pairs"]
        assert [side["kept"] for side in one["sides"]] == [True, True], "again/0.jpg was restored"
        assert [side["kept"] for side in two["sides"]] == [True, False]
        pair = client.post("pairs/1/other").json()["pair"]
        assert [side["kept"] for side in pair["sides"]] == [False, True]
        assert pair["sides"][1]["picture"] == "pictures/8"
        folders = client.get("dataset").json()["columns"][-1]
        assert folders == {
            "key": "folder",
            "kind": "choice",
            "choices": [["kept", 6], ["again", 2], ["soft", 1]],
        }
        assert client.post("inputs/restore", json={"numbers": [4]}).status_code == 400
        reader.headers.pop("x-mien")
        assert client.post("inputs/restore", json={"numbers": [1]}).status_code == 403


def test_what_was_restored_by_hand_is_in_every_later_dataset(path: Path, tmp_path: Path) -> None:
    with opened(path) as faces:
        faces.restore([0, 2])  # a blurred one, and a double
    strict = ["--min-sharpness", "0.3", "--size", "16", "--min-face", "20"]
    for source, out in ((path, tmp_path / "once.zip"), (tmp_path / "once.zip", tmp_path / "twice.zip")):
        assert main(["prepare", str(source), str(out), *strict]) == 0
        assert {"soft/0.jpg", "again/0.jpg"} < set(kept(out))
        assert "soft/\u2028 1.jpg" not in kept(out)
    with opened(tmp_path / "twice.zip") as faces:
        faces.set([kept(tmp_path / "twice.zip").index("soft/0.jpg")], tossed=True)
    assert main(["prepare", str(tmp_path / "twice.zip"), str(tmp_path / "last.zip"), *strict]) == 0
    assert "soft/0.jpg" not in kept(tmp_path / "last.zip")
    assert "again/0.jpg" in kept(tmp_path / "last.zip")


def test_faces_of_a_group_are_judged_again_as_those_of_a_group(tmp_path: Path) -> None:
    with PackWriter(tmp_path / "group.zip") as writer:
        for face in (1, 2):
            known = {"source": "wide.jpg", "face": face, "sha256": "x", "measurements": {"coverage": 0.002}}
            writer.add_png(encode_png(np.full((16, 16, 3), 99 * face, np.uint8)), None, known)
    again = ["prepare", str(tmp_path / "group.zip"), str(tmp_path / "again.zip"), "--size", "16"]
    assert main(again) == 0
    assert kept(tmp_path / "again.zip") == ["wide.jpg"] * 2
    assert main([*again, "--min-coverage", "0.005"]) == 1
