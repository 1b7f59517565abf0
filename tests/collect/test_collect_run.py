"""Whole crawls of the demo gallery: what is kept, what is left alone, and what a second run does."""

import hashlib
import json

import numpy as np
import pytest
from loopback import collect, manifest

from mien.collect.demo_gallery import serving, sitter


def people(count):
    rng = np.random.RandomState(0)
    return [sitter(k, rng.randint(0, 256, (64, 64, 3)).astype(np.uint8), age=20 + k) for k in range(count)]


@pytest.mark.parametrize("name", ["cards", "register"])
def test_both_galleries_give_every_person_and_field(tmp_path, name):
    everyone = people(10)
    with serving(everyone) as gallery:
        result = collect(gallery.site(name), tmp_path / "out")
        assert result.returncode == 0, result.stderr
        asked = gallery.asked()
    records = {line["fields"]["name"]: line for line in manifest(tmp_path / "out")}
    assert len(records) == 10
    for who in everyone:
        line = records[who.name]
        assert line["fields"]["age"] == who.age
        assert line["fields"]["hair"] == who.hair
        assert line["fields"]["height_cm"] == pytest.approx(who.height * 2.54, abs=0.6)
        assert line["fields"]["weight_kg"] == pytest.approx(who.weight * 0.4536, abs=0.1)
        assert line["fields"]["seen"] == who.seen
        assert (line["licence"], line["purpose"]) == ("CC0-1.0", "trying out mien")
        assert line["source"].startswith(f"http://{gallery.host}/")
        assert line["page"].startswith("http://")
        stored = (tmp_path / "out" / line["file"]).read_bytes()
        assert stored == who.jpeg  # of the register, so, the larger of the two sizes
        digest = hashlib.sha256(stored).hexdigest()
        assert line["file"] == f"pictures/{digest[:2]}/{digest}.jpg"
        assert line["sha256"] == digest
        assert (line["width"], line["height"]) == (64, 64)
    assert asked[0] == "/robots.txt"
    assert asked.count("/robots.txt") == 1
    assert not [path for path in asked if "private" in path or "admin" in path]


def test_a_second_run_fetches_only_what_is_new(tmp_path):
    out = tmp_path / "out"
    everyone = people(10)
    with serving(everyone[:9]) as gallery:
        site, host = gallery.site("cards"), gallery.host
        assert collect(site, out).returncode == 0
        first = (out / "manifest.jsonl").read_bytes()
        gallery.requests.clear()
        second = collect(site, out)
        assert second.returncode == 0, second.stderr
        assert "0 new, 9 known" in second.stdout
        assert set(gallery.asked()) == {"/robots.txt", "/cards/", "/cards/?list=2"}
        assert (out / "manifest.jsonl").read_bytes() == first
    with serving(everyone) as gallery:  # the next day, on another port and with one more person
        result = collect(gallery.site("cards"), out)
        assert "1 new, 9 known" in result.stdout, result.stdout + result.stderr
        pictures = [path for path in gallery.asked() if path.endswith(".jpg")]
        assert pictures == ["/cards/photos/9.jpg"]
        assert gallery.host != host
    assert (out / "manifest.jsonl").read_bytes().startswith(first)
    assert len(manifest(out)) == 10


def test_pages_whose_id_is_inside_them_are_known_by_address(tmp_path):
    out = tmp_path / "out"
    with serving(people(9)) as gallery:
        assert collect(gallery.site("register"), out).returncode == 0
        gallery.requests.clear()
        second = collect(gallery.site("register"), out)
        assert "0 new, 9 known" in second.stdout, second.stdout + second.stderr
        assert set(gallery.asked()) == {"/robots.txt", "/register?page=1", "/register?page=2"}


@pytest.mark.slow
def test_the_demo_serves_its_own_gallery(tmp_path):
    import subprocess
    import sys

    command = [
        sys.executable,
        "-m",
        "mien",
        "collect",
        "demo:register",
        str(tmp_path / "out"),
        "--pictures",
        "3",
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert "3 new" in result.stdout
    assert "cap on pictures" in result.stdout
    assert len(manifest(tmp_path / "out")) == 3


def test_site_files_of_the_gallery_hold_its_fields():
    with serving(people(1)) as gallery:
        assert gallery.host in gallery.site("cards")
        assert "8765" not in gallery.site("register")


def test_who_we_are_and_what_we_do_not_tell(tmp_path):
    from loopback import item, jpeg, serving, site_text

    with serving({"/": item("a", "/a.jpg"), "/a.jpg": jpeg(1)}) as server:
        assert collect(site_text(server.url("/")), tmp_path / "out").returncode == 0
        for _, _, headers in server.log:
            assert headers["User-Agent"].startswith("mien/")
            assert "tester@example.org" in headers["User-Agent"]
            assert "Referer" not in headers
            assert "Cookie" not in headers
    assert json.loads((tmp_path / "out" / "manifest.jsonl").read_text())["record"] == "a"
