"""A gallery of people who do not exist, served on this machine as two differently built sites.

For `mien collect demo:cards` and `demo:register`, and for the tests, which read its log of requests.
"""

import io
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from threading import Thread

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.core.errors import InputError
from mien.core.events import Tick
from mien.render.people import render_people

SITES = ("cards", "register")
PORT = 8765  # as the site files have it
_PORT = f"127.0.0.1:{PORT}"
_ON_A_LIST = 8
_ROBOTS = "User-agent: *\nDisallow: /cards/person/private\nDisallow: /register/admin\n"
_PAGE = "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><body>{body}</body></html>"
_CARD = '<article class=card><h2>{name}</h2><a class=more href="person/{to}">more</a></article>'
_BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACw="  # of a lazy picture


@dataclass(frozen=True)
class Sitter:
    """Somebody in the gallery. jpeg: the picture; height in inches, weight in pounds."""

    number: int
    name: str
    age: int
    hair: str
    height: int
    weight: int
    jpeg: bytes

    @property
    def seen(self) -> str:
        return f"2024-{self.number % 12 + 1:02d}-{self.number % 28 + 1:02d}"


@dataclass
class Gallery:
    """A running gallery. requests: (time, path) of what was asked, in order. pages: path -> (type, bytes)."""

    port: int
    pages: dict[str, tuple[str, bytes]]
    requests: list[tuple[float, str]] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def asked(self) -> list[str]:
        """Paths asked for, in order."""
        return [path for _, path in self.requests]

    def site(self, name: str) -> str:
        """The text of a ready site file, for this gallery's port."""
        return site_text(name).replace(_PORT, self.host)


def site_text(name: str) -> str:
    """The text of a ready site file. Raises InputError for a name that there is none of."""
    if name not in SITES:
        raise InputError(f"demo:{name}: there is no such gallery; choose {' or '.join(SITES)}")
    return resources.files("mien.collect").joinpath("sites", f"{name}.toml").read_text("utf-8")


def rendered_sitters(
    count: int, *, size: int = 96, seed: int = 0, progress: Tick | None = None
) -> list[Sitter]:
    """People of the renderer; heights and weights are made up, since a head has none."""
    images, labels = render_people(count, size=size, seed=seed, progress=progress)
    return [
        sitter(k, image.transpose(1, 2, 0), age=label["age"], hair=label["hair_colour"])
        for k, (image, label) in enumerate(zip(images, labels, strict=True))
    ]


def sitter(number: int, pixels: NDArray[np.uint8], *, age: int = 30, hair: str = "brown") -> Sitter:
    """A sitter with picture `pixels` (uint8 HWC)."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=92)
    height, weight = 60 + number * 7 % 17, 110 + number * 13 % 90
    return Sitter(number, f"Nobody {number:03d}", age, hair, height, weight, buffer.getvalue())


@contextmanager
def serving(
    sitters: Sequence[Sitter],
    *,
    port: int = 0,
    robots: str = _ROBOTS,
    extra: Mapping[str, tuple[str, bytes]] | None = None,
) -> Iterator[Gallery]:
    """Serve a gallery on `port` of the loopback address, or a free one, while the block runs.

    extra: more pages, or other ones in place of the gallery's.
    """
    pages = {"/robots.txt": ("text/plain", robots.encode())} | _cards(sitters) | _register(sitters)
    server = _listen(port)
    server.daemon_threads = True
    gallery = Gallery(server.server_address[1], pages | dict(extra or {}))
    server.gallery = gallery  # type: ignore[attr-defined]  # how http.server's handlers find anything
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield gallery
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _listen(port: int) -> ThreadingHTTPServer:
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    except OSError:  # somebody else has that port
        return ThreadingHTTPServer(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        gallery: Gallery = self.server.gallery  # type: ignore[attr-defined]
        gallery.requests.append((time.monotonic(), self.path))
        kind, body = gallery.pages.get(self.path, ("text/plain", b"no such page"))
        self.send_response(200 if self.path in gallery.pages else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing; `Gallery.requests` has it."""


