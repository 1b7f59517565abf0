"""Whole crawls of sites as they are: sitemaps, lazy pictures behind a placeholder, a wall of cookies."""

import gzip

import pytest
from loopback import collect, jpeg, lines, manifest, serving, site_text

WALL = "<h1>Privacy</h1><p>We use cookies. Please accept them to go on.</p>"


def locs(*addresses, kind="urlset", entry="url"):
    inner = "".join(f"<{entry}><loc>{address}</loc></{entry}>" for address in addresses)
    return (
        f"<?xml version='1.0'?><{kind} xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>{inner}</{kind}>"
    )


def test_a_sitemap_leads_to_the_pages_of_records(tmp_path):
    with serving({}) as server:
        people = [server.url(f"/people/{number}") for number in range(3)]
        server.routes |= {
            "/sitemap.xml": locs(server.url("/a.xml.gz"), kind="sitemapindex", entry="sitemap"),
            "/a.xml.gz": gzip.compress(locs(*people, server.url("/about")).encode()),
        }
        for number in range(3):
            server.routes[f"/people/{number}"] = (
                f"<h1 id=p{number}></h1><b>N{number}</b><img src=/{number}.jpg>"
            )
            server.routes[f"/{number}.jpg"] = jpeg(number)
        site = site_text(server.url("/sitemap.xml"), each="", pages="sitemap = '/people/'")
        site = site.replace('id = { attr = "id" }', "id = { address = '/people/([0-9]+)' }")
        done = collect(site, tmp_path / "out")
        assert done.returncode == 0, done.stderr
        assert [line["record"] for line in manifest(tmp_path / "out")] == ["0", "1", "2"]
        assert "/about" not in server.asked
        assert not (tmp_path / "out" / "skipped.jsonl").read_text()
        again = collect(site, tmp_path / "out")
        assert "0 new, 3 known" in again.stdout


def test_placeholders_are_recognised_and_asked_again_when_the_rule_is_mended(tmp_path):
    out = tmp_path / "out"
    with serving({"/blank.jpg": jpeg(99), "/dot.jpg": jpeg(99, size=16)}) as server:
        items = "".join(
            f"<li id=r{number}><b>n</b><img src=/blank.jpg title=/{number}.jpg></li>" for number in range(7)
        )
        items += "<li id=r7><b>n</b><img src=/dot.jpg title=/7.jpg></li>"
        server.routes["/"] = items
        server.routes |= {f"/{number}.jpg": jpeg(number) for number in range(8)}
        site = site_text(server.url("/"))
        first = collect(site, out)
        assert first.returncode == 0, first.stderr
        assert "skipped 2: placeholder" in first.stdout
        assert "skipped 1: too-small" in first.stdout
        mended = site.replace('picture = "img"', 'picture = { css = "img", attr = "title" }')
        second = collect(mended, out)
        assert second.returncode == 0, second.stderr
        files = {line["record"]: line["source"] for line in manifest(out)}
        assert files == {f"r{number}": server.url(f"/{number}.jpg") for number in range(8)}
        assert lines(out / "skipped.jsonl") == []


@pytest.mark.slow
def test_a_wall_of_cookies_is_named(tmp_path):
    with serving({"/": WALL}) as server:
        done = collect(site_text(server.url("/")), tmp_path / "out")
        assert done.returncode == 2
        assert "consent to cookies" in done.stderr
        assert [line["reason"] for line in lines(tmp_path / "out" / "skipped.jsonl")] == ["cookie-wall"]
