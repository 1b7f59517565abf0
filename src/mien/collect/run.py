"""One crawl of one site into a folder."""

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import scrapy
from scrapy import signals
from scrapy.crawler import CrawlerProcess
from scrapy.utils.defer import deferred_from_coro
from twisted.internet.task import LoopingCall

from mien.collect.addresses import Hosts, Refused, is_loopback, printable
from mien.collect.crawl import LEAST_DELAY, Crawl, Pace
from mien.collect.site import Site, load_site, user_agent
from mien.collect.spider import SiteSpider, remember_failure
from mien.collect.store import Store
from mien.core.atomic import write_text
from mien.core.errors import InputError, MienError
from mien.core.events import Events

_POLL_SECONDS = 0.2
_AT_ONCE = 8  # requests under way over all hosts
_LEAST_SCRAPY = (2, 19)  # older ones ignore the setting that verifies certificates


def crawl_site(
    site: Site,
    text: str,
    out: Path,
    hosts: Hosts,
    *,
    again: bool,
    events: Events,
    should_stop: Callable[[], bool],
) -> Crawl:
    """Crawl `site` into folder `out`, fetching only what is not there yet. Once a process: so is Twisted.

    text: the site file's, kept in the folder. again: ask for refused pictures again, as after a change of
    what the site file says of pictures. should_stop: asked five times a second.
    """
    again = again or _is_mended(site, out / "sites" / f"{site.name}.toml")
    ends = time.monotonic() + 60 * site.limits.minutes
    if scrapy.version_info < _LEAST_SCRAPY:
        raise MienError(
            f"Scrapy {scrapy.__version__} is too old to verify certificates: pip install -U scrapy"
        )
    with Store.opened(out, site, again=again) as store:
        write_text(out / "sites" / f"{site.name}.toml", text)
        _note_delay(site, hosts, events)
        pace = Pace(site.limits.delay_seconds, hosts, events.note)
        crawl = Crawl(site, store, hosts, pace, ends, events.progress("collecting"), should_stop)
        _run(crawl)
        if crawl.failure is not None:
            raise crawl.failure
        _check_result(crawl)
    return crawl


def _note_delay(site: Site, hosts: Hosts, events: Events) -> None:
    ours = {host for host, _ in hosts.own if is_loopback(host)}
    if site.limits.delay_seconds < LEAST_DELAY and not hosts.pages <= ours:
        setting = f"delay_seconds {site.limits.delay_seconds:g}"
        events.note(f"{setting}: {LEAST_DELAY:g} is the least for hosts that are not yours")


def _is_mended(site: Site, before: Path) -> bool:
    """Whether the site file says otherwise than `before` where pictures stand or which are refused."""
    try:
        old = load_site(before)
    except InputError:
        return False
    limits = {"smallest_side", "picture_mb", "megapixels"}
    same = old.limits.model_dump(include=limits) == site.limits.model_dump(include=limits)
    return not same or old.record.picture != site.record.picture


def _run(crawl: Crawl) -> None:
    """Run Scrapy to the end of the crawl; what failed inside is in `crawl.failure`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Scrapy's and Twisted's own deprecations are not the user's concern
        process = CrawlerProcess(_settings(crawl), install_root_handler=False)
        crawler = process.create_crawler(SiteSpider)
        _connect(crawl, crawler)
        process.crawl(crawler, crawl=crawl).addErrback(lambda failure: remember_failure(crawl, failure))
        process.start(install_signal_handlers=False)


def _connect(crawl: Crawl, crawler: Any) -> None:
    """Hear of the crawl's beginning, end and failures."""

    def opened() -> None:
        watch = LoopingCall(_watch, crawl, crawler)  # made here: before, it would start the wrong reactor
        crawl.pace.downloader = crawler.engine.downloader
        crawler.signals.connect(watch.stop, signal=signals.spider_closed, weak=False)
        watch.start(_POLL_SECONDS)

    def failed(failure: Any) -> None:
        remember_failure(crawl, failure)

    crawler.signals.connect(opened, signal=signals.engine_started, weak=False)
    crawler.signals.connect(failed, signal=signals.spider_error, weak=False)


