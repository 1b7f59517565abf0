"""The folder that a crawl fills, without a crawl."""

import os
import resource

import pytest
from loopback import jpeg, lines, site_text

from mien.collect.addresses import Refused
from mien.collect.extract import PageRecord
from mien.collect.site import parse_site
from mien.collect.store import Lines, PictureTask, Store
from mien.core.errors import InputError, MienError
from mien.core.picture import BadPicture

SITE = parse_site(site_text("https://example.org/"), "test")
OTHER = parse_site(site_text("https://example.org/").replace('name = "test"', 'name = "other"'), "test")


def picture_task(record, *pictures, number=1, **fields):
    addresses = tuple(f"https://example.org/{name}" for name in pictures or (f"{record}.jpg",))
    return PictureTask(PageRecord(record, f"https://example.org/{record}", addresses, fields), number)


def test_a_record_is_done_when_all_its_pictures_are(tmp_path):
    with Store.opened(tmp_path, SITE) as store:
        store.add(picture_task("a", "1.jpg", "2.jpg"), jpeg(1))
        assert store.has("a", 1)
        assert not store.is_done("a")
        assert not store.is_done_page("https://example.org/a")
    with Store.opened(tmp_path, SITE) as store:  # after a kill, say
        assert not store.is_done("a")
        store.add(picture_task("a", "1.jpg", "2.jpg", number=2), jpeg(2))
        assert store.is_done("a")
        assert store.is_done_page("https://example.org/a")
    with Store.opened(tmp_path, SITE) as store:
        assert store.is_done("a")
        assert store.total == 2
    assert [(line["number"], line["of"]) for line in lines(tmp_path / "manifest.jsonl")] == [(1, 2), (2, 2)]


def test_one_picture_of_two_records_is_one_file_and_two_lines(tmp_path):
    with Store.opened(tmp_path, SITE) as store:
        store.add(picture_task("a", name="A"), jpeg(1))
        store.add(picture_task("b", name="B"), jpeg(1))
        assert (store.new, store.same) == (2, 1)
    first, second = lines(tmp_path / "manifest.jsonl")
    assert first["file"] == second["file"]
    assert "same_as" not in first
    assert second["same_as"] == "a"
    assert second["fields"] == {"name": "B"}
    assert len(list(tmp_path.glob("pictures/*/*"))) == 1


def test_two_sites_share_a_folder_and_know_nothing_of_each_others_records(tmp_path):
    with Store.opened(tmp_path, SITE) as store:
        store.add(picture_task("a"), jpeg(1))
    with Store.opened(tmp_path, OTHER) as store:
        assert not store.is_done("a")
        store.add(picture_task("a"), jpeg(2))
        assert store.total == 1


def test_refused_for_good_is_remembered_and_for_now_is_not(tmp_path):
    with Store.opened(tmp_path, SITE) as store:
        store.skip("picture", "https://example.org/a.jpg", Refused("empty", "it is"), task=picture_task("a"))
        store.skip(
            "picture",
            "https://example.org/b.jpg",
            Refused("timeout", "it was", again=True),
            task=picture_task("b"),
        )
        assert store.is_done("a")
        assert not store.is_done("b")
    with Store.opened(tmp_path, SITE) as store:
        assert store.is_done("a")
        assert not store.is_done("b")
        assert store.total == 0
        store.skip(
            "picture",
            "https://example.org/b.jpg",
            Refused("timeout", "it was", again=True),
            task=picture_task("b"),
        )
    with Store.opened(tmp_path, SITE, again=True) as store:
        assert not store.is_done("a")
    assert len(lines(tmp_path / "skipped.jsonl")) == 2  # the same again is not said again


def test_what_is_no_picture_to_keep_leaves_nothing(tmp_path):
    with Store.opened(tmp_path, SITE) as store:
        for data, reason in (
            (b"<html>", "not-a-picture"),
            (jpeg(1)[:-300], "truncated"),
            (jpeg(1, 24), "too-small"),
        ):
            with pytest.raises((BadPicture, Refused)) as error:
                store.add(picture_task("a"), data)
            assert error.value.reason == reason
    assert not list(tmp_path.glob("pictures/*"))
    assert not (tmp_path / "manifest.jsonl").read_bytes()


def test_a_cut_line_is_dropped_and_a_damaged_one_is_passed_over(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a":1}\n{"b"\n\xff\n[1]\n{"c":3}\n{"d":')
    with Lines(path) as file:
        assert list(file.read()) == [{"a": 1}, {"c": 3}]
        file.append({"e": 5})
    assert path.read_bytes().endswith(b'{"c":3}\n{"e":5}\n')


def test_a_line_that_does_not_fit_on_the_disk_is_said_and_the_whole_ones_stay(tmp_path):
    path = tmp_path / "x.jsonl"
    with Lines(path) as file:
        file.append({"a": 1})
        whole = path.read_bytes()
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 4, before[1]))
        try:
            for _ in range(2):  # the first is written in part, of the second there is nothing
                with pytest.raises(MienError, match=r"x\.jsonl: no space left on disk"):
                    file.append({"b": "more than there is room for"})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == whole + b'{"b"'
    with Lines(path) as file:
        assert list(file.read()) == [{"a": 1}]
    assert path.read_bytes() == whole


def test_lists_that_cannot_be_opened_are_named(tmp_path):
    (tmp_path / "manifest.jsonl").mkdir()
    with pytest.raises(MienError, match=r"manifest\.jsonl: cannot write there \(Is a directory\)"):
        Store.opened(tmp_path, SITE).__enter__()


