"""Whole verdicts of a detector on pictures as people send them: cropped, enlarged, saved again, screenshots.

    python benchmarks/detector_sent.py [DETECTOR] --real DIR... --synthetic SOURCE... [--count 40] --out sent

DETECTOR: a run folder or file of `mien detector train`; the packaged one by default. Sources: folders of
whole pictures, generators, `packaged`. Of each --count pictures, evenly spread, go each way; screenshots are
of pages that show them 120 to 220 pixels wide in Chromium, at one and at two pixels a point. What was judged
lies in --out. Faces whose square has under 32 pixels are called unsure, as they must be, and counted alone.
"""

import argparse
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from mien.core.events import Events
from mien.core.image import evenly_spaced
from mien.core.picture import Pixels, list_pictures, read_picture
from mien.core.reencode import jpeg
from mien.detection.detect import judge_picture
from mien.detection.judge import Detector, open_detector
from mien.detection.scores import FALSE_ALARMS, share
from mien.faces.face import Finder
from mien.faces.finder import open_face_finder
from mien.generation.generate import generate

_FRESH = 2_000_000  # first seed of a generator's faces
_PAGE = """<!doctype html><style>body{margin:8px;font:14px sans-serif}figure{display:inline-block;margin:6px}
img{display:block;width:%dpx}</style><h1>Our people</h1>%s"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("detector", type=Path, nargs="?")
    parser.add_argument("--real", nargs="+", required=True)
    parser.add_argument("--synthetic", nargs="+", required=True)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("sent"))
    arguments = parser.parse_args()
    finder = open_face_finder(Events())
    detector = open_detector(arguments.detector, false_alarms=FALSE_ALARMS)
    for kind in ("real", "synthetic"):
        every: Counter[str] = Counter()
        for source in getattr(arguments, kind):
            folder = arguments.out / Path(source).name
            pictures = whole_pictures(source, arguments.count, folder / "as they are")
            send(pictures, folder, finder)
            for way in sorted(folder.iterdir()):
                told = judged(way, finder, detector)
                every += told
                show(f"{folder.name}: {way.name}", told)
        show(f"all {kind}", every)


def whole_pictures(source: str, count: int, folder: Path) -> list[Path]:
    """Pictures of a folder, or drawn by a generator, as files in `folder`."""
    if not folder.is_dir():
        if source == "packaged" or Path(source, "config.json").is_file() or source.endswith(".safetensors"):
            generate(Path(source), out=folder, seeds=f"{_FRESH}-{_FRESH + count - 1}").run()
        else:
            folder.mkdir(parents=True)
            files = list_pictures(Path(source))
            for place in evenly_spaced(files, min(count, len(files))).tolist():
                shutil.copyfile(files[place], folder / f"{place:05d}{files[place].suffix}")
    return list_pictures(folder)


def send(pictures: list[Path], folder: Path, finder: Finder) -> None:
    """Each picture by each way, one folder a way."""
    for path in pictures:
        image = read_picture(path)
        faces = finder.find(image)
        if not faces:
            continue
        x, y, width, height = map(float, faces[0].box)
        top, left = max(0, int(y - height * 0.6)), max(0, int(x - width * 0.5))
        cropped = image[top : int(y + height * 1.4), left : int(x + width * 1.5)]
        ways = {
            "cropped": jpeg(cropped, 90),
            "cropped, three times as large": jpeg(resized(cropped, 3 * cropped.shape[1]), 90),
            "96 px": jpeg(resized(image, 96), 85),
            "48 px": jpeg(resized(image, 48), 85),
            "96 px and back": jpeg(resized(jpeg(resized(image, 96), 85), 384), 90),
            "48 px and back": jpeg(resized(jpeg(resized(image, 48), 85), 384), 90),
            "JPEG three times": thrice(image),
        }
        for name, pixels in ways.items():
            written(folder / name / f"{path.stem}.png", pixels)
        written(folder / "WebP 40" / f"{path.stem}.webp", image, [cv2.IMWRITE_WEBP_QUALITY, 40])
    screenshots(pictures, folder)


def resized(image: Pixels, width: int) -> Pixels:
    """To that width, by area where it becomes smaller, else bicubic."""
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    way = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=way), np.uint8)


def thrice(image: Pixels) -> Pixels:
    """Saved as JPEG three times, a fifth smaller each time."""
    for quality in (85, 70, 75):
        image = jpeg(resized(image, round(image.shape[1] * 0.8)), quality)
    return image


def written(path: Path, pixels: Pixels, options: list[int] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels[..., ::-1], options or [])


def screenshots(pictures: list[Path], folder: Path) -> None:
    """A page of them at 120, 160 and 220 pixels, each at one and at two pixels a point."""
    from playwright.sync_api import sync_playwright

    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    tags = "".join(f'<figure><img src="{path.resolve().as_uri()}">{path.stem}</figure>' for path in pictures)
    page = folder.resolve() / "page.html"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        for scale in (1, 2):
            tab = browser.new_page(viewport={"width": 1100, "height": 700}, device_scale_factor=scale)
            for width in (120, 160, 220):
                page.write_text(_PAGE % (width, tags), "utf-8")
                tab.goto(page.as_uri())
                target = folder / f"screenshot, {scale} px a point" / f"{width}.png"
                target.parent.mkdir(exist_ok=True)
                tab.screenshot(path=str(target), full_page=True)
        browser.close()
    page.unlink()


def judged(folder: Path, finder: Finder, detector: Detector) -> Counter[str]:
    """How often each verdict was given on the faces in a folder."""
    told: Counter[str] = Counter()
    for path in list_pictures(folder):
        for face in judge_picture(path, finder, detector).faces:
            small = any("are needed" in reason for reason in face.judgement.reasons)
            told["too small" if small else face.judgement.verdict] += 1
    return told


def show(title: str, told: Counter[str]) -> None:
    total = sum(count for verdict, count in told.items() if verdict != "too small")
    line = f"{title:52s} n={total:4d}  too small {told['too small']:3d}"
    if total:
        called = share(told["synthetic"], total)
        line += f"  synthetic {called.value:6.1%} ({called.low:.1%} to {called.high:.1%})"
        line += f"  unsure {told['unsure'] / total:6.1%}"
    print(line, flush=True)


if __name__ == "__main__":
    main()
