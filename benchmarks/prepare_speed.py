"""How fast `prepare` is, stage by stage and as a whole.

    python benchmarks/prepare_speed.py FOLDER [--size 64] [--finder mesh] [--count 300] [--runs 3]

Prints milliseconds a photo for each stage on one core, then photos/s of the whole command, and photos per
CPU second, which does not depend on what else the machine is doing.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from mien.core.packed import encode_png
from mien.core.picture import decode, list_pictures
from mien.faces.align import crop, ffhq_square
from mien.faces.finder import FINDERS, open_finder
from mien.prepare.prepare import prepare


def stages(paths: list[Path], size: int, finder_name: str) -> None:
    """Print what each stage costs, best of two passes."""
    cv2.setNumThreads(1)
    finder = open_finder(finder_name)
    print(f"{'stage':<8} ms/photo (one core, {len(paths)} photos)")
    pictures = timed("decode", lambda path: decode(path, near=640).pixels, paths)
    found = timed("find", finder.find, pictures)
    pairs = [
        (picture, ffhq_square(faces[0])) for picture, faces in zip(pictures, found, strict=True) if faces
    ]
    crops = timed("cut", lambda pair: crop(pair[0], pair[1], size), pairs)
    timed("encode", encode_png, crops)


def timed(name: str, work: Callable[[Any], Any], items: list[Any]) -> list[Any]:
    """Results of `work` over `items`; prints the better of two CPU times an item."""
    costs, results = [], []
    for _ in range(2):
        begun = time.process_time()
        results = [work(item) for item in items]
        costs.append((time.process_time() - begun) / max(len(items), 1))
    print(f"{name:<8} {min(costs) * 1e3:6.2f}")
    return results


def whole(folder: Path, size: int, finder: str, runs: int) -> None:
    """Print photos/s and CPU seconds of the whole command, start of the workers included."""
    print(
        f"{'run':<8} {'photos':>7} {'kept':>6} {'seconds':>8} {'photos/s':>9} {'CPU s':>7} {'per CPU s':>10}"
    )
    for run in range(runs):
        with tempfile.TemporaryDirectory() as scratch:
            before = cpu_seconds()
            result = prepare(str(folder), Path(scratch) / "out.zip", size=(size,), finder=finder).run()
            spent = cpu_seconds() - before
        rate, per_cpu = result.total / result.seconds, result.total / spent
        counts = f"{result.total:>7} {result.kept:>6} {result.seconds:>8.2f} {rate:>9.1f}"
        print(f"{run:<8} {counts} {spent:>7.2f} {per_cpu:>10.1f}")


def cpu_seconds() -> float:
    """CPU time of this process and its ended children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Read the command line and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--finder", choices=FINDERS, default="mesh")
    parser.add_argument("--count", type=int, default=300, help="photos for the stages")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    stages(list_pictures(options.folder)[: options.count], options.size, options.finder)
    whole(options.folder, options.size, options.finder, options.runs)


if __name__ == "__main__":
    main()