def test_what_could_not_be_read_of_a_field_stands_beside_the_fields(tmp_path):
    task = picture_task("a", age=30)
    unread = PageRecord("b", "https://example.org/b", task.record.pictures, {"age": None}, {"height": "tall"})
    with Store.opened(tmp_path, SITE) as store:
        store.add(task, jpeg(1))
        store.add(PictureTask(unread, 1), jpeg(2))
    first, second = lines(tmp_path / "manifest.jsonl")
    assert "unread" not in first
    assert (second["fields"], second["unread"]) == ({"age": None}, {"height": "tall"})


def test_a_folder_is_for_one_process_at_a_time_and_must_be_writable(tmp_path):
    with (
        Store.opened(tmp_path / "out", SITE),
        pytest.raises(InputError, match=f"use by process {os.getpid()}"),
    ):
        Store.opened(tmp_path / "out", SITE).__enter__()
    (tmp_path / "file").write_text("x")
    with pytest.raises(MienError, match="cannot write"):
        Store.opened(tmp_path / "file", SITE).__enter__()


def test_a_picture_of_many_records_is_a_placeholder_and_asked_for_again(tmp_path):
    with Store.opened(tmp_path, SITE) as store:
        for number in range(4):
            store.add(picture_task(f"r{number}"), jpeg(1))
    with Store.opened(tmp_path, SITE) as store:
        assert store.is_done("r0"), "four may share one: twins, pages told twice"
        store.add(picture_task("r4"), jpeg(1))
        with pytest.raises(Refused, match="very same picture") as caught:
            store.add(picture_task("last"), jpeg(1))
        assert (caught.value.reason, caught.value.again) == ("placeholder", True)
    with Store.opened(tmp_path, SITE) as store:
        assert not any(store.is_done(f"r{number}") for number in range(5))
        assert store.total == 0
        with pytest.raises(Refused):
            store.reuse(picture_task("r9", "r0.jpg"))
        for number in range(5):
            store.add(picture_task(f"r{number}", f"real{number}.jpg"), jpeg(10 + number))
        assert store.total == 5
    with Store.opened(tmp_path, SITE) as store:
        assert all(store.is_done(f"r{number}") for number in range(5))
    with Store.opened(tmp_path, SITE.model_copy(update={"name": "other"})) as store:
        store.add(picture_task("r0"), jpeg(1))  # another site's records are not counted


def test_who_is_shown_is_the_record_a_field_or_nobody(tmp_path):
    for rule, expected in (("record", "test/a"), ("none", ""), ("name", "test/Ann"), ("born", None)):
        site = site_text("https://example.org/").replace("[record]", f"[record]\nperson = '{rule}'")
        if expected is None:
            with pytest.raises(InputError, match=r"record\.person is 'born'; give one of record, none, name"):
                parse_site(site, "test")
            continue
        with Store.opened(tmp_path / rule, parse_site(site, "test")) as store:
            store.add(picture_task("a", name="Ann"), jpeg(1))
        assert lines(tmp_path / rule / "manifest.jsonl")[0]["person"] == expected


def test_what_is_no_longer_so_is_no_longer_said(tmp_path):
    page, gone = "https://example.org/a", "https://example.org/gone.jpg"
    timeout = Refused("timeout", "it was", again=True)
    with Store.opened(tmp_path, SITE) as store:
        store.skip("page", page, timeout)
        store.skip("record", "https://example.org/list", Refused("no-id", "none", again=True), page="l")
        store.skip("picture", "https://example.org/b.jpg", timeout, task=picture_task("b"))
        store.skip("picture", gone, Refused("status-404", "gone"), task=picture_task("c"))
    with Store.opened(tmp_path, OTHER) as store:
        store.skip("page", page, timeout)
    assert len(lines(tmp_path / "skipped.jsonl")) == 5
    with Store.opened(tmp_path, SITE) as store:
        store.was_read(page)
        store.was_read("https://example.org/list")
        store.skip("record", "https://example.org/list", Refused("no-picture", "none", again=True), page="l")
        store.skip(
            "picture",
            "https://example.org/new-b.jpg",
            Refused("busy", "it was", again=True),
            task=picture_task("b"),
        )
    told = [(line["site"], line["kind"], line["reason"]) for line in lines(tmp_path / "skipped.jsonl")]
    assert sorted(told) == [
        ("other", "page", "timeout"),
        ("test", "picture", "busy"),
        ("test", "picture", "status-404"),
        ("test", "record", "no-picture"),
    ]
    with Store.opened(tmp_path, SITE) as store:
        store.add(picture_task("b"), jpeg(2))
        assert store.is_done("c"), "what is gone for good is still known"
    assert "busy" not in (tmp_path / "skipped.jsonl").read_text()
    with Store.opened(tmp_path, SITE, again=True) as store:
        store.add(picture_task("c"), jpeg(3))
    assert [line["site"] for line in lines(tmp_path / "skipped.jsonl")][-1:] != ["status-404"]
    assert "status-404" not in (tmp_path / "skipped.jsonl").read_text()


def test_what_is_skipped_does_not_wait_for_the_disk_one_by_one(tmp_path, monkeypatch):
    """A site map may name 50,000 pages of others, and a disk takes 2 to 20 ms to be sure of a line."""
    waits = []
    monkeypatch.setattr(os, "fsync", waits.append)
    with Store.opened(tmp_path, SITE) as store:
        for number in range(100):
            store.skip("page", f"https://example.org/{number}", Refused("off-site", "elsewhere"))
        assert len(lines(tmp_path / "skipped.jsonl")) == 100  # a kill loses none of them
        assert waits == []
    assert len(lines(tmp_path / "skipped.jsonl")) == 100
