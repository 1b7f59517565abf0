"""Path length: closed forms with a generator and a distance that are known."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from contracts.metric_contract import MetricContract
from mien.core.errors import InputError
from mien.core.sampling import latents
from mien.core.types import Spec
from mien.metrics import path_length


class Linear:
    """Images that are linear in z."""

    z_dim = 6
    spec = Spec(64)

    def __init__(self, scale=1.0):
        self.weights = (
            scale * torch.randn(6, 3 * 64 * 64, generator=torch.Generator().manual_seed(0)).double()
        )

    def __call__(self, z, labels=None, *, psi=1.0):
        return (z.double() @ self.weights).view(-1, 3, 64, 64)


class Mapped(Linear):
    """Images that are linear in w, which is three times z, the same for both layers."""

    num_ws = 2

    def mapping(self, z, labels=None, *, psi=1.0):
        return (3 * z)[:, None].expand(-1, 2, -1)

    def synthesis(self, ws, *, noise="const"):
        return super().__call__(ws.mean(1))

    def __call__(self, z, labels=None, *, psi=1.0):
        return self.synthesis(self.mapping(z, labels, psi=psi))


class Squares:
    """The mean square difference in the place of LPIPS."""

    def __call__(self, a, b):
        return (a - b).double().square().mean((1, 2, 3))

    @classmethod
    def load(cls, trunk, device):
        return cls()


PREPARED = path_length._prepared


@pytest.fixture(autouse=True)
def _plain_distance(monkeypatch):
    monkeypatch.setattr(path_length, "Lpips", Squares)
    monkeypatch.setattr(path_length, "_prepared", lambda images: images)


class TestContract(MetricContract):
    metric = "path_length"
    options: ClassVar = {"count": 64}

    def sets(self):
        return Linear(), None

    def compute(self, real, fake):
        return self.module().compute(real, fake, **self.options)

    def test_it_declares_what_it_needs_and_gives_plain_numbers(self):
        assert self.module().NEEDS == "generator"
        values = self.compute(*self.sets())
        assert all(type(value) is float for value in values.values())

    def test_it_leaves_global_random_state_and_its_arguments_alone(self):
        before = torch.get_rng_state()
        self.compute(*self.sets())
        assert torch.equal(before, torch.get_rng_state())

    def test_it_tells_the_sets_apart(self):
        assert self.compute(Linear(2.0), None) != self.compute(Linear(), None)

    test_a_set_against_itself_is_perfect = None
    test_swapping_the_sides_does_what_is_declared = None


def test_the_length_in_z_is_the_slope_times_the_speed_along_the_circle():
    values = path_length.compute(Linear(), count=200)
    # On a sphere of radius sqrt(6) the speed is sqrt(6) times the angle; slopes of the image are unit normal,
    # so the mean square difference is that speed's square. Two random directions are 90 degrees apart, about.
    rng = np.random.RandomState(0)
    a, b = rng.randn(2, 100_000, 6)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    expected = 6 * np.mean(np.arccos(cosine) ** 2)
    assert values["path_length_z_low"] < expected < values["path_length_z_high"]
    assert values["path_length_z"] == pytest.approx(expected, rel=0.1)


def test_twice_the_slope_is_four_times_the_length_and_a_constant_has_none():
    once, twice, never = (
        path_length.compute(Linear(scale), count=32)["path_length_z"] for scale in (1.0, 2.0, 0.0)
    )
    assert twice == pytest.approx(4 * once, rel=1e-4)
    assert never == 0


def test_great_circles_begin_end_and_stay_on_the_sphere():
    a, b = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))
    unit = torch.nn.functional.normalize
    ends = [path_length.slerp(a, b, torch.full((5, 1), at)) for at in (0.0, 1.0)]
    assert torch.allclose(ends[0], unit(a, dim=1), atol=1e-5)
    assert torch.allclose(ends[1], unit(b, dim=1), atol=1e-5)
    middle = path_length.slerp(a, b, torch.full((5, 1), 0.3))
    assert torch.allclose(middle.norm(dim=1), torch.ones(5), atol=1e-5)


def test_the_length_in_w_is_that_of_straight_lines_between_styles():
    """Without the shortest and the longest hundredth; a generator without styles has none."""
    generator = Mapped()
    values = path_length.compute(generator, count=200, seed=5)
    starts, ends = (latents(list(range(s, s + 200)), 6).double() for s in (5, 205))
    lengths = ((3 * (ends - starts)) @ generator.weights).square().mean(1).numpy()
    low, high = np.percentile(lengths, (1, 99))
    expected = lengths[(lengths >= low) & (lengths <= high)].mean()
    assert values["path_length_w"] == pytest.approx(expected, rel=1e-3)
    assert values["path_length_w_low"] < expected < values["path_length_w_high"]
    assert values["path_length_z"] == pytest.approx(
        9 * path_length.compute(Linear(), count=200, seed=5)["path_length_z"], rel=1e-3
    )
    assert "path_length_w" not in path_length.compute(Linear(), count=32)


def test_small_and_gray_pictures_are_made_fit_for_the_network():
    flat = PREPARED(torch.full((2, 1, 32, 32), 0.25))
    assert flat.shape == (2, 3, 64, 64)
    assert torch.allclose(flat, torch.tensor(0.25))
    large = torch.rand(1, 3, 96, 96)
    assert torch.equal(PREPARED(large), large)


def test_few_paths_are_refused():
    with pytest.raises(InputError, match="16 paths"):
        path_length.compute(Linear(), count=5)