def _watch(crawl: Crawl, crawler: Any) -> None:
    """End the crawl when it is asked to, when its time is over, or when something broke."""
    if not crawl.stopped and crawl.seconds_left <= 0:
        crawl.stopped = "time"
    if not crawl.stopped and crawl.should_stop():
        crawl.stopped = "asked"
    if crawl.stopped:
        _drop_waiting(crawler.engine.downloader)
        if not crawl.closing:
            crawl.closing = True
            deferred_from_coro(crawler.engine.close_spider_async(reason=crawl.stopped))


def _drop_waiting(downloader: Any) -> None:
    """Let requests fail that wait for their host's delay: Scrapy would first send them all."""
    for slot in downloader.slots.values():
        while slot.queue:
            _, answer = slot.queue.popleft()
            answer.errback(Refused("stopped", "the run ended before", again=True))


def _check_result(crawl: Crawl) -> None:
    """Raise where a crawl that went to the site's end came upon no record at all, new or known."""
    store = crawl.store
    if crawl.known + store.new or crawl.stopped:
        return
    first = store.skips[0] if store.skips else None
    why = printable(f": {first['address']}: {first['detail']}") if first else ""
    if not crawl.num_pages:
        raise MienError(f"{crawl.site.name}: none of the start addresses could be read{why}")
    wall = next((skip for skip in store.skips if skip["reason"] == "cookie-wall"), None)
    if wall is not None:
        raise InputError(printable(f"{crawl.site.name}: {wall['address']}: {wall['detail']}"))
    if set(store.reasons) <= {"no-id", "no-picture"}:
        pages = f"{crawl.num_pages} page(s) read"
        raise InputError(
            f"{crawl.site.name}: no record found on {pages}; check the site file's selectors{why}"
        )


def _settings(crawl: Crawl) -> dict[str, Any]:
    site, base = crawl.site, "scrapy.downloadermiddlewares."
    return {
        "MIEN_CRAWL": crawl,
        "USER_AGENT": user_agent(site),
        "DEFAULT_REQUEST_HEADERS": {"Accept": "text/html,*/*;q=0.8", "Accept-Language": "en"},
        # manners
        "CONCURRENT_REQUESTS": _AT_ONCE,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
        "DOWNLOAD_DELAY": max(site.limits.delay_seconds, LEAST_DELAY),
        "DOWNLOAD_DELAY_JITTER": 0.0,
        "DOWNLOAD_SLOTS": crawl.pace.slots(),
        "ROBOTSTXT_OBEY": False,  # our own middleware does, see manners.py
        "DOWNLOADER_MIDDLEWARES": {
            f"{base}offsite.OffsiteMiddleware": None,
            f"{base}robotstxt.RobotsTxtMiddleware": None,
            f"{base}retry.RetryMiddleware": None,
            "mien.collect.manners.GuardMiddleware": 50,
            "mien.collect.manners.RobotsMiddleware": 100,
            "mien.collect.manners.BusyMiddleware": 550,
        },
        # safety
        "TWISTED_DNS_RESOLVER": "mien.collect.net.GuardedResolver",
        "DOWNLOAD_HANDLERS": dict.fromkeys(("http", "https"), "mien.collect.net.CappedHandler")
        | dict.fromkeys(("file", "data", "ftp", "s3")),
        "DOWNLOAD_VERIFY_CERTIFICATES": True,  # Scrapy's default is not to
        "DOWNLOAD_MAXSIZE": int(site.limits.page_mb * 1e6),
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_TIMEOUT": site.limits.response_seconds,
        "REDIRECT_MAX_TIMES": 5,
        "METAREFRESH_ENABLED": False,
        "HTTPPROXY_ENABLED": False,  # a proxy would resolve names for us, past the guard
        "COOKIES_ENABLED": False,
        "REFERER_ENABLED": False,
        "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",  # in the order of the site
        "DUPEFILTER_CLASS": "scrapy.dupefilters.BaseDupeFilter",  # the spider asks nothing twice
        # silence
        "LOG_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "REMOTE_CONTROL_ENABLED": False,  # it would run code that others send it
        "STATS_DUMP": False,
        "MEMUSAGE_ENABLED": False,
    }
