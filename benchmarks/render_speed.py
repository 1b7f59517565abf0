"""How many heads a second the renderer makes: `python benchmarks/render_speed.py [--count 96] [--rounds 3]`.

Wall-clock time of `render_people` with all cores (start of the workers included) and with one, best of the
rounds, and processor time per picture, which other work on the machine disturbs less.
"""

import argparse
import os
import resource
import time

from mien.render.people import render_people


def _cpu_seconds() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


def measure(count: int, size: int, workers: int, rounds: int) -> tuple[float, float]:
    """Best pictures a second, and least processor milliseconds a picture."""
    best, least = 0.0, float("inf")
    for _ in range(rounds):
        start, cpu = time.perf_counter(), _cpu_seconds()
        render_people(count, size=size, seed=0, workers=workers)
        best = max(best, count / (time.perf_counter() - start))
        least = min(least, 1000 * (_cpu_seconds() - cpu) / count)
    return best, least


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=96, help="pictures at 64 px, a quarter at 128")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(f"load before: {os.getloadavg()[0]:.1f} on {cores} cores")
    print("size  workers   img/s   CPU ms/img")
    for size, count in ((64, options.count), (128, max(options.count // 4, 2))):
        for workers in sorted({1, cores}):
            speed, cpu = measure(count, size, workers, options.rounds)
            print(f"{size:4d}  {workers:7d}  {speed:6.1f}   {cpu:10.1f}", flush=True)


if __name__ == "__main__":
    main()
