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
                reply(
                    self, 200, answer.encode() if isinstance(answer, str) else answer, {"Content-Type": kind}
                )
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
    *start: str,
    delay: float = 0.01,
    pages: str = "",
    each: str = 'each = "li"',
    limits: str = "",
    hosts: str = "",
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


_FORKER = """
import json, os, resource, signal, sys
import mien.collect.manners, mien.collect.net, mien.collect.manners, mien.collect.run
from mien.cli import main
assert "twisted.internet.reactor" not in sys.modules
for line in sys.stdin:
    task = json.loads(line)
    child = os.fork()
    if not child:
        os.environ.update(task["env"])
        for number, path in ((1, task["out"]), (2, task["err"])):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        if task["max_file"]:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (task["max_file"],) * 2)
        code = main(task["arguments"])
        sys.stdout.flush()
        os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Crawl:
    """A crawl under way in a process of its own; `pid` may be killed. One at a time."""

    _forker: "subprocess.Popen[str] | None" = None

    def __init__(
        self, site: str, out: Path, *flags: str, env: Mapping[str, str] | None = None, max_file: int = 0
    ) -> None:
        path = out.with_name(out.name + ".toml")
        path.write_text(site)
        self._out, self._err = path.with_suffix(".stdout"), path.with_suffix(".stderr")
        task = {"arguments": ["collect", str(path), str(out), *flags], "env": dict(env or {})}
        task |= {"out": str(self._out), "err": str(self._err), "max_file": max_file}
        self._pipe = self._started()
        assert self._pipe.stdin is not None
        assert self._pipe.stdout is not None
        self._pipe.stdin.write(json.dumps(task) + "\n")
        self._pipe.stdin.flush()
        self.pid = int(self._pipe.stdout.readline())

    @classmethod
    def _started(cls) -> "subprocess.Popen[str]":
        """The process that forks crawls: it imports Scrapy once for all of them."""
        if cls._forker is None:
            quiet = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
            pipe, text = subprocess.PIPE, [sys.executable, "-c", _FORKER]
            cls._forker = subprocess.Popen(text, stdin=pipe, stdout=pipe, text=True, env=quiet)
        return cls._forker

    @classmethod
    def end(cls) -> None:
        """End the process that forks."""
        if cls._forker is not None:
            with cls._forker:
                assert cls._forker.stdin is not None
                cls._forker.stdin.close()
            cls._forker = None

    def wait(self) -> "subprocess.CompletedProcess[str]":
        """Its exit code and what it printed."""
        assert self._pipe.stdout is not None
        code = int(self._pipe.stdout.readline())
        return subprocess.CompletedProcess([], code, self._out.read_text(), self._err.read_text())


def collect(
    site: str, out: Path, *flags: str, own: str = "127.0.0.1", env: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """A whole crawl, 127.0.0.1 being ours."""
    allow = ("--allow-host", own) if own else ()
    return Crawl(site, out, *allow, *flags, env=env).wait()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def manifest(out: Path) -> list[dict[str, Any]]:
    return lines(out / "manifest.jsonl")


def reasons(out: Path) -> dict[str, str]:
    """Why each address was skipped, by the last part of the address."""
    return {line["address"].rpartition("/")[2]: line["reason"] for line in lines(out / "skipped.jsonl")}