def _html(title: str, body: str) -> tuple[str, bytes]:
    return "text/html; charset=utf-8", _PAGE.format(title=title, body=body).encode()


def _lists(sitters: Sequence[Sitter]) -> list[Sequence[Sitter]]:
    return [sitters[k : k + _ON_A_LIST] for k in range(0, len(sitters), _ON_A_LIST)]


def _cards(sitters: Sequence[Sitter]) -> dict[str, tuple[str, bytes]]:
    """Cards with a link each, a link to the next list, definition lists, plain `src` pictures."""
    pages, lists = {}, _lists(sitters)
    for number, some in enumerate(lists):
        cards = "".join(_CARD.format(name=who.name, to=who.number) for who in some)
        hidden = _CARD.format(name="Private", to="private")
        next_one = f'<nav><a class=next href="/cards/?list={number + 2}">next</a></nav>'
        body = cards + (hidden if number == 0 else "") + (next_one if number + 1 < len(lists) else "")
        pages["/cards/" if number == 0 else f"/cards/?list={number + 1}"] = _html("Cards", body)
    for who in sitters:
        feet, inches = divmod(who.height, 12)
        details = (
            f"<dt>Age</dt><dd>{who.age} years</dd><dt>Hair</dt><dd>{who.hair}</dd>"
            f"<dt>Height</dt><dd>{feet}&#39;{inches}&quot;</dd><dt>Weight</dt><dd>{who.weight} lb</dd>"
        )
        figure = f'<figure><img src="../photos/{who.number}.jpg" alt=""></figure>'
        when = f'<time datetime="{who.seen}">some day</time>'
        body = f"<h1>{who.name}</h1>{figure}<dl>{details}</dl>{when}"
        pages[f"/cards/person/{who.number}"] = _html(who.name, body)
        pages[f"/cards/photos/{who.number}.jpg"] = ("image/jpeg", who.jpeg)
    return pages


def _register(sitters: Sequence[Sitter]) -> dict[str, tuple[str, bytes]]:
    """Tables of ids, entries reached by them, metric units, lazy pictures in two sizes."""
    pages, lists = {}, _lists(sitters)
    numbers = "".join(f'<li><a href="/register?page={n}">{n}</a></li>' for n in range(1, len(lists) + 1))
    for number, some in enumerate(lists, 1):
        rows = "".join(f"<tr data-id={who.number}><td>{who.name}</td></tr>" for who in some)
        body = f"<table>{rows}</table><ul class=pages>{numbers}</ul>"
        pages[f"/register?page={number}"] = _html("Register", body)
    for who in sitters:
        base = f"/register/image/{who.number}"
        image = f'<img class=photo src="{_BLANK}" data-srcset="{base}-small.jpg 48w, {base}-large.jpg 96w">'
        height, weight = f"{who.height * 2.54:.0f} cm", f"{who.weight * 0.4536:.1f} kg"
        cells = {"age": who.age, "height": height, "weight": weight}
        rows = "".join(f"<tr class={key}><th>{key}</th><td>{value}</td></tr>" for key, value in cells.items())
        rows += f"<tr class=hair><th>hair</th><td data-value={who.hair}>&#9632;</td></tr>"
        rows += f"<tr class=seen><th>seen</th><td>{who.seen}</td></tr>"
        table = (
            f"<table id=entry data-record=r{who.number}><caption>Entry of {who.name}</caption>{rows}</table>"
        )
        pages[f"/register/entry?id={who.number}"] = _html(who.name, image + table)
        pages[f"{base}-large.jpg"] = ("image/jpeg", who.jpeg)
        pages[f"{base}-small.jpg"] = ("image/jpeg", _half(who.jpeg))
    return pages


def _half(jpeg: bytes) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
        image.reduce(2).save(buffer, "JPEG")
    return buffer.getvalue()
