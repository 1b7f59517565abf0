"""The walk over a site: lists, pages, records, and their pictures one at a time."""

import re
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from scrapy import Request, Spider
from scrapy.exceptions import CloseSpider
from scrapy.http import TextResponse

from mien.collect.addresses import Refused
from mien.collect.crawl import Crawl, explain
from mien.collect.extract import PageRecord, id_in_address, is_cookie_wall, links, read_sitemap, records
from mien.collect.store import PictureTask
from mien.core.errors import MienError
from mien.core.picture import BadPicture


class SiteSpider(Spider):
    """Walks one site as its file says.

    Pictures are asked for one at a time, the next when the one before is on disk: a kill can then cost one
    picture at most, and the cap on pictures is exact.
    """

    name = "mien"

    def __init__(self, crawl: Crawl) -> None:
        super().__init__()
        self._crawl = crawl
        self._site = crawl.site
        self._store = crawl.store
        self._asked: set[str] = set()
        self._records: set[str] = set()
        self._known: set[str] = set()
        self._waiting: deque[PictureTask] = deque()
        self._bad: dict[str, Refused] = {}  # pictures refused in this run
        self._busy = False
        self._found = self._done = 0

    async def start(self) -> AsyncIterator[Any]:
        """Scrapy's entry."""
        for address in self._site.start:
            for request in self._ask(address, "list", None):
                yield request

    def _ask(self, address: str, kind: str, page: str | None) -> Iterator[Request]:
        """The request for a list or page, unless it was asked before or is not to be."""
        if address in self._asked:
            return
        self._asked.add(address)
        try:
            self._crawl.hosts.check(address, picture=False)
            limit = int(self._site.limits.page_mb * 1e6)
            yield Request(
                address,
                callback=self._read,
                errback=self._failed,
                dont_filter=True,  # a redirect that Scrapy's filter drops would vanish without a word
                meta={"kind": kind, "page": page, "asked": address, "download_maxsize": limit},
            )
        except (Refused, ValueError) as error:
            self._store.skip(kind, address, explain(error, "the page"), page=page)

    def _read(self, response: Any) -> Iterator[Request]:
        """Take links and records from a list or a page."""
        kind = response.meta["kind"]
        self._crawl.num_pages += 1
        if self._crawl.num_pages > self._site.limits.pages:
            raise self._stop("pages")
        try:
            limit = int(self._site.limits.page_mb * 1e6)
            sitemap = read_sitemap(response.url, response.body, most=limit) if kind == "list" else None
            if sitemap is not None:
                lists, targets = sitemap
                pages = (target for target in targets if re.search(self._site.follow.sitemap, target))
                yield from self._follow(response.url, lists, pages)
            else:
                yield from self._read_page(response, kind)
            self._store.was_read(response.meta["asked"])
        except MienError:
            raise  # a full disk, say, ends the run
        except Exception as error:  # parsers fail in a dozen ways on pages made to hurt
            why = explain(error, "the page")
            self._store.skip(kind, response.meta["asked"], why, page=response.meta["page"])
        yield from self._next()

    def _read_page(self, response: Any, kind: str) -> Iterator[Request]:
        if not isinstance(response, TextResponse):
            raise Refused("not-a-page", "it is no text in which anything could be selected")
        follow = self._site.follow
        takes = kind == "page" or not follow.pages
        num_records = self._take(response) if takes else 0
        followed: list[Request] = []
        if kind == "list":
            lists, pages = (links(response, rules) for rules in (follow.lists, follow.pages))
            followed = list(self._follow(response.url, lists, pages))
        if not num_records and not followed and is_cookie_wall(response):
            detail = "it asks for consent to cookies before it shows anything, and mien takes none"
            raise Refused("cookie-wall", detail, again=True)
        yield from followed

    def _follow(self, source: str, lists: Iterable[str], pages: Iterable[str]) -> Iterator[Request]:
        """Ask for the pages whose records are not here, then for the lists, that were found at `source`."""
        for address in pages:
            if self._is_done(address):
                self._know(address)
            else:
                yield from self._ask(address, "page", source)
        for address in lists:
            yield from self._ask(address, "list", source)

    def _is_done(self, address: str) -> bool:
        """Whether the record behind a link is here, as far as the link can tell."""
        if self._site.record.each is not None or address in self._asked:
            return False
        record = id_in_address(self._site, address)
        return self._store.is_done_page(address) if record is None else self._store.is_done(record)

    def _know(self, record: str) -> None:
        """Count a record that was here before, by its id or address."""
        self._known.add(record)
        self._crawl.known = len(self._known)

    def _take(self, response: Any) -> int:
        """Line up the pictures of a page's records; how many there are."""
        requested = response.meta["asked"]
        whole = 0
        each = list(records(response, self._site, requested=requested))
        empty = [record for record in each if not record.id or not record.pictures]
        if len(empty) == len(each) and is_cookie_wall(response):
            return 0
        for number, record in enumerate(each, 1):
            whole += bool(record.id and record.pictures)
            if not record.id or not record.pictures:
                what = "id" if not record.id else "picture"
                which = f"record {record.id}" if record.id else f"record {number} of {len(each)} on the page"
                why = Refused(f"no-{what}", f"the site file's rule finds no {what} in {which}", again=True)
                self._store.skip("record", requested, why, page=requested, record=record.id or "")
            elif record.id not in self._records:
                self._records.add(record.id)
                self._line_up(record)
        return whole

    def _line_up(self, record: PageRecord) -> None:
        if self._store.is_done(record.id):
            self._know(record.id)
            return
        numbers = [n for n in range(1, len(record.pictures) + 1) if not self._store.has(record.id, n)]
        self._waiting.extend(PictureTask(record, number) for number in numbers)
        self._found += len(numbers)

    def _next(self) -> Iterator[Request]:
        """The request for the next picture, unless one is under way."""
        limit = int(self._site.limits.picture_mb * 1e6)
        while self._waiting and not self._busy:
            if self._store.new >= self._crawl.site.limits.pictures:
                raise self._stop("pictures")
            task = self._waiting.popleft()
            try:
                if self._store.reuse(task):
                    self._count()
                    continue
                if task.address in self._bad:
                    raise self._bad[task.address]
                self._crawl.hosts.check(task.address, picture=True)
                request = Request(
                    task.address,
                    callback=self._got,
                    errback=self._lost,
                    dont_filter=True,
                    priority=10,  # a record is done with before the next one is looked at
                    headers={"Accept": "image/jpeg,image/png,image/webp,image/*;q=0.8"},
                    meta={"kind": "picture", "task": task, "download_maxsize": limit},
                )
            except (Refused, ValueError) as error:
                self._refuse(task, error)
                continue
            self._busy = True
            yield request

    def _got(self, response: Any) -> Iterator[Request]:
        """Keep a picture, or say why not."""
        task = response.meta["task"]
        self._busy = False
        try:
            self._store.add(task, response.body)
            self._count()
        except (BadPicture, Refused) as error:
            self._refuse(task, error)
        yield from self._next()

    def _lost(self, failure: Any) -> Iterator[Request]:
        """A picture could not be had."""
        self._busy = False
        if not self._crawl.stopped:
            self._refuse(failure.request.meta["task"], failure.value)
            yield from self._next()

    def _failed(self, failure: Any) -> Iterator[Request]:
        """A list or page could not be had."""
        meta = failure.request.meta
        if not self._crawl.stopped:
            self._store.skip(
                meta["kind"], meta["asked"], explain(failure.value, "the page"), page=meta["page"]
            )
            yield from self._next()

    def _refuse(self, task: PictureTask, error: BaseException) -> None:
        why = explain(error, "the picture")
        self._bad[task.address] = why
        self._store.skip("picture", task.address, why, task=task)
        self._count()

    def _count(self) -> None:
        self._done += 1
        self._crawl.progress(self._done, self._found)

    def _stop(self, reason: str) -> CloseSpider:
        self._crawl.stopped = self._crawl.stopped or reason
        return CloseSpider(reason)


def remember_failure(crawl: Crawl, failure: Any) -> None:
    """Keep what went wrong inside a callback, so that the run ends with it instead of going on silently."""
    if not isinstance(failure.value, CloseSpider) and crawl.failure is None:
        crawl.failure = failure.value
        crawl.stopped = "failure"
        if not isinstance(failure.value, MienError):
            failure.value.__traceback__ = failure.getTracebackObject()
