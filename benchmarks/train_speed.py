"""The whole training loop against the bare arithmetic of the same model, side by side in one run.

    python benchmarks/train_speed.py [--model lite] [--preset default] [--rounds 6] [--short]

The bare step is the phases of the same model with nothing around them: no order of pictures, averages,
guard, monitor, log, grids or checkpoints. The two take turns of a cycle of lazy phases, so that a noisy
neighbour slows both; what counts is CPU time, wall time stands beside it. Then where the loop's own CPU time
goes, and what a tick (every 1000 images, with a grid) and a checkpoint (every 4000) cost, at these intervals.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from mien.core import discover
from mien.core.run import RunFolder
from mien.core.types import Batch, Progress, Spec, Trainable
from mien.training.loop import Budget, Step, Training
from mien.training.order import Stream
from mien.training.session import Session
from mien.training.settings import NAMES, choose, probe

CPU = torch.device("cpu")
TURN = 4  # steps: a whole cycle of a penalty every four


class Noise:
    """A dataset of random pixels: speed does not depend on what they show."""

    name, content_hash, labels = "noise", "noise", None

    def __init__(self, resolution: int) -> None:
        self.spec = Spec(resolution)
        shape = (2000, 3, resolution, resolution)
        self._pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        self.records: list[dict[str, str]] = [{}] * len(self._pixels)

    def __len__(self) -> int:
        return len(self._pixels)

    def images(self, indexes: np.ndarray) -> np.ndarray:
        return self._pixels[indexes]


def bare(trainable: Trainable, images: torch.Tensor, precision: torch.dtype) -> Iterator[None]:
    """The model's phases and optimisers on one batch, again and again."""
    rng = torch.Generator().manual_seed(0)
    for network in trainable.networks.values():
        network.to(memory_format=torch.channels_last)
    for step in itertools.count():
        progress = Progress(step * len(images), step, 0.0)
        trainable.begin_step(progress)
        for phase in trainable.phases(progress):
            for name, network in trainable.networks.items():
                network.requires_grad_(name == phase.network)
            optimizer = trainable.optimizers[phase.network]
            optimizer.zero_grad(set_to_none=True)
            low = precision != torch.float32 and not phase.full_precision
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
                loss, _ = trainable.loss(phase, Batch(images, None, rng))
            (loss * phase.gain).backward()
            optimizer.step()
        yield


def whole(session: Session) -> Iterator[None]:
    """The same through our loop: one item a step."""
    for event in session.events():
        if isinstance(event, Step):
            yield


class Spent(NamedTuple):
    """Seconds."""

    cpu: float
    wall: float


def turn(steps: Iterator[None], count: int) -> Spent:
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(count):
        next(steps)
    return Spent(time.process_time() - cpu, time.perf_counter() - wall)


class Split:
    """CPU seconds inside some methods, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def watch(self, owner: Any, method: str, name: str) -> None:
        inner = getattr(owner, method)

        def timed(*arguments: Any, **options: Any) -> Any:
            began = time.process_time()
            try:
                return inner(*arguments, **options)
            finally:
                self.seconds[name] += time.process_time() - began

        setattr(owner, method, timed)


def watched(training: Training, stream: Stream, split: Split) -> None:
    """Time the parts of the loop: what the model computes, and the rest."""
    split.watch(training.trainable, "loss", "arithmetic")
    split.watch(torch.Tensor, "backward", "arithmetic")
    for optimizer in training.trainable.optimizers.values():
        split.watch(optimizer, "zero_grad", "arithmetic")  # of the bare step, too
        split.watch(optimizer, "step", "arithmetic")
    split.watch(stream, "batch", "images in order")
    split.watch(training.averages, "update", "weight averages")
    split.watch(torch.nn.utils, "get_total_norm", "norm of gradients")


def due(session: Session, training: Training, images: float) -> dict[str, float]:
    """CPU seconds of a tick with its grid and of a checkpoint, for as many images as one step has."""
    split = Split()
    split.watch(session._outputs, "show", "grid, every 1000 images")
    split.watch(session, "save", "checkpoint, every 4000 images")
    session._outputs.show()
    session.save()
    return {
        name: seconds * images / (1000 if "grid" in name else 4000) for name, seconds in split.seconds.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="lite")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--turn", type=int, default=TURN, help="steps")
    parser.add_argument("--short", action="store_true", help="preset quick in float32, three rounds")
    arguments = parser.parse_args()
    if arguments.short:
        arguments.preset, arguments.rounds = "quick", 3
    module = discover.load("mien.models", arguments.model)
    config, data = module.PRESETS[arguments.preset], Noise(arguments.resolution)
    stream = Stream(data, seed=0, mirror=True, labels=False, device=CPU)
    precision = torch.float32
    if not arguments.short:
        speeds = probe(lambda: module.build(config, data.spec), stream, CPU)
        precision = NAMES[choose(speeds)]
        print("probe:", {name: round(speed) for name, speed in speeds.items()}, "->", precision)
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))
        run.write_config({})
        training = Training(module.build(config, data.spec), 0, CPU, precision)
        budget = Budget(nimg=10**9)
        far = 10**6  # what falls due is measured by itself
        session = Session(
            *(run, training, stream, data, budget),
            family=arguments.model,
            tick_nimg=far * 1000,
            snapshot_nimg=far * 1000,
        )
        session.resume(print)
        images = stream.batch(0, config.batch_size)[0]
        ways = {
            "bare step": bare(module.build(config, data.spec), images, precision),
            "whole loop": whole(session),
        }
        spent = taken_in_turn(ways, arguments.rounds, arguments.turn)
        split = Split()
        watched(training, stream, split)
        loop = turn(ways["whole loop"], arguments.turn).cpu
        steps_due = due(session, training, arguments.turn * config.batch_size)
    report(spent, arguments.turn * config.batch_size)
    shares(split.seconds, loop, steps_due)


def taken_in_turn(ways: dict[str, Iterator[None]], rounds: int, count: int) -> dict[str, list[Spent]]:
    for steps in ways.values():
        turn(steps, count)
    spent: dict[str, list[Spent]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, steps in ways.items():
            spent[name].append(turn(steps, count))
    return spent


def report(spent: dict[str, list[Spent]], images: int) -> None:
    for name, turns in spent.items():
        cpu, wall = (statistics.median(column) for column in zip(*turns, strict=True))
        print(f"{name:12s} median {1000 * cpu / images:6.2f} CPU ms an image   {images / wall:6.1f} img/s")
    pairs = list(zip(spent["whole loop"], spent["bare step"], strict=True))
    cpu, wall = (statistics.median(a[i] / b[i] for a, b in pairs) for i in range(2))
    least = min(a.cpu for a, _ in pairs) / min(b.cpu for _, b in pairs)
    print(
        f"loop / bare, CPU time: median of turns {cpu:.3f}, least against least {least:.3f}; wall {wall:.3f}"
    )


def shares(seconds: dict[str, float], loop: float, steps_due: dict[str, float]) -> None:
    """A line for each part of a turn of the loop, what falls due in it included."""
    total = loop + sum(steps_due.values())
    parts = {**seconds, "the rest of the loop": loop - sum(seconds.values()), **steps_due}
    print(f"of {total:.2f} CPU s:")
    for name, value in parts.items():
        print(f"  {name:30s} {value / total:7.2%}")
    print(f"  {'outside the arithmetic':30s} {1 - parts['arithmetic'] / total:7.2%}")


if __name__ == "__main__":
    main()
