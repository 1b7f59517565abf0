"""`mien collect`: the crawl with its bar, and what came of it in words."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from mien.bars import bar
from mien.collect.addresses import printable
from mien.collect.run import CollectResult, user_agent
from mien.collect.run import collect as run
from mien.collect.site import Site, parse_site, read_site_file
from mien.core.errors import InputError
from mien.core.stop import Stop

_NAMED = 10  # skipped addresses named on the terminal; skipped.jsonl has all
_DEMO = "demo:"
_DEMO_PEOPLE = 24
_ENDED = {
    "pictures": "stopped at the cap on pictures",
    "pages": "stopped at the cap on pages (a site without end?)",
    "time": "stopped at the cap on time",
    "asked": "stopped as asked",
}


def collect(
    source: str,
    out: Path,
    *,
    allow_host: Sequence[str],
    pictures: int | None,
    minutes: float | None,
    again: bool,
    console: Console,
) -> CollectResult:
    """Crawl the site of file `source` (or "demo:cards", "demo:register") into `out`; print what came of it.

    Raises KeyboardInterrupt after a Ctrl-C that was obeyed.
    """
    for value, flag in ((pictures, "--pictures"), (minutes, "--minutes")):
        if value is not None and value <= 0:
            raise InputError(f"{flag} {value}: more than 0")
    with _site(source, console) as (text, own), Stop() as stop:
        site = parse_site(text, source)
        _introduce(site, console)
        with bar(console, "collecting") as progress:
            result = run(
                site,
                out,
                text=text,
                own_hosts=(*allow_host, *own),
                max_pictures=pictures,
                minutes=minutes,
                again=again,
                progress=progress,
                announce=console.print,
                should_stop=lambda: stop.asked,
            )
    _tell(result, out, console)
    if result.stopped == "asked":
        raise KeyboardInterrupt
    return result


@contextmanager
def _site(source: str, console: Console) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The text of the site file and the hosts that are ours; a demo's gallery is served meanwhile."""
    if not source.startswith(_DEMO):
        yield read_site_file(Path(source)), ()
        return
    from mien.collect.demo_gallery import (  # renders: only for the demo
        PORT,
        rendered_sitters,
        serving,
        site_text,
    )

    name = source.removeprefix(_DEMO)
    site_text(name)  # refuse an unknown name before anything is rendered
    with bar(console, "rendering") as progress:
        sitters = rendered_sitters(_DEMO_PEOPLE, progress=progress)
    with serving(sitters, port=PORT) as gallery:  # known pages are known by address, port and all
        console.print(
            f"a gallery of {len(sitters)} people who do not exist is served at http://{gallery.host}/{name}"
        )
        yield gallery.site(name), (gallery.host,)


def _introduce(site: Site, console: Console) -> None:
    console.print(
        f"[bold]{site.name}[/]: {_count(len(site.start), 'start address', 'es')}, as {user_agent(site)}",
        soft_wrap=True,
    )


def _tell(result: CollectResult, out: Path, console: Console) -> None:
    pages, minutes = _count(result.pages, "page"), f"{result.seconds / 60:.1f} min"
    known = _count(result.known, "known record")
    same = f" ({result.same:,} with the bytes of another)" if result.same else ""
    console.print(f"[bold]{result.new:,} new[/]{same}, {known}; {pages} in {minutes}")
    for reason, count in result.skipped.items():
        console.print(f"  skipped {count:,}: {reason}")
    for line in result.skips[:_NAMED]:
        text = printable(f"    {line['address']}: {line['detail']}")
        console.print(text, soft_wrap=True, markup=False)
    if len(result.skips) > _NAMED:
        console.print(f"    and more, each named in {out / 'skipped.jsonl'}", soft_wrap=True)
    console.print(
        f"{out}: {_count(result.total, 'picture')}, one line each in manifest.jsonl", soft_wrap=True
    )
    if result.stopped:
        console.print(f"{_ENDED[result.stopped]}; the same command goes on from here")
    elif result.total:
        console.print(
            f"next: mien prepare {out} {out.name}.zip; the same command fetches only what is new",
            soft_wrap=True,
        )


def _count(number: int, what: str, plural: str = "s") -> str:
    return f"{number:,} {what}{'' if number == 1 else plural}"
