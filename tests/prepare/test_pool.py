"""Workers that crash, hang or never start."""

import sys
import textwrap
import time

import pytest

from mien.core.errors import MienError
from mien.prepare.pool import Pool

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
    link.send_bytes(b"png%d" % task["number"])
    link.send_bytes(b"")
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
def test_answers_come_in_order_from_all_workers(command, count):
    work = tasks(30)
    work[0]["wait"] = 0.3  # the others overtake it
    with Pool({"greeting": "hello"}, count=count, command=command) as pool:
        answers = list(pool.run(work))
    assert [answer.record["number"] for answer in answers] == list(range(30))
    assert [answer.png for answer in answers] == [b"png%d" % number for number in range(30)]
    assert {answer.record["greeting"] for answer in answers} == {"hello"}
    assert len({answer.record["pid"] for answer in answers}) == count


@pytest.mark.parametrize("count", [1, 2])
def test_a_crash_costs_one_input(command, count):
    work = tasks(20, at0="die", at7="die", at8="die", at19="die")
    with Pool({"greeting": ""}, count=count, command=command) as pool:
        answers = list(pool.run(work))
    crashed = [number for number, answer in enumerate(answers) if answer.trouble == "crashed"]
    assert crashed == [0, 7, 8, 19]
    assert all(
        answer.record["number"] == number for number, answer in enumerate(answers) if not answer.trouble
    )


def test_a_hang_costs_one_input(command):
    with Pool({"greeting": ""}, count=2, patience_seconds=1.0, command=command) as pool:
        answers = list(pool.run(tasks(12, at3="hang")))
    assert [answer.trouble for answer in answers] == [""] * 3 + ["timed-out"] + [""] * 8


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


def test_workers_do_not_run_far_ahead_of_a_slow_input(command, monkeypatch):
    monkeypatch.setattr("mien.prepare.pool._AHEAD", 4)
    work = tasks(40)
    work[0]["wait"] = 1.0
    with Pool({"greeting": ""}, count=2, command=command) as pool:
        running = pool.run(work)
        next(running)
        time.sleep(0.1)
        given = max(index for worker in pool._workers for index in worker.given)
    assert given < 4 * 2


def test_worker_that_cannot_start_is_explained():
    command = [sys.executable, "-c", "raise SystemExit('no such library')"]
    with Pool({}, count=1, command=command) as pool, pytest.raises(MienError, match="no such library"):
        list(pool.run(tasks(1)))


def test_nothing_to_do():
    with Pool({}, count=2, command=["/no/such/program"]) as pool:
        assert list(pool.run([])) == []
