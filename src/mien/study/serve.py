"""The server's process: one for each study, on an address of one's own."""

import ipaddress
import socket
from contextlib import suppress

import uvicorn

from mien.core.errors import InputError
from mien.core.events import Events
from mien.study.loaded import Study
from mien.study.store import open_study, serving_alone
from mien.study.web import build_app

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def serve_study(
    events: Events, study: str, *, host: str, port: int, names: tuple[str, ...], open_browser: bool
) -> None:
    """Serve a study until Ctrl-C. Raises InputError."""
    store = open_study(study)
    try:
        with serving_alone(store), _bound(host, port) as listener:
            _run(events, Study(store), listener, host, names, open_browser=open_browser)
    finally:
        store.close()


def _run(
    events: Events,
    study: Study,
    listener: socket.socket,
    host: str,
    names: tuple[str, ...],
    *,
    open_browser: bool,
) -> None:
    address = f"http://{_shown_host(host)}:{listener.getsockname()[1]}/"
    parameter = study.design.recruitment.parameter
    events.note(f"{study.design.title}; Ctrl-C ends, every answer is saved at once\n")
    events.note(f"    participants  {address}")
    events.note(f"    you           {address}{study.secret}/\n")
    events.note(f"recruitment ids go into the link: {address}?{parameter}=...")
    config = uvicorn.Config(
        build_app(study, hosts=_hosts(host, names)),
        log_level="warning",
        access_log=False,
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=2,
        timeout_keep_alive=75,  # people look at a picture for longer than programs
    )
    if open_browser:
        import webbrowser

        webbrowser.open(f"{address}{study.secret}/")
    with suppress(KeyboardInterrupt):  # uvicorn raises it again when all is closed
        uvicorn.Server(config).run(sockets=[listener])


def _bound(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise InputError(f"--port {port}: ports are 1 to 65535, or 0 for any that is free")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot listen on {host} port {port} ({reason}); try another") from error


def _hosts(host: str, names: tuple[str, ...]) -> frozenset[str] | None:
    """Names to answer to; None (any) where it listens on all addresses and no name is said."""
    try:
        if ipaddress.ip_address(host).is_unspecified and not names:
            return None
    except ValueError:
        pass
    return _LOOPBACK | {host.casefold()} | {name.casefold() for name in names}


def _shown_host(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return socket.gethostname()
    return f"[{host}]" if address.version == 6 else host
