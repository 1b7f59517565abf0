"""The page of `mien curate` in a real browser: keys, clicks, undo, filters, two tabs, a killed server."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from curated import make_dataset, make_dropped, running, serving, tossed_on_disk, until, yaw
from mien.core.manifest import continuation, read_continuation
from mien.core.packed import PackReader

pytest.importorskip("fastapi", reason="the extra curate is not installed")

COUNT = 200
BY_YAW = sorted(range(COUNT), key=yaw)
HOSTILE = """<img src=x onerror="window.owned=1">"'&</script><script>window.owned=1</script>"""


@pytest.fixture
def browser(browser: Any) -> Iterator[Any]:
    """The browser, without the tabs that other tests opened."""
    yield browser
    for context in browser.contexts:
        context.close()


class Tab:
    """One tab on the page, asked as a user looks at it."""

    def __init__(self, browser: Any, address: str, *, width: int = 1280) -> None:
        self.page = browser.new_context(viewport={"width": width, "height": 800}).new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address)
        self.page.locator("#grid li").first.wait_for()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def face(self, place: int) -> Any:
        return self.page.locator("#grid .face").nth(place)

    def shown(self) -> list[int]:
        """Numbers of the faces of this page, in order."""
        script = "[...document.querySelectorAll('#grid img')].map(image => image.getAttribute('src'))"
        return [int(source.split("/")[1].split("?")[0]) for source in self.page.evaluate(script)]

    def tossed(self) -> set[int]:
        """Numbers of the faces that this page shows as tossed."""
        script = "[...document.querySelectorAll('#grid li')].map(one => one.classList.contains('tossed'))"
        return {number for number, out in zip(self.shown(), self.page.evaluate(script), strict=True) if out}

    def settle(self, tossed: set[int]) -> None:
        """Wait till just these are shown as tossed."""
        until(lambda: self.tossed() == tossed, what=f"{tossed} tossed, but {self.tossed()}")

    def lists(self, numbers: list[int]) -> None:
        until(lambda: self.shown() == numbers, what=f"{numbers[:5]}... shown, but {self.shown()[:5]}...")

    def says(self, selector: str, words: str) -> None:
        read = self.page.locator(selector).inner_text
        until(lambda: words in read(), what=f"{words!r} in {selector}, but {read()!r}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "faces.zip", count=COUNT)


@pytest.fixture
def address(path: Path) -> Iterator[str]:
    with serving(path) as found:
        yield found


def test_everything_by_keys(browser: Any, address: str, path: Path) -> None:
    tab = Tab(browser, address)
    tab.lists(list(range(60)))
    tab.says("#counter", "kept 200 of 200, tossed 0")
    tab.press("x", "ArrowRight", "ArrowRight", "Delete", "ArrowDown", "x")
    across = tab.page.evaluate(
        "new Set([...document.querySelectorAll('#grid li')].map(one => one.offsetLeft)).size"
    )
    tab.settle({0, 2, 2 + across})
    assert tossed_on_disk(path) == {0, 2, 2 + across}
    tab.says("#counter", "kept 197 of 200, tossed 3")
    tab.says("#grid li:first-child .why", "tossed by hand")
    tab.press("x")
    tab.settle({0, 2})
    tab.press("n")
    tab.lists(list(range(60, 120)))
    tab.press("x")
    tab.settle({60})
    tab.press("p", "u")
    tab.lists(list(range(60)))
    tab.press("u", "u", "Control+z")
    tab.settle({0})
    assert tossed_on_disk(path) == {0}
    tab.says("#undo", "(1)")
    tab.press("End", "ArrowRight")
    tab.lists(list(range(60, 120)))
    tab.press("ArrowLeft", "x")
    tab.settle({0, 59})
    tab.press("?")
    assert tab.page.locator("#keys").is_visible()
    tab.press("x", "Escape", "i")
    tab.says("#info", "people/059.jpg")
    tab.says("#info", "CC0-1.0")
    tab.says("#info", "curated: tossed by hand")
    tab.press("ArrowLeft")
    tab.says("#info", "people/058.jpg")
    tab.press("Escape")
    assert not tab.page.locator("#info").is_visible()
    assert tossed_on_disk(path) == {0, 59}
    assert tab.complaints == []
    origin = urlsplit(address)[:2]
    assert {urlsplit(url)[:2] for url in tab.requests} == {origin}


def test_clicks_ranges_and_all_of_a_filter(browser: Any, address: str, path: Path) -> None:
    tab = Tab(browser, address)
    tab.page.select_option("#sort", "measurements.yaw")
    tab.lists(BY_YAW[:60])
    tab.face(3).click()
    tab.settle({BY_YAW[3]})
    tab.face(6).click(modifiers=["Shift"])
    tab.settle(set(BY_YAW[3:7]))
    tab.face(5).click()
    tab.settle(set(BY_YAW[3:7]) - {BY_YAW[5]})
    tab.face(4).click(modifiers=["Shift"])
    tab.settle({BY_YAW[3], BY_YAW[6]})
    tab.page.click("#direction")
    tab.lists(BY_YAW[:-61:-1])
    tab.page.select_option("#add", "measurements.yaw")
    tab.page.fill("#conditions input >> nth=0", "50")
    tab.press("Tab")
    wanted = [number for number in BY_YAW[::-1] if yaw(number) >= 50]
    tab.lists(wanted)
    tab.page.select_option("#add", "labels.gender")
    tab.page.select_option("#conditions select", "male")
    wanted = [number for number in wanted if number % 2]
    tab.lists(wanted)
    tab.page.click("#toss-all")
    tab.says("#confirm", f"Toss all {len(wanted)} faces of this filter: yaw from 50, gender male?")
    tab.page.click("#confirm-no")
    assert tossed_on_disk(path) == {BY_YAW[3], BY_YAW[6]}
    tab.page.click("#toss-all")
    tab.page.click("#confirm-yes")
    tab.settle(set(wanted))
    assert tossed_on_disk(path) == {BY_YAW[3], BY_YAW[6], *wanted}
    tab.press("u")
    tab.settle(set())
    tab.page.click("#clear")
    tab.page.click("[data-show=tossed]")
    tab.lists([BY_YAW[6], BY_YAW[3]])
    tab.face(0).click()
    tab.settle({BY_YAW[3]})
    tab.lists([BY_YAW[6], BY_YAW[3]])
    tab.page.click("#update")
    tab.lists([BY_YAW[3]])
    assert tab.complaints == []


def test_a_reload_changes_nothing(browser: Any, address: str, path: Path) -> None:
    tab = Tab(browser, address)
    tab.page.select_option("#sort", "measurements.yaw")
    tab.press("/")
    tab.page.keyboard.type("people/0")
    wanted = [number for number in BY_YAW if number < 100]
    tab.lists(wanted[:60])
    tab.press("Escape", "x", "n")
    tab.lists(wanted[60:])
    tab.press("x")
    tab.settle({wanted[60]})
    tab.page.reload()
    tab.lists(wanted[60:])
    tab.settle({wanted[60]})
    assert tab.page.input_value("#search") == "people/0"
    assert tab.page.input_value("#sort") == "measurements.yaw"
    tab.press("u", "u")
    tab.settle(set())
    until(lambda: tossed_on_disk(path) == set(), what="both undone")
    tab.page.evaluate("location.hash = '%7B%22sort%22:%22nothing%22'")
    tab.page.reload()
    tab.lists(list(range(60)))


def test_two_tabs_show_the_same(browser: Any, address: str, path: Path) -> None:
    one, two = Tab(browser, address), Tab(browser, address)
    one.press("x")
    one.settle({0})
    two.page.evaluate("window.dispatchEvent(new Event('focus'))")
    two.settle({0})
    two.says("#counter", "tossed 1")
    two.press("u")
    two.settle(set())
    one.page.evaluate("window.dispatchEvent(new Event('focus'))")
    one.settle(set())
    assert [line["verdict"] for line in read_continuation(path)] == ["dropped", "kept"]


def test_what_was_not_saved_is_not_shown_as_done(browser: Any, address: str, path: Path) -> None:
    continuation(path).mkdir()
    tab = Tab(browser, address)
    tab.press("x")
    tab.says("#trouble", "Not saved: ")
    assert tab.tossed() == set()
    assert tab.page.locator(".saving").count() == 0
    continuation(path).rmdir()
    tab.press("x")
    tab.settle({0})
    assert not tab.page.locator("#trouble").is_visible()
    assert tossed_on_disk(path) == {0}


def test_a_late_undo_moves_nobody_who_went_on(browser: Any, address: str) -> None:
    tab = Tab(browser, address)
    tab.face(9).click()
    tab.settle({9})
    held: list[Any] = []
    tab.page.route("**/undo", lambda route: held.append(route))
    tab.press("u", "Home")
    until(lambda: tab.page.wait_for_timeout(20) or held, what="the undo is sent")
    held[0].continue_()
    tab.settle(set())
    tab.press("x")
    tab.settle({0})


@pytest.mark.slow
def test_that_a_verdict_was_not_saved_stays_said(browser: Any, address: str) -> None:
    tab = Tab(browser, address)
    polled: list[Any] = []
    tab.page.route("**/verdicts", lambda route: route.abort())
    tab.page.route("**/state*", lambda route: (polled.append(route), route.abort()))
    tab.face(3).click()
    tab.says("#trouble", "Not saved: ")
    until(lambda: tab.page.wait_for_timeout(20) or polled, what="the page asks again")
    tab.page.wait_for_timeout(100)
    assert "Not saved: " in tab.page.locator("#trouble").inner_text()
    tab.page.unroute("**/verdicts")
    tab.face(3).click()
    tab.settle({3})
    assert not tab.page.locator("#trouble").is_visible()


@pytest.mark.slow
def test_a_kill_loses_no_verdict_that_was_shown(browser: Any, path: Path) -> None:
    with running(path) as (process, address):
        tab = Tab(browser, address)
        tab.face(9).click()
        tab.settle({9})
        tab.press("u", "Home")
        tab.settle(set())
        # The page kills the server itself, so to speak: in the middle of a burst of keys.
        for _ in range(15):
            tab.press("x", "ArrowRight")
        until(lambda: len(tab.tossed()) >= 5, what="five of the burst answered")
        for _ in range(15):
            tab.press("x", "ArrowRight")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        tab.says("#trouble", "does not answer")
        until(lambda: tab.page.locator(".saving").count() == 0, what="all requests ended")
        shown, saved = tab.tossed(), tossed_on_disk(path)
        assert len(shown) >= 5
        assert shown <= saved <= set(range(30))
        tab.press("End", "x")
        tab.says("#trouble", "Not saved: ")
        assert tab.tossed() == shown
    with running(path) as (_, address):
        again = Tab(browser, address)
        again.settle(saved)
        again.says("#counter", f"kept {COUNT - len(saved)} of {COUNT}, tossed {len(saved)}")
        again.press("End", "x")
        again.settle(saved | {59})
    assert tossed_on_disk(path) == saved | {59}
    assert len(PackReader(path)) == COUNT - len(saved) - 1


def test_hostile_names_do_nothing(browser: Any, tmp_path: Path) -> None:
    record = {
        "source": HOSTILE,
        "verdict": "dropped",
        "reason": HOSTILE,
        "detail": HOSTILE,
        "labels": {HOSTILE: HOSTILE},
        "predictions": {"x": {HOSTILE: 1}},
        "licence": HOSTILE,
        HOSTILE: [HOSTILE],
    }
    path = make_dataset(tmp_path / "<i>faces&.zip", count=3, record=record)
    with open(continuation(path), "a") as file:
        file.write(json.dumps({"file": None, "source": HOSTILE, "reason": HOSTILE, "detail": HOSTILE}) + "\n")
    with serving(path) as address:
        tab = Tab(browser, address)
        assert tab.page.locator("h1").inner_text() == "<i>faces&.zip"
        assert HOSTILE in tab.face(0).get_attribute("title")
        tab.press("i")
        tab.says("#info", HOSTILE)
        tab.page.select_option("#add", f"labels.{HOSTILE}")
        tab.says("#found", HOSTILE)
        tab.page.click("#toss-all")
        tab.says("#confirm", HOSTILE)
        tab.page.click("#confirm-no")
        tab.page.click("#tab-inputs")
        tab.says("#inputs-grid", HOSTILE)
        assert tab.page.evaluate("window.owned") is None
        assert tab.page.evaluate("document.scripts.length") == 1
        assert tab.page.locator("img[src=x]").count() == 0
        assert tab.complaints == []


def test_a_smuggled_script_is_stopped(browser: Any, address: str) -> None:
    tab = Tab(browser, address)
    smuggled = "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"owned=1\">')"
    with tab.page.expect_console_message(lambda message: "Content Security Policy" in message.text):
        tab.page.evaluate(smuggled)
    assert tab.page.evaluate("window.owned") is None


def test_dropped_inputs_are_listed_and_searched(browser: Any, address: str, path: Path) -> None:
    tab = Tab(browser, address)
    tab.says("#tab-inputs", "(3)")
    tab.page.click("#tab-inputs")
    tab.says("#inputs-grid", "no-face")
    assert tab.page.locator("#inputs-grid li").count() == 3
    tab.page.fill("#inputs-search", "soft")
    tab.says("#inputs-found", "1 file")
    tab.says("#inputs-grid", "people/\nblurred.jpg")
    tab.page.locator("#inputs-grid .face").click()
    tab.says("#notice", "no crop of it is there")
    assert not continuation(path).exists()
    tab.page.click("#tab-faces")
    tab.press("ArrowRight", "x")
    tab.settle({0})


@pytest.mark.parametrize("width", [1280, 390])
def test_dropped_faces_are_pictures_and_come_back(browser: Any, tmp_path: Path, width: int) -> None:
    path = make_dropped(tmp_path)
    with serving(path) as address:
        tab = Tab(browser, address, width=width)
        tab.says("#tab-inputs", "(5)")
        tab.page.click("#tab-inputs")
        until(lambda: tab.page.locator("#inputs-grid img").count() == 5, what="five pictures")
        first = tab.page.locator("#inputs-grid .face").first
        first.click()
        tab.says("#inputs-grid li:first-child .why", "restored")
        assert len(PackReader(path)) == 7
        tab.says("#counter", "kept 7 of 7")
        tab.press("ArrowRight", "r")
        tab.says("#inputs-grid li:nth-child(2) .why", "restored")
        tab.press("x")
        tab.says("#inputs-grid li:nth-child(2) .why", "blurred")
        tab.press("u")
        tab.says("#inputs-grid li:nth-child(2) .why", "restored")
        tab.page.select_option("#inputs-reason", "=duplicate")
        tab.says("#inputs-found", "2 files")
        tab.page.click("#inputs-all")
        tab.says("#confirm", "Restore 2 dropped faces?")
        tab.page.click("#confirm-yes")
        tab.says("#counter", "kept 10 of 10")
        assert len(PackReader(path)) == 10
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
        tab.page.click("#tab-faces")
        tab.lists(list(range(10)))
        assert tab.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_of_doubles_a_key_takes_the_other(browser: Any, tmp_path: Path, width: int) -> None:
    path = make_dropped(tmp_path)
    with serving(path) as address:
        tab = Tab(browser, address, width=width)
        tab.page.click("#tab-pairs")
        until(lambda: tab.page.locator("#pairs-list .pair").count() == 2, what="two pairs")
        shown = lambda: tab.page.locator("#pairs-list .side:not(.tossed) .source").all_inner_texts()  # noqa: E731
        assert [text.split() for text in shown()] == [["kept/", "0.jpg"], ["kept/", "1.jpg"]]
        tab.press("ArrowRight", "ArrowDown", "s")
        until(lambda: shown()[1].split() == ["again/", "1.jpg"], what="the other one")
        assert [record["source"] for record in PackReader(path).records][-1] == "again/1.jpg"
        tab.press("s")
        until(lambda: shown()[1].split() == ["kept/", "1.jpg"], what="back")
        tab.press("u")
        until(lambda: shown()[1].split() == ["again/", "1.jpg"], what="undone")
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
        sides = tab.page.locator("#pairs-list .side")
        boxes = [sides.nth(at).bounding_box() for at in (0, 1)]
        assert boxes[0]["y"] == boxes[1]["y"], "side by side"
        assert tab.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 400, 390])
def test_it_fits(browser: Any, address: str, width: int) -> None:
    tab = Tab(browser, address, width=width)
    with tab.page.expect_response(lambda response: "/faces?" in response.url):  # the grid is made anew then
        tab.page.select_option("#add", "measurements.yaw")
    tab.page.evaluate("new Promise(done => setTimeout(() => requestAnimationFrame(done), 50))")
    tab.face(0).click()
    tab.settle({0})
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.page.evaluate("[...document.images].slice(0, 6).every(one => one.naturalWidth === 16)")
