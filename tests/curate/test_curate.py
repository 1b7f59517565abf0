"""The server of `mien curate`: verdicts, their order on disk, queries, and who may ask."""

import io
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curated import SECRET, make_dataset, running, serving, tossed_on_disk, yaw
from mien.cli import main
from mien.core.events import Notice, Progress
from mien.core.manifest import append_records, continuation, read_continuation
from mien.core.packed import PackReader, PackWriter, encode_png
from mien.curate.curate import curate
from mien.curate.faces import Faces

httpx = pytest.importorskip("httpx", reason="httpx is not installed")
pytest.importorskip("fastapi", reason="the extra curate is not installed")

COUNT = 40
Client = Any  # httpx.Client


@contextmanager
def client_of(faces: Path | Faces) -> Iterator[Client]:
    """Asks a server of its own as the page does."""
    with serving(faces) as address, httpx.Client(base_url=address, headers={"x-mien": "curate"}) as client:
        yield client


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "faces.zip", count=COUNT)


@pytest.fixture
def client(path: Path) -> Iterator[Client]:
    with client_of(path) as opened:
        yield opened


def find(client: Client, *, offset: int = 0, limit: int = 60, **query: Any) -> Any:
    parameters = {"query": json.dumps(query), "offset": str(offset), "limit": str(limit)}
    return client.get("faces", params=parameters).json()


def numbers(client: Client, **query: Any) -> list[int]:
    return [item["index"] for item in find(client, **query)["items"]]


def toss(client: Client, *indexes: int, tossed: bool = True) -> Any:
    answer = client.post("verdicts", json={"indexes": indexes, "tossed": tossed})
    assert answer.status_code == 200, answer.text
    return answer.json()


# ---- verdicts


def test_a_verdict_is_on_disk_before_it_is_answered(client: Client, path: Path) -> None:
    answer = toss(client, 3, 5)
    assert tossed_on_disk(path) == {3, 5}
    assert (answer["num_changed"], answer["num_tossed"], answer["num_undo"]) == (2, 2, 1)
    line = dict(read_continuation(path)[0])
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "file": "00000/img00000003.png",
        "verdict": "dropped",
        "reason": "curated",
        "detail": "tossed by hand",
    }
    toss(client, 3, tossed=False)
    assert tossed_on_disk(path) == {5}
    assert read_continuation(path)[-1]["reason"] is None
    assert len(PackReader(path)) == COUNT - 1


def test_what_is_so_already_writes_nothing(client: Client, path: Path) -> None:
    toss(client, 3)
    assert toss(client, 3, 3)["num_changed"] == 0
    assert toss(client, 4, tossed=False)["num_changed"] == 0
    assert len(read_continuation(path)) == 1


def test_undo_goes_back_all_the_way(client: Client, path: Path) -> None:
    states = []
    for indexes, tossed in (((1, 2), True), ((2,), False), ((7,), True), ((1, 7), False)):
        states.append(tossed_on_disk(path))
        toss(client, *indexes, tossed=tossed)
    for before in reversed(states):
        assert client.post("undo").json()["num_changed"] > 0
        assert tossed_on_disk(path) == before
    assert client.post("undo").json() == {
        "num_changed": 0,
        "items": [],
        "revision": 8,
        "num_faces": COUNT,
        "num_tossed": 0,
        "num_undo": 0,
    }


def test_undo_brings_back_another_reason(path: Path) -> None:
    blurred = {"file": "00000/img00000004.png", "verdict": "dropped", "reason": "blurred", "detail": "soft"}
    append_records(path, [blurred])
    with client_of(path) as client:
        toss(client, 4, tossed=False)
        assert tossed_on_disk(path) == set()
        client.post("undo")
        assert client.get("faces/4").json()["reason"] == "blurred"
    assert Faces(path).verdicts[4] == (True, "blurred", "soft")


def test_verdicts_of_a_folder_that_is_no_dataset_of_ours(tmp_path: Path) -> None:
    folder = tmp_path / "heap"
    folder.mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (8, 8)).save(folder / f"{name}.png")
    with client_of(folder) as client:
        toss(client, 1)
        toss(client, 0)
        assert client.get("state").json()["num_tossed"] == 2
    assert PackReader(folder, with_tossed=True).tossed == ("a.png", "b.png")


def test_what_cannot_be_written_is_said_and_not_counted(client: Client, path: Path) -> None:
    continuation(path).mkdir()
    answer = client.post("verdicts", json={"indexes": [1], "tossed": True})
    assert answer.status_code == 500
    assert "directory" in answer.json()["error"].lower()
    assert client.get("state").json() == {
        "revision": 0,
        "num_faces": COUNT,
        "num_tossed": 0,
        "num_undo": 0,
    }
    continuation(path).rmdir()
    toss(client, 1)
    assert tossed_on_disk(path) == {1}


