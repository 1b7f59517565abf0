"""Forks stand for processes: what tests learn of them is what they would learn of a process."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import forked

WORDS = """
import os, sys
print(sys.argv[1:], os.getcwd(), os.environ.get("ONLY"), os.environ.get("HOME"), sys.stdin.read(), __name__)
print("error", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


def both(*command: Any, **how: Any) -> list[tuple[int, str, str]]:
    """What a fork and a process give."""
    done = [
        start([sys.executable, *command], capture_output=True, text=True, stdin=subprocess.DEVNULL, **how)
        for start in (forked.run, subprocess.run)
    ]
    return [(one.returncode, one.stdout, one.stderr) for one in done]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["code", "script", "module"])
def test_folder_environment_streams_and_code_are_its_own(kind: str, tmp_path: Path) -> None:
    (tmp_path / "words.py").write_text(WORDS)
    command = {"code": ["-c", WORDS], "script": [tmp_path / "words.py"], "module": ["-m", "words"]}[kind]
    ours, theirs = both(*command, "3", cwd=tmp_path, env={"ONLY": "this"})
    assert ours == theirs
    assert ours == (3, f"['3'] {tmp_path} this None  __main__\n", "error\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "raise SystemExit('a word')",
        "import os; os.abort()",
        "import atexit, threading, time; atexit.register(print, 'last');"
        "threading.Thread(target=lambda: (time.sleep(.1), print('thread'))).start()",
        # Of a job in the background a process inherits that it ignores this; a fork never does.
        "import os, signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "os.kill(os.getpid(), signal.SIGINT)",
    ],
)
def test_it_ends_as_a_process_does(code: str) -> None:
    ours, theirs = both("-c", code)
    assert ours[:2] == theirs[:2]
    assert ours[2].splitlines()[-1:] == theirs[2].splitlines()[-1:]


def test_signals_reach_it_and_its_session_and_it_is_a_child() -> None:
    code = "import os, time; print(os.getpid(), os.getppid(), os.getsid(0), flush=True); time.sleep(60)"
    for number in (signal.SIGKILL, signal.SIGTERM):
        with forked.Popen(
            [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            said = process.stdout.readline().split()
            assert said == [str(process.pid), str(os.getpid()), str(process.pid)]
            assert process.poll() is None
            os.killpg(process.pid, number)
            assert process.wait() == -number


def test_a_fork_forks_and_descriptors_are_passed() -> None:
    inner = "import os, sys; os.write(int(sys.argv[1]), b'%d' % os.getppid())"
    code = (
        "import os, sys, forked; reader, writer = os.pipe(); print(os.getpid(), flush=True)\n"
        f"process = forked.Popen([sys.executable, '-c', {inner!r}, str(writer)], pass_fds=[writer])\n"
        "os.close(writer); assert process.wait() == 0; print(os.read(reader, 99).decode())"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    done = forked.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    own, parent = done.stdout.split()
    assert own == parent


def test_no_import_is_paid_for() -> None:
    forked.run([sys.executable, "-c", "pass"])
    before = os.times()
    code = "import torch, mien.training.train; print(torch.ones(2).sum().item())"
    done = forked.run([sys.executable, "-c", code], capture_output=True, text=True)
    after = os.times()
    assert done.stdout == "2.0\n"
    assert sum(after[2:4]) - sum(before[2:4]) < 1
