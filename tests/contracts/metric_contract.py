"""What every metric promises; a metric's test inherits `MetricContract` and says which metric it is.

class TestSwd(MetricContract):
    metric = "swd"
    symmetric = ("swd",)              # values that do not change when real and fake are swapped
    swapped = (("a", "b"),)           # pairs that change places
    perfect = {"swd": 0.0}            # values of a set against itself
"""

import json
import math
from typing import ClassVar

import numpy as np
import pytest
import torch

from mien.core import discover


class MetricContract:
    """A module with NEEDS, BETTER, `compute` and `advice`."""

    metric: str
    symmetric: ClassVar[tuple[str, ...]] = ()
    swapped: ClassVar[tuple[tuple[str, str], ...]] = ()
    perfect: ClassVar[dict[str, float]] = {}
    options: ClassVar[dict[str, int]] = {}  # less work than by default

    def sets(self):
        """Two sets of 40 and 32 that differ, as the metric takes them."""
        if self.module().NEEDS == "features":
            rng = np.random.RandomState(0)
            real = rng.randn(40, 6).astype(np.float32)
            return real, (rng.randn(32, 6) * 1.3 + 0.4).astype(np.float32)
        pictures = smooth_pictures(72, seed=0)
        return pictures[:40], 255 - pictures[40:] // 2

    def module(self):
        return discover.load("mien.metrics", self.metric)

    def compute(self, real, fake):
        return self.module().compute(real, fake, **self.options)

    def test_it_declares_what_it_needs_and_gives_plain_numbers(self):
        module = self.module()
        assert module.NEEDS in ("features", "images", "probabilities")
        values = self.compute(*self.sets())
        assert values
        assert all(type(value) is float and math.isfinite(value) for value in values.values())
        assert set(module.BETTER.values()) <= {"lower", "higher"}
        assert json.loads(json.dumps(values)) == values

    def test_the_same_twice_gives_the_same_numbers(self):
        first = self.compute(*self.sets())
        np.random.seed(99)
        torch.manual_seed(99)
        np.random.rand(7)
        assert self.compute(*self.sets()) == first

    def test_it_leaves_global_random_state_and_its_arguments_alone(self):
        real, fake = self.sets()

        def witness():
            states = (torch.from_numpy(np.random.get_state()[1].copy()), torch.get_rng_state())
            return [torch.as_tensor(part).clone() for part in (real, fake, *states)]

        before = witness()
        self.compute(real, fake)
        assert all(torch.equal(a, b) for a, b in zip(before, witness(), strict=True))

    def test_a_set_against_itself_is_perfect(self):
        real, _ = self.sets()
        values = self.compute(real, real)
        for name, expected in self.perfect.items():
            assert values[name] == pytest.approx(expected, abs=1e-9), name

    def test_swapping_the_sides_does_what_is_declared(self):
        real, fake = self.sets()
        real = real[: len(fake)]
        there, back = self.compute(real, fake), self.compute(fake, real)
        for name in self.symmetric:
            assert there[name] == pytest.approx(back[name], rel=1e-9, abs=1e-9), name
        for left, right in self.swapped:
            assert there[left] == pytest.approx(back[right], rel=1e-9, abs=1e-9), left

    def test_it_tells_the_sets_apart(self):
        real, fake = self.sets()
        assert self.compute(real, fake) != self.compute(real, real)

    def test_advice_warns_of_few_pictures_and_not_of_many(self):
        module = self.module()
        few, many = module.advice(8, 8, 64), module.advice(50_000, 50_000, 64)
        assert isinstance(few, str)
        assert "\n" not in few
        assert many is None


def smooth_pictures(count: int, *, seed: int, size: int = 64) -> torch.Tensor:
    """Coloured clouds, uint8 [count, 3, size, size]: low frequencies as photographs have."""
    rng = np.random.RandomState(seed)
    coarse = torch.from_numpy(rng.rand(count, 3, 8, 8).astype(np.float32))
    clouds = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)
    fine = torch.from_numpy(rng.randn(count, 3, size, size).astype(np.float32)) * 6
    return (clouds * 255 + fine).clamp(0, 255).to(torch.uint8)
