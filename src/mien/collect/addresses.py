"""Which addresses may be asked at all: by scheme, host and, after resolving, by where they lead."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from mien.collect.site import Site
from mien.core.errors import InputError

_LONGEST = 2000  # characters of an address
# IANA's special-purpose registries, and 168.63.129.16, where a cloud answers its own machines.
_NOT_PUBLIC_4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
    )
)  # fmt: skip
# Only global unicast is public, so ::1, fc00::/7, fe80::/10, ff00::/8, IPv4-mapped and NAT64 (64:ff9b::/96)
# are not; of it, neither are Teredo and its like (2001::/23), documentation and 6to4 (2002::/16).
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)


class Refused(Exception):  # noqa: N818 - it is our own decision, no failure
    """An address that is not asked, or an answer that is not kept. reason: a code; detail: a sentence."""

    def __init__(self, reason: str, detail: str, *, again: bool = False) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.again = again  # whether another run may fare better


def is_public(host: str) -> bool:
    """Whether an IP address (text) is one of the open internet. False for what is no IP address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


def is_loopback(host: str) -> bool:
    """Whether a host names this machine: localhost or a loopback address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def printable(text: str) -> str:
    """`text` without what could steer a terminal: it may come from a page."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


@dataclass(frozen=True)
class Hosts:
    """The hosts of a crawl.

    pages: may be followed. pictures: may have pictures, besides those. own: (host, port or None) pairs that
    the user runs, which may lie in a private network.
    """

    pages: frozenset[str]
    pictures: frozenset[str]
    own: frozenset[tuple[str, int | None]]

    def is_own(self, host: str, port: int | None) -> bool:
        """Whether the user named this host, or this port of it, as theirs."""
        return (host, None) in self.own or (host, port) in self.own

    def check(self, address: str, *, picture: bool, anywhere: bool = False) -> None:
        """Raise Refused where `address` is not to be asked; `anywhere` leaves out whose host it is."""
        try:
            parts = urlsplit(address)
            host, _ = parts.hostname or "", parts.port
        except ValueError as error:
            raise Refused("bad-address", f"{address[:200]!r} is no address ({error})") from error
        if parts.scheme not in ("http", "https"):
            raise Refused("bad-address", f"{address[:200]!r} is neither http nor https")
        if len(address) > _LONGEST:
            raise Refused("bad-address", f"the address is longer than {_LONGEST} characters")
        if not host or not host.isprintable() or set(parts.netloc) & set("@\\ ") or "%" in host:
            raise Refused("bad-address", f"{parts.netloc[:200]!r} is no plain host")
        allowed = self.pages | self.pictures if picture else self.pages
        is_allowed = any(host.endswith(n[1:]) if n.startswith("*.") else host == n for n in allowed)
        if not anywhere and not is_allowed:
            key = "picture_hosts" if picture else "hosts"
            detail = f"{host} is another site; name it in the site file's {key} to go there"
            raise Refused("off-site", detail, again=True)


def hosts_of(site: Site, own: Iterable[str]) -> Hosts:
    """The hosts of a site file with the user's own ones ("host" or "host:port"). Raises InputError."""
    starts = {urlsplit(address).hostname or "" for address in site.start}
    return Hosts(
        frozenset(starts | set(site.hosts)), frozenset(site.picture_hosts), frozenset(map(_own, own))
    )


def _own(text: str) -> tuple[str, int | None]:
    bare = text.count(":") > 1 and not text.startswith("[")
    try:
        parts = urlsplit(f"//[{text}]" if bare else f"//{text}")
        if not parts.hostname or parts.path or "@" in text:
            raise ValueError("it names no host")
        return parts.hostname, parts.port
    except ValueError as error:
        raise InputError(
            f"--allow-host {text}: give host or host:port, such as 127.0.0.1:8000 ({error})"
        ) from error
