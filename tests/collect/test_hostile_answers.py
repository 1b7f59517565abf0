"""Answers made to hurt: each costs itself, is named, is capped, and the rest is collected."""

import gzip
import hashlib
import io
import struct
import time
import zlib

import brotli
import pytest
from backports import zstd
from loopback import collect, item, jpeg, lines, manifest, reasons, redirect, reply, serving, site_text
from PIL import Image

MB = 1_000_000
GOOD = jpeg(1)
HTML = b"<!doctype html><html><body>Please log in</body></html>"
ZEROS = bytes(64 * MB)
sent: dict[str, int] = {}


def _start(handler, headers=(), status=200):
    handler.close_connection = True
    handler.send_response(status)
    for name, value in headers:
        handler.send_header(name, value)
    handler.end_headers()


def _pour(handler, chunk, pause=0.0, most=10**9):
    """Send until the other side hangs up, and count."""
    name = handler.path
    sent[name] = 0
    while sent[name] < most:
        handler.wfile.write(chunk)
        sent[name] += len(chunk)
        time.sleep(pause)


def endless_body(handler):
    _start(handler, [("Content-Type", "image/jpeg")])
    _pour(handler, GOOD + bytes(65536))


def endless_chunks(handler):
    _start(handler, [("Transfer-Encoding", "chunked")])
    _pour(handler, b"1000\r\n" + bytes(4096) + b"\r\n")


def bad_chunks(handler):
    _start(handler, [("Transfer-Encoding", "chunked")])
    handler.wfile.write(b"zzzz\r\n" + GOOD)


def huge_length(handler):
    _start(handler, [("Content-Length", str(10**12))])
    _pour(handler, bytes(65536))


def longer_length(handler):
    _start(handler, [("Content-Length", str(len(GOOD) + 1000))])
    handler.wfile.write(GOOD)