def test_a_half_written_append_is_taken_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = Faces(path)

    def half(dataset: Path, records: Any) -> None:
        append_records(dataset, list(records)[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mien.curate.faces.append_records", half)
    with pytest.raises(OSError, match="No space"):
        faces.set([1, 2], tossed=True)
    assert {index for index, verdict in enumerate(faces.verdicts) if verdict.tossed} == tossed_on_disk(path)
    assert tossed_on_disk(path) == {1}
    monkeypatch.undo()
    faces.undo()
    assert tossed_on_disk(path) == set()


def test_a_dataset_packed_anew_gets_no_verdicts_meant_for_the_old(client: Client, path: Path) -> None:
    make_dataset(path, count=COUNT)
    answer = client.post("verdicts", json={"indexes": [1], "tossed": True})
    assert answer.status_code == 400
    assert "replaced" in answer.json()["error"]
    assert not continuation(path).exists()


def test_faces_that_are_not_there_are_refused(client: Client, path: Path) -> None:
    for index in (-1, COUNT):
        assert client.post("verdicts", json={"indexes": [1, index], "tossed": True}).status_code == 400
        assert client.get(f"faces/{index}").status_code == 404
        assert client.get(f"pictures/{index}").status_code == 404
    assert client.post("verdicts", json={"indexes": [], "tossed": True}).status_code == 422
    assert not continuation(path).exists()


def test_names_that_are_no_text_cost_only_themselves(tmp_path: Path) -> None:
    folder = tmp_path / "heap"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / os.fsdecode(b"\xff.png"))
    Image.new("RGB", (8, 8)).save(folder / "b.png")
    with client_of(folder) as client:
        names = {item["name"]: item["index"] for item in find(client)["items"]}
        bad = names["\udcff.png"]
        assert "UTF-8" in client.post("verdicts", json={"indexes": [bad], "tossed": True}).json()["error"]
        toss(client, names["b.png"])
    assert PackReader(folder, with_tossed=True).tossed == ("b.png",)


# ---- queries


def test_sorting_by_a_measurement_both_ways(client: Client) -> None:
    expected = sorted(range(COUNT), key=lambda number: yaw(number, COUNT))
    assert numbers(client, sort="measurements.yaw") == expected
    assert numbers(client, sort="measurements.yaw", descending=True) == expected[::-1]
    first = find(client, sort="measurements.yaw", limit=1)["items"][0]
    assert float(first["value"]) == yaw(expected[0], COUNT) == -COUNT / 2


def test_what_has_no_value_comes_last_either_way(client: Client) -> None:
    without = [number for number in range(COUNT) if number % 10 == 0]
    for descending in (False, True):
        assert numbers(client, sort="predictions.age", descending=descending)[-4:] == without


def test_filters_join(client: Client) -> None:
    toss(client, 1, 3)
    conditions = [{"column": "measurements.yaw", "low": -5, "high": 10}]
    inside = {number for number in range(COUNT) if -5 <= yaw(number, COUNT) <= 10}
    assert set(numbers(client, conditions=conditions)) == inside
    conditions.append({"column": "labels.gender", "value": "male"})
    odd = {number for number in inside if number % 2}
    assert set(numbers(client, conditions=conditions)) == odd
    assert set(numbers(client, conditions=conditions, show="kept")) == odd - {1, 3}
    assert numbers(client, text="PEOPLE/01") == list(range(10, 20))
    assert numbers(client, show="tossed") == [1, 3]
    assert numbers(client, conditions=[{"column": "predictions.age", "value": ""}], text="x") == []
    assert numbers(client, conditions=[{"column": "predictions.age", "low": 29}]) == [36, 37, 38, 39]


def test_pages_stay_put_while_verdicts_change(client: Client) -> None:
    before = find(client, show="kept")
    toss(client, 0, 1, 2)
    after = find(client, show="kept", as_of=before["as_of"], offset=10, limit=5)
    assert [item["index"] for item in after["items"]] == [10, 11, 12, 13, 14]
    assert find(client, show="kept", as_of=before["as_of"])["items"][0]["tossed"] is True
    assert numbers(client, show="kept")[0] == 3


def test_toss_all_that_a_filter_shows(client: Client, path: Path) -> None:
    query = {"conditions": [{"column": "measurements.yaw", "low": 10}]}
    found = numbers(client, **query)
    wrong = client.post("verdicts/all", json={"query": query, "tossed": True, "expected": 3})
    assert wrong.status_code == 409
    assert tossed_on_disk(path) == set()
    asked = {"query": query, "tossed": True, "expected": len(found)}
    assert client.post("verdicts/all", json=asked).json()["num_changed"] == len(found)
    assert tossed_on_disk(path) == set(found) == {n for n in range(COUNT) if yaw(n, COUNT) >= 10}
    assert read_continuation(path)[0]["detail"] == f"tossed by hand, all {len(found)} with: yaw from 10"
    client.post("undo")
    assert tossed_on_disk(path) == set()


@pytest.mark.parametrize(
    "query",
    [
        {"sort": "measurements.nothing"},
        {"conditions": [{"column": "nothing", "low": 1}]},
        {"show": "some"},
        {"as_of": -1},
        {"unknown": 1},
    ],
)
def test_odd_queries_are_refused_in_words(client: Client, query: dict[str, Any]) -> None:
    answer = client.get("faces", params={"query": json.dumps(query)})
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_columns_of_all_kinds(tmp_path: Path) -> None:
    labels: list[dict[str, Any]] = [
        {"smiling": True, "attribute": 1, "who": "Ann", "points": [1, 2], "pose": {"yaw": 5}, "mixed": 1},
        {"smiling": False, "attribute": -1, "who": "Bo", "mixed": "one"},
    ]
    with PackWriter(tmp_path / "faces.zip", class_names=("dog", "cat")) as writer:
        for number, known in enumerate(labels):
            png = encode_png(np.zeros((8, 8, 3), np.uint8))
            writer.add_png(png, number, {"labels": known, "measurements": None})
    with client_of(tmp_path / "faces.zip") as client:
        columns = {column["key"]: column for column in client.get("dataset").json()["columns"]}
        assert {key: column.get("choices") for key, column in columns.items()} == {
            "labels.attribute": [["-1", 1], ["1", 1]],
            "labels.mixed": [["1", 1], ["one", 1]],
            "labels.pose.yaw": [["", 1], ["5", 1]],
            "labels.smiling": [["no", 1], ["yes", 1]],
            "labels.who": [["Ann", 1], ["Bo", 1]],
            "class": [["cat", 1], ["dog", 1]],
        }
        assert numbers(client, sort="class") == [1, 0]
        assert numbers(client, sort="labels.attribute") == [1, 0]
        assert client.get("faces/1").json()["label"] == 1


def test_the_inputs_that_were_dropped(client: Client) -> None:
    dataset = client.get("dataset").json()
    assert dataset["num_inputs"] == 3
    assert sorted(dataset["reasons"]) == [["blurred", 1], ["empty", 1], ["no-face", 1]]
    found = client.get("inputs", params={"text": "NO FACE"}).json()
    line = {"source": "wall.jpg", "reason": "no-face", "detail": "no face was found"}
    state = {"number": 2, "index": None, "kept": False, "can_restore": False, "has_picture": False}
    assert (found["num_found"], found["items"]) == (1, [line | state])
    assert client.get("inputs", params={"reason": "empty"}).json()["num_found"] == 1
    assert client.get("inputs", params={"limit": 2}).json()["num_found"] == 3


def test_a_large_dataset_answers_in_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = Faces(make_dataset(tmp_path / "faces.zip", count=8))
    rng = np.random.default_rng(0)
    many = 100_000
    values = rng.permutation(many)
    monkeypatch.setattr(faces.reader, "names", [f"{n:06d}.png" for n in range(many)])
    records = [{"measurements": {"yaw": float(value)}} for value in values]
    monkeypatch.setattr(faces.reader, "records", records)
    monkeypatch.setattr(faces, "verdicts", [faces.verdicts[0]] * many)
    monkeypatch.setattr(faces, "_before", np.zeros(many, bool))
    with client_of(faces) as client:
        answer = find(client, sort="measurements.yaw", descending=True, offset=50_000, limit=100_000)
    assert answer["num_found"] == many
    assert [values[item["index"]] for item in answer["items"]] == list(range(49_999, 49_499, -1))


# ---- pictures


def test_pictures_are_the_files_themselves(client: Client, path: Path) -> None:
    answer = client.get("pictures/7", params={"small": "true"})
    assert answer.content == PackReader(path).read(7)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_pictures_of_other_kinds(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    folder = tmp_path / "heap"
    folder.mkdir()
    Image.fromarray(noise).save(folder / "a.jpg", quality=95)
    Image.fromarray(noise[:50]).save(folder / "b.tiff")
    (folder / "c.png").write_text("<script>alert(1)</script>")
    with client_of(folder) as client:
        large, small = (client.get("pictures/0", params={"small": small}) for small in ("false", "true"))
        assert large.content == (folder / "a.jpg").read_bytes()
        assert min(Image.open(io.BytesIO(small.content)).size) == 320
        assert len(small.content) < len(large.content)
        tiff = client.get("pictures/1")
        assert tiff.headers["content-type"] == "image/png"
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(tiff.content))), noise[:50])
        broken = client.get("pictures/2")
        assert (broken.status_code, broken.headers["content-type"]) == (400, "application/json")
        assert "script" not in broken.text


