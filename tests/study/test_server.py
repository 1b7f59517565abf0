"""Studies made, served and killed: bad input costs one line, an acknowledged vote is never lost."""

import io
import json
import os
import signal
import socket
import sys
import threading
import webbrowser
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from PIL import Image
from raters import Rater, client_of, design_of, fill_folder, make_study, running, serving, sets_by_name
from sqlalchemy import select, update
from sqlalchemy.exc import DatabaseError

from mien import TOOL
from mien.core.errors import InputError, MienError
from mien.core.events import Event, Notice
from mien.core.picture import decode
from mien.core.provenance import Provenance, save_picture
from mien.reports.serving import address_of, bound, host_names
from mien.reports.serving import serve as serve_pages
from mien.study.commands import new, results, serve
from mien.study.design import KINDS, read_design
from mien.study.loaded import Study
from mien.study.records import read_records
from mien.study.store import FORMAT, Store, open_study, participants, pictures, studies, trials, votes
from served import ended_by_ctrl_c


def saved(place: str) -> list[tuple[str, int, Any]]:
    """Code, position and answer of every vote in the database."""
    store = open_study(place)
    query = (
        select(participants.c.code, trials.c.position, votes.c.answer)
        .join(votes, votes.c.participant_id == participants.c.id)
        .join(trials, trials.c.id == votes.c.trial_id)
    )
    with store.reading() as connection:
        found = [tuple(row) for row in connection.execute(query)]
    store.close()
    return found


@pytest.mark.slow
def test_a_killed_server_loses_no_acknowledged_vote(database: str, tmp_path: Path) -> None:
    place = make_study(tmp_path, "hype-infinity", db=database, task={"trials": 60})
    acknowledged: list[tuple[str, int, str]] = []
    enough = threading.Event()
    ids = [f"id-{number}" for number in range(6)]

    def work(address: str, recruitment: str, number: int) -> None:
        rng = np.random.default_rng(number)
        try:
            rater = Rater(address, recruitment=recruitment)
            trial, code = rater.next(), rater.link.partition(".")[0]
            while trial["state"] != "end":
                answer = str(rng.choice(("real", "fake")))
                result = rater.vote(trial, answer)
                acknowledged.append((code, trial["position"], answer))
                if len(acknowledged) > 100:
                    enough.set()
                trial = result["next"]
            rater.client.close()
        except httpx.HTTPError:
            rater.client.close()

    def all_at_once(address: str) -> list[threading.Thread]:
        threads = [threading.Thread(target=work, args=(address, one, n)) for n, one in enumerate(ids)]
        for thread in threads:
            thread.start()
        return threads

    with running(place) as (process, address):
        threads = all_at_once(address)
        assert enough.wait(120)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        for thread in threads:
            thread.join()
    before = saved(place)
    assert set(acknowledged) <= set(before)
    assert len(before) == len({vote[:2] for vote in before}) < 6 * 63
    with running(place) as (_, address):
        for thread in all_at_once(address):
            thread.join()
    after = saved(place)
    assert set(acknowledged) <= set(after)
    assert len(after) == len({vote[:2] for vote in after}) == 6 * 63


@pytest.mark.slow
def test_a_second_server_is_refused_and_the_first_goes_on(database: str, tmp_path: Path) -> None:
    place = make_study(tmp_path, "hype-infinity", db=database, task={"trials": 4})
    with running(place) as (_, address):
        with pytest.raises(InputError, match="being served already"):
            serve(place).run()
        other = make_study(tmp_path / "other", "rate", task={"trials": 4})
        with pytest.raises(InputError, match=r"cannot listen on 127\.0\.0\.1 port"):
            serve(other, port=int(address.rstrip("/").rpartition(":")[2])).run()
        with client_of(address) as client:
            assert client.get("study").status_code == 200
    with running(place):  # and after the first is gone
        pass


