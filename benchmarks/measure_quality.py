"""How good the measurements of faces are: python benchmarks/measure_quality.py DATA [--count 300].

DATA holds folders of real portraits: photos, faces, expressions, portraits-cc0 (any may be missing).
Rendered heads give the truth of pose, eyes, mouth, glasses and beards (rendered once, two minutes); blur,
masks and shut eyes are made on real portraits, and the finder looks at these again.
"""

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from measure_truth import MASKS, Labels, blurred, heads, masked, shut
from mien.core.picture import Picture, decode, list_pictures
from mien.faces.crop import Square
from mien.faces.face import Face, Finder
from mien.faces.finder import open_finder
from mien.faces.measure import SUGGESTED, measure
from mien.faces.measure_light import face_view, sharpness

SETS = ("photos", "faces", "expressions", "portraits-cc0")
FITTED_ON = ("photos",)  # of these sets; the probes are fitted on others too
TABLES = ("drops", "pose", "parts", "blur", "masks", "shut")
SIGMAS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
SQUARE = Square((50.0, 50.0), (80.0, 0.0))  # of no importance here
JudgedFace = tuple[Picture, Face]


def measured(pixels: np.ndarray, finder: Finder) -> dict[str, float] | None:
    """All measurements of the largest face."""
    faces = finder.find(pixels)
    picture = Picture(pixels, pixels.shape[1], pixels.shape[0], "PNG")
    return measure(picture, faces[0], SQUARE, num_faces=len(faces)) if faces else None


