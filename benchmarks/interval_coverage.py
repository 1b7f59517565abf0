"""How often the 95 % intervals of metrics hold the truth, in simulation.

    python benchmarks/interval_coverage.py [--trials 400] [--only prdc]

Two sides are drawn anew in each trial from known distributions; the truth is the mean of all trials' values,
which is what a metric of so many pictures estimates, and is known in closed form for shares and the support.
Three pairs: equal, a little apart, far apart. Printed: the share of intervals that hold the truth, and their
width over that of the values' own spread. Networks are left out: faces are found by chance, and LPIPS of a
pair is its mean square difference. Some eight minutes of one core.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch

from mien.core.types import Spec
from mien.evaluation.mode_scores import support
from mien.evaluation.verdict import c_t
from mien.metrics import (
    balance,
    classifier_score,
    faces,
    frechet,
    kernel,
    lpips,
    ms_ssim,
    path_length,
    prdc,
    swd,
)
from mien.metrics._intervals import named

COUNT, DIMS = 300, 32
PAIRS = {"equal": (1.0, 0.0), "apart": (0.8, 0.2), "far": (0.5, 0.5)}  # scale and shift of the fakes
Sides = tuple[Any, Any]


def features(rng: np.random.RandomState, scale: float, shift: float) -> Sides:
    spread = np.linspace(0.3, 1.5, DIMS)
    return rng.randn(COUNT, DIMS) * spread, rng.randn(COUNT, DIMS) * spread * scale + shift


def probabilities(rng: np.random.RandomState, scale: float, shift: float) -> Sides:
    return tuple(torch.from_numpy(rng.randn(COUNT, 7) * s).softmax(1).numpy() for s in (2, 2 * scale))  # type: ignore[return-value]


def heavy(rng: np.random.RandomState, scale: float, shift: float) -> Sides:
    """Correlated and heavy-tailed (t with 8 degrees of freedom), 100 a side."""
    spread = 2 * np.arange(1, 65) ** -0.7

    def side(scale: float, shift: float) -> np.ndarray:
        tails = np.sqrt(rng.chisquare(8, (100, 1)) / 8)
        return (rng.randn(100, 64) / tails * scale + shift) * spread

    return side(1, 0), side(scale, shift)


def few(rng: np.random.RandomState, scale: float, shift: float) -> Sides:
    real, fake = features(rng, scale, shift)
    return real[::2], fake[::2]


def clouds(rng: np.random.RandomState, scale: float, shift: float, size: int = 32) -> Sides:
    def side(contrast: float) -> torch.Tensor:
        coarse = torch.from_numpy(rng.rand(80, 3, size // 4, size // 4).astype(np.float32) - 0.5) * contrast
        coarse += torch.from_numpy(rng.rand(80, 3, 1, 1).astype(np.float32) - 0.5) * 0.3
        large = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic")
        return ((large + 0.5) * 255).clamp(0, 255).byte()

    return side(0.6), side(0.6 * scale)


def small_clouds(rng: np.random.RandomState, scale: float, shift: float) -> Sides:
    return clouds(rng, scale, shift, 16)


def textures(rng: np.random.RandomState, scale: float, shift: float) -> Sides:
    """50 gray pictures of 24 pixels, each smooth in its own way; the fakes are noisier."""

    def side(noise: float) -> torch.Tensor:
        coarse = torch.from_numpy(rng.randn(50, 1, 6, 6).astype(np.float32))
        smooth = torch.nn.functional.interpolate(coarse, (24, 24), mode="bilinear")
        fine = torch.from_numpy(rng.randn(50, 1, 24, 24).astype(np.float32)) * noise
        return ((smooth + fine) * 40 + 128).clamp(0, 255).byte()

    return side(0.3), side(0.3 + shift)


def apart(rng: np.random.RandomState, scale: float, shift: float) -> Sides:
    """100 a side that hardly overlap: a density near 0."""
    spread = np.linspace(0.3, 1.5, 12)
    return rng.randn(100, 12) * spread, rng.randn(100, 12) * spread * 0.8 + 0.9 + 1.2 * shift


def memberships(rng: np.random.RandomState, scale: float, shift: float) -> Sides:
    shape = (COUNT, len(balance.GROUPS))
    return (rng.rand(*shape) < 0.3) * 1.0, (rng.rand(*shape) < 0.3 * scale) * 1.0


class ByChance:
    """A finder of faces, as likely as the image is bright; a distance, the mean square of the difference."""

    def __init__(self, rng: np.random.RandomState) -> None:
        self._rng = rng

    def find(self, image: np.ndarray) -> list[bool]:
        return [True] * bool(self._rng.rand() < image.mean() / 255)

    def __call__(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b).double().square().mean((1, 2, 3))


def bright(rng: np.random.RandomState, scale: float, shift: float) -> Sides:
    sides = (torch.full((30, 1, 16, 16), int(250 * s), dtype=torch.uint8) for s in (1, scale))
    return (*sides, ByChance(rng))  # type: ignore[return-value]


def faces_by_chance(real: torch.Tensor, fake: torch.Tensor, finder: ByChance) -> dict[str, float]:
    with mock.patch.object(faces, "open_finder", return_value=finder):
        return faces.compute(real, fake)


def plain_lpips(real: torch.Tensor, fake: torch.Tensor) -> dict[str, float]:
    with mock.patch.object(lpips.Lpips, "load", return_value=ByChance(np.random.RandomState(0))):
        return lpips.compute(real, fake)


class Bent:
    """A generator of images whose slope differs from place to place: lengths have a long tail."""

    z_dim, spec = 4, Spec(16)

    def __init__(self, rng: np.random.RandomState, bend: float) -> None:
        self.weights = torch.from_numpy(np.random.RandomState(0).randn(4, 3 * 16 * 16))
        self.bend, self.seed = bend, rng.randint(1 << 30)

    def __call__(self, z: torch.Tensor, labels: None = None, *, psi: float = 1.0) -> torch.Tensor:
        return (torch.exp(self.bend * z[:, :1].double()) * (z.double() @ self.weights)).view(-1, 3, 16, 16)


def bent(rng: np.random.RandomState, scale: float, shift: float) -> Sides:
    return Bent(rng, 2 * shift), None


def plain_path_length(generator: Bent, labels: None) -> dict[str, float]:
    measure: Any = path_length
    with (
        mock.patch.object(path_length.Lpips, "load", return_value=ByChance(np.random.RandomState(0))),
        mock.patch.object(path_length, "_prepared", lambda images: images),
    ):
        return dict(measure.compute(generator, count=200, seed=generator.seed))


def drawn(rng: np.random.RandomState, scale: float, shift: float) -> Sides:
    return rng.randint(0, int(20_000 * scale**4), COUNT), None


def inverse_support(images: np.ndarray, other: None) -> dict[str, float]:
    """1 / support, since pairs are counted."""
    found = support((images[:, None] != images).astype(float), 0.5)
    return named("support", 1 / found.size, (1 / found.high, 1 / found.low))


def nearest(rng: np.random.RandomState, scale: float, shift: float) -> Sides:
    """Distances of 100 unseen images and 200 fakes in five cells; fakes are nearer where scale is small."""
    cells = rng.choice(5, 300, p=(0.3, 0.25, 0.2, 0.15, 0.1))
    distances = np.exp(0.4 * rng.randn(300) + 0.2 * cells)
    distances[100:] *= scale**4
    return (distances[:100], cells[:100]), (distances[100:], cells[100:])


def copying(unseen: Sides, fake: Sides) -> dict[str, float]:
    found = c_t(unseen[0], fake[0], unseen[1], fake[1])
    assert found is not None
    return named("c_t", found.value, (found.low, found.high))


def uneven(rng: np.random.RandomState, scale: float, shift: float) -> Sides:
    """400 gray pictures of 16 pixels, contrast by a t distribution of 4 degrees; the fakes are noisier."""

    def side(noise: float) -> torch.Tensor:
        coarse = torch.from_numpy(rng.randn(400, 1, 4, 4).astype(np.float32))
        images = torch.nn.functional.interpolate(coarse, (16, 16), mode="bicubic")
        images += 0.2 * torch.from_numpy(rng.randn(400, 1, 16, 16).astype(np.float32))
        images *= torch.from_numpy(np.abs(rng.standard_t(4, (400, 1, 1, 1))).astype(np.float32)) * 15
        images += noise * torch.from_numpy(rng.randn(400, 1, 16, 16).astype(np.float32))
        return (images + 128).clamp(0, 255).byte()

    return side(0), side(20 * shift)


METRICS: dict[str, tuple[Callable[..., dict[str, float]], Callable[..., Sides], float]] = {
    "kernel": (kernel.compute, features, 1),
    "kernel_heavy": (kernel.compute, heavy, 2),
    "frechet": (frechet.compute, features, 1),
    "prdc": (prdc.compute, few, 0.75),
    "classifier_score": (classifier_score.compute, probabilities, 2),
    "balance": (balance.ratios, memberships, 2),
    "ms_ssim": (ms_ssim.compute, clouds, 0.5),
    "lpips": (plain_lpips, clouds, 0.5),
    "faces": (faces_by_chance, bright, 0.5),
    "path_length": (plain_path_length, bent, 0.5),
    "support": (inverse_support, drawn, 2),
    "c_t": (copying, nearest, 2),
    "prdc_apart": (prdc.compute, apart, 0.25),
    "swd": (swd.compute, small_clouds, 0.25),
    "swd_uneven": (swd.compute, uneven, 0.1),
    "swd_gray": (swd.compute, textures, 0.25),
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