def test_a_server_answers_to_its_own_names_and_to_any_where_those_are_unknown() -> None:
    own = {"127.0.0.1", "localhost", "::1"}
    assert host_names("127.0.0.1") == own
    assert host_names("Faces.Example", ("WWW.faces.example",)) == own | {"faces.example", "www.faces.example"}
    assert host_names("192.0.2.7") == own | {"192.0.2.7"}
    assert host_names("0.0.0.0") is None
    assert host_names("::") is None
    assert host_names("0.0.0.0", ("faces.example",)) == own | {"0.0.0.0", "faces.example"}


def test_the_address_that_is_shown_can_be_opened_elsewhere() -> None:
    with bound("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert address_of("127.0.0.1", listener) == f"http://127.0.0.1:{port}/"
        assert address_of("localhost", listener) == f"http://localhost:{port}/"
        for everywhere in ("0.0.0.0", "::"):
            assert address_of(everywhere, listener) == f"http://{socket.gethostname()}:{port}/"
        assert address_of("::1", listener) == f"http://[::1]:{port}/"


def test_a_page_is_opened_in_the_browser_and_served(monkeypatch: pytest.MonkeyPatch) -> None:
    servers: list[uvicorn.Server] = []
    answers: list[tuple[str, str]] = []
    readers: list[threading.Thread] = []

    def made(config: uvicorn.Config) -> uvicorn.Server:
        servers.append(uvicorn.Server(config))
        return servers[0]

    def read(url: str) -> None:
        answers.append((url, httpx.get(url, timeout=60).text))
        servers[0].should_exit = True

    def browser(url: str) -> None:
        readers.append(threading.Thread(target=read, args=(url,)))
        readers[0].start()

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"at {scope['path']}".encode()})

    monkeypatch.setattr(webbrowser, "open", browser)
    with bound("127.0.0.1", 0) as listener:
        address = address_of("127.0.0.1", listener) + "secret/"
        serve_pages(page, listener, open_at=address, server=made)
    readers[0].join()
    assert answers == [(address, "at /secret/")]


@pytest.mark.slow
def test_ctrl_c_ends_it_with_every_answer_on_disk(database: str, tmp_path: Path) -> None:
    """It says both addresses first; the code is 0, and the study can be served again at once."""
    place = make_study(tmp_path, "hype-infinity", db=database, task={"trials": 4}, practice=0)
    for turn in range(2):
        with running(place) as (process, address):
            rater = Rater(address, recruitment=f"id-{turn}")
            rater.run(lambda trial, sets: "real", sets_by_name(place), most=1)
            rater.client.close()
            code, said, complaints = ended_by_ctrl_c(process)
        assert (code, complaints) == (0, "")
        store = open_study(place)
        assert f"    you           {address}{Study(store).secret}/" in said
        store.close()
        assert f"recruitment ids go into the link: {address}?id=..." in said
        assert "has ended" not in said
        assert [answer for *_, answer in saved(place)] == ["real"] * (turn + 1)


@pytest.mark.slow
def test_a_study_that_has_ended_is_served_with_a_word(tmp_path: Path) -> None:
    place = make_study(tmp_path, "rate", task={"trials": 4}, closes="2020-01-01T00:00:00Z")
    with running(place) as (process, address):
        with client_of(address) as client:
            assert client.get("study").status_code == 200
        code, said, _ = ended_by_ctrl_c(process)
    assert code == 0
    assert "the study has ended (2020-01-01 00:00:00" in said


def test_a_database_that_fails_loses_nothing_and_is_asked_again(tmp_path: Path) -> None:
    """A table is away for a while: the page is told to try again, and the same vote then counts once."""
    place = make_study(tmp_path, "hype-infinity", task={"trials": 4}, practice=0)
    with serving(place) as address:
        rater = Rater(address)
        trial = rater.next()
        rater.wait(trial)
        store = open_study(place)
        store.write(lambda connection: connection.exec_driver_sql("ALTER TABLE vote RENAME TO away"))
        answer = rater.vote(trial, "real", expect=503)
        assert "nothing is lost, it is tried again" in answer["error"]
        store.write(lambda connection: connection.exec_driver_sql("ALTER TABLE away RENAME TO vote"))
        rater.vote(trial, "real")
        assert [(position, said) for _, position, said in saved(place)] == [(0, "real")]
        store.close()
        rater.client.close()


