"""What the parts of one crawl share: site, folder, hosts, pace and end; and why an address gave nothing."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
    StopDownload,
)
from scrapy.spidermiddlewares.httperror import HttpError

from mien.collect.addresses import Hosts, Refused, is_loopback
from mien.collect.site import Site
from mien.collect.store import Store
from mien.core.events import Tick
from mien.core.picture import BadPicture

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


_GONE = (404, 410)


def explain(error: BaseException, what: str = "the answer") -> Refused:
    """`error` as Refused; `what` begins the sentence."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, BadPicture):
        return Refused(error.reason, error.detail)
    if isinstance(error, HttpError):
        status = error.response.status
        if 300 <= status < 400:
            where = f"it answers {status} and leads to no address that can be asked"
            return Refused("redirect", where, again=True)
        return Refused(f"status-{status}", f"the server answers {status}", again=status not in _GONE)
    causes = " ".join(str(failure.value) for failure in getattr(error.__cause__, "reasons", ()))
    if "certificate" in causes:  # so Twisted says of a broken connection
        return Refused(
            "certificate", f"{what} is on a host whose certificate is not to be trusted", again=True
        )
    for kind, reason, detail, again in _KINDS:
        if isinstance(error, kind):
            return Refused(reason, f"{what} {detail}", again=again)
    if isinstance(error, IgnoreRequest):
        return _of_ignored(str(error), what)
    message = " ".join(str(error).split())[:200]
    return Refused("failed", f"{what} failed ({type(error).__name__}: {message})", again=True)


def _of_ignored(message: str, what: str) -> Refused:
    if "redirections" in message:
        endless = f"{what} leads from address to address without end; it may want a cookie"
        return Refused("redirect-loop", endless, again=True)
    if "decompress" in message:
        return Refused("too-large", f"{what} unpacks to more than the cap and was not read on")
    return Refused("ignored", f"{what} was left out ({message[:200]})", again=True)


def is_passing(error: Any) -> bool:
    """Whether a failure may pass by itself in a moment."""
    refused = DownloadConnectionRefusedError | DownloadTimeoutError
    return isinstance(error, refused | DownloadFailedError | ResponseDataLossError)


_KINDS: tuple[tuple[type[Exception], str, str, bool], ...] = (
    (DownloadTimeoutError, "timeout", "took too long and was cut off", True),
    (DownloadCancelledError, "too-large", "is larger than the cap and was not read on", False),
    (StopDownload, "too-large", "is packed in many layers, as only bombs are, and was not read", False),
    (ResponseDataLossError, "cut-off", "ended before its announced length", True),
    (CannotResolveHostError, "no-host", "is on a host whose name does not resolve", True),
    (DownloadConnectionRefusedError, "no-answer", "was refused: nothing listens there", True),
    (DownloadFailedError, "broken-answer", "is no proper HTTP, or the connection broke", True),
)
