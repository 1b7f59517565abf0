"""Servers of pages: where they listen, by which names they answer, how they run. Needs no extra itself."""

import ipaddress
import socket
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mien.core.errors import InputError

if TYPE_CHECKING:
    import uvicorn

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 is any that is free. Raises InputError.

    Its connections send at once: asyncio asks that only of sockets that name their protocol, and an answer's
    body would wait 40 ms for the browser to acknowledge the header.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"--port {port}: ports are 1 to 65535, or 0 for any that is free")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot listen on {host} port {port} ({reason}); try another") from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections take it over
    return listener


def host_names(host: str, more: tuple[str, ...] = ()) -> frozenset[str] | None:
    """Names to answer to; None (any) where it listens on all addresses, whose names are unknown."""
    try:
        if ipaddress.ip_address(host).is_unspecified and not more:
            return None
    except ValueError:
        pass
    return LOOPBACK | {host.casefold()} | {name.casefold() for name in more}


def address_of(host: str, listener: socket.socket) -> str:
    """The address of a server that listens on `host`, ending in "/"."""
    with suppress(ValueError):  # a name stands as it is
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            host = socket.gethostname()
        elif address.version == 6:
            host = f"[{host}]"
    return f"http://{host}:{listener.getsockname()[1]}/"


def serve(
    app: Any,
    listener: socket.socket,
    *,
    open_at: str = "",
    server: "Callable[[uvicorn.Config], uvicorn.Server] | None" = None,
    **options: int,
) -> None:
    """Serve until Ctrl-C. open_at: an address to open in the browser. options: of `uvicorn.Config`."""
    import uvicorn

    limits: dict[str, Any] = {"timeout_graceful_shutdown": 1} | options
    config = uvicorn.Config(app, log_level="warning", access_log=False, ws="none", lifespan="off", **limits)
    if open_at:
        webbrowser.open(open_at)
    with suppress(KeyboardInterrupt):  # uvicorn raises it again when all is closed
        (server or uvicorn.Server)(config).run(sockets=[listener])
