"""Work tried in a copy of the process: what it says comes back, what it takes does not."""

import os
import resource
import signal
import sys
import time
from pathlib import Path

import pytest

from mien.core import limits
from mien.core.errors import InputError
from mien.core.limits import Limits, try_apart

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="copies are made on Linux alone")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.bin"
    path.write_bytes(b"x")
    return path


def test_a_copy_changes_nothing_here_and_hands_on_its_refusal(file: Path) -> None:
    values: list[int] = []
    assert try_apart(file, lambda: values.append(1)) is None
    assert values == []

    def refuse() -> None:
        raise InputError(f"{file}: l\u00e4uft nicht")

    with pytest.raises(InputError, match=r"a\.bin: l\u00e4uft nicht"):
        try_apart(file, refuse)


def test_memory_and_programs_are_refused(file: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"a\.bin: reading it failed .* want of memory; nothing of"):
        try_apart(file, lambda: bytearray(400 << 20))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
    with pytest.raises(InputError, match="reading it failed"):
        try_apart(file, lambda: file.unlink())
    assert file.is_file()


def test_time_is_limited(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.Limits, "of", lambda *_: Limits(1 << 30, 0, 1, 0))
    with pytest.raises(InputError, match="it took more than 0 s"):
        try_apart(file, lambda: time.sleep(60))


def test_an_interrupt_here_ends_the_copy_too(file: Path) -> None:
    """As Ctrl-C while a large file is tried: the copy would go on by itself for a minute."""

    class Interrupted(BaseException):
        pass

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted

    def work() -> None:
        file.with_name("pid").write_text(str(os.getpid()))
        state = Path(f"/proc/{os.getppid()}/stat")
        while state.read_text().rpartition(")")[2].split()[0] != "S":  # until it waits
            time.sleep(0.01)
        os.kill(os.getppid(), signal.SIGUSR1)
        time.sleep(60)

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(Interrupted):
            try_apart(file, work)
    finally:
        signal.signal(signal.SIGUSR1, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int(file.with_name("pid").read_text()), 0)


def test_within_a_sandbox_the_work_is_not_tried_again(file: Path) -> None:
    try_apart(file, lambda: try_apart(file, lambda: time.sleep(60)))


def test_there_is_nothing_to_try_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Whoever reads it says so."""
    (tmp_path / "folder").mkdir()
    for name in ("none", "folder"):
        try_apart(tmp_path / name, lambda: time.sleep(60))
