"""Workers that crash, hang or never start."""

import sys
import textwrap

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