def portraits(data: Path, finder: Finder, most: int) -> dict[str, list[JudgedFace]]:
    """Up to `most` pictures of each set, drawn evenly, with their largest face."""
    found = {}
    for name in SETS:
        folder = data / name
        paths = list_pictures(folder) if folder.is_dir() else []
        if not paths:
            continue
        pictures = [decode(path, near=640) for path in paths[:: max(1, len(paths) // most)]]
        pairs = [(picture, finder.find(picture.pixels)) for picture in pictures]
        found[name] = [(picture, faces[0]) for picture, faces in pairs if faces]
    return found


def auc(low: list[float], high: list[float]) -> float:
    """Chance that a member of `high` measures more than one of `low`."""
    return float(roc_auc_score([0] * len(low) + [1] * len(high), low + high))


def report(name: str, text: str) -> None:
    print(f"{name:<34} {text}", flush=True)


def pose(finder: Finder, count: int) -> None:
    """Absolute errors in degrees, and what half of each range of pitch is off by."""
    pairs = [(head.labels, measured(head.image, finder)) for head in heads("pose", count)]
    pairs = [(truth, own) for truth, own in pairs if own]
    for angle in ("yaw", "pitch"):
        off = np.array([own[angle] - truth[angle] for truth, own in pairs])
        at = np.array([truth[angle] for truth, _ in pairs])
        parts = [f"{np.median(off[(at >= low) & (at < low + 15)]):+.1f}" for low in range(-45, 45, 15)]
        errors = f"median {np.median(abs(off)):.1f}, 90 % under {np.quantile(abs(off), 0.9):.1f}"
        report(
            f"{angle}, +-45, {len(off)} heads", f"{errors}, bias {np.median(off):+.1f} ({' '.join(parts)})"
        )


def parts(finder: Finder, count: int) -> None:
    """Eyes, mouth, glasses of rendered heads."""
    pairs = [(head.labels, measured(head.image, finder)) for head in heads("parts", count)]
    seen = [(truth, own) for truth, own in pairs if own]
    units = [(truth["action_units"], own) for truth, own in _odd(pairs) if truth["glasses"] != "sun"]
    low = [own["eyes_open"] for unit, own in units if unit["AU43"] >= 4]
    high = [own["eyes_open"] for unit, own in units if unit["AU43"] <= 1]
    least = SUGGESTED["eyes_open"][0]
    assert least is not None
    below = [float(np.mean(np.array(values) < least)) for values in (low, high)]
    kept = f"under {least:g}: {below[0]:.0%} of shut, {below[1]:.1%} of open"
    report("eyes open", f"AUC {auc(low, high):.3f} ({len(low)} shut, {len(high)} open); {kept}")
    truths = (("mouth_open", "Mouth_Slightly_Open", seen), ("glasses", "Eyeglasses", _odd(pairs)))
    for name, attribute, judged in truths:
        split = [
            [own[name] for truth, own in judged if truth["attributes"][attribute] == value]
            for value in (False, True)
        ]
        report(name, f"AUC {auc(*split):.3f} ({len(split[0])} without, {len(split[1])} with)")


def _odd(pairs: list[tuple[Labels, dict[str, float] | None]]) -> list[tuple[Labels, dict[str, float]]]:
    """The heads at odd places, which no weights were fitted on."""
    return [(truth, own) for truth, own in pairs[1::2] if own]


def ladder(found: list[JudgedFace], size: int, noise: float) -> tuple[float, float, float, list[float]]:
    """Spearman of sharpness against blur: mean and least of single pictures, of all together; medians."""
    rng = np.random.default_rng(0)
    rows = [
        [sharpness(face_view(*pair)) for pair in blurred(picture.pixels, face, size, noise, rng, SIGMAS)]
        for picture, face in found
    ]
    own = [-spearmanr(SIGMAS, row)[0] for row in rows]
    pooled = -spearmanr(np.tile(SIGMAS, len(rows)), np.ravel(rows))[0]
    return float(np.mean(own)), float(np.min(own)), float(pooled), np.median(rows, axis=0).round(2).tolist()


def blur(real: dict[str, list[JudgedFace]]) -> None:
    for name, found in real.items():
        for size in (128, 200):
            for noise in (0, 4, 10):
                mean, least, pooled, medians = ladder(found[:: max(1, len(found) // 40)], size, noise)
                text = f"Spearman mean {mean:.3f}, least {least:.3f}, pooled {pooled:.3f}; {medians[::2]}"
                report(f"blur {name}, {size} px, noise {noise}", text)
        sizes = (60, 96, 150, 250, 600)
        sharp = [median_sharpness(found[:40], size) for size in sizes]
        report(f"sharpness {name} at {sizes} px", " ".join(f"{value:.2f}" for value in sharp))


def median_sharpness(found: list[JudgedFace], size: int) -> float:
    """Of the pictures that need no enlarging to show a face of `size` pixels; nan if there is none."""
    rng = np.random.default_rng(0)
    large = [(picture, face) for picture, face in found if size <= 1.05 * face.size]
    views = [face_view(*next(blurred(picture.pixels, face, size, 0, rng, (0.0,)))) for picture, face in large]
    return float(np.median([sharpness(view) for view in views])) if views else float("nan")


def masks(real: dict[str, list[JudgedFace]], finder: Finder, count: int) -> None:
    """Ten masks on each of `count` people of the sets that the weights were not fitted on.

    Faces that look too far aside to be asked count as bare, and one that is so only masked as missed.
    """
    rng = np.random.default_rng(11)
    everybody = [pair for name, found in real.items() if name not in FITTED_ON for pair in found]
    own_masks = [measure(picture, face, SQUARE, num_faces=1).get("mask") for picture, face in everybody]
    people = [pair for pair, value in zip(everybody, own_masks, strict=True) if value is not None]
    bare = [value or 0.0 for value in own_masks]
    chosen = [people[index] for index in np.linspace(0, len(people) - 1, min(count, len(people))).astype(int)]
    covered = defaultdict(list)
    lost = 0
    for picture, face in chosen:
        for name in MASKS:
            own = measured(masked(picture.pixels, face, name, rng), finder)
            lost += own is None
            covered[name] += [own.get("mask", 0.0)] if own else []
    most = SUGGESTED["mask"][1]
    assert most is not None
    every = [value for values in covered.values() for value in values]
    over = [float(np.mean(np.array(values) > most)) for values in (every, bare)]
    flagged = f"over {most:g}: {over[0]:.1%} of masks, {over[1]:.2%} of bare faces"
    report(f"mask, {len(chosen)} people", f"AUC {auc(bare, every):.4f}, {lost} not found; {flagged}")
    report("  by colour", ", ".join(f"{name} {auc(bare, values):.3f}" for name, values in covered.items()))
    beards = [own.get("mask", 0.0) for head in heads("beard", 80) if (own := measured(head.image, finder))]
    report(
        "  rendered beards",
        f"{np.mean(np.array(beards) > most):.1%} of {len(beards)} over {most:g}, most {max(beards):.2f}",
    )


def shut_eyes(real: dict[str, list[JudgedFace]], finder: Finder) -> None:
    rng = np.random.default_rng(12)
    for name, found in real.items():
        opened = [
            value["eyes_open"]
            for picture, face in found
            if "eyes_open" in (value := measure(picture, face, SQUARE, num_faces=1))
        ]
        closed = [
            own["eyes_open"]
            for picture, face in found[::3]
            if (own := measured(shut(picture.pixels, face, rng), finder)) and "eyes_open" in own
        ]
        report(f"eyes painted shut, {name}", f"AUC {auc(closed, opened):.3f}")


def drops(real: dict[str, list[JudgedFace]]) -> None:
    """What the suggested bounds would drop, and the medians of pose."""
    for name, found in real.items():
        start = time.process_time()
        values = [measure(picture, face, SQUARE, num_faces=1) for picture, face in found]
        cost = (time.process_time() - start) / len(found) * 1e3
        broken = Counter(reason for value in values for reason in _broken(value))
        pose = ", ".join(
            f"{angle} {np.median([v[angle] for v in values]):+.1f}" for angle in ("yaw", "pitch")
        )
        report(
            f"{name}, {len(found)}",
            f"{cost:.2f} ms a face; medians {pose}; bounds broken: {dict(broken) or 'none'}",
        )


def _broken(values: dict[str, float]) -> Iterator[str]:
    for name, (low, high) in SUGGESTED.items():
        if (low is not None and values[name] < low) or (high is not None and values[name] > high):
            yield name


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--count", type=int, default=300, help="rendered heads of each kind, pictures of each set"
    )
    parser.add_argument("--only", nargs="+", choices=TABLES, default=TABLES, help="these tables")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    finder = open_finder("mesh")
    real = portraits(options.data, finder, options.count) if set(options.only) - {"pose", "parts"} else {}
    tables = {
        "drops": lambda: drops(real),
        "pose": lambda: pose(finder, options.count),
        "parts": lambda: parts(finder, options.count),
        "blur": lambda: blur(real),
        "masks": lambda: masks(real, finder, 400),
        "shut": lambda: shut_eyes(real, finder),
    }
    for name in options.only:
        tables[name]()


if __name__ == "__main__":
    main()
