"""`kill -9` at random moments: nothing unreadable, at most one interval lost, the same weights in the end."""

import os
import sys
from pathlib import Path

import pytest

import forked

SCRIPT = """
import os, random, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from contracts.family_contract import assert_same
from mien.core.checkpoint import load_generator, load_state, newest_state
from mien.core.run import RunFolder
from pictures import ArrayDataset
from test_session import SMALL, lite, session

KIMG, KILLS, root = 30, 20, Path(sys.argv[1])

def work(name):
    config = SMALL.model_copy(update={"batch_size": 100})
    trainable = lite.build(config, ArrayDataset(resolution=8).spec)
    training, running = session(root / name, kimg=KIMG, trainable=trainable)
    with RunFolder(root / name).lock():
        running.resume(print)
        for _ in running.events():
            pass

def child(name):
    pid = os.fork()
    if pid == 0:
        work(name)
        os._exit(0)
    return pid

def check(run, complaints):
    for path in run.generators():
        load_generator(path)
    found = newest_state(run.path, report=complaints.append)
    ticks = [r["nimg"] for r in run.read_log() if "event" not in r]
    if ticks:
        lost = ticks[-1] - found[1]["counters"]["nimg"]
        assert lost <= 1000, lost

def states():
    return set((root / "killed").glob("state-*.pt"))

rng, complaints, survived = random.Random(0), [], 0
for kill in range(KILLS):
    before, pid, patience = states(), child("killed"), time.monotonic() + 60
    while kill % 2 and states() <= before and time.monotonic() < patience:
        time.sleep(0.005)  # every other one is killed after it got further, however slow this machine is
    time.sleep(rng.uniform(0, 0.3))
    os.kill(pid, signal.SIGKILL)
    survived += os.waitpid(pid, 0)[1] == 0
    if (root / "killed" / "config.json").exists():
        check(RunFolder(root / "killed"), complaints)
assert complaints == [], complaints
assert survived <= 5, f"only {KILLS - survived} kills hit a run that was going on"
reached = newest_state(root / "killed", report=complaints.append)[1]["counters"]["nimg"]
assert reached >= 5000, f"kills left {reached} images: they hit nothing that could be lost"
for name in ("killed", "straight"):
    assert os.waitpid(child(name), 0)[1] == 0
states = [load_state(root / name / f"state-{KIMG:06d}.pt") for name in ("killed", "straight")]
assert_same(states[0], states[1])
assert states[0]["counters"]["nimg"] == KIMG * 1000
print("ok", survived, reached)
"""


@pytest.mark.slow
def test_twenty_kills(tmp_path: Path) -> None:
    tests = Path(__file__).resolve().parents[1]
    source = tests.parent / "src"
    path = os.pathsep.join([str(tests), str(tests / "training"), str(source)])
    done = forked.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]
    assert done.stdout.startswith("ok")
