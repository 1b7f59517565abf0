"""Servers on the loopback address that answer as a test wants, and a crawl in a process of its own."""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from PIL import Image

Answer = bytes | str | Callable[[BaseHTTPRequestHandler], None]

SITE = """
name = "test"
start = [{start}]
licence = "CC0-1.0"
purpose = "a test"
contact = "tester@example.org"
{hosts}

[follow]
lists = ["a.list"]
{pages}

[record]
{each}
id = {{ attr = "id" }}
picture = "img"

[individual_details]
name = "b"

[limits]
delay_seconds = {delay}
{limits}
"""


class Server:
    """A running server. log: (time, path, headers) of each request. routes: path -> answer."""

    def __init__(self, routes: Mapping[str, Answer]) -> None:
        self.routes = dict(routes)
        self.log: list[tuple[float, str, dict[str, str]]] = []
        self.port = 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"

    @property
    def asked(self) -> list[str]:
        return [path for _, path, _ in self.log]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    test: Server

    def do_GET(self) -> None:
        self.test.log.append((time.monotonic(), self.path, dict(self.headers.items())))
        answer = self.test.routes.get(self.path)
        try:
            if callable(answer):
                answer(self)
            elif answer is None:
                reply(self, 404, b"no such page")
            else:
                kind = "text/html" if isinstance(answer, str) else "image/jpeg"
                reply(self, 200, answer.encode() if isinstance(answer, str) else answer, {"Content-Type": kind})
        except OSError:  # the crawler has hung up, as it should on hostile answers
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def reply(
    handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> None:
    """A whole, correct answer."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def redirect(to: str) -> Answer:
    return lambda handler: reply(handler, 302, headers={"Location": to})


@contextmanager
def serving(routes: Mapping[str, Answer], *, context: Any = None) -> Iterator[Server]:
    """Serve while the block runs. context: an SSL context, for https."""
    test = Server(routes)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"test": test}))
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a refused handshake is expected
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    test.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield test
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def site_text(
    *start: str, delay: float = 0.01, pages: str = "", each: str = 'each = "li"', limits: str = "", hosts: str = ""
) -> str:
    """A site file whose lists hold records: `<li id=..><b>name</b><img src=..></li>`."""
    quoted = ", ".join(f'"{address}"' for address in start)
    return SITE.format(start=quoted, delay=delay, pages=pages, each=each, limits=limits, hosts=hosts)


def item(record: str, source: str) -> str:
    return f"<li id={record}><b>name of {record}</b><img src='{source}'></li>"


def jpeg(seed: int, size: int = 48) -> bytes:
    """A picture of noise; another seed gives other bytes."""
    pixels = np.random.RandomState(seed).randint(0, 256, (size // 8, size // 8, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((size, size)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def command(site: str, out: Path, *flags: str) -> list[str]:
    """The command line of a crawl; the site file is written beside `out`."""
    path = out.with_name(out.name + ".toml")
    path.write_text(site)
    return [sys.executable, "-m", "mien", "collect", str(path), str(out), *flags]


def collect(site: str, out: Path, *flags: str, own: str = "127.0.0.1") -> "subprocess.CompletedProcess[str]":
    """Crawl in a process of its own, 127.0.0.1 being ours."""
    allow = ("--allow-host", own) if own else ()
    return subprocess.run(
        command(site, out, *allow, *flags), capture_output=True, text=True, timeout=120, check=False, env=os.environ
    )


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def manifest(out: Path) -> list[dict[str, Any]]:
    return lines(out / "manifest.jsonl")


def reasons(out: Path) -> dict[str, str]:
    """Why each address was skipped, by the last part of the address."""
    return {line["address"].rsplit("/", 1)[1]: line["reason"] for line in lines(out / "skipped.jsonl")}
