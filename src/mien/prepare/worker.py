"""One worker process: `python -m mien.prepare.worker DESCRIPTOR`, started by `pool`.

It speaks frames over a socket, plain JSON and bytes, nothing pickled. First it is told source and job and
answers {"ready": true}; then each {"index", "name", "at"} is answered by a record, a PNG and a thumbnail.
"""

import json
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import cv2

from mien.faces.finder import Finder, open_finder
from mien.prepare.judge import Drop
from mien.prepare.sources import Input, Reader, readable
from mien.prepare.work import Job, Outcome, dropped, work


def main(descriptor: int) -> None:
    """Serve until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    cv2.setNumThreads(1)  # the workers share the cores already
    link = Connection(descriptor)
    setup = json.loads(link.recv_bytes())
    job = Job.from_dict(setup["job"])
    with Reader(Path(setup["source"])) as reader:
        finder = open_finder(job.finder)
        link.send_bytes(b'{"ready": true}')
        while True:
            try:
                task = json.loads(link.recv_bytes())
            except EOFError:
                return
            outcome = _guarded(Input(task["name"], task["at"]), reader, finder, job)
            link.send_bytes(json.dumps(outcome.record).encode())
            link.send_bytes(outcome.png)
            link.send_bytes(outcome.thumb)


def _guarded(file: Input, reader: Reader, finder: Finder, job: Job) -> Outcome:
    try:
        return work(file, reader, finder, job)
    except Exception as error:  # one odd picture must not end the others' run
        message = " ".join(str(error).split())[:160]
        drop = Drop("failed", f"preparing it failed ({type(error).__name__}: {message})")
        return Outcome({"source": readable(file.name), "sha256": None} | dropped(drop))


if __name__ == "__main__":
    main(int(sys.argv[1]))