def test_a_transaction_that_cannot_begin_is_everybodys_failure_and_the_next_one_works(tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    path.write_bytes(b"no database at all, but longer than its header is: " * 40)
    store = Store(str(path))
    for _ in range(2):
        with pytest.raises(DatabaseError, match="not a database"):
            store.write(lambda connection: connection.exec_driver_sql("CREATE TABLE t (x INTEGER)"))
    store.engine.dispose()
    path.unlink()
    store.write(lambda connection: connection.exec_driver_sql("CREATE TABLE t (x INTEGER)"))
    store.write(lambda connection: connection.exec_driver_sql("INSERT INTO t VALUES (7)"))
    with store.reading() as connection:
        assert connection.exec_driver_sql("SELECT x FROM t").scalar_one() == 7
    store.close()


def test_answers_do_not_wait_for_the_browser_to_acknowledge_their_header() -> None:
    with bound("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# ---- making a study


def said(job: Any) -> list[str]:
    events: list[Event] = []
    job.run(events.append)
    return [event.text for event in events if isinstance(event, Notice)]


def test_pictures_are_stripped_and_alike(tmp_path: Path) -> None:
    fill_folder(tmp_path / "photos", 6, seed=0, size=48)
    folder = tmp_path / "model"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(6):  # marked PNGs, and JPEGs that are not square, turned and commented
        pixels = rng.integers(0, 255, (32, 40, 3)).astype(np.uint8)
        if number % 2:
            save_picture(folder / f"{number}.png", pixels, Provenance("secret-model", number, TOOL))
        else:
            exif = Image.Exif()
            exif[0x0112], exif[0x010E] = 6, "secret-comment"
            Image.fromarray(pixels).save(folder / f"{number}.jpg", exif=exif, comment="secret-comment")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot much of a picture")
    path = tmp_path / "design.json"
    path.write_text(json.dumps(design_of("hype-infinity", task={"trials": 8})))
    words = said(new(path))
    assert any("broken.png" in line and "left out" in line for line in words)
    assert any("sharpness" in line for line in words)
    store = open_study(str(tmp_path / "design.sqlite"))
    with store.reading() as connection:
        rows = connection.execute(select(pictures)).all()
    store.close()
    assert len({row.name for row in rows}) == len(rows) == 12 + 8
    for row in rows:
        assert b"secret" not in row.data
        assert row.data[12:16] == b"VP8 "  # a simple WebP: no chunk for EXIF, XMP or a profile
        assert decode(row.data).pixels.shape == (32, 32, 3)
        assert set(Image.open(io.BytesIO(row.data)).info) <= {"loop", "background"}
        assert len(row.name) == 24
        assert int(row.name, 16)


def test_bad_designs_cost_one_line(tmp_path: Path) -> None:
    fill_folder(tmp_path / "photos", 4, seed=0)
    fill_folder(tmp_path / "model", 4, seed=1)
    path = tmp_path / "design.json"

    def refused(**changes: Any) -> str:
        path.write_text(json.dumps(design_of("hype-infinity", **changes)))
        with pytest.raises(InputError) as caught:
            new(path).run()
        assert "\n" not in str(caught.value)
        assert not path.with_suffix(".sqlite").exists()
        return str(caught.value)

    assert "photos has 4 of 21, model has 4 of 21" in refused()
    assert "trials" in refused(task={"trials": 3})
    assert "task.colour" in refused(task={"colour": 1})
    assert "one set with real = true" in refused(sets=[{"name": "model"}, {"name": "photos"}])
    assert "same name" in refused(sets=[{"name": "photos", "real": True}, {"name": "photos"}])
    assert "closes" in refused(closes="2027-01-01T00:00:00")
    assert "title" in refused(title="")
    missing = refused(sets=[{"name": "photos", "real": True}, {"name": "gone", "path": "nowhere"}])
    assert "nowhere" in missing
    for number in range(4):
        (tmp_path / "model" / f"{number:03d}.png").write_bytes(b"\x89PNG\r\n\x1a\nnot much of a picture")
    assert refused().endswith("model: no picture of set 'model' can be read")
    path.write_text('{"title": ')
    with pytest.raises(InputError, match=r"design.json: .*line 1"):
        new(path).run()
    with pytest.raises(InputError, match="cannot be read"):
        new(tmp_path / "absent.toml").run()


def test_numbers_of_a_design_that_do_not_fit_each_other_are_named(tmp_path: Path) -> None:
    path = tmp_path / "design.json"

    def refused(kind: str, **changes: Any) -> str:
        path.write_text(json.dumps(design_of(kind, practice=0, attention_checks=0, **changes)))
        with pytest.raises(InputError) as caught:
            new(path).run()
        assert not path.with_suffix(".sqlite").exists()
        return str(caught.value)

    lonely = [{"name": "photos"}]
    fill_folder(tmp_path / "photos", 4, seed=0)
    assert "start_ms lies outside of shortest_ms to longest_ms" in refused("hype-time", task={"start_ms": 50})
    assert "comparing sets needs two or more" in refused("prefer", sets=lonely)
    asked = {"compare": "pictures", "trials": 7}
    assert "they make 6 pairs, and 7 trials are asked" in refused("prefer", sets=lonely, task=asked)
    path.write_text(json.dumps(design_of("prefer", practice=0, sets=lonely, task=asked | {"trials": 6})))
    new(path).run()
    assert path.with_suffix(".sqlite").exists(), "six pairs are enough for six trials"


def test_some_pictures_of_a_set_are_drawn_by_the_design_s_seed(tmp_path: Path) -> None:
    """As many as asked for; a side larger than they have is warned of."""
    chosen = {}
    for seed in (1, 1, 2):
        folder = tmp_path / f"{len(chosen)}-{seed}"
        sets = [{"name": "photos", "real": True, "count": 9}, {"name": "model", "count": 8}]
        for number, one in enumerate(sets):
            fill_folder(folder / str(one["name"]), 30, seed=number)
        path = folder / "design.json"
        small = {"practice": 0, "attention_checks": 0, "task": {"trials": 8}}
        path.write_text(json.dumps(design_of("hype-infinity", sets=sets, seed=seed, side=48, **small)))
        words = said(new(path))
        assert any("side = 48 enlarges pictures of 16 pixels" in line for line in words)
        store = open_study(str(path.with_suffix(".sqlite")))
        with store.reading() as connection:
            rows = connection.execute(select(pictures.c.set, pictures.c.source, pictures.c.data)).all()
        store.close()
        own = [row for row in rows if row.set in ("photos", "model")]
        assert sorted(row.set for row in own) == ["model"] * 8 + ["photos"] * 9
        assert {decode(row.data).pixels.shape for row in own} == {(48, 48, 3)}
        chosen[folder.name] = {(row.set, row.source) for row in own}
    first, again, other = chosen.values()
    assert first == again != other


def test_a_place_that_cannot_be_written_and_another_version_are_named(tmp_path: Path) -> None:
    place = make_study(tmp_path, "rate", task={"trials": 4})
    with pytest.raises(MienError, match=r"nowhere/x\.sqlite: cannot be written"):
        new(tmp_path / "rate.json", db=str(tmp_path / "nowhere" / "x.sqlite")).run()
    store = open_study(place)
    store.write(lambda connection: connection.execute(update(studies).values(format=99)))
    store.close()
    with pytest.raises(InputError, match=rf"of another version of mien \(format 99, not {FORMAT}\)"):
        results(place, out=tmp_path / "out").run()
    with pytest.raises(InputError, match="a study needs a file"):
        results("sqlite://", out=tmp_path / "out").run()


def test_a_study_is_not_overwritten_and_no_database_is_no_study(tmp_path: Path) -> None:
    place = make_study(tmp_path, "rate", task={"trials": 4})
    with pytest.raises(InputError, match="holds a study already"):
        new(tmp_path / "rate.json").run()
    assert place == str(tmp_path / "rate.sqlite")
    for wrong in (
        tmp_path / "absent.sqlite",
        tmp_path / "rate.json",
        "nosuch://x",
        "postgresql+psycopg://127.0.0.1:1/x",
    ):
        with pytest.raises(InputError):
            results(str(wrong), out=tmp_path / "out").run()
    assert not (tmp_path / "absent.sqlite").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_examples_are_designs(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    new(path, example=kind).run()
    design = read_design(path)
    assert design.task.kind == kind
    assert design.sets[0].path.parent == tmp_path
    with pytest.raises(InputError, match="exists"):
        new(path, example=kind).run()


def test_results_of_nobody_and_of_a_participant_who_is_forgotten(tmp_path: Path) -> None:
    place = make_study(tmp_path, "rate", task={"trials": 4})
    assert any("no answer counts yet" in line for line in said(results(place, out=tmp_path / "out")))
    with serving(place) as address:
        rater = Rater(address, recruitment="id")
        rater.run(lambda trial, sets: {"realism": 3, "quality": 3}, sets_by_name(place), most=1)
        rater.client.close()
    code = rater.link.partition(".")[0]
    with pytest.raises(InputError, match="--forget X"):
        results(place, out=tmp_path / "out", forget=("X",)).run()
    results(place, out=tmp_path / "out", forget=(code,)).run()
    store = open_study(place)
    assert read_records(Study(store)).participants == []
    store.close()


def test_who_fails_checks_or_hurries_is_left_out(tmp_path: Path) -> None:
    place = make_study(tmp_path, "rate", task={"trials": 4}, attention_checks=1)
    sets = sets_by_name(place)
    with serving(place) as address:
        for number in range(3):
            rater = Rater(address)
            trial = rater.next()
            while trial["state"] != "end":
                value = trial["check"] if trial["check"] is not None else 3
                value = value % 5 + 1 if number == 1 and trial["check"] is not None else value
                slow = {"reaction_ms": 10 if number == 2 else 900}
                if number != 2:
                    threading.Event().wait(0.25)
                trial = rater.vote(trial, {"realism": value, "quality": value}, **slow)["next"]
            rater.client.close()
    assert sets
    store = open_study(place)
    records = read_records(Study(store))
    store.close()
    assert [one.left_out for one in records.participants] == [
        "",
        "failed attention checks",
        "too many fast answers",
    ]
    assert len(records.kept) == 4
    assert len(records.votes) == 3 * 7


# ---- who may ask


def test_other_names_forms_and_long_requests_are_refused(tmp_path: Path) -> None:
    place = make_study(tmp_path, "rate", task={"trials": 4})
    with serving(place) as address, client_of(address) as client:
        assert client.get("", headers={"host": "evil.example"}).status_code == 421
        assert client.post("enrol", json={"consent": True}, headers={"x-mien": ""}).status_code == 403
        assert client.post("enrol", content=b" " * 200_000).status_code == 413
        assert client.post("enrol", content=iter([b"{}"])).status_code == 413
        assert client.post("enrol", json={"consent": True, "more": 1}).status_code == 422
        page = client.get("")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert page.headers["referrer-policy"] == "no-referrer"
        assert "http" not in page.text
        assert client.get("docs").status_code == client.get("files/../web.py").status_code == 404


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MienError, match=r"pip install .*'\.\[study\]'"):
        new(tmp_path / "x.toml", example="rate").run()
