"""The slider page in a real browser: sliders, undo, keep, photos, drags, two tabs, a killed server."""

import json
import os
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from editing import NAMES, editor_of, model_with_directions, photo, running, serving
from projecting import without_artefacts

from curated import until
from mien.cli import main
from mien.core.manifest import read_continuation
from mien.core.picture import read_picture
from mien.latent.editing.editor import Edit, Editor

pytest.importorskip("fastapi", reason="the extra curate is not installed")

MOVE = """async ([name, amount, commit]) => {
  const input = [...document.querySelectorAll('#sliders input')].find(one => one.ariaLabel === name);
  input.value = amount;
  const begun = performance.now();
  input.dispatchEvent(new Event('input'));
  const image = document.querySelector('#picture');
  while (JSON.parse(image.dataset.edit ?? '{"set":{}}').set[name] !== Number(input.value)) {
    await new Promise(resolve => setTimeout(resolve, 1));
    if (performance.now() - begun > 30000) throw new Error('never shown');
  }
  const taken = performance.now() - begun;
  if (commit) input.dispatchEvent(new Event('change'));
  return taken;
}"""
PIXELS = """async () => {
  const image = document.querySelector('#picture');
  await image.decode();
  const canvas = document.createElement('canvas');
  Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });
  canvas.getContext('2d').drawImage(image, 0, 0);
  return [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data];
}"""


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    without_artefacts(monkeypatch)


@pytest.fixture
def browser(browser: Any) -> Iterator[Any]:
    """The browser, without the tabs that other tests opened."""
    yield browser
    for context in browser.contexts:
        context.close()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return model_with_directions(tmp_path / "model")


@pytest.fixture
def editor(model: Path, tmp_path: Path) -> Editor:
    return editor_of(model, tmp_path / "out")


class Tab:
    """One tab on the page; nothing may complain and nothing outside be asked."""

    def __init__(self, browser: Any, address: str, *, width: int = 1280) -> None:
        self.page = browser.new_context(viewport={"width": width, "height": 850}).new_page()
        self.address = address
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._check)
        self.page.goto(address)
        self.ready()

    def _check(self, request: Any) -> None:
        if not request.url.startswith((self.address, f"blob:{self.address.split('/secret')[0]}")):
            self.complaints.append(f"asked for {request.url}")

    def ready(self) -> None:
        self.page.locator("body[data-ready]").wait_for()

    def move(self, name: str, amount: float, *, commit: bool = True) -> float:
        return float(self.page.evaluate(MOVE, [name, amount, commit]))

    def press(self, words: str) -> None:
        self.page.get_by_role("button", name=words, exact=True).click()

    def shows(self, edit: Edit) -> None:
        """Wait till the picture is that of an edit."""

        def same() -> bool:
            shown = self.shown()
            return shown is not None and _plain(json.loads(shown)) == _plain(edit.model_dump(mode="json"))

        until(same, what=f"{edit} shown, but {self.shown()}")

    def shown(self) -> str | None:
        found: str | None = self.page.evaluate("document.querySelector('#picture').dataset.edit ?? null")
        return found

    def pixels(self) -> np.ndarray:
        data = np.array(self.page.evaluate(PIXELS), np.uint8)
        side = int((len(data) / 4) ** 0.5)
        return data.reshape(side, side, 4)[..., :3]

    def says(self, selector: str, words: str) -> None:
        read = self.page.locator(selector).inner_text
        until(lambda: words in read(), what=f"{words!r} in {selector}, but {read()!r}")

    def drop(self, path: Path) -> None:
        self.page.set_input_files("#file", str(path))


def _plain(edit: dict[str, Any]) -> dict[str, Any]:
    return edit | {"set": {name: amount for name, amount in edit["set"].items() if amount}}


