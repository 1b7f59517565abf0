"""The report page of `mien prepare`: its figures, its examples, and how it behaves in a real browser."""

import base64
import io
import math
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.core.manifest import Record
from mien.prepare.judge import Bound
from mien.prepare.report import write_prepare_report
from mien.prepare.report_charts import Threshold, histogram

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&.jpg"
BOUNDS = (
    Bound("sharpness", 0.3, None, "blurred"),
    Bound("yaw", -30, 30, "turned"),
    Bound("num_faces", None, 1, "several-faces"),
)


def kept(name: str, **measurements: float) -> Record:
    return {"source": name, "width": 640, "height": 480, "verdict": "kept", "measurements": measurements}


def lost(name: str, reason: str, detail: str = "it is so", **measurements: float) -> Record:
    record = kept(name, **measurements)
    record.update(verdict="dropped", reason=reason, detail=detail)
    return record


def broken(name: str, reason: str = "truncated", detail: str = "the file is cut off") -> Record:
    return {"source": name, "sha256": None, "verdict": "dropped", "reason": reason, "detail": detail}


def usual() -> list[Record]:
    """40 kept, 10 blurred, 5 turned to either side, 3 broken, 2 duplicates, 2 without a face."""
    rng = np.random.default_rng(0)
    records = [
        kept(f"k{i}.jpg", sharpness=0.31 + i / 100, yaw=float(rng.uniform(-29, 29)), num_faces=1)
        for i in range(40)
    ]
    records += [
        lost(f"b{i}.jpg", "blurred", sharpness=0.29 - i / 100, yaw=0.0, num_faces=1) for i in range(10)
    ]
    records += [lost(f"t{i}.jpg", "turned", sharpness=0.5, yaw=31.0 + i, num_faces=1) for i in range(5)]
    records += [lost(f"u{i}.jpg", "turned", sharpness=0.5, yaw=-31.0 - i, num_faces=1) for i in range(5)]
    records += [broken(f"x{i}.jpg") for i in range(3)]
    records[7]["hash"], records[8]["hash"] = "00ff" * 48, "ff00" * 48
    for number, (of, code) in enumerate(((7, "00ff" * 47 + "00fe"), (8, "ff00" * 48))):
        copy = lost(f"copy{number}-of-{of}.jpg", "duplicate", sharpness=0.32, yaw=1.0, num_faces=1)
        records.append({**copy, "hash": code})
    return records + [
        {**lost(f"n{i}.jpg", "no-face", "no face was found"), "measurements": {}} for i in range(2)
    ]


def picture_of(record: Record) -> bytes:
    """A PNG whose colour tells which record it is of."""
    rng = np.random.default_rng(abs(hash(str(record.get("source")))) % 2**32)
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), tuple(rng.integers(0, 256, 3).tolist())).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, records: list[Record], **options: Any) -> str:
    usual_options: dict[str, Any] = {"bounds": BOUNDS, "thumb": picture_of, "title": "holiday"}
    write_prepare_report(path, records=records, **{**usual_options, **options})
    return path.read_text("utf-8")


