"""What the slider page's server does: edits, commands, keeping, photos, bad requests."""

import io
import json
import shlex
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from editing import SECRET, editor_of, model_with_directions, photo
from PIL import Image
from projecting import without_artefacts

from mien.cli import main
from mien.core.errors import InputError, MienError
from mien.core.manifest import read_continuation
from mien.core.picture import read_picture
from mien.core.provenance import verify
from mien.latent.codes import Codes
from mien.latent.editing.editor import Edit, Editor, Turns
from mien.latent.projection.encoder import encoder
from rendered_heads import heads

pytest.importorskip("fastapi", reason="the extra curate is not installed")
testclient = pytest.importorskip("fastapi.testclient", reason="httpx is not installed")


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    without_artefacts(monkeypatch)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return model_with_directions(tmp_path / "model")


@pytest.fixture
def editor(model: Path, tmp_path: Path) -> Editor:
    return editor_of(model, tmp_path / "out")


class Client:
    """A page that asks an editor's server."""

    def __init__(self, editor: Editor, finder: Any = None, *, encoder: Path | None = None) -> None:
        from mien.latent.editing.web import build_app
        from mien.latent.editing.work import Works

        self.works = Works(editor, finder=finder, steps=10, encoder=encoder)
        app = build_app(editor, self.works, secret=SECRET, hosts=frozenset({"testserver"}))
        self._client = testclient.TestClient(app, headers={"x-mien": "edit"}, raise_server_exceptions=False)

    def get(self, path: str, **parameters: Any) -> Any:
        return self._client.get(f"/{SECRET}/{path}", params=parameters)

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        return self._client.post(f"/{SECRET}/{path}", **({"json": body} if body is not None else more))

    def finished(self, number: int) -> dict[str, Any]:
        for _ in range(2400):
            (work,) = (one for one in self.get("state").json()["works"] if one["number"] == number)
            if work["state"] not in ("waiting", "running"):
                return dict(work)
            time.sleep(0.05)
        raise AssertionError("the work never ended")


