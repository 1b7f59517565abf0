"""Scrapy middlewares: addresses that are not asked, and hosts that say that they are busy."""

import datetime
import email.utils
from typing import Any, Self
from urllib.parse import urlsplit

from scrapy import signals
from scrapy.exceptions import StopDownload

from mien.collect.addresses import Refused, is_public
from mien.collect.crawl import Crawl
from mien.collect.why import is_passing

BUSY = (429, 503)
_FAILING = (408, 500, 502, 504)
_FIRST_WAIT = 10  # times the host's delay, doubled at each further try
_LONGEST_WAIT = 3600.0


class GuardMiddleware:
    """Refuses by scheme and host before an address is asked, at each redirect too, and by peer after."""

    def __init__(self, crawler: Any) -> None:
        self._crawl: Crawl = crawler.settings["MIEN_CRAWL"]
        crawler.signals.connect(self._encoding, signal=signals.headers_received)

    @classmethod
    def from_crawler(cls, crawler: Any) -> Self:
        return cls(crawler)

    def process_request(self, request: Any) -> None:
        """Let the request pass, or raise Refused."""
        kind = request.meta.get("kind")
        self._crawl.hosts.check(request.url, picture=kind == "picture", anywhere=kind == "robots")

    def process_response(self, request: Any, response: Any) -> Any:
        """Doubt the resolver: nothing is kept from a peer that is not public."""
        parts = urlsplit(request.url)
        peer = str(response.ip_address) if response.ip_address else ""
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        if peer and not is_public(peer) and not self._crawl.hosts.is_own(host, port):
            raise _private(host, peer)
        return response

    def process_exception(self, request: Any, exception: Exception) -> None:
        """Say of a host that the resolver blocked that it was, instead of that it has no address."""
        host = urlsplit(request.url).hostname or ""
        blocked = self._crawl.blocked.get(host)
        if blocked and not isinstance(exception, Refused):
            raise _private(host, blocked) from exception

    def _encoding(self, headers: Any, request: Any) -> None:
        """An encoding in many layers is a bomb, however small; nobody serves one."""
        if len(b",".join(headers.getlist("Content-Encoding")).split(b",")) > 2:
            raise StopDownload(fail=True)


class BusyMiddleware:
    """Waits as long as a host asks for, then tries again; a page that failed by chance is tried once more."""

    def __init__(self, crawler: Any) -> None:
        self._crawl: Crawl = crawler.settings["MIEN_CRAWL"]

    @classmethod
    def from_crawler(cls, crawler: Any) -> Self:
        return cls(crawler)

    def process_response(self, request: Any, response: Any) -> Any:
        """The response, or the request once more. Raises Refused when the host has said it too often."""
        if response.status in BUSY:
            return self._again(request, retry_after(response.headers.get("Retry-After")), response.status)
        if response.status in _FAILING and self._may_repeat(request):
            return self._again(request, None, response.status)
        return response

    def process_exception(self, request: Any, exception: Exception) -> Any:
        """Once more for what a blink of the network broke."""
        return self._again(request, None, 0) if is_passing(exception) and self._may_repeat(request) else None

    def _may_repeat(self, request: Any) -> bool:
        first = not request.meta.get("tries") and self._crawl.site.limits.tries > 1
        return first and request.meta.get("kind") in ("list", "page", "robots")

    def _again(self, request: Any, wait: float | None, status: int) -> Any:
        tries = request.meta.get("tries", 0) + 1
        host = urlsplit(request.url).hostname or ""
        pace = self._crawl.pace
        seconds = pace.delay(host) * _FIRST_WAIT * 2 ** (tries - 1) if wait is None else wait
        if tries >= self._crawl.site.limits.tries or seconds > min(_LONGEST_WAIT, self._crawl.seconds_left):
            detail = f"the host answers {status or 'nothing'}, the next try would be in {seconds:.0f} seconds"
            raise Refused("busy", detail, again=True)
        pace.pause(host, seconds, f"answers {status}" if status else "broke off")
        return request.replace(meta=request.meta | {"tries": tries})


def retry_after(value: bytes | None) -> float | None:
    """Seconds in a Retry-After header (a number or a date); None if there is none that can be read."""
    text = (value or b"").decode("ascii", "replace").strip()
    if text.isdecimal() and text.isascii():
        return float(text[:9])
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    now = datetime.datetime.now(datetime.UTC)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    return max(0.0, (moment - now).total_seconds())


def _private(host: str, peer: str) -> Refused:
    hint = "; if it is your own server, name it with --allow-host"
    return Refused(
        "private-address", f"{host} leads to {peer}, which is not on the open internet{hint}", again=True
    )
