"""How often the 95 % intervals of metrics hold the truth, in simulation.

    python benchmarks/interval_coverage.py [--trials 400] [--only prdc]

Two sides are drawn anew in each trial from known distributions; the truth is the mean of all trials' values,
which is what a metric of so many pictures estimates. Three pairs: equal, a little apart, far apart. Printed:
the share of intervals that hold the truth, and their width over that of the values' own spread.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from mien.metrics import balance, classifier_score, frechet, kernel, ms_ssim, prdc, swd

COUNT, DIMS = 300, 32
PAIRS = {"equal": (1.0, 0.0), "apart": (0.8, 0.2), "far": (0.5, 0.5)}  # scale and shift of the fakes
Sides = tuple[Any, Any]


def features(rng: np.random.RandomState, scale: float, shift: float) -> Sides:
    spread = np.linspace(0.3, 1.5, DIMS)
    return rng.randn(COUNT, DIMS) * spread, rng.randn(COUNT, DIMS) * spread * scale + shift


def probabilities(rng: np.random.RandomState, scale: float, shift: float) -> Sides:
    return tuple(torch.from_numpy(rng.randn(COUNT, 7) * s).softmax(1).numpy() for s in (2, 2 * scale))  # type: ignore[return-value]


def clouds(rng: np.random.RandomState, scale: float, shift: float) -> Sides:
    def side(contrast: float) -> torch.Tensor:
        coarse = torch.from_numpy(rng.rand(80, 3, 8, 8).astype(np.float32) - 0.5) * contrast
        coarse += torch.from_numpy(rng.rand(80, 3, 1, 1).astype(np.float32) - 0.5) * 0.3
        return (
            ((torch.nn.functional.interpolate(coarse, (32, 32), mode="bicubic") + 0.5) * 255)
            .clamp(0, 255)
            .byte()
        )

    return side(0.6), side(0.6 * scale)


def memberships(rng: np.random.RandomState, scale: float, shift: float) -> Sides:
    shape = (COUNT, len(balance.GROUPS))
    return (rng.rand(*shape) < 0.3) * 1.0, (rng.rand(*shape) < 0.3 * scale) * 1.0


METRICS: dict[str, tuple[Callable[..., dict[str, float]], Callable[..., Sides], float]] = {
    "kernel": (kernel.compute, features, 1),
    "frechet": (frechet.compute, features, 1),
    "prdc": (prdc.compute, features, 0.5),
    "classifier_score": (classifier_score.compute, probabilities, 2),
    "balance": (balance.ratios, memberships, 2),
    "ms_ssim": (ms_ssim.compute, clouds, 0.5),
    "swd": (swd.compute, clouds, 0.25),
}


def coverage(name: str, pair: tuple[float, float], trials: int) -> Iterator[tuple[str, float, float, float]]:
    """Of each number: its name, mean, share of intervals that hold it, and relative width."""
    metric, make, share = METRICS[name]
    rows = [metric(*make(np.random.RandomState(seed), *pair)) for seed in range(max(int(trials * share), 20))]
    for key in [key for key in rows[0] if not key.endswith(("_low", "_high"))]:
        values, low, high = (np.array([row[key + end] for row in rows]) for end in ("", "_low", "_high"))
        truth = values.mean()
        width = (high - low).mean() / max(3.92 * values.std(ddof=1), 1e-12)
        yield key, float(truth), float(np.mean((low <= truth) & (truth <= high))), float(width)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--only", choices=METRICS, action="append")
    arguments = parser.parse_args()
    for name in arguments.only or METRICS:
        for pair, how in PAIRS.items():
            for key, truth, held, width in coverage(name, how, arguments.trials):
                print(
                    f"{name:17}{pair:7}{key:24}{truth:10.4g}  held {held:6.1%}  width x{width:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