def test_a_picture_is_the_latent_moved_and_the_command_draws_it_again(
    editor: Editor, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit = Edit(face="3", set={"smile": 1.25, "a <b>age</b>": -2, "yaw": 0}, layers=(1, 2))
    known = editor.directions
    step = 1.25 * known["smile"].step - 2 * known["a <b>age</b>"].step
    step[[0, *range(3, len(step))]] = 0
    expected = Codes.of_seeds(editor.drawing, [3]).moved(step)
    assert torch.allclose(editor.edited(edit).values, expected.values, atol=1e-5)
    shown = read_picture(editor.picture(edit))
    monkeypatch.chdir(tmp_path)
    words = shlex.split(editor.command(edit))
    assert words[0] == "mien"
    assert main(words[1:]) == 0
    assert np.array_equal(read_picture(tmp_path / "edited" / "seed0003-edited.png"), shown)
    editor.put("mine", editor.edited(edit), saved=True)
    assert main(shlex.split(editor.command(Edit(face="mine")))[1:]) == 0
    assert np.array_equal(read_picture(tmp_path / "edited" / "latent0000-edited.png"), shown)
    assert editor.command(Edit(face="7")).startswith(f"mien generate {model} --seeds 7")


def test_what_is_kept_is_on_disk_and_there_again(editor: Editor, model: Path) -> None:
    edit = Edit(face="5", set={"yaw": 1.5})
    first, second = editor.keep(edit), editor.keep(Edit(face="6"))
    assert (first["file"], second["file"]) == ("0001.png", "0002.png")
    lines = read_continuation(editor.kept_folder)
    assert [line["file"] for line in lines] == ["0001.png", "0002.png"]
    picture = editor.kept_folder / "0001.png"
    assert np.array_equal(read_picture(picture), read_picture(editor.picture(edit)))
    mark = verify(picture)
    assert mark is not None
    assert mark.model == editor.drawing.loaded.model
    saved = Codes.read(editor.kept_folder / "0001.npz", editor.drawing)
    assert torch.equal(saved.values, editor.edited(edit).values)
    editor.give_up("0001.png")
    (editor.kept_folder / "0003.png").write_bytes(b"")  # of a server that was killed before it wrote the line
    again = editor_of(model, editor.out)
    assert [one["file"] for one in again.kept] == ["0002.png"]
    assert again.keep(edit)["file"] == "0004.png"


def test_nothing_counts_as_kept_that_is_not_written(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mien.latent.editing.editor.append_records", full)
    client = Client(editor)
    answer = client.post("kept", {"face": "1"})
    assert answer.status_code == 500
    assert "space" in answer.json()["error"]
    assert client.get("state").json()["kept"] == []


def test_a_photo_is_found_and_put_back(
    editor: Editor, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, finder = photo(tmp_path, faces=2)
    client = Client(editor, finder)
    put, states = editor.put, []

    def watched(name: str, codes: Codes, *, saved: bool) -> None:
        states.append(client.works.works[-1].state)
        put(name, codes, saved=saved)

    monkeypatch.setattr(editor, "put", watched)
    found = client.post("photos", content=path.read_bytes(), headers={"x-mien": "edit"}).json()
    assert found["num_faces"] == 2
    crop = read_picture(client.get(f"photos/{found['photo']}/2").content)
    assert crop.shape == (64, 64, 3)
    begun = client.post(f"photos/{found['photo']}/2", {}).json()
    work = client.finished(begun["number"])
    assert (work["state"], work["step"], work["face"]) == ("done", 10, "photo-photo-2")
    assert work["revision"] >= 2  # shown on the way, too
    assert set(states) == {"running"}  # nothing is done that is not on disk
    name = work["face"]
    saved = Codes.read(editor.out / "faces" / f"{name}.npz", editor.drawing)
    assert torch.equal(saved.values, editor.codes_of(name).values)
    near, far = (
        np.abs(read_picture(client.get(f"faces/{face}").content).astype(float) - crop).mean()
        for face in (name, "0")
    )
    assert near < far
    pasted = read_picture(client.get("pasted", edit=json.dumps({"face": name, "set": {"smile": 2}})).content)
    before = read_picture(path)
    assert pasted.shape == before.shape
    changed = [not np.array_equal(pasted[:, part], before[:, part]) for part in (slice(160), slice(160, 320))]
    assert sorted(changed) == [False, True]  # the other person stays
    assert "drop the photo again" in client.get("pasted", edit='{"face": "1"}').json()["error"]
    assert editor_of(model, editor.out).names == [name]
    client.works.close()


@pytest.mark.slow
def test_with_an_encoder_the_face_is_there_before_the_first_step(
    editor: Editor, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, finder = photo(tmp_path, faces=1)
    made = encoder(model, out=tmp_path / "encoder", kimg=0.01, preset="tiny", device="cpu").run()
    client = Client(editor, finder, encoder=made)
    seen: list[tuple[int, int]] = []
    put = editor.put

    def watched(name: str, codes: Codes, *, saved: bool) -> None:
        seen.append((client.works.works[-1].step, int(saved)))
        put(name, codes, saved=saved)

    monkeypatch.setattr(editor, "put", watched)
    found = client.post("photos", content=path.read_bytes()).json()
    work = client.finished(client.post(f"photos/{found['photo']}/1", {}).json()["number"])
    assert (work["state"], work["step"]) == ("done", 10)
    assert seen[0] == (0, 1)  # the guess, on disk
    client.works.close()


def _bomb() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (20_000, 20_000)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"<html>hello</html>", "it is no picture but a web page"),
        (b"\x89PNG\r\n\x1a\nhello", "cut off or damaged"),
        (_bomb, "million pixels"),
        (None, "no face found in it"),
    ],
)
def test_uploads_that_are_no_use(editor: Editor, tmp_path: Path, data: Any, says: str) -> None:
    path, finder = photo(tmp_path, faces=0)
    given = path.read_bytes() if data is None else data() if callable(data) else data
    client = Client(editor, finder)
    answer = client.post("photos?name=..%2Fx.png", content=given)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert answer.json()["error"].startswith("x.png: ")
    assert not (editor.out / "photos").exists()


def test_requests_that_are_refused(editor: Editor) -> None:
    client = Client(editor)
    large = {"content-length": str(200_000_000), "x-mien": "edit"}
    answer = client.post("photos", content=b"x", headers=large)
    assert answer.status_code == 413
    assert "200 MB, and 64 MB are taken" in answer.json()["error"]
    assert client.post("kept", {"face": "1"}).status_code == 200
    assert (
        client._client.post(f"/{SECRET}/kept", json={"face": "1"}, headers={"x-mien": ""}).status_code == 403
    )
    assert client.get("picture", edit='{"face": "../x"}').status_code == 400
    assert "no face 'gone'" in client.get("picture", edit='{"face": "gone"}').json()["error"]
    assert (
        "no direction 'hat'" in client.get("picture", edit='{"face": "1", "set": {"hat": 1}}').json()["error"]
    )
    assert client.get("picture", edit='{"face": "1", "set": {"yaw": 1e9}}').status_code == 400
    assert client.get("picture", edit='{"face": "1", "set": {"yaw": 1}, "layers": [0, 9]}').status_code == 400
    assert client.get("kept/..%2F..%2Fetc%2Fpasswd").status_code == 404
    pulls = [[0.1, 0.1, 0.2, 0.2]] * 9
    assert client.post("drags", {"edit": {"face": "1"}, "points": pulls}).status_code == 422
    assert (
        "outside" in client.post("drags", {"edit": {"face": "1"}, "points": [[2, 0, 0, 0]]}).json()["error"]
    )
    assert client._client.get("/elsewhere").status_code == 404
    policy = client.get("").headers["content-security-policy"]
    assert "default-src 'none'" in policy


def test_a_latent_of_another_model_in_the_folder_is_named(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    Codes(torch.zeros(1, 2, 3), "w").save(out / "faces" / "other.npz")
    editor = editor_of(model, out)
    assert "other.npz: latents of shape" in editor.problems[0]
    with pytest.raises(InputError, match="no face 'other'"):
        editor.codes_of("other")


def test_pictures_go_before_slow_work() -> None:
    """A picture waits for one step at most, however many follow."""
    turns, done, order = Turns(), threading.Event(), []

    def slow() -> None:
        while not done.is_set():
            with turns.later():
                order.append("slow")
                time.sleep(0.01)

    thread = threading.Thread(target=slow)
    thread.start()
    for _ in range(20):
        begun = len(order)
        with turns.now():
            assert len(order) - begun <= 1
            order.append("picture")
        time.sleep(0.005)
    done.set()
    thread.join()
    assert "slow" in order


def test_a_drag_becomes_a_face_of_its_own(editor: Editor) -> None:
    client = Client(editor)
    body = {"edit": {"face": "2", "set": {"yaw": 1}}, "points": [[0.5, 0.5, 0.7, 0.5]], "steps": 3}
    work = client.finished(client.post("drags", body).json()["number"])
    assert work["state"] == "done"
    assert work["face"] == "drag-2"
    assert len(work["points"]) == 1
    assert (editor.out / "faces" / "drag-2.npz").exists()
    assert not np.array_equal(
        editor.pixels(Edit(face="drag-2")), editor.pixels(Edit(face="2", set={"yaw": 1}))
    )
    body["steps"] = 1000
    number = client.post("drags", body).json()["number"]
    client.post(f"works/{number}/stop", {})
    assert client.finished(number)["state"] == "stopped"
    client.works.close()


def test_work_that_fails_says_why_and_the_next_goes_on(
    editor: Editor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a user can do something about in its own words; a defect with its kind, in the log as well."""
    from mien.latent.editing import work as working

    path, finder = photo(tmp_path, faces=1)
    client = Client(editor, finder)
    name = client.post("photos?name=me.png", content=path.read_bytes()).json()["photo"]
    for error, says in (
        (MienError("the disk is full"), "the disk is full"),
        (ZeroDivisionError("by nothing"), "this failed: ZeroDivisionError: by nothing"),
    ):

        def fails(*given: Any, error: Exception = error) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(working, "targets_of_photos", fails)
            work = client.finished(client.post(f"photos/{name}/1", {}).json()["number"])
        assert (work["state"], work["error"], work["face"]) == ("failed", says, "")
    work = client.finished(client.post(f"photos/{name}/1", {}).json()["number"])
    assert (work["state"], work["error"], work["face"]) == ("done", "", "photo-me")
    answer = client.post("works/99/stop", {})
    assert answer.status_code == 400
    assert "there is no work 99" in answer.json()["error"]
    client.works.close()


def test_only_the_newest_works_and_photos_are_remembered(
    editor: Editor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mien.latent.editing import work as working

    monkeypatch.setattr(working, "_MOST_WORKS", 2)
    monkeypatch.setattr(working, "_MOST_PHOTOS", 2)
    path, finder = photo(tmp_path, faces=1)
    client = Client(editor, finder)
    pixels, keys = read_picture(path), []
    for level in range(3):
        buffer = io.BytesIO()
        Image.fromarray((pixels // (level + 1)).astype(np.uint8)).save(buffer, "png")
        keys.append(client.post("photos", content=buffer.getvalue()).json()["photo"])
    assert len(set(keys)) == 3
    assert client.get(f"photos/{keys[0]}/1").status_code == 400
    assert "drop it again" in client.post(f"photos/{keys[0]}/1", {}).json()["error"]
    assert [client.get(f"photos/{key}/1").status_code for key in keys[1:]] == [200, 200]
    assert "drop it again" in client.get(f"photos/{keys[2]}/2").json()["error"], "it shows one face"
    numbers = []
    for _ in range(3):
        body = {"edit": {"face": "1"}, "points": [[0.5, 0.5, 0.6, 0.5]], "steps": 1}
        numbers.append(client.post("drags", body).json()["number"])
        client.finished(numbers[-1])
    assert [one["number"] for one in client.get("state").json()["works"]] == numbers[1:]
    client.works.close()


def test_without_the_mesh_faces_are_found_by_opencv_and_that_is_noted_once(
    editor: Editor, tmp_path: Path
) -> None:
    """The finder is opened by the first photo."""
    client = Client(editor)
    counts = []
    for pixels in heads(4)[0]:
        buffer = io.BytesIO()
        Image.fromarray(pixels).resize((320, 320)).save(buffer, "png")
        answer = client.post("photos", content=buffer.getvalue())
        counts.append(answer.json()["num_faces"] if answer.status_code == 200 else 0)
    assert max(counts) == 1
    (note,) = client.get("state").json()["notes"]
    assert "no mesh finder: faces are found by OpenCV's cascades" in note
    client.works.close()


def test_what_was_not_kept_is_named(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    """And of seeds only the newest latents stay in memory; they are the same when asked for again."""
    client = Client(editor)
    assert client.get("kept/0001.png").status_code == 404
    answer = client.post("kept/give-up", {"file": "0001.png"})
    assert (answer.status_code, answer.json()["error"]) == (400, "0001.png: was not kept")
    monkeypatch.setattr("mien.latent.editing.editor._MOST_CACHED", 2)
    first = editor.codes_of("7").values
    for seed in ("8", "9", "10"):
        editor.codes_of(seed)
    assert list(editor._seeds) == ["9", "10"]
    assert torch.equal(editor.codes_of("7").values, first)
