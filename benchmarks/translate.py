"""Do translated pictures show the same person, and smile when they should? pix2pix on a CPU, 64 px.

    python benchmarks/translate.py --out DIR [--only people|smiles] [--minutes 9] [--data ../shared/data]

people: fronts and profiles of 1,500 rendered people; trains front to profile and back, each for --minutes,
and evaluates both on the people who were kept out. smiles: the 102 real people of `expressions`, their faces
cut out by `mien prepare`, neutral to smiling, for --smile-kimg, ten kept out; the face mesh measures how much
inputs, results and targets smile. With 92 pairs a thousand are enough to learn the smile; more sharpens the
faces and makes unseen ones smile less.
What is in DIR already is taken, so it may be stopped and run again.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from mien.core import discover
from mien.core.image import resize
from mien.core.network import load_network
from mien.core.run import RunFolder
from mien.faces.face import Finder
from mien.faces.finder import open_finder
from mien.terminal import Terminal, show
from mien.training.command import TrainOptions, train
from mien.training.paired_data import evaluation_pairs
from mien.translation.outputs import apply_network, side_by_side
from mien.translation.translator_kind import evaluate

_CPU = torch.device("cpu")
_ALL_FACES = ("--size", "64", "--min-eyes-open", "0", "--min-sharpness", "0", "--duplicates", "0")
_FEW_PAIRS = ("lr=0.0005", "jitter=0.0625")  # of 92 pairs less is to be learnt, and more easily by heart
_SIZE = 256  # pixels at which faces are looked for
# Mesh points: corners of the mouth, the middle of the lips' inner edge, the face's sides at the ears.
_CORNERS, _MIDDLE, _SIDES = (61, 291), (13, 14), (234, 454)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=["people", "smiles"])
    parser.add_argument("--minutes", type=float, default=9, help="of each training on people")
    parser.add_argument("--smile-kimg", type=float, default=1, help="thousand pairs of faces learnt from")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    console = Console()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.only != "smiles":
        people(options.out, options.minutes, console)
    if options.only != "people":
        smiles(options.out, options.data, options.smile_kimg, console)


def people(out: Path, minutes: float, console: Console) -> None:
    pairs = out / "pairs.zip"
    if not pairs.exists():
        mien("render", str(pairs), "--pairs", "front-profile", "--count", "1500")
    for direction in ("front-profile", "profile-front"):
        run = trained(str(pairs), out / f"runs-{direction}", console, minutes=minutes, direction=direction)
        show_scores(run, str(pairs), console)


def show_scores(run: RunFolder, data: str, console: Console) -> None:
    terminal = Terminal(console)
    for event in evaluate(run.path, data, device=_CPU).tables():
        terminal(event)


def mien(*arguments: str) -> None:
    """A command in a process of its own, since workers want a main module that can be imported."""
    subprocess.run([sys.executable, "-m", "mien", *arguments], check=True)


def trained(
    data: str,
    out: Path,
    console: Console,
    *,
    minutes: float | None = None,
    kimg: float | None = None,
    direction: str = "",
    changes: tuple[str, ...] = (),
) -> RunFolder:
    asked = TrainOptions(
        model="pix2pix",
        preset="quick",
        set=changes,
        direction=direction,
        minutes=minutes,
        kimg=kimg,
        out=out,
        precision="bf16",
        device="cpu",
    )
    return show(train(data, options=asked), console)


def smiles(out: Path, data: Path, kimg: float, console: Console) -> None:
    source = str(out / "expressions.zip")
    if not Path(source).exists():
        mien("prepare", f"pairs:{data / 'expressions'}?until=_", source, *_ALL_FACES)
    run = trained(source, out / "runs-smiles", console, kimg=kimg, changes=_FEW_PAIRS)
    product = load_network(run.path, "translator", _CPU)
    config = discover.load("mien.models", "pix2pix").Config(**product.header.config)
    pairs = evaluation_pairs(product.header, config, source, progress=None)
    every = np.arange(len(pairs.inputs))
    inputs, targets = pairs.inputs.images(every), pairs.targets.images(every)
    made = apply_network(product.network, inputs)
    Image.fromarray(side_by_side(inputs, made, targets)).save(out / "smiles.png")
    finder = open_finder("mesh")
    soft = np.stack([as_soft(one, two) for one, two in zip(inputs, made, strict=True)])
    found = np.array([[smile(side[at], finder) for side in (inputs, soft, made, targets)] for at in every])
    console.print(smile_table(found))
    show_scores(run, source, console)


def smile(image: np.ndarray, finder: Finder) -> float:
    """How wide the mouth is, and how far its corners lie above its middle, over the face's width.

    image: uint8 [C, H, W]. NaN where no face is found. A smile both widens the mouth and lifts its corners.
    """
    faces = finder.find(resize(image.transpose(1, 2, 0), _SIZE))
    if not faces or faces[0].points is None:
        return float("nan")
    points = faces[0].points[:, :2].astype(float)
    corners, middle, sides = (points[list(which)] for which in (_CORNERS, _MIDDLE, _SIDES))
    across = sides[1] - sides[0]
    width = float(np.linalg.norm(across))
    up = np.array([across[1], -across[0]]) / width
    lift = float((corners.mean(axis=0) - middle.mean(axis=0)) @ up)
    return (float(np.linalg.norm(corners[1] - corners[0])) + lift) / width


def as_soft(image: np.ndarray, like: np.ndarray) -> np.ndarray:
    """`image` blurred until it is as soft as `like`: to the mesh, blur alone looks a little like a smile."""
    wanted = _detail(like)
    for sigma in np.arange(0.3, 3, 0.1):
        blurred = cv2.GaussianBlur(image.transpose(1, 2, 0), (0, 0), float(sigma)).transpose(2, 0, 1)
        if _detail(blurred) <= wanted:
            return blurred
    return blurred


def _detail(image: np.ndarray) -> float:
    """Mean slope in the picture's middle, where the face is."""
    quarter = image.shape[-1] // 4
    gray = image.mean(axis=0)[quarter:-quarter, quarter:-quarter]
    return float(np.abs(np.diff(gray, axis=0)).mean() + np.abs(np.diff(gray, axis=1)).mean())


def smile_table(found: np.ndarray) -> Table:
    """found: float [N, 4] of input, input as soft as the result, result, target."""
    neutral, soft, made, target = found.T
    counts = [int((one > two).sum()) for one, two in ((made, neutral), (made, soft), (target, neutral))]
    title = (
        f"of {len(found)}, more than neutral: {counts[0]}; than it as soft: {counts[1]}; true: {counts[2]}"
    )
    shown = Table(title=title)
    for heading in ("neutral", "as soft", "translated", "smiling", "rise", "true rise"):
        shown.add_column(heading, justify="right")
    for row in [*found, found.mean(axis=0)]:
        shown.add_row(*(f"{value:.3f}" for value in (*row, row[2] - row[0], row[3] - row[0])))
    return shown


if __name__ == "__main__":
    main()
