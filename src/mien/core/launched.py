"""A process that torchrun started: it says which other one ended, though the launcher then ends it, too."""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

_GRACE = 10.0  # seconds in which this process may say by itself what it lost
_begun = False


def watch() -> None:
    """From now until `begin`, SIGTERM does not end this process before it has said what happened.

    It may be waiting for the others in a library that knows nothing of signals, so a thread listens.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    threading.Thread(target=_listen, args=(reader,), daemon=True).start()


def begin() -> None:
    """Training begins: from now on it stops at the end of a step (`core.stop`)."""
    global _begun
    if not _begun and "TORCHELASTIC_RUN_ID" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _begun = True


def loss() -> str:
    """Which process ended and when, in words."""
    gone = [number for number, lives in _processes().items() if not lives]
    who = f"process {', '.join(map(str, gone))}" if gone else "another process"
    when = f" at {time.strftime('%H:%M:%S')}" + ("" if _begun else ", before the first step")
    return f"{who} of this training ended{when}"


def speaks() -> bool:
    """Whether no other process of this machine with a lower number is left to say what was lost."""
    own = int(os.environ.get("RANK", 0))
    return not any(lives and number < own for number, lives in _processes().items())


def _processes() -> dict[int, bool]:
    """By its number, whether each process of this launcher lives; none where that cannot be known."""
    names = ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    if not all(name in os.environ for name in names):
        return {}
    own, place, count = (int(os.environ[name]) for name in names)
    launcher = os.getppid()
    try:
        children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    except OSError:
        return {}
    living = set()
    for child in children:
        with suppress(OSError):  # it ended meanwhile
            environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            living |= {int(entry[11:]) for entry in environment if entry.startswith(b"LOCAL_RANK=")}
    return {own - place + number: number in living for number in range(count)}


def _listen(reader: int) -> None:
    while os.read(reader, 1)[0] != signal.SIGTERM:
        pass
    if _begun:
        return
    line, mine = loss(), speaks()
    time.sleep(_GRACE)
    if mine:
        print(f"mien: {line}, so the launcher ends this one; the same command begins again", file=sys.stderr)
    os._exit(1)