# ---- who may ask


def test_only_with_the_secret_and_the_right_name(path: Path) -> None:
    with serving(path) as address, httpx.Client(base_url=address.removesuffix(f"{SECRET}/")) as stranger:
        for place in ("/", "/faces", "/state", "/docs", "/openapi.json", "/wrong/state", f"/x{SECRET}/state"):
            assert stranger.get(place).status_code == 404
        assert "address that mien curate printed" in stranger.get("/").json()["error"]
        assert stranger.get(f"/{SECRET}/state").status_code == 200
        for host in ("evil.example", "127.0.0.1.evil.example", "evil.example:1", "", "[", "127.0.0.1@evil"):
            assert stranger.get(f"/{SECRET}/state", headers={"host": host}).status_code == 421
        assert stranger.get(f"/{SECRET}/state", headers={"host": "[::1]:80"}).status_code == 200


def test_a_form_of_another_site_changes_nothing(path: Path) -> None:
    body = {"indexes": [1], "tossed": True}
    with serving(path, hosts=None) as address, httpx.Client(base_url=address) as forged:
        assert forged.post("verdicts", json=body).status_code == 403
        assert forged.post("undo").status_code == 403
        assert forged.get("verdicts").status_code == 405
        asked = forged.options("verdicts", headers={"origin": "http://evil", "x-mien": "curate"})
        assert "access-control-allow-origin" not in asked.headers
    assert not continuation(path).exists()


