"""What the parts of one crawl share: the site, the folder, the hosts, the pace of each, and the end."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from mien.collect.addresses import Hosts, is_loopback
from mien.collect.site import Site
from mien.collect.store import Store
from mien.core.events import Tick

LEAST_DELAY = 1.0  # seconds, for every host that is not the user's own on this machine


@dataclass
class Crawl:
    """One crawl; Scrapy's middlewares find it in the settings as `MIEN_CRAWL`.

    ends: `time.monotonic()` at which it stops. progress: of pictures done and known of. blocked: host -> the
    private address that it led to. stopped: why it ended early, or "".
    """

    site: Site
    store: Store
    hosts: Hosts
    pace: "Pace"
    ends: float
    progress: Tick
    should_stop: Callable[[], bool]
    blocked: dict[str, str] = field(default_factory=dict)
    known: int = 0
    num_pages: int = 0
    stopped: str = ""
    closing: bool = False
    failure: BaseException | None = None

    def __deepcopy__(self, memo: Any) -> Self:
        return self  # Scrapy copies its settings deeply, but this is shared

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.ends - time.monotonic())


class Pace:
    """Delays by host. announce: told what a user should know, such as a long delay."""

    def __init__(self, seconds: float, hosts: Hosts, announce: Callable[[str], None]) -> None:
        self._seconds = seconds
        self._own = {host for host, _ in hosts.own if is_loopback(host)}
        self._asked: dict[str, float] = {}
        self._announce = announce
        self.downloader: Any = None  # Scrapy's, once it is there

    def delay(self, host: str) -> float:
        """Seconds between the beginnings of two requests to `host`."""
        least = 0.0 if host in self._own else LEAST_DELAY
        return max(self._seconds, least, self._asked.get(host, 0.0))

    def slots(self) -> dict[str, dict[str, float]]:
        """Scrapy's `DOWNLOAD_SLOTS`: the hosts whose delay is not the default one."""
        return {host: self._slot(host) for host in self._own | set(self._asked)}

    def obey(self, host: str, seconds: float) -> None:
        """Slow down to the delay that the robots.txt of `host` asks for."""
        if seconds <= self.delay(host):
            return
        self._asked[host] = seconds
        self._announce(f"{host} asks for {seconds:g} seconds between requests: so be it")
        self.downloader.per_slot_settings[host] = self._slot(host)
        if host in self.downloader.slots:
            self.downloader.slots[host].delay = seconds

    def pause(self, host: str, seconds: float, why: str) -> None:
        """Ask `host` nothing for so long."""
        slot = self.downloader.slots.get(host)
        if slot is not None:  # a slot opens its delay after the last request: let that be in the future
            slot.lastseen = max(slot.lastseen, time.monotonic() + seconds - slot.delay)
        if seconds >= 5:
            self._announce(f"{host} {why}: waiting for {seconds:.0f} seconds")

    def _slot(self, host: str) -> dict[str, float]:
        return {"concurrency": 1, "delay": self.delay(host), "jitter": 0.0}
