"""Workers that crash, hang or never start."""

import json
import resource
import signal
import socket
import sys
import textwrap
from dataclasses import asdict
from multiprocessing.connection import Connection

import numpy as np
import pytest

from mien.core.errors import MienError
from mien.core.packed import encode_png
from mien.prepare import worker
from mien.prepare.extract import CropConfig
from mien.prepare.pool import Pool
from mien.prepare.store import Store

STAND_IN = """
import json, os, sys, time
from multiprocessing.connection import Connection
link = Connection(int(sys.argv[1]))
setup = json.loads(link.recv_bytes())
link.send_bytes(b'{}')
while True:
    try:
        task = json.loads(link.recv_bytes())
    except EOFError:
        break
    if task["do"] == "die":
        os.abort()
    if task["do"] == "hang":
        time.sleep(600)
    time.sleep(task.get("wait", 0))
    answer = {"number": task["number"], "greeting": setup["greeting"], "pid": os.getpid()}
    link.send_bytes(json.dumps(answer).encode())
"""


@pytest.fixture
def command(tmp_path):
    script = tmp_path / "stand_in.py"
    script.write_text(textwrap.dedent(STAND_IN))
    return [sys.executable, str(script)]


def tasks(count, **special):
    odd = {int(number.removeprefix("at")): what for number, what in special.items()}
    return [{"number": number, "do": odd.get(number, "work")} for number in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_task_is_answered_once_with_its_number_by_all_workers(command, count):
    work = tasks(30)
    for task in work[:8]:
        task["wait"] = 0.02  # long enough for every worker to get some
    with Pool({"greeting": "hello"}, count=count, command=command) as pool:
        numbered = list(pool.run(work))
    assert sorted(number for number, _ in numbered) == list(range(30))
    assert all(answer.record["number"] == number for number, answer in numbered)
    answers = [answer for _, answer in numbered]
    assert {answer.record["greeting"] for answer in answers} == {"hello"}
    assert len({answer.record["pid"] for answer in answers}) == count


@pytest.mark.parametrize("count", [1, 2])
def test_a_crash_costs_one_input(command, count):
    work = tasks(20, at0="die", at7="die", at8="die", at19="die")
    with Pool({"greeting": ""}, count=count, command=command) as pool:
        answers = dict(pool.run(work))
    assert sorted(answers) == list(range(20))
    crashed = [number for number in range(20) if answers[number].trouble == "crashed"]
    assert crashed == [0, 7, 8, 19]
    assert all(answer.record["number"] == number for number, answer in answers.items() if not answer.trouble)


def test_a_hang_costs_one_input(command):
    with Pool({"greeting": ""}, count=2, patience_seconds=1.0, command=command) as pool:
        answers = dict(pool.run(tasks(12, at3="hang")))
    assert [answers[number].trouble for number in range(12)] == [""] * 3 + ["timed-out"] + [""] * 8


def test_processes_end_with_the_block_even_when_it_breaks_off(command):
    processes = []

    def interrupted():
        with Pool({"greeting": ""}, count=2, command=command) as pool:
            next(pool.run(tasks(50)))
            processes.extend(worker.process for worker in pool._workers)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [process.poll() is not None for process in processes] == [True, True]


def test_an_answer_never_waits_for_a_slower_input(command):
    work = tasks(10)
    work[0]["wait"] = 1.0
    with Pool({"greeting": ""}, count=2, command=command) as pool:
        order = [number for number, _ in pool.run(work)]
    assert set(order) == set(range(10))
    assert order.index(0) >= 7, "only the one given to the same worker can come after it"


def test_workers_are_given_no_more_than_two_inputs_at_a_time(command):
    with Pool({"greeting": ""}, count=2, command=command) as pool:
        for _ in pool.run(tasks(40)):
            assert max(len(worker.given) for worker in pool._workers) <= 2


def test_worker_that_cannot_start_is_explained():
    command = [sys.executable, "-c", "raise SystemExit('no such library')"]
    with Pool({}, count=1, command=command) as pool, pytest.raises(MienError, match="no such library"):
        list(pool.run(tasks(1)))


def test_nothing_to_do():
    with Pool({}, count=2, command=["/no/such/program"]) as pool:
        assert list(pool.run([])) == []


class Dislikes:
    """A finder that fails on dark pictures and sees no face in others."""

    name = "dislikes"

    def find(self, image, *, most=8):
        if image.mean() < 50:
            raise ValueError("a picture\n of which it knows nothing")
        return []


def answered(folder, names):
    """What a worker in this process answers to tasks that all wait for it."""
    ours, theirs = socket.socketpair()
    link = Connection(ours.detach())
    setup = {"source": str(folder), "store": str(folder / ".store"), "config": asdict(CropConfig((16,)))}
    tasks = ({"name": name, "at": None, "key": name} for name in names)
    for message in (setup, *tasks):
        link.send_bytes(json.dumps(message).encode())
    with socket.socket(fileno=link.fileno()) as end:
        end.shutdown(socket.SHUT_WR)
        end.detach()
    before = signal.getsignal(signal.SIGINT)
    try:
        worker.main(theirs.detach(), Dislikes())
    finally:
        signal.signal(signal.SIGINT, before)
    assert json.loads(link.recv_bytes()) == {"ready": True}
    answers = [json.loads(link.recv_bytes()) for _ in names]
    link.close()
    return answers


def photo(path, value):
    path.write_bytes(encode_png(np.full((40, 40, 3), value, np.uint8)))


def test_a_worker_stores_what_it_found_and_answers_what_the_next_run_shall_try_again(tmp_path):
    """A file that is gone, or on which something of ours fails, costs itself and is not stored."""
    photo(tmp_path / "light.png", 200)
    photo(tmp_path / "dark.png", 0)
    gone, failed, found = answered(tmp_path, ["gone.png", "dark.png", "light.png"])
    assert found == {}
    assert (gone["source"], gone["sha256"], gone["verdict"]) == ("gone.png", None, "dropped")
    assert (failed["source"], failed["sha256"], failed["verdict"]) == ("dark.png", None, "dropped")
    assert failed["reason"] == "failed"
    assert failed["detail"] == "preparing it failed (ValueError: a picture of which it knows nothing)"
    store = Store(tmp_path / ".store")
    assert list(store.keys()) == ["light.png"]
    assert [record["reason"] for _, record in store.records()] == ["no-face"]
    store.close()


def test_a_worker_that_cannot_store_says_why_to_stop(tmp_path):
    names = [f"{number:02d}.png" for number in range(30)]
    for name in names:  # each takes some kilobytes of the store
        noise = np.random.default_rng(int(name[:2])).integers(60, 250, (96, 96, 3), np.uint8)
        (tmp_path / name).write_bytes(encode_png(noise))
    Store(tmp_path / ".store").close()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        answers = answered(tmp_path, names)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    found = answers.index(next(answer for answer in answers if answer))
    assert 0 < found < 30
    assert answers[found]["stop"].startswith(f"{tmp_path / '.store'}: ")
    store = Store(tmp_path / ".store")
    assert sorted(store.keys()) == [name for name, answer in zip(names, answers, strict=True) if not answer]
    store.close()
