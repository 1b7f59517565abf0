"""The verb that fetches photos from a site."""

from pathlib import Path

from mien.core.errors import MienError
from mien.verbs._console import console


def collect(
    site: str,
    out: Path,
    /,
    *,
    allow_host: tuple[str, ...] = (),
    pictures: int | None = None,
    minutes: float | None = None,
    again: bool = False,
) -> None:
    """Fetch the pictures of a site politely, with their fields, source and licence; only what is new.

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
    try:
        from mien.collect.collect import collect as run
    except ModuleNotFoundError as error:
        raise MienError("collecting needs Scrapy: pip install 'mien[collect]'") from error
    run(
        site,
        out,
        allow_host=allow_host,
        pictures=pictures,
        minutes=minutes,
        again=again,
        console=console(),
    )
