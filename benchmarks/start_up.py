"""How long `mien --help` takes, beside Python that does nothing and Python that imports torch.

    python benchmarks/start_up.py [--starts 7]

Wall-clock and CPU seconds, the median of several starts that take turns. The claim: help in half a second.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ("-c", "pass"),
    "import torch": ("-c", "import torch"),
    "mien --help": ("-m", "mien", "--help"),
    "mien train --help": ("-m", "mien", "train", "--help"),
}


def once(words: tuple[str, ...]) -> tuple[float, float]:
    """Wall-clock and CPU seconds of one start."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--starts", type=int, default=7)
    starts = parser.parse_args().starts
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for _ in range(starts):
        for name, words in COMMANDS.items():
            times[name].append(once(words))
    medians = {name: [statistics.median(column) for column in zip(*rows)] for name, rows in times.items()}  # noqa: B905
    torch = medians["import torch"][1]
    print(f"{'start':<20}{'wall s':>8}{'CPU s':>8}{'of torch':>10}")
    for name, (wall, cpu) in medians.items():
        print(f"{name:<20}{wall:>8.2f}{cpu:>8.2f}{cpu / torch:>10.2f}")


if __name__ == "__main__":
    main()