def shorter_length(handler):
    reply(handler, 200, GOOD, {"Content-Length": str(len(GOOD) // 2)})
    handler.close_connection = True


def negative_length(handler):
    _start(handler, [("Content-Length", "-5")])
    handler.wfile.write(GOOD)


def two_lengths(handler):
    _start(handler, [("Content-Length", "5"), ("Content-Length", "9000")])
    handler.wfile.write(GOOD)


def slow_drip(handler):
    _start(handler, [("Content-Length", "100000")])
    _pour(handler, b"x", 0.1)


def slow_headers(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    _pour(handler, b"X-More: 1\r\n", 0.1)


def silence(handler):
    sent[handler.path] = 1
    handler.connection.settimeout(20)
    handler.connection.recv(1)


def endless_headers(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    _pour(handler, b"X-Many: " + b"a" * 1000 + b"\r\n")


def endless_header_line(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    _pour(handler, b"a" * 4096)


def endless_continues(handler):
    _pour(handler, b"HTTP/1.1 100 Continue\r\n\r\n" * 50)


def no_http(handler):
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n" * 10)
    handler.close_connection = True


def hang_up(handler):
    handler.close_connection = True


def _packed(encoding, pack):
    """`pack` is called when it is asked for: whoever only lists the tests need not wait."""
    return lambda handler: reply(
        handler, 200, pack(), {"Content-Encoding": encoding, "Content-Type": "image/jpeg"}
    )


def bad_gzip(handler):
    reply(handler, 200, gzip.compress(GOOD)[:-400] + b"garbage", {"Content-Encoding": "gzip"})


def layered(handler):
    reply(handler, 200, GOOD, {"Content-Encoding": "gzip, gzip, gzip, gzip, gzip, gzip"})


def png_bomb():
    """A PNG that says 60000 x 60000 pixels."""
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(10000))), (b"IEND", b"")]
    parts = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def icon():
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "GIF")
    return buffer.getvalue()


def circle(handler):
    n = int(handler.path.rpartition("=")[2] or 0) if "=" in handler.path else 0
    reply(handler, 302, headers={"Location": f"/circle?n={n + 1}"})


PICTURES = {
    "endless_body": (endless_body, "too-large"),
    "endless_chunks": (endless_chunks, "too-large"),
    "bad_chunks": (bad_chunks, "cut-off broken-answer"),
    "huge_length": (huge_length, "too-large"),
    "longer_length": (longer_length, "cut-off"),
    "shorter_length": (shorter_length, "truncated"),
    "negative_length": (negative_length, "broken-answer"),
    "two_lengths": (two_lengths, "broken-answer"),
    "slow_drip": (slow_drip, "timeout"),
    "slow_headers": (slow_headers, "timeout"),
    "silence": (silence, "timeout"),
    "endless_headers": (endless_headers, "broken-answer"),
    "endless_header_line": (endless_header_line, "broken-answer"),
    "endless_continues": (endless_continues, "broken-answer timeout"),
    "no_http": (no_http, "broken-answer"),
    "hang_up": (hang_up, "broken-answer"),
    "gzip_bomb": (_packed("gzip", lambda: gzip.compress(ZEROS)), "too-large"),
    "brotli_bomb": (_packed("br", lambda: brotli.compress(ZEROS, quality=5)), "too-large"),
    "zstd_bomb": (_packed("zstd", lambda: zstd.compress(ZEROS)), "too-large"),
    "deflate_bomb": (_packed("deflate", lambda: zlib.compress(ZEROS)), "too-large"),
    "gzip_twice": (_packed("gzip, gzip", lambda: gzip.compress(gzip.compress(ZEROS))), "too-large"),
    "bad_gzip": (bad_gzip, "failed not-a-picture truncated unreadable"),
    "layered": (layered, "too-large"),
    "html": (lambda h: reply(h, 200, HTML, {"Content-Type": "image/jpeg"}), "not-a-picture"),
    "svg": (lambda h: reply(h, 200, b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "not-a-picture"),
    "empty": (b"", "empty"),
    "half": (GOOD[: len(GOOD) // 2], "truncated"),
    "png_bomb": (png_bomb(), "too-many-pixels"),
    "icon": (icon(), "too-small"),
    "noise": (bytes(range(256)) * 9, "not-a-picture"),
    "gone": (lambda h: reply(h, 410), "status-410"),
    "broken": (lambda h: reply(h, 500, GOOD), "status-500"),
    "teapot": (lambda h: reply(h, 418, GOOD), "status-418"),
    "circle": (circle, "redirect-loop"),
    "itself": (redirect("/itself"), "redirect-loop"),
    "nowhere": (redirect(""), "redirect redirect-loop"),
    "away": (redirect("http://elsewhere.example/a.jpg"), "off-site"),
    "mail": (redirect("mailto:a@example.org"), "redirect failed"),
    "no_place": (lambda h: reply(h, 302), "redirect"),
}
LISTS = {
    "list_picture": (GOOD, "not-a-page"),
    "list_endless": (
        lambda h: (_start(h, [("Content-Type", "text/html")]), _pour(h, b"<li>" * 20000)),
        "too-large",
    ),
    "list_bomb": (_packed("gzip", lambda: gzip.compress(ZEROS)), "too-large"),
    "list_drip": (lambda h: (_start(h, [("Content-Type", "text/html")]), _pour(h, b"<li>", 0.1)), "timeout"),
}
LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "'
    + b"ha" * 5000
    + b'"><!ENTITY b "'
    + b"&a;" * 5000
    + b'">]><l><li id="x"><img src="/x"/>&b;</li></l>'
)
SILENT_LISTS = {  # pages in which there is nothing to find
    "list_json": lambda h: reply(h, 200, b'{"a": [1]}', {"Content-Type": "application/json"}),
    "list_laughs": lambda h: reply(h, 200, LAUGHS, {"Content-Type": "application/xml"}),
    "list_empty": lambda h: reply(h, 200, b"", {"Content-Type": "text/html"}),
    "list_nothing": lambda h: reply(h, 204),
    "list_wide": lambda h: reply(
        h, 200, "<li id=w><img src=data:>".encode("utf-16"), {"Content-Type": "text/html; charset=utf-16"}
    ),
}
ODD_LISTS = {  # pages that are strange, and yet hold a record
    "list_deep": item("deep", "/deep.jpg") + "<div>" * 100_000,
    "list_binary": lambda h: reply(
        h,
        200,
        b"\x80\xff\0\x80<li id=binary><b>x</b><img src=/binary.jpg>",
        {"Content-Type": "text/html; charset=klingon"},
    ),
    "list_links": "<a class=list href='http://[::1'>x</a><a class=list href='javascript:alert(1)'>x</a>"
    * 2000
    + item("links", "/links.jpg"),
}


def _collect_hostile(tmp_path, pictures, lists, seconds, extra_routes=(), good=()):
    """Collect a site whose pages and pictures are hostile; each picture is followed by a good one."""
    records = [item(name, f"/{name}") + item(f"after_{name}", f"/after_{name}.jpg") for name in pictures]
    extra_routes = dict(extra_routes)
    start = "".join(records) + "".join(
        f"<a class=list href=/{name}>x</a>" for name in [*lists, *extra_routes]
    )
    routes = {f"/{name}": answer for name, (answer, _) in (pictures | lists).items()}
    routes |= {f"/{name}": answer for name, answer in extra_routes.items()}
    routes |= {f"/circle?n={n}": circle for n in range(50)}
    good = {f"after_{name}" for name in pictures} | {"large", *good}
    routes |= {f"/{name}.jpg": jpeg(100 + k) for k, name in enumerate(sorted(good))}
    routes["/"] = start + item("large", "/large.jpg")
    routes["/large.jpg"] = jpeg(99) + bytes(3 * MB // 2)  # more than a page may have, less than a picture may
    limits = f"page_mb = 1\npicture_mb = 2\nresponse_seconds = {seconds}\nmegapixels = 2"
    with serving(routes) as server:
        result = collect(site_text(server.url("/"), delay=0.0, limits=limits), tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert {line["record"] for line in manifest(tmp_path / "out")} == good
    given = reasons(tmp_path / "out")
    for name, (_, expected) in (pictures | lists).items():
        assert given.get(name) in expected.split(), f"{name}: {given.get(name)}, not {expected}"
    assert all(line["detail"] and line["page"] for line in lines(tmp_path / "out" / "skipped.jsonl"))


def _by_timeout(answers, timeout):
    return {name: answer for name, answer in answers.items() if ("timeout" in answer[1]) == timeout}


@pytest.mark.slow
def test_hostile_answers_are_capped_and_named_and_the_rest_is_collected(tmp_path):
    pictures, page_lists = _by_timeout(PICTURES, False), _by_timeout(LISTS, False)
    others = ODD_LISTS | SILENT_LISTS
    # A minute: a busy machine must meet the caps on sizes before the cap on time.
    _collect_hostile(tmp_path, pictures, page_lists, 60, others, good={"deep", "binary", "links"})
    for name in ("endless_body", "endless_chunks", "huge_length", "endless_headers", "list_endless"):
        assert sent[f"/{name}"] < 40 * MB, name  # the cap, and what the system's buffers hold
    assert len(PICTURES) + len(LISTS) >= 20


@pytest.mark.slow
def test_answers_without_end_in_time_are_given_up_and_the_rest_is_collected(tmp_path):
    _collect_hostile(tmp_path, _by_timeout(PICTURES, True), _by_timeout(LISTS, True), 2)
    assert sent["/slow_drip"] < 60  # ten bytes a second, for two seconds, on a busy machine


def test_an_address_cannot_steer_the_terminal(tmp_path):
    with serving({"/": item("a", "/\x1b[2Jx.jpg") + item("b", "/b.jpg"), "/b.jpg": jpeg(1)}) as server:
        result = collect(site_text(server.url("/")), tmp_path / "out")
    assert "/?[2Jx.jpg: the server answers 404" in result.stdout
    assert "\x1b" not in result.stdout


def test_what_several_lists_name_is_asked_for_once(tmp_path):
    """A page on two lists, and a picture of two records that is none."""
    lists = "<a class=list href=/more>more</a><a class=page href=/p1>one</a><a class=page href=/p2>two</a>"
    routes = {
        "/": lists,
        "/more": lists + "<a class=page href=/p3>three</a>",
        **{f"/p{n}": item(f"r{n}", "/none.jpg" if n < 3 else "/3.jpg") for n in (1, 2, 3)},
        "/none.jpg": HTML,
        "/3.jpg": jpeg(3),
    }
    pages = 'pages = ["a.page"]'
    with serving(routes) as server:
        result = collect(site_text(server.url("/"), pages=pages), tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert sorted(server.asked) == sorted(["/robots.txt", *routes])
    assert [line["record"] for line in manifest(tmp_path / "out")] == ["r3"]
    skipped = [line for line in lines(tmp_path / "out" / "skipped.jsonl") if line["kind"] == "picture"]
    assert {(line["record"], line["reason"]) for line in skipped} == {
        ("r1", "not-a-picture"),
        ("r2", "not-a-picture"),
    }


def test_a_folder_that_cannot_take_a_picture_ends_the_crawl_in_one_line(tmp_path):
    """Another picture is no reason to go on: the next one would fail as well."""
    pictures = {f"/{n}.jpg": jpeg(n) for n in range(3)}
    hashed = hashlib.sha256(pictures["/1.jpg"]).hexdigest()[:2]
    (tmp_path / "out" / "pictures").mkdir(parents=True)
    (tmp_path / "out" / "pictures" / hashed).write_text("no folder")
    routes = {"/": "".join(item(f"r{n}", f"/{n}.jpg") for n in range(3))} | pictures
    with serving(routes) as server:
        result = collect(site_text(server.url("/")), tmp_path / "out")
        asked = server.asked
    assert result.returncode == 1
    assert result.stderr.startswith("mien: ")
    assert "cannot write there (File exists)" in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert [line["record"] for line in manifest(tmp_path / "out")] == ["r0"]
    assert "/2.jpg" not in asked


def test_what_was_refused_for_good_is_not_asked_again_unless_told_to(tmp_path):
    routes = {
        "/": item("a", "/html") + item("b", "/b.jpg") + item("c", "/busy"),
        "/b.jpg": jpeg(1),
        "/html": HTML,
    }
    routes["/busy"] = lambda handler: reply(handler, 500)
    with serving(routes) as server:
        site = site_text(server.url("/"))
        for flags, expected in (
            ((), {"/html", "/b.jpg", "/busy"}),
            ((), {"/busy"}),
            (("--again",), {"/html", "/busy"}),
        ):
            server.log.clear()
            assert collect(site, tmp_path / "out", *flags).returncode == 0
            assert set(server.asked) - {"/", "/robots.txt"} == expected
        routes["/html"] = jpeg(2)
        server.routes["/html"] = jpeg(2)
        collect(site, tmp_path / "out", "--again")
    assert [line["record"] for line in manifest(tmp_path / "out")] == ["b", "a"]


def test_a_site_without_end_meets_the_caps_on_pages_and_time(tmp_path):
    def trap(handler):
        number = int(handler.path.rpartition("/")[2] or 0)
        body = f"<a class=list href=/{number + 1}>on</a>" + item(f"r{number}", "/x.jpg")
        reply(handler, 200, body.encode(), {"Content-Type": "text/html"})

    with serving({f"/{n or ''}": trap for n in range(2000)} | {"/x.jpg": jpeg(1)}) as server:
        site = site_text(server.url("/"), delay=0.0, limits="pages = 20")
        result = collect(site, tmp_path / "pages")
        assert result.returncode == 0
        assert "cap on pages" in result.stdout
        assert len([path for path in server.asked if path[1:].isdigit()]) <= 30
        assert server.asked.count("/x.jpg") == 1  # one picture for all of them: fetched once
        slow = site_text(server.url("/"), delay=0.1)
        begun = time.monotonic()
        result = collect(slow, tmp_path / "time", "--minutes", "0.03")
        assert result.returncode == 0
        assert "cap on time" in result.stdout
        assert time.monotonic() - begun < 60
    files = {line["file"] for line in manifest(tmp_path / "pages")}
    assert len(files) == 1
    assert len(manifest(tmp_path / "pages")) == 5  # then it is a placeholder
    assert [line.get("same_as") for line in manifest(tmp_path / "pages")][:3] == [None, "r0", "r0"]
