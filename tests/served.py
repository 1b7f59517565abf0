"""Servers of pages for tests: in a thread of this process, or a command in a fork."""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import forked
from mien.reports.serving import bound


@contextmanager
def served(app: Any) -> Iterator[str]:
    """A server of an application in a thread of this process; gives its address, which ends in a slash."""
    import uvicorn

    with bound("127.0.0.1", 0) as listener:
        config = uvicorn.Config(
            app, log_level="error", ws="none", lifespan="off", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def started(*arguments: object, says: str = r"(http://\S+)") -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Python with those arguments, forked; gives the process and what it says of its address."""
    command = [sys.executable, "-u", *map(str, arguments)]
    with forked.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = None
            while found is None:
                line = process.stdout.readline()
                assert line, process.communicate()
                found = re.search(says, line)
            yield process, found[1]
        finally:
            process.kill()


def ended_by_ctrl_c(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """The code of a server that Ctrl-C ends, what it said after its address, and its complaints.

    Read as its address was: `communicate` would miss what was read ahead of that.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    said, complaints = process.stdout.read(), process.stderr.read()
    return process.wait(timeout=60), said, complaints