def words(page: str) -> str:
    """The text that a reader sees, on one line."""
    body = re.sub(r"<style>.*?</style>", " ", page.partition("<body>")[2], flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


# ---- figures


def test_counts_reasons_and_shares(tmp_path: Path) -> None:
    text = words(write(tmp_path / "page.html", usual()))
    assert "67 pictures looked at: 40 kept, 27 dropped" in text
    order = [
        "blurred 10 · 14.9%",
        "turned 10 · 14.9%",
        "truncated 3 · 4.5%",
        "duplicate 2 · 3.0%",
        "no-face 2 · 3.0%",
    ]
    places = [text.index(row) for row in order]
    assert places == sorted(places)
    assert "no-face 2 · 3.0% for example: no face was found" in text


def test_broken_files_are_listed_by_name_with_what_is_wrong(tmp_path: Path) -> None:
    text = words(write(tmp_path / "page.html", usual()))
    assert "3 files could not be read as a picture" in text
    for number in range(3):
        assert f"x{number}.jpg truncated the file is cut off" in text
    many = [broken(f"gone-{number:04}.jpg") for number in range(1000)]
    text = words(write(tmp_path / "many.html", many))
    assert "gone-0299.jpg" in text
    assert "gone-0300.jpg" not in text
    assert "And 700 more" in text


def test_each_threshold_shows_the_nearest_on_both_sides_by_rising_value(tmp_path: Path) -> None:
    page = write(tmp_path / "page.html", usual())
    article = re.search(r"<article[^>]*>\s*<h3>Sharpness at least 0\.3 .*?</article>", page, re.S)
    assert article is not None
    assert re.findall(r'alt="([^"]*)"', article[0]) == [
        *(f"b{i}.jpg" for i in (5, 4, 3, 2, 1, 0)),
        *(f"k{i}.jpg" for i in range(6)),
    ]
    assert re.findall(r"<figcaption>([\d.]+)</figcaption>", article[0])[5:7] == ["0.29", "0.31"]
    assert "10 pictures on the dropped side" in article[0]
    upper = re.search(r"<article[^>]*>\s*<h3>Yaw at most 30 .*?</article>", page, re.S)
    assert upper is not None
    assert re.findall(r'alt="([^"]*)"', upper[0])[6:] == [f"t{i}.jpg" for i in range(5)]
    assert "Nothing was dropped here" in page, "nobody had several faces"


def test_a_value_on_the_threshold_is_on_the_kept_side(tmp_path: Path) -> None:
    records = [kept("edge.jpg", sharpness=0.3), lost("below.jpg", "blurred", sharpness=0.2999)]
    page = write(tmp_path / "page.html", records, bounds=BOUNDS[:1])
    assert re.findall(r'alt="([^"]*)"', page) == ["below.jpg", "edge.jpg"]


def test_duplicates_stand_beside_what_was_kept_of_them(tmp_path: Path) -> None:
    page = write(tmp_path / "page.html", usual())
    twins = page[page.index('<ul class="twins">') :]
    assert re.findall(r'alt="([^"]*)"', twins)[:4] == ["k7.jpg", "copy0-of-7.jpg", "k8.jpg", "copy1-of-8.jpg"]
    assert "1 bits apart" not in words(page)
    assert "1 bit apart" in words(page)
    assert "0 bits apart" in words(page)


def test_drops_without_a_threshold_are_shown_too(tmp_path: Path) -> None:
    page = write(tmp_path / "page.html", usual())
    rest = page[page.index('id="others"') :]
    assert re.findall(r'alt="([^"]*)"', rest) == ["n0.jpg", "n1.jpg"]


# ---- histograms


def bars(svg: str) -> list[tuple[str, int, int]]:
    found = re.findall(r"<g><title>([^<]*): ([\d,]+) kept, ([\d,]+) dropped</title>", svg)
    return [(span, int(some.replace(",", "")), int(gone.replace(",", ""))) for span, some, gone in found]


def test_every_value_is_in_some_bar() -> None:
    rng = np.random.default_rng(0)
    some, gone = rng.normal(5, 1, 1000), rng.normal(2, 1, 300)
    drawn = histogram(some, gone, [Threshold(3.0, True)], title="t")
    rows = bars(str(drawn.svg))
    assert sum(row[1] for row in rows) == 1000
    assert sum(row[2] for row in rows) == 300
    assert len(rows) > 20
    assert drawn.outside == ()
    assert 0 < drawn.beyond < 10


def test_bars_end_at_the_thresholds() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(-50, 50, 5000)
    inside = np.abs(values) <= 30
    lines = [Threshold(-30.0, True), Threshold(30.0, False)]
    rows = bars(str(histogram(values[inside], values[~inside], lines, title="t").svg))
    assert all(some == 0 or gone == 0 for _, some, gone in rows), "no bar has values of both sides"


def test_whole_numbers_get_a_bar_each_and_thresholds_stand_between_them() -> None:
    drawn = histogram(np.ones(90), np.array([2.0, 2.0, 3.0]), [Threshold(1.0, False)], title="t")
    assert bars(str(drawn.svg)) == [("1", 90, 0), ("2", 0, 2), ("3", 0, 1)]
    (line,) = re.findall(r'class="threshold"><path d="M([\d.]+)', str(drawn.svg))
    second = re.search(r'class="lost" x="([\d.]+)"', str(drawn.svg))
    assert second is not None
    assert float(line) == pytest.approx(float(second[1]), abs=0.5)


def test_one_picture_among_thousands_is_seen() -> None:
    svg = str(
        histogram(np.linspace(0.2, 0.21, 100_000), np.array([0.9]), [Threshold(0.8, False)], title="t").svg
    )
    heights = [float(height) for height in re.findall(r'class="lost"[^>]* height="([\d.]+)"', svg)]
    assert len(heights) == 1
    assert heights[0] >= 1


def test_a_threshold_far_off_is_told_not_drawn(tmp_path: Path) -> None:
    drawn = histogram(np.linspace(0, 1, 50), np.empty(0), [Threshold(9.0, False)], title="t")
    assert drawn.outside == (Threshold(9.0, False),)
    assert "threshold" not in drawn.svg
    records = [kept(f"{i}.jpg", coverage=i / 50) for i in range(50)]
    page = write(tmp_path / "page.html", records, bounds=[Bound("coverage", None, 9.0, "covers-too-much")])
    assert "“at most 9” lies outside the chart" in words(page)


@pytest.mark.parametrize(
    "values", [[0.0], [1e14, -1e14, 3.5], [0.3, 0.3 + 1e-17], [5e-324, 0.0], [7.0] * 9, [-3.25, -3.25]]
)
def test_extreme_values_are_drawn_inside_the_chart(values: list[float]) -> None:
    svg = str(histogram(np.array(values), np.empty(0), [Threshold(values[0], True)], title="t").svg)
    places = re.findall(r' (?:x|y|width|height)="([^"]*)"', svg)
    assert all(0 <= float(place) <= 400 for place in places)
    assert sum(row[1] for row in bars(svg)) == len(values)


def test_no_values_give_no_drawing() -> None:
    assert histogram(np.empty(0), np.empty(0), [Threshold(0.5, True)], title="t").svg == ""


# ---- what may be missing or odd


def test_without_drops_the_page_says_so(tmp_path: Path) -> None:
    records = [kept(f"{i}.jpg", sharpness=0.5 + i / 100) for i in range(5)]
    text = words(write(tmp_path / "page.html", records))
    assert "5 pictures looked at: 5 kept, 0 dropped" in text
    assert "Nothing was dropped." in text
    assert "None found." in text
    assert "Rules without a measurement to judge by: Faces in the picture, Yaw" in text


def test_with_everything_dropped(tmp_path: Path) -> None:
    text = words(
        write(tmp_path / "page.html", [lost(f"{i}.jpg", "blurred", sharpness=0.1) for i in range(4)])
    )
    assert "4 pictures looked at: 0 kept, 4 dropped" in text
    assert "Nothing was kept here" in text


@pytest.mark.parametrize("records", [[], [{}], [broken("a.jpg")], [{"verdict": "dropped", "source": None}]])
def test_bare_records_give_a_page(tmp_path: Path, records: list[Record]) -> None:
    page = write(tmp_path / "page.html", records)
    assert page.rstrip().endswith("</html>")
    assert "No picture has any measurement" in words(page)


def test_measurements_that_are_no_numbers_are_passed_over(tmp_path: Path) -> None:
    odd: list[Any] = [math.nan, math.inf, "0.5", None, True, 10**400, [1]]
    records = [kept(f"{i}.jpg", sharpness=value) for i, value in enumerate(odd)]
    records += [kept(f"n{i}.jpg", sharpness=0.5 + i / 10) for i in range(3)]
    page = write(tmp_path / "page.html", records)
    assert "Not measured for 7 faces" in words(page)
    assert 'aria-label="Sharpness: 3 kept and 0 dropped' in page


def test_unknown_measurements_are_drawn_under_their_own_name(tmp_path: Path) -> None:
    page = write(tmp_path / "page.html", [kept(f"{i}.jpg", beard=i / 10) for i in range(5)], bounds=[])
    assert "<h3>beard</h3>" in page


def test_pictures_that_cannot_be_shown_cost_only_themselves(tmp_path: Path) -> None:
    def some(record: Record) -> bytes | None:
        return {"b0.jpg": b"no picture", "b1.jpg": None}.get(str(record["source"]), picture_of(record))

    page = write(tmp_path / "page.html", usual(), thumb=some)
    article = page[page.index("<article") : page.index("</article")]
    assert article.count('<div class="blank">no picture</div>') == 2
    assert article.count("<img") == 10


def test_the_same_records_give_the_same_page(tmp_path: Path) -> None:
    assert write(tmp_path / "a.html", usual()) == write(tmp_path / "b.html", usual())


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    records = [{**record, "source": f"{i}{HOSTILE}"} for i, record in enumerate(usual())]
    records += [
        lost("r.jpg", HOSTILE, HOSTILE),
        broken(HOSTILE, detail=HOSTILE),
        kept("m.jpg", **{HOSTILE: 0.5}),
    ]
    records.append(broken("half a character \ud800.jpg"))
    page = write(
        tmp_path / "page.html", records, title=HOSTILE, bounds=[*BOUNDS, Bound(HOSTILE, 0.1, None, HOSTILE)]
    )
    assert "<script" not in page.lower()
    assert "<img src=x" not in page
    assert words(page).count(HOSTILE) > 5


@pytest.mark.slow
def test_a_hundred_thousand_records_stay_small(tmp_path: Path) -> None:
    """Noise does not compress: each thumbnail is as large as one gets."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    values = np.random.default_rng(1).random((100_000, 12))
    names = [f"m{i}" for i in range(12)]
    records = [
        {
            **kept(f"{i}/{'long' * 100}.jpg", **dict(zip(names, row, strict=True))),
            **({"verdict": "dropped", "reason": "m0"} if row[0] < 0.3 else {}),
        }
        for i, row in enumerate(values.tolist())
    ]
    records += [broken(f"{i}/{'long' * 1000}.jpg", detail="x" * 5000) for i in range(5000)]
    bounds = [Bound(name, low, 1 - low, name) for name in names for low in (0.3, 0.2)]
    page = write(tmp_path / "page.html", records, bounds=bounds, thumb=lambda record: buffer.getvalue())
    assert len(page.encode()) < 3_000_000
    assert "left out to keep this page small" in words(page)


# ---- in a browser


def visit(browser: Any, path: Path, *, width: int, scheme: str = "light") -> tuple[Any, list[str], list[str]]:
    """The page, what it complained of, what it asked for."""
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    page.evaluate("Promise.all([...document.images].map(image => image.decode().catch(() => null)))")
    return page, complaints, requests


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (400, "dark")])
def test_the_page_in_a_browser(browser: Any, tmp_path: Path, width: int, scheme: str) -> None:
    path = tmp_path / "page.html"
    write(path, usual())
    page, complaints, requests = visit(browser, path, width=width, scheme=scheme)
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:") and url != path.as_uri()] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.images.length") == 12 + 11 + 11 + 6 + 4 + 2
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0 && image.alt)")
    assert page.locator(".hist").count() == 3
    assert page.evaluate("getComputedStyle(document.querySelector('rect.lost')).fill") != "rgb(0, 0, 0)"
    smallest = page.evaluate("Math.min(...[...document.querySelectorAll('.thumbs img')].map(i => i.width))")
    assert smallest >= 40, "faces can be told on a telephone"
    bar, box = page.locator(".reasons .bar").first, page.locator(".reasons .count").first
    assert bar.bounding_box()["width"] > 200
    assert box.is_visible()


@pytest.mark.slow
def test_hostile_names_do_nothing_in_a_browser(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    records = [{**record, "source": f"{i}{HOSTILE}"} for i, record in enumerate(usual())]
    write(path, records, title=HOSTILE)
    page, complaints, _ = visit(browser, path, width=400)
    assert page.title() == f"{HOSTILE}: what was kept"
    assert complaints == []
    assert page.evaluate("document.scripts.length") == 0
    assert page.evaluate("[...document.images].every(image => image.src.startsWith('data:'))")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400, "long names wrap"


@pytest.mark.slow
def test_thumbnails_are_of_the_record_they_stand_for(tmp_path: Path) -> None:
    page = write(tmp_path / "page.html", usual())
    for name in ("b0.jpg", "k0.jpg", "t0.jpg"):
        found = re.search(rf'<img src="data:image/webp;base64,([^"]+)"[^>]*alt="{name}"', page)
        assert found is not None
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGB"))
        made = np.asarray(Image.open(io.BytesIO(picture_of({"source": name}))))
        assert np.abs(shown.mean((0, 1)) - made.mean((0, 1))).max() < 6
