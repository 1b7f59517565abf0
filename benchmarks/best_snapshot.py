"""Which of a run's snapshots is nearest to people that it never saw? That is where its training should stop.

    python benchmarks/best_snapshot.py RUN --hold-out hold.zip [--every 2] [--count 1000]

Every snapshot (or every second ...) is scored by the kernel distance to the hold-out through Lite0 and the
mesh, with intervals. Nearest is the one whose two distances have the smallest product. Exit code 0 where no
snapshot before the last is nearer than it by both intervals (then all that was trained was of use), 1 where
one is: train again with its --kimg.
"""

import argparse
import math
import sys
from pathlib import Path

from mien.core.run import RunFolder
from mien.evaluation.measure import measure

Row = dict[str, tuple[float, float, float]]  # network to value, low, high


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--hold-out", required=True)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--count", type=int, default=1000, help="fakes of each snapshot")
    arguments = parser.parse_args()
    files = sorted(RunFolder.open(arguments.run).path.glob("generator-*.safetensors"))
    files = files[:: -arguments.every][::-1]  # the last one is always among them
    rows = {}
    for file in files:
        rows[file.stem] = distances(file, arguments.hold_out, arguments.count)
        cells = "  ".join(
            f"{name} {v:.4f} ({low:.4f}-{high:.4f})" for name, (v, low, high) in rows[file.stem].items()
        )
        print(f"{file.stem}  {cells}", flush=True)
    best, last = nearest(rows), files[-1].stem
    print(f"nearest: {best}")
    sys.exit(clearly_nearer(rows[best], rows[last]))


def distances(file: Path, data: str, count: int) -> Row:
    """Kernel distances of one snapshot with their intervals."""
    scores = measure(
        file, data, metrics=["kernel"], num_fake=count, num_real=count, seed=1_000_000, floor=False
    )
    return {
        str(score.network): (score.value, score.low or score.value, score.high or score.value)
        for score in scores
        if score.subject == "generator"
    }


def nearest(rows: dict[str, Row]) -> str:
    """The snapshot with the least product of its distances."""
    return min(rows, key=lambda name: math.prod(max(value, 1e-6) for value, _, _ in rows[name].values()))


def clearly_nearer(one: Row, other: Row) -> bool:
    """Whether `one` is nearer than `other` through every network, intervals apart."""
    return all(one[network][2] < other[network][1] for network in one)


if __name__ == "__main__":
    main()