@pytest.mark.slow
def test_two_hundred_moves_of_the_sliders(browser: Any, editor: Editor) -> None:
    rng = np.random.default_rng(0)
    with serving(editor) as address:
        tab = Tab(browser, address)
        expected: dict[str, float] = {}
        taken = []
        for count in range(200):
            name = NAMES[count % len(NAMES)]
            expected[name] = round(float(rng.integers(-60, 61)) / 20, 2) or 0.05
            taken.append(tab.move(name, expected[name], commit=count % 20 == 19))
        edit = Edit(face="0", set=expected)
        tab.shows(edit)
        assert np.array_equal(tab.pixels(), editor.pixels(edit))
        p50, p95 = np.percentile(taken, (50, 95))
        print(f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, load {os.getloadavg()[0]:.1f}")
        assert np.median(taken) < 1500  # the figure of a quiet machine is in docs/latent.md
        tab.says("#sliders li:nth-child(1)", "a unit also moves yaw +0.31, age −0.12")
        tab.says("#sliders li:nth-child(2)", "moves nothing else that is measured")
        tab.says("#sliders li:nth-child(3)", "a <b>age</b>")
        tab.says("#sliders li:nth-child(3)", "not measured")
        assert tab.complaints == []


def test_a_way_through_the_page(
    browser: Any, editor: Editor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Undo, before, layers, keep; the command draws what the page shows."""
    with serving(editor) as address:
        tab = Tab(browser, address)
        tab.page.locator("#faces li[data-face='3'] .pick").click()
        tab.shows(Edit(face="3"))
        tab.move("smile", 1.5)
        tab.move("yaw", -2)
        tab.press("Undo")
        tab.shows(Edit(face="3", set={"smile": 1.5}))
        tab.move("smile", 2.5, commit=False)
        tab.says("#sliders li:nth-child(1)", "beyond +2 faces begin to break")
        tab.move("smile", 1.5)
        until(lambda: "break" not in tab.page.inner_text("#sliders"), what="the words to go")
        tab.page.keyboard.press("b", delay=0)
        tab.page.keyboard.down("b")
        tab.shows(Edit(face="3"))
        tab.page.keyboard.up("b")
        tab.shows(Edit(face="3", set={"smile": 1.5}))
        tab.page.select_option("#last", "2")
        edit = Edit(face="3", set={"smile": 1.5}, layers=(0, 2))
        tab.shows(edit)
        tab.says("#moves", "smile +1.5, yaw +0.5")
        until(lambda: "--layers 0-2" in tab.page.input_value("#command"), what="the command")
        tab.page.keyboard.press("k")
        tab.says("#kept", "0001.png")
        assert [one["file"] for one in read_continuation(editor.kept_folder)] == ["0001.png"]
        monkeypatch.chdir(tmp_path)
        assert main(shlex.split(tab.page.input_value("#command"))[1:]) == 0
        drawn = read_picture(tmp_path / "edited" / "seed0003-edited.png")
        assert np.array_equal(drawn, tab.pixels())
        assert tab.complaints == []


@pytest.mark.slow
def test_two_tabs_a_reload_and_a_strip(browser: Any, editor: Editor) -> None:
    edit = Edit(face="3", set={"smile": 1.5}, layers=(0, 2))
    editor.keep(edit)
    with serving(editor) as address:
        tab, other = Tab(browser, address), Tab(browser, address, width=390)
        tab.page.locator("#kept-list .pick").click()
        tab.shows(edit)
        tab.press("Reset")
        tab.shows(Edit(face="3"))
        tab.press("Keep")
        other.says("#kept", "0002.png")
        other.page.locator("#kept-list .pick").first.click()
        other.shows(edit)
        other.page.get_by_label("Keep 0001.png no longer").click()
        until(lambda: "0001.png" not in tab.page.locator("#kept").inner_text(), what="one given up")
        tab.page.reload()
        tab.ready()
        tab.shows(Edit(face="3"))
        tab.page.keyboard.press("u")
        tab.shows(edit)
        tab.page.locator("#sliders li:nth-child(1) button").click()
        tab.page.locator("#shown-picture").wait_for()
        with tab.page.expect_download() as download:
            tab.page.locator("#download").click()
        assert download.value.suggested_filename == "strip-3-smile.png"
        strip = read_picture(download.value.path().read_bytes())
        assert strip.shape[0] == 128 + 12  # the faces, and a bar where they break
        assert strip.shape[1] > 7 * 128
        assert other.page.evaluate("document.documentElement.scrollWidth") == 390
        tab.page.set_viewport_size({"width": 1280, "height": 620})  # lower than the face and its buttons are
        tab.page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        face, *others = (tab.page.locator(part).bounding_box() for part in ("#face", "#sliders", "#wall"))
        assert face is not None
        assert all(box is not None and box["x"] >= face["x"] + face["width"] for box in others)
        assert tab.complaints + other.complaints == []


@pytest.mark.slow
def test_photos(browser: Any, editor: Editor, tmp_path: Path) -> None:
    """Two faces: one is chosen; it is found live and is a face to go on with. Files that are no use."""
    path, finder = photo(tmp_path, faces=2)
    empty, _ = photo(tmp_path, faces=0)
    text = tmp_path / "words.png"
    text.write_text("no picture")
    large = tmp_path / "large.jpg"
    with open(large, "wb") as file:
        file.truncate(200_000_000)
    with serving(editor, finder, steps=30) as address:
        tab = Tab(browser, address)
        for file, words in ((text, "it is no picture but text"), (empty, "no face found"), (large, "200 MB")):
            tab.drop(file)
            tab.says("#trouble", words)
            tab.says("#trouble", file.name)
        tab.drop(path)
        tab.page.locator("#choices li").nth(1).click()
        tab.page.locator("#faces li[data-face='photo-me2-2']").wait_for()
        tab.says("#notice", "the photo is in the generator")
        tab.shows(Edit(face="photo-me2-2"))
        found = editor.pixels(Edit(face="photo-me2-2"))
        until(lambda: np.array_equal(tab.pixels(), found), what="the last step shown")
        assert not tab.page.locator("#trouble").is_visible()
        tab.press("Into the photo…")
        tab.page.locator("#shown-picture").wait_for()
        tab.page.locator("#shown .close").click()
        tab.press("Undo")
        tab.shows(Edit(face="0"))
        assert tab.complaints == []


@pytest.mark.slow
def test_points_are_dragged(browser: Any, editor: Editor) -> None:
    with serving(editor) as address:
        tab = Tab(browser, address)
        tab.press("Drag points")
        box = tab.page.locator("#stage").bounding_box()
        tab.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
        tab.page.mouse.down()
        tab.page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5, steps=3)
        tab.page.mouse.up()
        tab.press("Go")
        tab.page.locator("#faces li[data-face='drag-0']").wait_for()
        tab.press("Stop")
        tab.page.locator("#work").wait_for(state="hidden")
        tab.shows(Edit(face="drag-0"))
        assert not np.array_equal(tab.pixels(), editor.pixels(Edit(face="0")))
        tab.press("Undo")
        tab.shows(Edit(face="0"))
        assert tab.complaints == []


@pytest.mark.slow
def test_nothing_that_was_kept_is_lost_by_a_kill(browser: Any, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "kept here"
    with running(model, out) as (process, address):
        tab = Tab(browser, address)
        for count in (1, 2):
            tab.move("smile", count)
            tab.press("Keep")
            tab.says("#num-kept", f"({count})")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        tab.press("Keep")
        tab.says("#trouble", "mien edit does not answer")
    with running(model, out) as (_, address):
        again = Tab(browser, address)
        again.says("#num-kept", "(2)")
        again.page.locator("#kept-list .pick").nth(1).click()
        again.shows(Edit(face="0", set={"smile": 2}))
        kept = read_picture(out / "kept" / "0002.png")
        assert np.array_equal(again.pixels(), kept)
