"""How long one face takes from a cold start, and how much memory many take.

    python benchmarks/generate_speed.py [--source FILE] [--starts 7] [--counts 1000 10000]

Each measurement is a process of its own: `mien generate` of one seed, several times, with the median of its
wall and CPU seconds and what importing torch alone takes beside it; then of many seeds, as files and as one
grid, with the most memory that it held (ru_maxrss). Without --source it is the model that comes with mien.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

MIEN = (sys.executable, "-m", "mien")
IMPORT = (sys.executable, "-c", "import torch")


class Cost(NamedTuple):
    """Of one process. wall, cpu: seconds. peak: MiB held at most."""

    wall: float
    cpu: float
    peak: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--source", default="packaged")
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--counts", type=int, nargs="*", default=[1000, 10_000])
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the beginning")
    with tempfile.TemporaryDirectory() as folder:
        one = (*MIEN, "generate", arguments.source, "--seeds", "0", "--out", folder)
        for name, command in (("import torch", IMPORT), ("one face", one)):
            costs = [cost(command) for _ in range(arguments.starts)]
            wall, cpu = (statistics.median(getattr(each, what) for each in costs) for what in ("wall", "cpu"))
            print(f"{name}: median of {len(costs)} starts {wall:.2f} s (CPU {cpu:.2f} s)", flush=True)
    for count in arguments.counts:
        for looks in ((), ("--grid",)):
            with tempfile.TemporaryDirectory() as folder:
                seeds = ("--seeds", f"0-{count - 1}", "--out", folder)
                found = cost((*MIEN, "generate", arguments.source, *seeds, *looks))
                size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
            what = f"{count:,} faces {'as one grid' if looks else 'as files'}"
            print(f"{what}: {found.wall:.1f} s, most memory {found.peak:.0f} MiB, {size:.1f} MB", flush=True)


def cost(command: tuple[str, ...]) -> Cost:
    """Run it to its end."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    return Cost(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, _mebibytes(usage))


def _mebibytes(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1 << 20)


if __name__ == "__main__":
    main()
