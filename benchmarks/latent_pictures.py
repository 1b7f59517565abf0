"""The pictures of docs/latent.md, of the packaged model as it is now, by the page's own commands.

    python benchmarks/latent_pictures.py docs/images/latent [--only found strips pasted units page]

What the commands write stands in a temporary folder. `page` needs Chromium and Playwright.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mien.core.image import to_hwc
from mien.core.network import load_network
from mien.core.packaged import DEFAULT, encoder_of, path_of
from mien.core.styles import draw_styles
from mien.datasets.opening import open_dataset
from mien.latent.projection.encoder import open_encoder

SEEDS = (9, 10, 18)
STRIPS = ("smile", "yaw", "age", "mouth_open", "hair_lightness")
_EMOTIONS = 5  # pictures of a person in films.zip, the neutral one first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", choices=[*PICTURES], default=[*PICTURES])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only:
            picture = PICTURES[name](Path(folder))
            picture.save(arguments.out / f"{name}.jpg", quality=75)
            print(f"{arguments.out / name}.jpg: {picture.width}x{picture.height}")


def found(folder: Path) -> Image.Image:
    """Each face beside its projection."""
    seeds = ",".join(map(str, SEEDS))
    mien(folder, "project", "generated", "packaged", "--seeds", seeds, "--steps", "100", "--out", "found")
    pairs = [
        beside([folder / "found" / f"seed{seed:04d}" / f"{which}.png" for which in ("target", "proj")], 112)
        for seed in SEEDS
    ]
    return row(pairs, gap=8)


def strips(folder: Path) -> Image.Image:
    """Two faces moved along directions, one strip below the other."""
    chosen = [word for name in STRIPS for word in ("--strip", name)]
    mien(folder, "edit", "--seeds", "10,18", *chosen, "--out", "edited")
    images = [opened(folder / "edited" / f"strip-{name}.png") for name in STRIPS]
    images = [image.resize((630, round(image.height * 630 / image.width)), 1) for image in images]
    return column(images, gap=8)


def pasted(folder: Path) -> Image.Image:
    """The photo, the face found and changed, the photo with it."""
    mien(folder, "generate", "--seeds", "18", "--out", "me")
    change = ("--set", "mouth_open=-1", "--project-steps", "100", "--paste")
    mien(folder, "edit", "--photo", "me/seed0018.png", *change, "--out", "pasted")
    own = folder / "pasted"
    three = [folder / "me/seed0018.png", own / "seed0018-edited.png", own / "seed0018-pasted.png"]
    return beside(three, 144)


def units(folder: Path) -> Image.Image:
    """Two people's five pictures, each over what their latents draw."""
    mien(folder, "render", "films.zip", "--count", "160", "--sitting", str(_EMOTIONS), "--seed", "3")
    films, loaded = open_dataset(str(folder / "films.zip")), load_network(path_of(DEFAULT))
    rows = []
    for person in (0, 1):
        indexes = np.arange(person * _EMOTIONS, (person + 1) * _EMOTIONS)
        images = torch.from_numpy(np.array(films.images(indexes)))
        latents = open_encoder(encoder_of(DEFAULT), loaded).latents(images)
        for pictures in (images, draw_styles(loaded.network, latents)):
            tiles = [Image.fromarray(to_hwc(one)).resize((104, 104), 1) for one in pictures]
            rows.append(row(tiles, gap=0))
    return column(rows, gap=0)


def page(folder: Path) -> Image.Image:
    """The slider page, two sliders moved."""
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "mien", "edit", "--serve", "--port", "0", "--out", "served"]
    server = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert server.stdout is not None
        address = next(hit[0] for line in server.stdout if (hit := re.search(r"http://\S+", line)))
        with sync_playwright() as driver:
            options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=options)
            tab = browser.new_page(viewport={"width": 1280, "height": 700})
            tab.goto(address)
            tab.locator("body[data-ready]").wait_for()
            tab.get_by_text("seed 2", exact=True).click()
            for name in ("smile", "hair_lightness"):
                slider = tab.locator(f"#sliders input[aria-label={name}]")
                slider.evaluate(
                    "x => { x.value = 1.5; x.dispatchEvent(new Event('input'));"
                    " x.dispatchEvent(new Event('change')) }"
                )
            tab.wait_for_timeout(2000)
            tab.screenshot(path=str(folder / "page.png"))
            browser.close()
    finally:
        server.terminate()
        server.wait()
    image = opened(folder / "page.png")
    return image.resize((896, round(image.height * 896 / image.width)), 1)


PICTURES: dict[str, Callable[[Path], Image.Image]] = {
    "found": found, "strips": strips, "pasted": pasted, "units": units, "page": page,
}  # fmt: skip


def mien(folder: Path, *words: str) -> None:
    subprocess.run([sys.executable, "-m", "mien", *words], cwd=folder, check=True, capture_output=True)


def opened(path: Path) -> Image.Image:
    return Image.open(path, formats=["PNG"]).convert("RGB")


def beside(paths: list[Path], side: int) -> Image.Image:
    return row([opened(path).resize((side, side), 1) for path in paths], gap=0)


def row(images: list[Image.Image], *, gap: int) -> Image.Image:
    width = sum(image.width for image in images) + gap * (len(images) - 1)
    sheet, left = Image.new("RGB", (width, images[0].height), "white"), 0
    for image in images:
        sheet.paste(image, (left, 0))
        left += image.width + gap
    return sheet


def column(images: list[Image.Image], *, gap: int) -> Image.Image:
    height = sum(image.height for image in images) + gap * (len(images) - 1)
    sheet, top = Image.new("RGB", (images[0].width, height), "white"), 0
    for image in images:
        sheet.paste(image, (0, top))
        top += image.height + gap
    return sheet


if __name__ == "__main__":
    main()
