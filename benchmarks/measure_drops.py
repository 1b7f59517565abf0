"""What the default bounds drop, to be looked at: python benchmarks/measure_drops.py DATA --out SHEETS.

Every face of the sets is measured and judged. For each reason a contact sheet SHEETS/reason.png shows all
that it drops, with set, file and measure under each. `labels/old-photos.csv`, set by eye, then says how good
each measurement is on DATA/old-photos. Run it with PYTHONPATH at another version to see before and after.
"""

import argparse
import csv
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from sklearn.metrics import roc_auc_score

from mien.core.picture import decode, list_pictures
from mien.faces.align import crop, ffhq_square
from mien.faces.crop import Square
from mien.faces.measure import measure
from mien.faces.mesh_finder import MeshFinder
from mien.prepare.judge import Rules, judge

SETS = ("old-photos", "photos", "faces", "portraits-cc0")
LABELS = Path(__file__).with_name("labels") / "old-photos.csv"
_SIDE, _FOOT, _COLUMNS = 150, 28, 8
_RATED = ("masked", "eyes-closed", "too-bright", "too-dark")
Tile = np.ndarray
Measured = dict[str, dict[str, float] | None]


@dataclass(frozen=True)
class Judged:
    """All of one set: measurements by file name (None: no face), tiles of what is dropped by reason."""

    values: Measured
    drops: dict[str, dict[str, Tile]]


def judged(folder: Path, finder: MeshFinder) -> Judged:
    values: Measured = {}
    drops: dict[str, dict[str, Tile]] = defaultdict(dict)
    for path in list_pictures(folder):
        name, picture = path.relative_to(folder).as_posix(), decode(path, near=640)
        faces = finder.find(picture.pixels) or finder.find_averted(picture.pixels)
        faces = faces or finder.guess(picture.pixels)
        values[name] = None
        if not faces:
            drops["no-face"][name] = tile(whole(picture.pixels), (f"{folder.name[:4]} {name}", ""))
        if faces:
            square = ffhq_square(faces[0])
            values[name] = own = measure(picture, faces[0], square, num_faces=len(faces))
            if drop := judge(own, Rules()):
                words = (f"{folder.name[:4]} {name}", drop.detail)
                drops[drop.reason][name] = tile(crop(picture.pixels, square, _SIDE), words)
    return Judged(values, drops)


def whole(pixels: np.ndarray) -> np.ndarray:
    """All of a picture in a square."""
    height, width = pixels.shape[:2]
    return crop(pixels, Square((width / 2, height / 2), (float(max(height, width)), 0.0)), _SIDE)


def tile(pixels: np.ndarray, words: tuple[str, str]) -> Tile:
    """A picture with two lines of text under it."""
    page = np.full((_SIDE + _FOOT, _SIDE, 3), 255, np.uint8)
    page[:_SIDE] = pixels
    for row, text in enumerate(words):
        place = (2, _SIDE + 11 + 13 * row)
        cv2.putText(page, text[:34], place, cv2.FONT_HERSHEY_SIMPLEX, 0.32, (0, 0, 0), 1, cv2.LINE_AA)
    return page


def write_sheet(path: Path, tiles: list[Tile]) -> None:
    blank = np.full_like(tiles[0], 255)
    full = tiles + [blank] * (-len(tiles) % _COLUMNS)
    rows = [np.concatenate(full[at : at + _COLUMNS], axis=1) for at in range(0, len(full), _COLUMNS)]
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])


def old_photos(found: Judged) -> None:
    """The measurements against the labels."""
    with LABELS.open(encoding="utf-8") as file:
        labels = {row["file"]: row for row in csv.DictReader(file)}
    seen = {name: own for name, own in found.values.items() if own is not None}
    rights = {
        "masked": lambda row: row["mask"] == "1",
        "eyes-closed": lambda row: row["eyes"] == "closed",
        "too-bright": lambda row: row["visible"] == "0",
        "too-dark": lambda row: row["visible"] == "0",
    }
    for reason in _RATED:
        names = list(found.drops.get(reason, {}))
        right = sum(rights[reason](labels[name]) for name in names)
        print(f"{reason:<12} {right} right of {len(names)} drops, of {len(seen)} faces")
    ranked = (
        ("colour", "colour against tinted", "colour", "colour", ("tinted",)),
        ("colour", "colour against tinted and gray", "colour", "colour", ("tinted", "gray")),
        ("tint", "tinted against gray", "colour", "tinted", ("gray",)),
        ("drawing", "drawing against photo", "kind", "drawing", ("photo",)),
    )
    for name, words, column, having, without in ranked:
        high, low = (
            [own[name] for file, own in seen.items() if name in own and labels[file][column] in kinds]
            for kinds in ((having,), without)
        )
        if high and low:
            auc = roc_auc_score([1] * len(high) + [0] * len(low), high + low)
            print(
                f"{name:<12} {words}: AUC {auc:.3f} ({len(high)} and {len(low)}); "
                f"5, 50, 95 %: {np.quantile(high, (0.05, 0.5, 0.95)).round(3).tolist()} and "
                f"{np.quantile(low, (0.05, 0.5, 0.95)).round(3).tolist()}"
            )


def main() -> None:
    """Read the command line, judge, write the sheets and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for the sheets")
    parser.add_argument("--sets", nargs="+", default=SETS)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    finder = MeshFinder()
    tiles: dict[str, list[Tile]] = defaultdict(list)
    for name in options.sets:
        found = judged(options.data / name, finder)
        counts = Counter({reason: len(drops) for reason, drops in found.drops.items()})
        faces = sum(own is not None for own in found.values.values())
        print(f"{name}: {len(found.values)} pictures, {faces} faces, drops {dict(counts)}", flush=True)
        for reason, drops in found.drops.items():
            tiles[reason] += drops.values()
        if name == "old-photos":
            old_photos(found)
    for reason, pictures in tiles.items():
        write_sheet(options.out / f"{reason}.png", pictures)


if __name__ == "__main__":
    main()
