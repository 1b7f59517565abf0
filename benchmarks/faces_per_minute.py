"""Which arm draws better faces after equal minutes of one core? Arms side by side, seeds, intervals.

    python benchmarks/faces_per_minute.py photos.zip --minutes 10 --seeds 0 1 2 \
        --arm old:preset=plain,augment=none --arm new:preset=quick

An arm is NAME:SETTINGS of a family (`--model lite` unless told), settings as `mien train --set` takes them;
`preset=` and `augment=` (none unless told) are understood too. First every arm's cost of an image is
measured, the arms taking turns on one thread, so that a noisy neighbour slows all alike; the minutes then
become a budget of images for each, and schedules run over it. Every product is scored by `mien evaluate`:
kernel distance through Lite0 and the mesh with intervals, share of faces found, LPIPS diversity; beside it
real halves. A line of JSON for each goes to --out, with a grid of 64 unpicked faces. Called again, it does
what is missing, at the costs it measured (`costs.json`); --only names the arms that one of several
processes trains.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from mien.core import discover
from mien.core.types import Drawn, Spec
from mien.evaluation.measure import measure
from mien.generation.generate import generate
from mien.terminal import show
from mien.training.augment import PIPES, Augmentation, Schedule
from mien.training.command import TrainOptions, train
from mien.training.loop import Budget, Training
from mien.training.loop import train as steps
from mien.training.settings import NAMES, resolve_config

_TURNS, _STEPS = 4, 4  # a penalty falls due every fourth step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--arm", action="append", required=True, metavar="NAME:SETTINGS")
    parser.add_argument("--model", default="lite")
    parser.add_argument("--only", nargs="+", help="train these arms alone")
    parser.add_argument("--minutes", type=float, default=10, help="of one core; 10 are 5 on two")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--count", type=int, default=800, help="fakes for each score")
    parser.add_argument("--size", type=int, default=64, help="pixels a side of the data")
    parser.add_argument("--precision", choices=[*NAMES], default="fp32", help="bf16 where it is faster")
    parser.add_argument(
        "--start",
        type=Path,
        help="begin every arm with these weights, or `packaged`; from nothing unless told",
    )
    parser.add_argument("--out", type=Path, default=Path("out/faces-per-minute"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    arms = dict(_arm(text) for text in arguments.arm)
    cost = _costs_once(arguments.out / "costs.json", arguments, arms)
    for name, seconds in cost.items():
        console.print(f"{name}: {seconds * 1000:.1f} ms of one core an image", highlight=False)
    for seed in arguments.seeds:
        for name in arguments.only or arms:
            changes = arms[name]
            run_arm(arguments, name, changes, seed, arguments.minutes * 60 / cost[name], console)
    console.print(table(arguments.out / "scores.jsonl"))


def _arm(text: str) -> tuple[str, tuple[str, ...]]:
    name, _, settings = text.partition(":")
    return name, tuple(part for part in settings.split(",") if part)


def _numbers(changes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(change for change in changes if not change.startswith(("augment=", "preset=")))


def _told(changes: tuple[str, ...], what: str, otherwise: str) -> str:
    return next((change.partition("=")[2] for change in changes if change.startswith(f"{what}=")), otherwise)


def _costs_once(
    path: Path, arguments: argparse.Namespace, arms: dict[str, tuple[str, ...]]
) -> dict[str, float]:
    if path.exists():
        known = json.loads(path.read_text("utf-8"))
        if arms.keys() <= known.keys():
            return {name: known[name] for name in arms}
    cost = costs(arguments.model, arms, NAMES[arguments.precision], arguments.size)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(cost), "utf-8")
    return cost


def costs(
    model: str, arms: dict[str, tuple[str, ...]], precision: torch.dtype, size: int = 64
) -> dict[str, float]:
    """CPU seconds of one core an image of each arm's step, medians of turns; `ada` at p .1."""
    family = discover.load("mien.models", model)
    streams = {}
    for name, changes in arms.items():
        config = resolve_config(family, model, _told(changes, "preset", "default"), _numbers(changes))
        training = Training(family.build(config, Spec(size)), 0, torch.device("cpu"), precision)
        if _told(changes, "augment", "none") != "none":
            training.augment = Schedule(Augmentation(PIPES["bgc"]), "fixed", peak=0.1)
        streams[name] = (steps(training, _Noise(size), Budget(nimg=10**9)), training.trainable.batch_size)
    spent: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(_TURNS):
        for name, (stream, batch_size) in streams.items():
            started = time.process_time()
            for _ in range(_STEPS):
                next(stream)
            spent[name].append((time.process_time() - started) / (_STEPS * batch_size))
    return {name: statistics.median(turns[1:]) for name, turns in spent.items()}


class _Noise:
    def __init__(self, size: int) -> None:
        self.size = size

    def batch(self, nimg: int, count: int) -> Drawn:
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(count, 3, self.size, self.size, generator=generator) * 2 - 1
        return Drawn(images.contiguous(memory_format=torch.channels_last), None)


def run_arm(
    arguments: argparse.Namespace,
    name: str,
    changes: tuple[str, ...],
    seed: int,
    nimg: float,
    console: Console,
) -> None:
    """Train one arm with one seed, unless that was done, and write its scores and its grid."""
    key = {"arm": name, "seed": seed, "minutes": arguments.minutes, "data": Path(arguments.data).name}
    scores_path = arguments.out / "scores.jsonl"
    if any(key.items() <= row.items() for row in read(scores_path)):
        return
    options = TrainOptions(
        model=arguments.model,
        preset=_told(changes, "preset", "default"),
        set=_numbers(changes),
        augment=_told(changes, "augment", "none"),
        kimg=nimg / 1000,
        seed=seed,
        start=arguments.start or Path("none"),
        precision=arguments.precision,
        out=arguments.out / "runs",
        tick_kimg=4,
        snapshot_kimg=1000,
    )
    run = show(train(arguments.data, options=options), console)
    scores = measure(
        run.path, arguments.data, num_fake=arguments.count, metrics=["kernel", "faces", "lpips"], fetch=False
    )
    row = dict(key, kimg=round(nimg / 1000, 1), changes=changes)
    for score in scores:
        where = "" if score.subject == "generator" else f" {score.subject}"
        row[f"{score.metric} {score.network or ''}{where}"] = [score.value, score.low, score.high]
    arguments.out.mkdir(parents=True, exist_ok=True)
    with open(scores_path, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    folder = arguments.out / f"{Path(arguments.data).stem}-{name}-{arguments.minutes:g}-{seed}"
    generate(run.path, out=folder, seeds="0-63", grid=True).run()


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def table(path: Path) -> Table:
    rows = read(path)
    names = sorted({key for row in rows for key in row if isinstance(row[key], list) and " " in key})
    grid = Table("data", "arm", "minutes", "seed", "kimg", *names)
    for row in rows:
        cells = [_cell(row.get(name)) for name in names]
        grid.add_row(*(str(row[key]) for key in ("data", "arm", "minutes", "seed", "kimg")), *cells)
    return grid


def _cell(value: object) -> str:
    if not isinstance(value, list):
        return ""
    middle, low, high = value
    return f"{middle:.3g}" if low is None else f"{middle:.3g} ({low:.3g}-{high:.3g})"


if __name__ == "__main__":
    main()
