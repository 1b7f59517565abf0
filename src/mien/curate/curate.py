"""`mien curate`: look through the faces of a dataset in the browser and toss what does not belong."""

import fcntl
import ipaddress
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mien.core.errors import InputError, MienError
from mien.core.events import Events, job
from mien.core.manifest import continuation
from mien.curate.faces import Faces

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@job
def curate(
    events: Events, dataset: Path, /, *, host: str = "127.0.0.1", port: int = 0, open: bool = False
) -> None:
    """Page through the faces of DATASET in the browser, toss and restore; verdicts are saved at once.

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
        raise MienError("curate needs: pip install 'mien[curate]'") from error
    with _locked(dataset):
        faces = Faces(dataset)
        with _bound(host, port) as listener:
            _serve(events, faces, listener, host, open_browser=open)
    state = faces.state()
    kept = state["num_faces"] - state["num_tossed"]
    events.note(f"kept {kept} of {state['num_faces']}, tossed {state['num_tossed']}")
    if state["revision"]:
        events.note(f"verdicts are in {continuation(dataset)}; training leaves the tossed out")


def _serve(events: Events, faces: Faces, listener: socket.socket, host: str, *, open_browser: bool) -> None:
    import uvicorn

    from mien.curate.web import build_app

    secret = secrets.token_urlsafe(24)
    app = build_app(faces, secret=secret, hosts=_hosts(host))
    address = f"http://{_shown_host(host)}:{listener.getsockname()[1]}/{secret}/"
    events.note(f"{len(faces)} faces of {faces.reader.path}; Ctrl-C ends, every verdict is saved at once\n")
    events.note(f"    {address}\n")
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, ws="none", lifespan="off", timeout_graceful_shutdown=1
    )
    if open_browser:
        import webbrowser

        webbrowser.open(address)
    with suppress(KeyboardInterrupt):  # uvicorn raises it again when all is closed
        uvicorn.Server(config).run(sockets=[listener])


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


def _bound(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise InputError(f"--port {port}: ports are 1 to 65535, or 0 for any that is free")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot listen on {host} port {port} ({reason}); try another") from error


def _hosts(host: str) -> frozenset[str] | None:
    """Names to answer to; None (any) where it listens on all addresses, as their names are unknown."""
    try:
        if ipaddress.ip_address(host).is_unspecified:
            return None
    except ValueError:
        pass
    return _LOOPBACK | {host.casefold()}


def _shown_host(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return socket.gethostname()
    return f"[{host}]" if address.version == 6 else host
