"""`mien curate`: look through the faces of a dataset in the browser and toss what does not belong."""

import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mien.core.errors import InputError, MienError, install
from mien.core.events import Events, Progress, job
from mien.core.manifest import continuation
from mien.curate.faces import Faces
from mien.datasets.layout import plain_path
from mien.reports.serving import address_of, bound, host_names, serve

if TYPE_CHECKING:
    import uvicorn


@job
def curate(
    events: Events, dataset: Path, /, *, host: str = "127.0.0.1", port: int = 0, open: bool = False
) -> None:
    """Page through the faces of DATASET in the browser, toss and restore; verdicts are saved at once.

    What `mien prepare` dropped is shown, too, and comes back while its crop is in the .work folder beside the
    zip; of near-duplicates the other one can be chosen.
    It runs until Ctrl-C. Verdicts are appended to the dataset's manifest. Raises InputError where the dataset
    cannot be read, is being curated already or the address cannot be had; MienError where the extra "curate"
    is missing.

    Parameters
    ----------
    dataset
        A zip from `mien prepare`, or any zip or folder of pictures.
    host
        Address to listen on; anyone who can reach it and has the printed address may change verdicts.
    port
        Port to listen on; a free one by default.
    open
        Open the page in the browser.
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MienError(f"curate needs FastAPI; {install('curate')}") from error
    dataset = plain_path(dataset)
    with _locked(dataset):
        faces = Faces(dataset)
        try:
            with bound(host, port) as listener:
                _serve(events, faces, listener, host, open_browser=open)
        finally:
            faces.close()
    state = faces.state()
    kept = state["num_faces"] - state["num_tossed"]
    events.note(f"kept {kept} of {state['num_faces']}, tossed {state['num_tossed']}")
    if state["revision"]:
        events.note(f"verdicts are in {continuation(dataset)}; training leaves the tossed out")


def _serve(events: Events, faces: Faces, listener: socket.socket, host: str, *, open_browser: bool) -> None:
    from mien.curate.web import build_app

    secret = secrets.token_urlsafe(24)
    app = build_app(faces, secret=secret, hosts=host_names(host))
    address = f"{address_of(host, listener)}{secret}/"
    events.note(f"{len(faces)} faces of {faces.reader.path}; Ctrl-C ends, every verdict is saved at once\n")
    events.note(f"    {address}\n")
    opened = address if open_browser else ""
    serve(app, listener, open_at=opened, server=lambda config: _ticking(config, events, faces))


def _ticking(config: "uvicorn.Config", events: Events, faces: Faces) -> "uvicorn.Server":
    """A server that tells the counts when they change and every second; it ends when nobody listens."""
    import uvicorn

    class Server(uvicorn.Server):
        _told: tuple[int, int] | None = None
        _failure: BaseException | None = None

        async def on_tick(self, counter: int) -> bool:  # ten times a second
            counts = (faces.state()["num_tossed"], len(faces))
            if counts != self._told or counter % 10 == 0:
                self._told = counts
                try:
                    events.send(Progress("tossed", *counts, "faces"))
                except BaseException as error:  # raised again once all is closed
                    self._failure = error
                    return True
            return await super().on_tick(counter)

        def run(self, sockets: list[socket.socket] | None = None) -> None:
            super().run(sockets)
            if self._failure is not None:
                raise self._failure

    return Server(config)


@contextmanager
def _locked(dataset: Path) -> Iterator[None]:
    """Hold `dataset` against a second curate; freed however this process ends."""
    try:
        descriptor = os.open(dataset, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{dataset}: cannot be read ({error.strerror})") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise InputError(f"{dataset}: is being curated already; use that page, or end it first") from error
    except OSError:
        pass  # a network disk without locks: lines of two still do not mix, each is written at once
    try:
        yield
    finally:
        os.close(descriptor)
