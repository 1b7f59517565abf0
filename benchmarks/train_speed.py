"""Images a second of the whole training loop against the bare step, side by side in one run.

    python benchmarks/train_speed.py [--model lite] [--rounds 6]

The bare step is the phases of the same model with nothing around them: no order of pictures, averages,
guard, monitor, log, grids or checkpoints. The two take turns of eight steps, so that a noisy neighbour slows
both; best and median turns are printed. The turns of the loop include what falls due in them (ticks with
grids every 1000 images, checkpoints every 4000).
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from mien.core import discover
from mien.core.run import RunFolder
from mien.core.types import Batch, Progress, Spec, Trainable
from mien.training.loop import Budget, Step, Training
from mien.training.order import Stream
from mien.training.precision import NAMES, choose, probe
from mien.training.session import Session

CPU = torch.device("cpu")
TURN = 8  # steps: two whole cycles of a penalty every four


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


def turn(steps: Iterator[None], batch_size: int) -> float:
    started = time.perf_counter()
    for _ in range(TURN):
        next(steps)
    return TURN * batch_size / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="lite")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=8)
    arguments = parser.parse_args()
    module = discover.load("mien.models", arguments.model)
    config, data = module.PRESETS["default"], Noise(arguments.resolution)
    stream = Stream(data, seed=0, mirror=True, labels=False, device=CPU)
    speeds = probe(lambda: module.build(config, data.spec), stream, CPU)
    precision = NAMES[choose(speeds)]
    print("probe:", {name: round(speed) for name, speed in speeds.items()}, "->", precision)
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))
        run.write_config({})
        training = Training(module.build(config, data.spec), 0, CPU, precision)
        session = Session(run, training, stream, data, Budget(nimg=10**9), family=arguments.model)
        session.resume(print)
        sides = {
            "bare step": bare(
                module.build(config, data.spec), stream.batch(0, config.batch_size)[0], precision
            ),
            "whole loop": whole(session),
        }
        for steps in sides.values():
            turn(steps, config.batch_size)
        turns: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(arguments.rounds):
            for name, steps in sides.items():
                turns[name].append(turn(steps, config.batch_size))
    for name, found in turns.items():
        print(f"{name:12s} best {max(found):6.1f} img/s   median {statistics.median(found):6.1f} img/s")
    ratios = [w / b for w, b in zip(turns["whole loop"], turns["bare step"], strict=True)]
    best = max(turns["whole loop"]) / max(turns["bare step"])
    print(f"loop / bare: median of turns {statistics.median(ratios):.3f}, best against best {best:.3f}")


if __name__ == "__main__":
    main()
