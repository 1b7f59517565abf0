"""robots.txt by RFC 9309, and the pace it asks for.

Scrapy's own middleware reads an error page as permission and ignores Crawl-delay; this one keeps out of a
host whose robots.txt cannot be had, and slows down as asked.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from protego import Protego
from scrapy import Request, signals
from scrapy.exceptions import StopDownload
from scrapy.http.request import NO_CALLBACK

from mien.collect.addresses import Refused
from mien.collect.crawl import Crawl
from mien.collect.why import explain
from mien.core.text import decode_text

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


class RobotsMiddleware:
    """Asks for each host's robots.txt before anything else of it, and once a day."""

    def __init__(self, crawler: Any) -> None:
        self._crawler = crawler
        self._crawl: Crawl = crawler.settings["MIEN_CRAWL"]
        self._rules: dict[str, tuple[float, asyncio.Future[Rules]]] = {}
        crawler.signals.connect(self._begin, signal=signals.headers_received)
        crawler.signals.connect(self._cut, signal=signals.bytes_received)

    @classmethod
    def from_crawler(cls, crawler: Any) -> Self:
        return cls(crawler)

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