def test_every_answer_has_its_policy(client: Client) -> None:
    places = ("", "files/curate.js", "state", "pictures/0", "pictures/99", "files/report.css", "verdicts")
    for place in places:
        headers = client.get(place).headers
        assert "default-src 'none'" in headers["content-security-policy"], place
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    assert client.get("files/report.css").status_code == 404
    assert client.get("files/..%2f..%2fcurate.py").status_code == 404
    assert client.get("state").headers["cache-control"] == "no-store"


# ---- the command


@pytest.mark.slow
def test_ctrl_c_ends_quietly_and_one_curate_is_enough(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(path) as (process, address):
        assert address.startswith("http://127.0.0.1:")
        assert len(address.split("/")[3]) >= 32
        assert main(["curate", str(path)]) == 2
        assert "is being curated already" in capsys.readouterr().err
        body = json.dumps({"indexes": [2], "tossed": True}).encode()
        headers = {"x-mien": "curate", "content-type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(address + "verdicts", body, headers)).close()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(address.rsplit("/", 2)[0] + "/guessed/state")
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert f"kept {COUNT - 1} of {COUNT}, tossed 1" in out
    assert tossed_on_disk(path) == {2}


def test_what_cannot_be_served_is_said_in_one_line(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, words in (
        ([str(tmp_path / "nowhere")], "nowhere"),
        ([str(tmp_path / "empty")], "no pictures"),
        ([str(path), "--port", "70000"], "--port"),
        ([str(path), "--host", "192.0.2.1"], "cannot listen on 192.0.2.1"),
    ):
        assert main(["curate", *arguments]) == 2
        error = capsys.readouterr().err.strip()
        assert words in error
        assert "\n" not in error


def test_the_extra_that_is_missing_is_named(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert main(["curate", str(path)]) == 1
    assert capsys.readouterr().err == (
        "mien: curate needs FastAPI; in mien's folder: pip install -c constraints.txt '.[curate]'\n"
    )


def test_it_says_what_changes_and_ends_when_nobody_listens(path: Path) -> None:
    job = iter(curate(path))
    heard: list[Any] = []
    address = ""
    for event in job:
        heard.append(event)
        if isinstance(event, Notice) and "http://" in event.text:
            address = event.text.strip()
        if isinstance(event, Progress) and event.done == 0 and address:
            with httpx.Client(base_url=address, headers={"x-mien": "curate"}) as client:
                toss(client, 3, 4)
        if isinstance(event, Progress) and event.done == 2:
            break
    job.close()  # leaving the loop stops the server
    assert (heard[-1].what, heard[-1].total, heard[-1].unit) == ("tossed", COUNT, "faces")
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)
    assert tossed_on_disk(path) == {3, 4}


def test_a_plain_folder_with_a_size_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    for name in "ab":
        Image.new("RGB", (8, 8)).save(tmp_path / "pics" / f"{name}.png")
    job = iter(curate(Path(f"folder:{tmp_path}/pics?size=64")))
    assert "2 faces of" in next(event.text for event in job if isinstance(event, Notice))
    job.close()
