"""How well `prepare` finds faces in large photos: portraits pasted small and turned into made scenes.

    python benchmarks/composites.py PORTRAITS [PORTRAITS ...] [--count 600] [--seed 1] [--half even|odd|all]
        [--spin 0|90|180|270] [--empty] [--sheet FILE.png] [--log FILE.jsonl]
    python benchmarks/composites.py --read LOG [LOG ...]

Each picture is a scene without a face, 1600x1200 to 4000x3000, with one portrait whose face is 1 to 30 % of
the scene's width (drawn evenly on a logarithmic scale), turned by -30 to 30 degrees. It is coded as JPEG and
given to the code that `prepare` runs on every file. The truth is what the finder says of the portrait alone,
moved by the paste. Prints the share found by width of the face, errors of the roll, turns that are wrong by
more than 20 degrees, faces seen elsewhere, and CPU time; shares with Wilson's interval of 95 %.

--half: portraits of even or odd index, to tune on one half and judge on the other. --spin: the whole
picture is turned afterwards. --empty: scenes only, where every face is a false find.
"""

import argparse
import json
import math
import time
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from composite_scenes import KINDS, Scene, paste, scene
from mien.core.picture import list_pictures, read_picture
from mien.faces.face import Finder
from mien.faces.finder import open_finder
from mien.prepare.extract import CropConfig, extract
from mien.prepare.sources import Input

SIZES = ((1600, 1200), (2400, 1800), (3000, 2000), (3000, 4000), (4000, 3000))
SHARES = (0.01, 0.30)
TURN = 30.0
BUCKETS = (0, 40, 60, 100, 200, 400, 4000)
WRONG_TURN = 20.0
POOL = 100
NEAR = 0.5  # of the face's width: a face found within this of the true middle of the eyes is the face


@dataclass(frozen=True)
class Portrait:
    """A portrait and its face: the eyes as [2, 2] (x, y) and its width, in pixels."""

    path: Path
    eyes: np.ndarray
    width: float


@dataclass(frozen=True)
class Answer:
    """What came of one composite. found: the face at its place; elsewhere: the first face lies elsewhere."""

    kind: str
    size: tuple[int, int]
    width: float
    found: bool
    elsewhere: bool
    off: float
    seconds: float
    number: int


class Memory:
    """A reader of one picture in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, file: Input) -> bytes:
        """The picture's bytes."""
        return self._data


