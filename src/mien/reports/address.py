"""Where the servers of pages listen, and by which names they answer. Needs no extra."""

import ipaddress
import socket

from mien.core.errors import InputError

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 is any that is free. Raises InputError."""
    if not 0 <= port <= 65535:
        raise InputError(f"--port {port}: ports are 1 to 65535, or 0 for any that is free")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot listen on {host} port {port} ({reason}); try another") from error


def host_names(host: str, more: tuple[str, ...] = ()) -> frozenset[str] | None:
    """Names to answer to; None (any) where it listens on all addresses, whose names are unknown."""
    try:
        if ipaddress.ip_address(host).is_unspecified and not more:
            return None
    except ValueError:
        pass
    return LOOPBACK | {host.casefold()} | {name.casefold() for name in more}


def shown_host(host: str) -> str:
    """`host` as it stands in an address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return socket.gethostname()
    return f"[{host}]" if address.version == 6 else host
