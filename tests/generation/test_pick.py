"""The page of `mien pick`: alone in a real browser, and what other verbs make of its list."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drawers import alike, styled_file
from mien.cli import main
from mien.core.picture import read_picture
from mien.core.provenance import verify
from mien.core.seeds import parse_seeds
from mien.generation.generate import generate
from mien.generation.mosaic import mosaic
from mien.generation.pick import pick

HOSTILE = "<script>document.title='owned'</script>\"'&"
NUM_FACES = 40


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return styled_file(tmp_path_factory.mktemp("model"), names=("plain", HOSTILE))


@pytest.fixture(scope="module")
def page_file(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "pick.html"
    assert pick(model, out=path, seeds="0-38,99,3", trunc=0.7, label=HOSTILE).run() == NUM_FACES
    return path


class Tab:
    """The page as a user has it before them."""

    def __init__(self, browser: Any, path: Path, *, width: int = 1000) -> None:
        self.path = path
        self.context = browser.new_context(viewport={"width": width, "height": 700}, accept_downloads=True)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def click(self, seed: int, *, shift: bool = False) -> None:
        self.page.locator(f"[data-seed='{seed}']").click(modifiers=["Shift"] if shift else [])

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    @property
    def kept(self) -> str:
        return str(self.page.locator("#seeds").input_value())

    @property
    def counter(self) -> str:
        return str(self.page.locator("#counter").inner_text())

    @property
    def shown(self) -> list[int]:
        """Seeds of the faces that can be seen."""
        script = (
            "[...document.querySelectorAll('.face')].filter(f => f.offsetParent).map(f => +f.dataset.seed)"
        )
        return list(self.page.evaluate(script))

    @property
    def marked(self) -> list[int]:
        """Seeds of the faces that look kept."""
        return list(
            self.page.evaluate(
                "[...document.querySelectorAll('.face[aria-pressed=true]')].map(f => +f.dataset.seed)"
            )
        )


@pytest.fixture
def tab(browser: Any, page_file: Path) -> Iterator[Tab]:
    opened = Tab(browser, page_file)
    yield opened
    assert opened.complaints == []
    outside = [url for url in opened.requests if not url.startswith(("data:", page_file.as_uri()))]
    assert outside == []
    opened.context.close()


def test_choosing_by_mouse(tab: Tab) -> None:
    assert tab.counter == f"0 of {NUM_FACES} kept"
    assert tab.shown == [*range(39), 99]
    tab.click(5)
    tab.click(9)
    tab.click(12, shift=True)
    tab.click(99)
    tab.click(10)
    assert tab.kept == "5,9,11-12,99"
    assert tab.marked == [5, 9, 11, 12, 99]
    assert tab.counter == f"5 of {NUM_FACES} kept"


def test_choosing_by_keys(tab: Tab) -> None:
    across = tab.page.evaluate("new Set([...document.querySelectorAll('.face')].map(f => f.offsetLeft)).size")
    assert across > 4
    tab.page.locator("[data-seed='0']").focus()
    tab.press(
        "x", "ArrowRight", "ArrowRight", "Space", "ArrowDown", "x", "ArrowLeft", "ArrowUp", "ArrowUp", "x"
    )
    assert tab.kept == f"0-2,{2 + across}"
    tab.press("x", "End", "x", "Home", "x")
    assert tab.kept == f"2,{2 + across},99"
    tab.press("u", "u")
    assert tab.kept == f"0,2,{2 + across}"
    tab.press("u", "u", "u", "u", "u", "u", "u")
    assert tab.kept == ""
    assert tab.page.locator("#undo").is_disabled()


def test_the_kept_alone(tab: Tab) -> None:
    tab.press("f")
    assert tab.shown == []
    assert tab.page.locator("#nothing").is_visible()
    tab.page.locator("#only").click()
    for seed in (2, 30, 4):
        tab.click(seed)
    tab.press("f")
    assert tab.shown == [2, 4, 30]
    tab.click(2)
    tab.click(30, shift=True)
    assert tab.kept == "4,30", "a range takes what is seen only"
    tab.page.locator("#none").click()
    assert tab.shown == []
    tab.press("u")
    assert tab.shown == [4, 30]


def test_it_is_remembered_until_the_next_time(tab: Tab) -> None:
    tab.click(7)
    tab.click(8)
    tab.page.reload()
    assert tab.kept == "7-8"
    assert tab.marked == [7, 8]
    second = tab.context.new_page()
    second.goto(tab.path.as_uri())
    assert second.locator("#seeds").input_value() == "7-8"


def test_a_list_can_be_pasted(tab: Tab) -> None:
    box = tab.page.locator("#seeds")
    box.fill("# mine\n4-6 20,\n99")
    box.blur()
    assert tab.marked == [4, 5, 6, 20, 99]
    for text, says in (("4,x", "“x” is neither"), ("50-60", "50-60 is not on this page")):
        box.fill(text)
        box.blur()
        assert says in tab.page.locator("#trouble").inner_text()
        assert tab.marked == [4, 5, 6, 20, 99]
    tab.press("u")
    assert not tab.page.locator("#trouble").is_visible()


def test_letters_typed_into_the_list_are_no_keys(tab: Tab) -> None:
    tab.page.locator("#seeds").focus()
    tab.press("x", "f", "u")
    assert tab.kept == "xfu"
    assert len(tab.shown) == NUM_FACES
    tab.page.locator("#seeds").fill("")


def test_what_is_saved_is_what_other_verbs_read(tab: Tab, tmp_path: Path, model: Path) -> None:
    for seed in (3, 17, 18, 19):
        tab.click(seed)
    with tab.page.expect_download() as downloading:
        tab.page.locator("#save").click()
    assert downloading.value.suggested_filename == "kept.txt"
    kept = tmp_path / "kept.txt"
    downloading.value.save_as(kept)
    assert parse_seeds(f"@{kept}") == [3, 17, 18, 19]
    assert re.match(r"# kept faces of stylegan2-[0-9a-f]{12} with --trunc 0.7 --label ", kept.read_text())
    assert mosaic(model, out=tmp_path / "wall.png", keep=str(kept), label=("plain",)).run() == (2, 2)
    assert len(generate(model, out=tmp_path / "faces", seeds=f"@{kept}", label="plain").run()) == 4


def test_a_telephone_shows_it_whole(browser: Any, page_file: Path) -> None:
    tab = Tab(browser, page_file, width=360)
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 360
    tab.click(0)
    assert tab.kept == "0"
    below = (
        "document.activeElement.getBoundingClientRect().top >= document.querySelector('header').offsetHeight"
    )
    tab.press(*["ArrowDown"] * 9)
    for _ in range(9):
        tab.press("ArrowUp")
        assert tab.page.evaluate(below), "the header does not hide where one is"
    tab.context.close()


def test_each_face_carries_its_mark(page_file: Path, model: Path, tmp_path: Path) -> None:
    text = page_file.read_text()
    found = re.findall(r'data-seed="(\d+)".*?src="data:image/webp;base64,([^"]+)"', text)
    assert [int(seed) for seed, _ in found] == [*range(39), 99]
    for seed, data in found[:3] + found[-1:]:
        path = tmp_path / f"{seed}.webp"
        path.write_bytes(base64.b64decode(data))
        mark = verify(path)
        assert mark is not None
        assert mark.seed == int(seed)
        assert mark.model.startswith("stylegan2-")
    ours = generate(model, out=tmp_path, seeds="99", trunc=0.7, label=HOSTILE, format="webp").run()
    assert alike(read_picture(tmp_path / "99.webp"), read_picture(ours[0]))


def test_nothing_of_it_comes_from_outside(page_file: Path) -> None:
    text = page_file.read_text()
    assert "default-src 'none'" in text
    assert HOSTILE not in text
    assert not re.search(r"https?:", text)


@pytest.mark.slow
def test_the_same_command_gives_the_same_page(model: Path, tmp_path: Path, page_file: Path) -> None:
    pick(model, out=tmp_path / "again.html", seeds="0-38,99,3", trunc=0.7, label=HOSTILE).run()
    assert (tmp_path / "again.html").read_bytes() == page_file.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--out", "a.png"], "a.png: the page is written as .html"),
        (["--seeds", "0-5000"], "5,001 faces are too many for one page"),
        (["--size", "0"], "--size 0: between"),
        (["--trunc", "nan"], "--trunc nan: psi"),
        (["--label", "smile"], "--label smile: not known; choose from plain"),
        ([], "conditional; say which with --label"),
    ],
)
def test_bad_input(
    model: Path,
    tmp_path: Path,
    words: list[str],
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    label = [] if "--label" in words or not words else ["--label", "plain"]
    assert main(["pick", str(model), *label, *words]) == 2
    error = capsys.readouterr().err.strip()
    assert says in error
    assert "\n" not in error
    assert not list(tmp_path.iterdir())
