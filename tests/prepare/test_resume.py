"""Killed runs go on: the same bytes as uninterrupted, and next to nothing is done twice."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import forked
from mien.core.errors import MienError
from mien.core.packed import PackReader
from mien.prepare import store as stores
from mien.prepare.store import Store

KILLS, COUNT = 8, 240

# The real run with a finder that sees a face everywhere, and a log of what each worker begins and ends.
WORKER = """
import os, sys, time
from mien.faces.face import Face
from mien.prepare import worker

log = os.open(os.environ["LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
real = worker.extract

def logged(file, *rest, mesh=None):
    os.write(log, f"begin {file.name}\\n".encode())
    outcome = real(file, *rest)
    os.write(log, f"end {file.name}\\n".encode())
    return outcome

class Everywhere:
    name = "everywhere"
    def find(self, image, *, most=8):
        time.sleep(0.004)
        side = image.shape[0]
        at = [(side * x, side * y) for x, y in ((.35, .4), (.65, .4), (.5, .55), (.4, .7), (.6, .7))]
        return [Face((side * .2, side * .2, side * .6, side * .7), side * .6, 0.9, *at)]

worker.extract = logged
worker.main(int(sys.argv[1]), Everywhere())
"""
RUN = """
import functools, json, sys
import forked
forked.preload()
from mien.prepare import pool, run
from mien.prepare.judge import Rules
from mien.prepare.prepare import prepare

source, out, worker = sys.argv[1:]
pool.subprocess = forked.LIKE_SUBPROCESS
run.Pool = functools.partial(run.Pool, command=[sys.executable, worker])
rules = Rules(min_sharpness=None, min_exposure=None, max_exposure=None, max_coverage=0.95)
options = {"finder": "haar", "size": 16, "rules": rules, "workers": 2, "keep_duplicates": True}
result = prepare(source, out, **options).run()
print(json.dumps([result.measured, result.kept]))
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Small noise pictures of their own bytes each, and a few files that are none."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number in range(COUNT - 10):
        pixels = rng.integers(0, 255, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04d}.png")
    for number in range(10):
        (folder / f"{number:04d}-broken.jpg").write_bytes(b"\xff\xd8\xff" + bytes(number))
    return folder


@pytest.fixture
def start(tmp_path, pictures):
    """Start a run into `name`.zip in a process group of its own."""
    (tmp_path / "worker.py").write_text(textwrap.dedent(WORKER))
    (tmp_path / "run.py").write_text(textwrap.dedent(RUN))

    def run(name: str) -> subprocess.Popen[bytes]:
        paths = os.pathsep.join(path for path in sys.path if path)
        return forked.Popen(
            [sys.executable, tmp_path / "run.py", pictures, tmp_path / f"{name}.zip", tmp_path / "worker.py"],
            env={**os.environ, "PYTHONPATH": paths, "LOG": str(tmp_path / f"{name}.log")},
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    return run


def finish(process: subprocess.Popen[bytes]) -> list[int]:
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return json.loads(out)


def logged(path: Path) -> dict[str, Counter[str]]:
    """How often each picture was begun and ended."""
    counts: dict[str, Counter[str]] = {"begin": Counter(), "end": Counter()}
    for line in path.read_text().splitlines():
        what, _, name = line.partition(" ")
        counts[what][name] += 1
    return counts


@pytest.mark.slow
def test_killed_at_random_the_result_is_the_same_to_the_byte(start, tmp_path):
    assert finish(start("whole")) == [COUNT, COUNT - 10]
    rng = random.Random(0)
    known, grew, kills = 0, 0, 0
    while kills < KILLS:
        process = start("killed")
        progressed = time.monotonic() + 60  # a machine under load starts slowly
        while count_known(tmp_path / "killed.work") <= known and time.monotonic() < progressed:
            time.sleep(0.01)  # one more, so that it gets somewhere
        time.sleep(rng.uniform(0, 0.12))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        kills += 1
        now = count_known(tmp_path / "killed.work")
        assert now >= known, "a kill lost what was found"
        grew += now > known
        known = now
        if (tmp_path / "killed.zip").exists():
            break
    measured, kept = finish(start("killed"))
    assert grew >= 3
    assert kept == COUNT - 10
    assert measured == COUNT - known
    assert (tmp_path / "killed.zip").read_bytes() == (tmp_path / "whole.zip").read_bytes()
    counts = logged(tmp_path / "killed.log")
    assert set(counts["end"]) == set(logged(tmp_path / "whole.log")["end"])
    assert counts["begin"].total() - COUNT <= 2 * kills, "two workers, each at one picture"
    assert counts["end"].total() - COUNT <= kills, "done, yet not kept"
    left = [path.name for path in tmp_path.iterdir() if "tmp" in path.name]
    assert left == []
    assert [path.name for path in (tmp_path / "killed.work").iterdir() if "tmp" in path.name] == []


def count_known(work: Path) -> int:
    files = list(work.glob("*.sqlite"))
    if not files:
        return 0
    try:
        store = Store(files[0])
    except MienError:  # just being made
        return 0
    try:
        return len(store.keys())
    finally:
        store.close()


@pytest.mark.slow
def test_a_worker_whose_parent_was_killed_ends_too(start, tmp_path):
    process = start("orphans")
    while count_known(tmp_path / "orphans.work") < 3:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    until = time.monotonic() + 20
    while group_lives(process.pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not group_lives(process.pid)


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_two_runs_into_one_dataset_are_refused(tmp_path):
    out = tmp_path / "a.zip"
    with (
        stores.opened(out, {}),
        pytest.raises(MienError, match=r"a\.zip: another run"),
        stores.opened(out, {}),
    ):
        raise AssertionError("two at once")
    with stores.opened(out, {}) as store:
        assert store.keys() == {}


def test_a_store_keeps_whole_entries_and_the_first_of_two(tmp_path):
    store = Store(tmp_path / "a.sqlite")
    store.add(
        "k",
        {"n": 1, "name": "\udcff", "faces": [{}, {}]},
        crops={(0, 8, "b"): b"B", (0, 8, "a"): b"A", (0, 4, ""): b"4", (1, 4, ""): b"5"},
        thumb=b"t",
    )
    store.add("k", {"n": 2, "faces": [{}]}, crops={(0, 8, "a"): b"other"})
    again = Store(tmp_path / "a.sqlite")
    ((number, faces),) = again.keys().values()
    assert faces == 2
    assert again.record(number) == {"n": 1, "name": "\udcff", "faces": [{}, {}]}
    assert list(again.records()) == [(number, again.record(number))]
    assert again.crops(number, 0, 8) == [("a", b"A"), ("b", b"B")]
    assert [again.crops(number, face, 4) for face in (0, 1)] == [[("", b"4")], [("", b"5")]]
    assert (again.thumb(number), again.crops(number, 0, 2)) == (b"t", [])


def test_another_job_begins_anew_and_the_same_one_goes_on(tmp_path):
    out = tmp_path / "a.zip"
    for job, known in (({"size": 1}, 0), ({"size": 1}, 1), ({"size": 2}, 0), ({"size": 1}, 0)):
        with stores.opened(out, job) as store:
            assert len(store.keys()) == known
            store.add("k", {}, crops={})
    assert len(list(stores.work_folder(out).glob("*.sqlite"))) == 1
    stores.forget(out)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_store_is_named(tmp_path):
    (tmp_path / "a.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(MienError, match=r"a\.sqlite: .*run again"):
        Store(tmp_path / "a.sqlite")


@pytest.mark.slow
def test_packed_manifest_has_every_input(start, tmp_path):
    finish(start("whole"))
    pack = PackReader(tmp_path / "whole.zip")
    assert len(pack.all_records) == COUNT
    assert len(pack.names) == COUNT - 10
