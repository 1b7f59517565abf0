"""Scrapy middlewares: addresses that are not asked, hosts that are busy, and robots.txt by RFC 9309.

Scrapy's own middleware for robots.txt reads an error page as permission and ignores Crawl-delay; ours keeps
out of a host whose robots.txt cannot be had, and slows down as asked.
"""

import asyncio
import datetime
import email.utils
import time
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from protego import Protego
from scrapy import Request, signals
from scrapy.exceptions import StopDownload
from scrapy.http.request import NO_CALLBACK

from mien.collect.addresses import Refused, is_public
from mien.collect.crawl import Crawl, explain, is_passing
from mien.core.text import decode_text

BUSY = (429, 503)
_FAILING = (408, 500, 502, 504)
_FIRST_WAIT = 10  # times the host's delay, doubled at each further try
_LONGEST_WAIT = 3600.0


class _Middleware:
    def __init__(self, crawler: Any) -> None:
        self._crawl: Crawl = crawler.settings["MIEN_CRAWL"]

    @classmethod
    def from_crawler(cls, crawler: Any) -> Self:
        return cls(crawler)


class GuardMiddleware(_Middleware):
    """Refuses by scheme and host before an address is asked, at each redirect too, and by peer after."""

    def __init__(self, crawler: Any) -> None:
        super().__init__(crawler)
        crawler.signals.connect(self._encoding, signal=signals.headers_received)

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


class BusyMiddleware(_Middleware):
    """Waits as long as a host asks for, then tries again; a page that failed by chance is tried once more."""

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


TOKEN = "mien"  # our name in a robots.txt
_MOST_BYTES = 500 * 1024  # RFC 9309, 2.5
_FRESH_SECONDS = 24 * 3600.0  # RFC 9309, 2.4
_LONGEST_DELAY = 24 * 3600.0


@dataclass(frozen=True)
class Rules:
    """What one host's robots.txt says. out: why the whole host is left alone."""

    parsed: Protego
    out: Refused | None = None

    def check(self, address: str) -> None:
        """Raise Refused where we are to keep out."""
        if self.out is not None:
            raise self.out
        if not self.parsed.can_fetch(address, TOKEN):
            raise Refused("robots", "the site's robots.txt asks robots to keep out", again=True)

    @property
    def delay(self) -> float:
        """Seconds between requests that it asks for, 0 if it does not say."""
        delay = self.parsed.crawl_delay(TOKEN) or 0.0
        rate = self.parsed.request_rate(TOKEN)
        return min(max(delay, rate.seconds / rate.requests if rate else 0.0), _LONGEST_DELAY)


def read_rules(status: int, body: bytes) -> Rules:
    """The rules in an answer: 200 is parsed, 4xx allows all, everything else keeps out."""
    if status == 200:
        text = body[:_MOST_BYTES]
        text = text if len(body) <= _MOST_BYTES else text.rpartition(b"\n")[0]
        return Rules(Protego.parse(decode_text(text, "replace").replace("\0", "")))
    if 400 <= status < 500 and status != 429:
        return Rules(Protego.parse(""))
    return _keep_out(f"its robots.txt answers {status}")


def _keep_out(why: str) -> Rules:
    detail = f"{why}, which means to keep out for now (RFC 9309)"
    return Rules(Protego.parse(""), Refused("robots-unreachable", detail, again=True))


class RobotsMiddleware(_Middleware):
    """Asks for each host's robots.txt before anything else of it, and once a day."""

    def __init__(self, crawler: Any) -> None:
        super().__init__(crawler)
        self._crawler = crawler
        self._rules: dict[str, tuple[float, asyncio.Future[Rules]]] = {}
        crawler.signals.connect(self._begin, signal=signals.headers_received)
        crawler.signals.connect(self._cut, signal=signals.bytes_received)

    async def process_request(self, request: Any) -> None:
        """Let the request pass, or raise Refused."""
        if not request.meta.get("robots"):
            (await self._rules_for(request.url)).check(request.url)

    async def _rules_for(self, address: str) -> Rules:
        parts = urlsplit(address)
        host = f"{parts.scheme}://{parts.netloc.lower()}"
        since, task = self._rules.get(host, (0.0, None))
        if task is None or time.monotonic() - since > _FRESH_SECONDS:
            task = asyncio.ensure_future(self._ask(host))
            self._rules[host] = (time.monotonic(), task)
        return await asyncio.shield(task)

    async def _ask(self, host: str) -> Rules:
        request = Request(
            host + "/robots.txt",
            callback=NO_CALLBACK,
            priority=1000,
            headers={"Accept-Encoding": "identity"},
            meta={"robots": True, "kind": "robots", "download_maxsize": 2 * _MOST_BYTES},
        )
        try:
            answer = await self._crawler.engine.download_async(request)
            rules = read_rules(answer.status, answer.body)
        except Exception as error:  # whatever it is: unreachable means to keep out
            why = explain(error, "its robots.txt")
            private = why.reason == "private-address"
            rules = Rules(Protego.parse(""), why) if private else _keep_out(why.detail)
        if rules.out is None and rules.delay > 60 * self._crawl.site.limits.minutes:
            detail = f"its robots.txt asks for {rules.delay:,.0f} s between requests, longer than a run takes"
            return Rules(rules.parsed, Refused("robots", detail, again=True))
        self._crawl.pace.obey(urlsplit(host).hostname or "", rules.delay)
        return rules

    def _begin(self, request: Any) -> None:
        request.meta["received"] = 0

    def _cut(self, data: bytes, request: Any) -> None:
        """Stop reading a robots.txt behind its cap; what came until then counts."""
        request.meta["received"] += len(data)
        if request.meta.get("robots") and request.meta["received"] > _MOST_BYTES:
            raise StopDownload(fail=False)
