"""`mien collect`: the pictures of a site, politely, with their fields."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.collect.addresses import hosts_of, printable
from mien.collect.site import Site, parse_site, read_site_file, user_agent
from mien.core.errors import InputError, MienError, install
from mien.core.events import Events, job
from mien.core.stop import Stop

_NAMED = 10  # skipped addresses that are listed; skipped.jsonl has all
_DEMO = "demo:"
_DEMO_PEOPLE = 24
_ENDED = {
    "pictures": "stopped at the cap on pictures",
    "pages": "stopped at the cap on pages (a site without end?)",
    "time": "stopped at the cap on time",
    "asked": "stopped as asked",
}


@dataclass(frozen=True)
class CollectResult:
    """What came of a crawl.

    new: pictures written to the manifest in this run, of which `same` have the bytes of another record's.
    known: records that were here before. total: pictures in the folder. skipped: count for each reason, most
    frequent first. skips: lines of the first 1000. pages: lists and pages read. stopped: "" at the end of the
    site, else "pictures", "pages", "time" or "asked".
    """

    new: int
    same: int
    known: int
    total: int
    pages: int
    seconds: float
    stopped: str = ""
    skipped: dict[str, int] = field(default_factory=dict)
    skips: list[dict[str, Any]] = field(default_factory=list)


@job
def collect(
    events: Events,
    site: str,
    out: Path,
    /,
    *,
    allow_host: tuple[str, ...] = (),
    pictures: int | None = None,
    minutes: float | None = None,
    again: bool = False,
) -> CollectResult:
    """Fetch the pictures of a site politely, with their fields, source and licence; only what is new.

    Raises InputError for a bad site file or host, a folder in use, or selectors that match no record;
    MienError where no start address could be read, the disk is full, or it is called a second time in a
    process (Twisted cannot); KeyboardInterrupt after a Ctrl-C that was obeyed.

    Parameters
    ----------
    site
        A site file (docs/collect.md says how to write one), or demo:cards or demo:register, which serve a
        gallery on this machine.
    out
        The folder to fill; the same command again goes on and fetches only what is new.
    allow_host
        Your own server that lies in a private network, such as 127.0.0.1:8000; may be repeated.
    pictures
        Stop after so many new pictures.
    minutes
        Stop after so many minutes.
    again
        Ask again for pictures that were refused before, such as broken or too large ones.
    """
    for value, flag in ((pictures, "--pictures"), (minutes, "--minutes")):
        if value is not None and value <= 0:
            raise InputError(f"{flag} {value}: more than 0")
    try:
        from mien.collect import run as crawler
    except ModuleNotFoundError as error:
        raise MienError(f"collecting needs Scrapy; {install('collect')}") from error
    begun = time.monotonic()
    with _site(str(site), events) as (text, own), Stop() as stop:
        parsed = _capped(parse_site(text, str(site)), pictures, minutes)
        addresses = _count(len(parsed.start), "start address", "es")
        events.note(f"{parsed.name}: {addresses}, as {user_agent(parsed)}")
        hosts = hosts_of(parsed, (*allow_host, *own))
        crawl = crawler.crawl_site(
            parsed, text, out, hosts, again=again, events=events, should_stop=lambda: stop.asked
        )
    store, seconds = crawl.store, time.monotonic() - begun
    skipped = dict(sorted(store.reasons.items(), key=lambda item: (-item[1], item[0])))
    counts = (store.new, store.same, crawl.known, store.total, crawl.num_pages)
    result = CollectResult(*counts, seconds, crawl.stopped, skipped, store.skips)
    _describe(result, out, events)
    if result.stopped == "asked":
        raise KeyboardInterrupt
    return result


@contextmanager
def _site(source: str, events: Events) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The text of the site file and the hosts that are ours; a demo's gallery is served meanwhile."""
    if not source.startswith(_DEMO):
        yield read_site_file(Path(source)), ()
        return
    from mien.collect.demo_gallery import PORT, rendered_sitters, serving, site_text  # renders

    name = source.removeprefix(_DEMO)
    site_text(name)  # refuse an unknown name before anything is rendered
    sitters = rendered_sitters(_DEMO_PEOPLE, progress=events.progress("rendering"))
    with serving(sitters, port=PORT) as gallery:  # known pages are known by address, port and all
        events.note(
            f"a gallery of {len(sitters)} people who do not exist is served at http://{gallery.host}/{name}"
        )
        yield gallery.site(name), (gallery.host,)


def _capped(site: Site, pictures: int | None, minutes: float | None) -> Site:
    """The site with the smaller of its own caps and these."""
    own = site.limits
    caps: dict[str, float] = {"pictures": min(own.pictures, pictures or own.pictures)}
    caps |= {"minutes": min(own.minutes, minutes or own.minutes)}
    return site.model_copy(update={"limits": own.model_copy(update=caps)})


def _describe(result: CollectResult, out: Path, events: Events) -> None:
    pages, minutes = _count(result.pages, "page"), f"{result.seconds / 60:.1f} min"
    known = _count(result.known, "known record")
    same = f" ({result.same:,} with the bytes of another)" if result.same else ""
    events.note(f"{result.new:,} new{same}, {known}; {pages} in {minutes}", "strong")
    lines = [f"  skipped {count:,}: {reason}" for reason, count in result.skipped.items()]
    lines += [printable(f"    {line['address']}: {line['detail']}") for line in result.skips[:_NAMED]]
    if len(result.skips) > _NAMED:
        lines.append(f"    and more, each named in {out / 'skipped.jsonl'}")
    lines.append(f"{out}: {_count(result.total, 'picture')}, one line each in manifest.jsonl")
    if result.stopped:
        lines.append(f"{_ENDED[result.stopped]}; the same command goes on from here")
    elif result.total:
        lines.append(f"next: mien prepare {out} {out.name}.zip; the same command fetches only what is new")
    events.note("\n".join(lines))


def _count(number: int, what: str, plural: str = "s") -> str:
    return f"{number:,} {what}{'' if number == 1 else plural}"