def portraits(folders: list[Path], half: str, finder: Finder) -> list[Portrait]:
    """Up to POOL portraits of each folder's half in which exactly one face is found, near upright."""
    kept, chosen = [], []
    for folder in folders:
        paths = list_pictures(folder)
        own = {"all": paths, "even": paths[::2], "odd": paths[1::2]}[half]
        chosen += own[:: -(-len(own) // POOL)]
    for path in chosen:
        faces = finder.find(read_picture(path))
        if len(faces) == 1:
            eyes = np.array([faces[0].eye_left, faces[0].eye_right])
            if abs(roll_of(eyes)) < 35:
                kept.append(Portrait(path, eyes, faces[0].size))
    print(f"{len(kept)} of {len(chosen)} portraits ({half} indexes) show one upright face")
    return kept


def roll_of(eyes: np.ndarray) -> float:
    """Degrees, clockwise positive, of the line from the left to the right eye."""
    x, y = eyes[1] - eyes[0]
    return math.degrees(math.atan2(y, x))


def composite(number: int, seed: int, pool: list[Portrait]) -> tuple[Scene, np.ndarray, float]:
    """The picture, where its eyes truly are, and the width of the face in pixels."""
    rng = np.random.default_rng([seed, number])
    size = SIZES[int(rng.integers(len(SIZES)))]
    others = [read_picture(pool[int(index)].path) for index in rng.integers(len(pool), size=3)]
    made = scene(KINDS[number % len(KINDS)], size, others, rng)
    person = pool[int(rng.integers(len(pool)))]
    share = math.exp(rng.uniform(*np.log(SHARES)))
    scale = share * size[0] / person.width
    eyes = paste(made.pixels, read_picture(person.path), person.eyes, scale, rng.uniform(-TURN, TURN), rng)
    return made, eyes, person.width * scale


def spun(pixels: np.ndarray, eyes: np.ndarray, spin: int) -> tuple[np.ndarray, np.ndarray]:
    """Picture and places turned by `spin` degrees against the clock."""
    for _ in range(spin // 90):
        width = pixels.shape[1]
        pixels, eyes = np.rot90(pixels), np.stack([eyes[:, 1], width - eyes[:, 0]], axis=1)
    return np.ascontiguousarray(pixels), eyes


def looked(pixels: np.ndarray, finder: Finder) -> tuple[dict[str, Any], float]:
    """What `prepare` records of the largest face of the picture as a JPEG ({}: none), and the CPU seconds."""
    data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    begun = time.process_time()
    reader: Any = Memory(data)
    faces = extract(Input("a.jpg", 0, ""), reader, finder, CropConfig((64,))).record.get("faces", [])
    return faces[0] if faces else {}, time.process_time() - begun


def judged(record: dict[str, Any], eyes: np.ndarray, width: float) -> tuple[bool, bool, float]:
    """Whether the face was found, or another seen elsewhere, and by how many degrees its roll is off."""
    if "landmarks" not in record:
        return False, False, math.nan
    own = np.array([record["landmarks"]["eye_left"], record["landmarks"]["eye_right"]])
    x, y, across, down = record["box"]
    middle = np.array([x + across / 2, y + down / 2])
    if min(math.dist(place, eyes.mean(axis=0)) for place in (middle, own.mean(axis=0))) > NEAR * width:
        return False, True, math.nan
    return True, False, (roll_of(own) - roll_of(eyes) + 180) % 360 - 180


def wilson(hits: int, total: int) -> str:
    """A share in percent with its interval of 95 % (Wilson 1927)."""
    if not total:
        return "-"
    z, share = 1.96, hits / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total**2))
    return f"{hits}/{total} = {100 * share:.1f} % ({100 * (middle - half):.1f}-{100 * (middle + half):.1f})"


def report(answers: list[Answer]) -> None:
    """Print the tables."""
    for low, high in pairwise(BUCKETS):
        inside = [answer for answer in answers if low <= answer.width < high]
        share = wilson(sum(answer.found for answer in inside), len(inside))
        print(f"face {low:>4} to {high:>4} px   found {share}")
    above = [answer for answer in answers if answer.width >= 40]
    print(f"face from 40 px      found {wilson(sum(answer.found for answer in above), len(above))}")
    tiny = [answer for answer in answers if answer.width >= 0.015 * answer.size[0]]
    print(f"face from 1.5 %      found {wilson(sum(answer.found for answer in tiny), len(tiny))}")
    for kind in KINDS:
        inside = [answer for answer in above if answer.kind == kind]
        print(f"{kind:<9} from 40 px found {wilson(sum(answer.found for answer in inside), len(inside))}")
    off = np.array([abs(answer.off) for answer in answers if answer.found])
    right = wilson(int((off <= WRONG_TURN).sum()), len(off))
    print(f"roll within {WRONG_TURN:g} degrees of those found: {right}")
    print("roll error, quantiles .5 .9 .95 .99:", *np.round(np.quantile(off, (0.5, 0.9, 0.95, 0.99)), 2))
    turns = [(answer.number, round(answer.off), round(answer.width)) for answer in answers
             if abs(answer.off) > WRONG_TURN]  # fmt: skip
    print("wrong turns (number, degrees, width):", turns or "none")
    elsewhere = [(answer.number, answer.kind) for answer in answers if answer.elsewhere]
    print(f"a face seen elsewhere: {wilson(len(elsewhere), len(answers))} {elsewhere[:12]}")
    missed = [(a.number, a.kind, a.size[0], round(a.width)) for a in above if not a.found]
    print("missed from 40 px (number, kind, scene, width):", missed or "none")
    times(answers)


def times(answers: list[Answer]) -> None:
    """Print CPU milliseconds a photo by the size of the photo, and over all."""
    for size in (*SIZES, None):
        spent = [1e3 * answer.seconds for answer in answers if size in (None, answer.size)]
        if spent:
            median, high = np.quantile(spent, (0.5, 0.95))
            name = "all" if size is None else f"{size[0]}x{size[1]}"
            print(f"{name:<10} CPU ms/photo: mean {np.mean(spent):.0f}, median {median:.0f}, 95 % {high:.0f}")


def run(options: argparse.Namespace, finder: Finder) -> None:
    """Composites, one after the other."""
    pool, answers, shown = portraits(options.folders, options.half, finder), [], []
    for number in range(options.count):
        made, eyes, width = composite(number, options.seed, pool)
        pixels, places = spun(made.pixels, eyes, options.spin)
        record, seconds = looked(pixels, finder)
        answers.append(Answer(made.kind, made.size, width, *judged(record, places, width), seconds, number))
        if options.log:
            with options.log.open("a") as log:
                log.write(json.dumps(asdict(answers[-1])) + "\n")
        if options.sheet and number < 40:
            shown.append(small(pixels, record))
    report(answers)
    if options.sheet:
        rows = [np.concatenate(shown[row : row + 8], axis=1) for row in range(0, len(shown) // 8 * 8, 8)]
        cv2.imwrite(str(options.sheet), np.concatenate(rows)[..., ::-1])


def run_empty(options: argparse.Namespace, finder: Finder) -> None:
    """Scenes without a face: each face is a false find."""
    pool, found, seconds = portraits(options.folders, options.half, finder), Counter(), []
    for number in range(options.count):
        rng = np.random.default_rng([options.seed, number, 77])
        size = SIZES[int(rng.integers(len(SIZES)))]
        others = [read_picture(pool[int(index)].path) for index in rng.integers(len(pool), size=3)]
        made = scene(KINDS[number % len(KINDS)], size, others, rng)
        record, spent = looked(made.pixels, finder)
        seconds.append(Answer(made.kind, size, 0, "box" in record, False, 0, spent, number))
        if "box" in record:
            found[made.kind] += 1
            print("false find:", number, made.kind, size, record["box"], record["measurements"]["score"])
    print(
        f"scenes without a face: a face found in {wilson(sum(found.values()), options.count)} {dict(found)}"
    )
    times(seconds)


def small(pixels: np.ndarray, record: dict[str, Any]) -> np.ndarray:
    """The picture 200 pixels wide with the box that was found."""
    scale = 200 / max(pixels.shape)
    view = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if "box" in record:
        x, y, across, down = (round(value * scale) for value in record["box"])
        cv2.rectangle(view, (x, y), (x + across, y + down), (255, 210, 0), 1)
    return cv2.copyMakeBorder(view, 0, 200 - view.shape[0], 0, 200 - view.shape[1], cv2.BORDER_CONSTANT)


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--half", choices=("even", "odd", "all"), default="all")
    parser.add_argument("--spin", type=int, choices=(0, 90, 180, 270), default=0)
    parser.add_argument("--empty", action="store_true")
    parser.add_argument("--sheet", type=Path, help="a picture of the first forty")
    parser.add_argument("--log", type=Path, help="JSON lines, one a composite, appended as they come")
    parser.add_argument(
        "--read", action="store_true", help="only report on the logs given instead of folders"
    )
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.read:
        rows = [json.loads(line) for log in options.folders for line in log.read_text().splitlines()]
        report([Answer(**row | {"size": tuple(row["size"])}) for row in rows])
        return
    (run_empty if options.empty else run)(options, open_finder("mesh"))


if __name__ == "__main__":
    main()
