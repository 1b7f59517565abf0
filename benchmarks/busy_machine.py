"""How long training takes beside busy processes, by how long OpenMP's threads spin when they wait.

    python benchmarks/busy_machine.py [--busy 0 4] [--spins default 0 1000 10000 passive] [--seconds 10]

Each setting trains the default `lite` with two threads in a process of its own, the settings taking turns;
printed are images a second of wall time, best and median of turns, and the ratio to the first setting.
`default` is what the OpenMP library does unless told, `passive` is OMP_WAIT_POLICY=passive. A turn that is
not ready after a minute counts as 0.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

_BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(10000))"  # no longer
_MOST_SECONDS = 60.0  # of one turn; a setting that needs longer has collapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 4], help="processes beside it")
    parser.add_argument("--spins", nargs="+", default=["default", "0", "1000", "10000", "passive"])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(speed(arguments.seconds))
        return
    for busy in arguments.busy:
        beside = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(busy)]
        try:
            speeds = turns(arguments)
        finally:
            for process in beside:
                process.kill()
        first = max(speeds[arguments.spins[0]])
        for spin, values in speeds.items():
            best, median = max(values), statistics.median(values)
            line = f"{busy} busy, {spin}: best {best:.1f} img/s ({best / first:.2f}), median {median:.1f}"
            print(line, flush=True)


def turns(arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Images a second of each setting, turn by turn."""
    speeds: dict[str, list[float]] = {spin: [] for spin in arguments.spins}
    for _ in range(arguments.turns):
        for spin in arguments.spins:
            command = [sys.executable, __file__, "--child", "--seconds", str(arguments.seconds)]
            try:
                done = subprocess.run(
                    command, env=environment(spin), capture_output=True, check=True, timeout=_MOST_SECONDS
                )
                speeds[spin].append(float(done.stdout))
            except subprocess.TimeoutExpired:
                speeds[spin].append(0.0)
    return speeds


def environment(spin: str) -> dict[str, str]:
    """The environment of a process with this setting."""
    kept = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    if spin == "passive":
        return kept | {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "2"}
    if spin == "default":
        return kept | {"GOMP_SPINCOUNT": "300000", "OMP_NUM_THREADS": "2"}
    return kept | {"GOMP_SPINCOUNT": spin, "OMP_NUM_THREADS": "2"}


def speed(seconds: float) -> float:
    """Images a second of a few steps of the default model on random pixels."""
    import torch

    from mien.core.types import Drawn, Spec
    from mien.models import lite
    from mien.training.loop import Budget, Training
    from mien.training.loop import train as steps

    class Noise:
        def batch(self, nimg: int, count: int) -> Drawn:
            images = torch.rand(count, 3, 64, 64) * 2 - 1
            return Drawn(images.contiguous(memory_format=torch.channels_last), None)

    config = lite.PRESETS["quick"]
    training = Training(lite.build(config, Spec(64)), 0, torch.device("cpu"))
    stream = steps(training, Noise(), Budget(nimg=10**9))
    for _ in range(4):
        next(stream)
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        for _ in range(4):  # a whole cycle: a penalty falls due every fourth step
            next(stream)
        done += 4 * config.batch_size
    return done / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
