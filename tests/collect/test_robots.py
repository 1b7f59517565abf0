"""robots.txt by RFC 9309, and the pace: read from the server's own log."""

import datetime
import email.utils
import itertools
import time

import pytest
from loopback import collect, item, jpeg, lines, manifest, reply, serving, site_text

from mien.collect.addresses import Refused, hosts_of
from mien.collect.crawl import Pace
from mien.collect.manners import read_rules, retry_after
from mien.collect.site import parse_site


def allowed(body, address="http://x.org/a", status=200):
    try:
        read_rules(status, body).check(address)
    except Refused as error:
        return error.reason
    return "allowed"


def test_the_group_of_our_name_goes_before_the_one_for_all():
    body = b"User-agent: *\nDisallow: /\n\nUser-agent: Mien\nDisallow: /secret\nCrawl-delay: 7\n"
    assert allowed(body) == "allowed"
    assert allowed(body, "http://x.org/secret/1") == "robots"
    assert read_rules(200, body).delay == 7


def test_the_longest_rule_wins_and_allow_at_a_tie():
    body = b"User-agent: *\nDisallow: /a\nAllow: /a/b\nDisallow: /*.gif$\n"
    assert allowed(body, "http://x.org/a/c") == "robots"
    assert allowed(body, "http://x.org/a/b") == "allowed"
    assert allowed(body, "http://x.org/x.gif") == "robots"
    assert allowed(body, "http://x.org/x.gif?a") == "allowed"
    assert allowed(b"User-agent: *\nDisallow: /a\nAllow: /a\n") == "allowed"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (404, "allowed"),
        (403, "allowed"),
        (410, "allowed"),
        (429, "robots-unreachable"),
        (500, "robots-unreachable"),
        (503, "robots-unreachable"),
        (302, "robots-unreachable"),
    ],
)
def test_status_of_robots_txt(status, expected):
    assert allowed(b"User-agent: *\nDisallow: /\n", status=status) == expected


def test_what_is_behind_the_cap_does_not_count_and_what_is_before_does():
    filler = b"#" * 99 + b"\n"
    long = b"User-agent: *\nDisallow: /a\n" + filler * 6000 + b"Disallow: /b\n"
    assert len(long) > 500 * 1024
    assert allowed(long, "http://x.org/a") == "robots"
    assert allowed(long, "http://x.org/b") == "allowed"


def test_odd_files_are_read_leniently():
    assert allowed(b"\xef\xbb\xbfUser-agent: *\r\nDisallow: /a") == "robots"
    assert allowed("User-agent: *\nDisallow: /a".encode("utf-16")) == "robots"
    assert allowed("User-agent: *\nDisallow: /a".encode("utf-16-be")) == "robots"
    assert allowed("User-agent: *\nDisallow: /b".encode("utf-16")) == "allowed"
    assert allowed(b"\xff\xfe\x00binary\x00") == "allowed"
    assert allowed(b"<html>not found</html>") == "allowed"
    assert read_rules(200, b"User-agent: *\nCrawl-delay: -3\n").delay == 0
    assert read_rules(200, b"User-agent: *\nCrawl-delay: 1e300\n").delay == 24 * 3600
    assert read_rules(200, b"User-agent: *\nRequest-rate: 1/4\n").delay == 4


def _list_with_pictures(count):
    return {"/": "".join(item(f"r{k}", f"/{k}.jpg") for k in range(count))} | {
        f"/{k}.jpg": jpeg(k) for k in range(count)
    }


def test_hosts_that_keep_us_out_are_asked_for_robots_txt_alone(tmp_path):
    site = _list_with_pictures(1)
    broken = lambda handler: reply(handler, 500)  # noqa: E731
    endless = lambda handler: reply(handler, 302, headers={"Location": "/robots.txt"})  # noqa: E731
    with (
        serving(site | {"/robots.txt": broken}) as bad,
        serving(site | {"/robots.txt": endless}) as loop,
        serving(site) as free,  # its robots.txt is 404
    ):
        site = site_text(bad.url("/"), loop.url("/"), free.url("/"), "http://127.0.0.1:9/")
        result = collect(site, tmp_path / "out")
        assert result.returncode == 0, result.stderr
        assert set(bad.asked) == {"/robots.txt"}
        assert len(bad.asked) <= 2
        assert set(loop.asked) == {"/robots.txt"}
        assert len(loop.asked) <= 7
        assert free.asked == ["/robots.txt", "/", "/0.jpg"]
    skipped = lines(tmp_path / "out" / "skipped.jsonl")
    assert [line["reason"] for line in skipped] == ["robots-unreachable"] * 3
    assert len(manifest(tmp_path / "out")) == 1


def test_disallowed_lists_pages_and_pictures_are_never_asked_for(tmp_path):
    robots = b"User-agent: *\nDisallow: /closed/\nAllow: /closed/open.jpg\n"
    redirecting = lambda handler: reply(handler, 302, headers={"Location": "/closed/2.jpg"})  # noqa: E731
    start = (
        item("a", "/closed/1.jpg")
        + item("b", "/closed/open.jpg")
        + item("c", "/moved.jpg")
        + '<a class=list href="/closed/list">x</a>'
    )
    routes = {"/robots.txt": lambda h: reply(h, 200, robots), "/": start, "/moved.jpg": redirecting}
    closed = {"/closed/1.jpg": jpeg(1), "/closed/2.jpg": jpeg(2), "/closed/list": item("d", "/d.jpg")}
    with serving(routes | closed | {"/closed/open.jpg": jpeg(3)}) as server:
        result = collect(site_text(server.url("/")), tmp_path / "out")
        assert result.returncode == 0, result.stderr
        assert not set(server.asked) & set(closed)
        assert {"/closed/open.jpg", "/moved.jpg"} <= set(server.asked)
    assert [line["record"] for line in manifest(tmp_path / "out")] == ["b"]
    assert len(lines(tmp_path / "out" / "skipped.jsonl")) == 3


