"""The wire: no connection but to public addresses, and no answer whose headers do not end.

The check is on the very addresses that Twisted then connects to, so that a name which resolves differently
the second time (DNS rebinding) or an address in an odd notation (0x7f.1) gains nothing.
"""

from collections.abc import Sequence
from typing import Any, Self

from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
from twisted.internet.interfaces import IHostnameResolver, IResolutionReceiver
from zope.interface import implementer

from mien.collect.addresses import Hosts, is_public
from mien.collect.crawl import Crawl

_MOST_HEADER_BYTES = 128 * 1024
_BODY_STATES = ("BODY", "DONE")


@implementer(IResolutionReceiver)
class _PublicOnly:
    """Hands on the addresses that may be connected to, and none else."""

    def __init__(self, receiver: Any, host: str, blocked: dict[str, str]) -> None:
        self._receiver = receiver
        self._host = host
        self._blocked = blocked

    def resolutionBegan(self, resolution: Any) -> None:  # noqa: N802 - Twisted's names
        self._receiver.resolutionBegan(resolution)

    def addressResolved(self, address: Any) -> None:  # noqa: N802
        if is_public(address.host):
            self._receiver.addressResolved(address)
        else:
            self._blocked[self._host] = address.host

    def resolutionComplete(self) -> None:  # noqa: N802
        self._receiver.resolutionComplete()


@implementer(IHostnameResolver)
class GuardedResolver:
    """Twisted's name resolver, less private addresses; `blocked` says which host led to which of them."""

    def __init__(self, reactor: Any, hosts: Hosts, blocked: dict[str, str]) -> None:
        self._reactor = reactor
        self._inner = reactor.nameResolver
        self._hosts = hosts
        self._blocked = blocked

    @classmethod
    def from_crawler(cls, crawler: Any, reactor: Any) -> Self:
        """As Scrapy makes it (`TWISTED_DNS_RESOLVER`)."""
        crawl: Crawl = crawler.settings["MIEN_CRAWL"]
        return cls(reactor, crawl.hosts, crawl.blocked)

    def install_on_reactor(self) -> None:
        self._reactor.installNameResolver(self)

    def resolveHostName(  # noqa: N802
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type] | None = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        """Twisted's interface."""
        receiver = resolutionReceiver
        if not self._hosts.is_own(hostName, portNumber):
            receiver = _PublicOnly(resolutionReceiver, hostName, self._blocked)
        return self._inner.resolveHostName(receiver, hostName, portNumber, addressTypes, transportSemantics)


class CappedHandler(HTTP11DownloadHandler):
    """Scrapy's own handler, which caps a body but lets headers grow without end."""

    def __init__(self, crawler: Any) -> None:
        super().__init__(crawler)
        self._pool._factory = _capping(self._pool._factory)


def _capping(factory: Any) -> Any:
    """A connection factory whose connections are cut when an answer's headers pass the cap."""

    class Capping(factory):  # type: ignore[misc]
        noisy = False

        def buildProtocol(self, address: Any) -> Any:  # noqa: N802
            protocol = super().buildProtocol(address)
            receive, received = protocol.dataReceived, 0

            def count(data: bytes) -> None:
                nonlocal received
                parser = protocol._parser
                in_headers = parser is not None and parser.state not in _BODY_STATES
                received = received + len(data) if in_headers else 0
                if received > _MOST_HEADER_BYTES:
                    protocol.transport.abortConnection()
                else:
                    receive(data)

            protocol.dataReceived = count
            return protocol

    return Capping
