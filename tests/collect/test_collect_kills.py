"""kill -9, twenty times: the set is that of a run that nobody killed; hardly a picture is fetched twice."""

import os
import random
import signal
import time

import pytest
from loopback import Crawl, collect, item, jpeg, manifest, serving, site_text

from mien.collect.collect import collect as collect_here
from mien.core.errors import InputError

KILLS = 20
PEOPLE = 50


def _kill_after(crawl, server, num_requests):
    """Kill it a moment after it has asked so many times more; its exit code."""
    before, deadline = len(server.log), time.monotonic() + 60
    while len(server.log) - before < num_requests and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(random.random() * 0.03)
    os.kill(crawl.pid, signal.SIGKILL)
    return crawl.wait().returncode


def _content(out):
    return {(line["record"], line["sha256"], line["fields"]["name"], line["file"]) for line in manifest(out)}


@pytest.mark.slow
def test_twenty_kills_change_nothing(tmp_path):
    random.seed(3)
    routes = {"/": "".join(item(f"r{k}", f"/{k}.jpg") for k in range(PEOPLE))}
    routes |= {f"/{k}.jpg": jpeg(k) for k in range(PEOPLE)}
    with serving(routes) as server:
        site = site_text(server.url("/"), delay=0.03)
        assert collect(site, tmp_path / "whole").returncode == 0
        server.log.clear()
        out = tmp_path / "killed"
        for _ in range(KILLS):
            crawl = Crawl(site, out, "--allow-host", "127.0.0.1")
            assert _kill_after(crawl, server, 3 + random.randrange(3)) == -signal.SIGKILL
        last = collect(site, out)
        assert last.returncode == 0, last.stderr
        pictures = [path for path in server.asked if path.endswith(".jpg")]
    assert _content(out) == _content(tmp_path / "whole")
    assert len(manifest(out)) == PEOPLE  # each record once
    kept = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.glob("pictures/*/*")}
    assert kept == {line["file"]: (out / line["file"]).read_bytes() for line in manifest(out)}
    assert {path.name for path in out.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}
    twice = len(pictures) - PEOPLE
    assert 0 < twice <= KILLS  # a kill costs one picture at most, and some did


def test_a_line_that_a_kill_cut_short_is_dropped_and_its_picture_fetched_again(tmp_path):
    out = tmp_path / "out"
    routes = {"/": item("a", "/a.jpg") + item("b", "/b.jpg"), "/a.jpg": jpeg(1), "/b.jpg": jpeg(2)}
    with serving(routes) as server:
        site = site_text(server.url("/"))
        assert collect(site, out).returncode == 0
        whole = (out / "manifest.jsonl").read_bytes()
        (out / "manifest.jsonl").write_bytes(whole[:-20])
        (out / "pictures" / "ab").mkdir(exist_ok=True)
        (out / "pictures" / "ab" / ".tmp-mien-left.jpg").write_bytes(b"half")
        server.log.clear()
        assert collect(site, out).returncode == 0
        assert [path for path in server.asked if path.endswith(".jpg")] == ["/b.jpg"]
    assert {line["record"] for line in manifest(out)} == {"a", "b"}
    assert not (out / "pictures" / "ab" / ".tmp-mien-left.jpg").exists()


def test_ctrl_c_ends_gently_and_a_second_run_goes_on(tmp_path):
    routes = {"/": "".join(item(f"r{k}", f"/{k}.jpg") for k in range(30))}
    routes |= {f"/{k}.jpg": jpeg(k) for k in range(30)}
    with serving(routes) as server:
        site, out = site_text(server.url("/"), delay=0.2), tmp_path / "out"
        crawl = Crawl(site, out, "--allow-host", "127.0.0.1")
        while len(server.log) < 5:
            time.sleep(0.01)
        with pytest.raises(InputError, match=f"in use by process {crawl.pid}"):  # nobody else may write there
            collect_here(str(out.with_name("out.toml")), out).run()
        os.kill(crawl.pid, signal.SIGINT)
        result = crawl.wait()
    assert result.returncode == 130
    assert result.stderr == "stopped\n"
    assert "stopped as asked" in result.stdout
    assert "goes on from here" in result.stdout
    assert 1 <= len(manifest(out)) < 30


def test_a_full_disk_is_told_and_what_is_there_stays_whole(tmp_path):
    """A limit on the size of files stands for the disk: the manifest meets it first."""
    routes = {"/": "".join(item(f"r{k}", f"/{k}.jpg") for k in range(30))}
    routes |= {f"/{k}.jpg": jpeg(k) for k in range(30)}
    with serving(routes) as server:
        site, out = site_text(server.url("/"), delay=0.0), tmp_path / "out"
        crawl = Crawl(site, out, "--allow-host", "127.0.0.1", max_file=6000)
        result = crawl.wait()
        assert result.returncode == 1
        assert "manifest.jsonl: no space left on disk" in result.stderr
        assert 0 < (out / "manifest.jsonl").read_bytes().count(b"\n") < 30
        assert collect(site, out).returncode == 0
    assert {line["record"] for line in manifest(out)} == {f"r{k}" for k in range(30)}