def test_records_without_a_picture_are_named_one_by_one(tmp_path):
    start = item("a", "/a.jpg") + "<li id=b><b>name of b</b></li><li id=c><b>name of c</b></li>"
    with serving({"/": start, "/a.jpg": jpeg(1)}) as server:
        result = collect(site_text(server.url("/")), tmp_path / "out")
        assert result.returncode == 0, result.stderr
    skipped = lines(tmp_path / "out" / "skipped.jsonl")
    assert [(line["reason"], line["record"]) for line in skipped] == [
        ("no-picture", "b"),
        ("no-picture", "c"),
    ]
    assert skipped[0]["detail"].endswith("finds no picture in record b")


def test_at_least_a_second_for_all_but_our_own_machine():
    hosts = hosts_of(parse_site(site_text("http://127.0.0.1/"), "x"), ["127.0.0.1:80", "intranet"])
    pace = Pace(0.01, hosts, print)
    assert pace.delay("127.0.0.1") == 0.01
    assert pace.delay("intranet") == pace.delay("example.org") == 1.0
    assert Pace(3.0, hosts, print).delay("127.0.0.1") == 3.0
    assert (
        Pace(0.0, hosts_of(parse_site(site_text("http://127.0.0.1/"), "x"), []), print).delay("127.0.0.1")
        == 1.0
    )


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [(b"7", 7, 7), (b" 0 ", 0, 0), (b"Wed, 21 Oct 2015 07:28:00 GMT", 0, 0), (b"9" * 50, 1e8, 1e9)],
)
def test_retry_after(header, least, most):
    assert least <= retry_after(header) <= most


@pytest.mark.parametrize("header", [None, b"", b"soon", b"-1", b"1.5", "٣".encode()])
def test_no_retry_after(header):
    assert retry_after(header) is None


def test_retry_after_as_a_date_to_come():
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=100)
    assert 80 < retry_after(email.utils.format_datetime(moment, usegmt=True).encode()) <= 100


def _gaps(server):
    times = sorted(moment for moment, _, _ in server.log)
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def test_crawl_delay_is_kept_and_one_connection_is_used_at_a_time(tmp_path):
    """Gaps on the server's clock; the first two requests may be the robots.txt's own pace."""
    robots = lambda handler: reply(handler, 200, b"User-agent: *\nCrawl-delay: 0.4\n")  # noqa: E731
    with serving(_list_with_pictures(4) | {"/robots.txt": robots}) as server:
        result = collect(site_text(server.url("/")), tmp_path / "out")
        assert result.returncode == 0, result.stderr
        gaps = _gaps(server)[1:]
        assert len(gaps) == 4
        assert min(gaps) > 0.3
        assert sum(gaps) > 4 * 0.4 - 0.1
    assert "asks for 0.4 seconds" in result.stdout


def test_a_busy_host_is_left_alone_as_long_as_it_asks(tmp_path):
    """429 with Retry-After, 503 without: both pictures arrive in the end, after the pause."""
    seen = {"/0.jpg": 0, "/1.jpg": 0}

    def busy(path, status, headers):
        def answer(handler):
            seen[path] += 1
            if seen[path] == 1:
                reply(handler, status, b"later", headers)
            else:
                reply(handler, 200, jpeg(status))

        return answer

    routes = _list_with_pictures(2)
    routes |= {"/0.jpg": busy("/0.jpg", 429, {"Retry-After": "1"}), "/1.jpg": busy("/1.jpg", 503, {})}
    with serving(routes) as server:
        result = collect(site_text(server.url("/"), delay=0.03), tmp_path / "out")
        assert result.returncode == 0, result.stderr
        times = {path: [t for t, asked, _ in server.log if asked == path] for path in seen}
        assert [len(moments) for moments in times.values()] == [2, 2]
        first, second = times["/0.jpg"]
        assert second - first > 0.9
        assert not [t for t, _, _ in server.log if first < t < second]  # nothing else either, meanwhile
        assert times["/1.jpg"][1] - times["/1.jpg"][0] > 0.25  # ten times the delay
    assert len(manifest(tmp_path / "out")) == 2


def test_a_host_that_is_busy_for_too_long_is_given_up(tmp_path):
    routes = _list_with_pictures(1) | {"/0.jpg": lambda h: reply(h, 429, b"", {"Retry-After": "86400"})}
    with serving(routes) as server:
        begun = time.monotonic()
        assert collect(site_text(server.url("/")), tmp_path / "out").returncode == 0
        assert time.monotonic() - begun < 60  # and not a day
        assert server.asked.count("/0.jpg") == 1
    (line,) = lines(tmp_path / "out" / "skipped.jsonl")
    assert line["reason"] == "busy"
    assert line["again"]


def test_a_delay_longer_than_the_run_is_said_and_not_waited_for(tmp_path):
    routes = _list_with_pictures(1) | {"/robots.txt": b"User-agent: *\nCrawl-delay: 1000000\n"}
    with serving(routes) as server:
        result = collect(site_text(server.url("/"), limits="minutes = 5"), tmp_path / "out")
        assert server.asked == ["/robots.txt"]
    assert result.returncode == 1
    assert "asks for 86,400 s between requests, longer than a run takes" in result.stderr
