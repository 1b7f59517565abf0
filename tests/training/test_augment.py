"""The augmentation pipe: identity at p = 0, exact blits, gradients, how often, and the adaptive strength."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pywt
import torch

from mien.core.errors import InputError
from mien.core.types import Progress
from mien.nn.warp import grid_sample
from mien.training.augment import GROUPS, PIPES, SIMPLE, Adaptive, Augmentation, Schedule, parse_pipe
from mien.training.augment_groups import (
    _SYM6,
    colour_matrices,
    cut_out,
    filtered_bands,
    geometry,
    recoloured,
    warped,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth(count: int = 4, channels: int = 3, size: int = 32) -> torch.Tensor:
    coarse = torch.rand(count, channels, 6, 6, generator=rng(5)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)


def matrix(*rows: tuple[float, float, float]) -> torch.Tensor:
    return torch.tensor([*rows, (0.0, 0.0, 1.0)])[None]


@pytest.mark.parametrize("pipe", PIPES)
def test_the_pipe_at_p_0_is_the_identity(pipe: str) -> None:
    images = smooth()
    assert torch.equal(Augmentation(PIPES[pipe], 0.0)(images, rng()), images)


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_group_leaves_the_unlucky_untouched_and_changes_the_rest(group: str, channels: int) -> None:
    images = smooth(256, channels, 16)
    done = Augmentation((group,), 0.1)(images, rng())
    changed = (done != images).flatten(1).any(dim=1)
    assert done.shape == images.shape
    assert 0.02 < changed.float().mean() < 0.55


def test_blits_move_pixels_onto_pixels() -> None:
    """A flip, a quarter turn and a whole shift give the very values, to rounding."""
    images = smooth(1)
    flip = matrix((-1, 0, 0), (0, 1, 0))
    turn = matrix((0, -1, 0), (1, 0, 0))
    shift = matrix((1, 0, 3 / 32), (0, 1, 0))
    torch.testing.assert_close(warped(images, flip), images.flip(3), atol=1e-5, rtol=0)
    quarter = warped(images, turn)
    assert min(float((quarter - images.rot90(k, (2, 3))).abs().max()) for k in (1, 3)) < 1e-5
    torch.testing.assert_close(warped(images, shift)[..., :-3], images[..., 3:], atol=1e-5, rtol=0)


def test_beyond_the_edge_the_picture_is_mirrored() -> None:
    images = smooth(1)
    moved = warped(images, matrix((1, 0, 3 / 32), (0, 1, 0)))
    mirrored = torch.nn.functional.pad(images, (0, 3, 0, 0), mode="reflect")[..., 3:]
    torch.testing.assert_close(moved, mirrored, atol=1e-5, rtol=0)


def test_half_a_pixel_is_half_a_pixel() -> None:
    """A slow wave shifted by 1.5 pixels is that wave at the shifted places: nothing drifts in the filters."""
    size = 64
    places = torch.arange(size, dtype=torch.float32) + 0.5
    wave = torch.sin(places * (2 * math.pi * 3 / size)).expand(1, 1, size, size)
    moved = warped(wave, matrix((1, 0, 1.5 / size), (0, 1, 0)))
    expected = torch.sin((places + 1.5) * (2 * math.pi * 3 / size)).expand(1, 1, size, size)
    inside = slice(8, -8)
    assert (moved - expected)[..., inside, inside].abs().max() < 0.01
    turned = warped(wave.transpose(2, 3), matrix((1, 0, 0), (0, 1, -1.5 / size)))
    back = torch.sin((places - 1.5) * (2 * math.pi * 3 / size)).expand(1, 1, size, size).transpose(2, 3)
    assert (turned - back)[..., inside, inside].abs().max() < 0.01


def test_shrinking_does_not_alias() -> None:
    """Stripes of one pixel, made half as large, become gray instead of a new pattern."""
    size = 64
    stripes = (torch.arange(size) % 2 * 2.0 - 1).expand(1, 1, size, size)
    small = warped(stripes, matrix((2.06, 0, 0), (0, 2.06, 0)))
    assert small[..., 24:40, 24:40].abs().max() < 0.2


def test_a_picture_is_resampled_alike_in_any_company() -> None:
    x = smooth(count=12)
    matrices = geometry(x, 0.7, rng(3), blits=True, turns=True)
    alone = [warped(x[[i]], matrices[[i]]) for i in range(len(x))]
    assert (warped(x, matrices) - torch.cat(alone)).abs().amax() < 1e-4


def test_edges_are_those_of_the_middle_of_a_larger_picture() -> None:
    """One that holds what lies beyond them; whatever its margins, then."""
    x = torch.rand(16, 3, 32, 32, generator=rng()) * 2 - 1
    matrices = geometry(x, 0.7, rng(3), blits=True, turns=True)
    larger = torch.nn.functional.pad(x, (31, 31, 31, 31), mode="reflect")
    there = matrices.clone()
    there[:, :2, 2] *= 32 / 94
    middle = warped(larger, there)[..., 31:63, 31:63]
    assert (warped(x, matrices) - middle).abs().amax() < 1e-3


def test_the_filter_is_the_symlet() -> None:
    published = pywt.Wavelet("sym6").rec_lo
    assert (
        min(max(abs(a - b) for a, b in zip(_SYM6, w, strict=True)) for w in (published, published[::-1]))
        < 1e-9
    )


@pytest.mark.parametrize("group", [*GROUPS, *SIMPLE])
def test_gradients_match_finite_differences(group: str) -> None:
    """First and second derivatives with respect to the pictures, for a fixed draw."""
    images = smooth(2, 3, 8).double().requires_grad_(True)
    pipe = Augmentation((group,), 0.9)

    def run(x: torch.Tensor) -> torch.Tensor:
        return (pipe(x.float(), rng(3)).double() ** 2).sum()

    (gradient,) = torch.autograd.grad(run(images), images, create_graph=True)
    direction = torch.randn(images.shape, generator=rng(1)).double()
    step = 1e-2
    ahead, behind = run(images.detach() + step * direction), run(images.detach() - step * direction)
    slope = float((ahead - behind) / (2 * step))
    assert float((gradient * direction).sum().detach()) == pytest.approx(slope, rel=2e-3)
    (second,) = torch.autograd.grad((gradient * direction).sum(), images)
    curve = float((ahead - 2 * run(images.detach()) + behind) / step**2)
    assert float((second * direction).sum()) == pytest.approx(curve, rel=2e-2)


@pytest.mark.parametrize("beyond", ["zeros", "reflection"])
def test_sampling_is_differentiable_twice(beyond: Any) -> None:
    x = torch.rand(2, 2, 5, 5, dtype=torch.float64, generator=rng(), requires_grad=True)
    grid = torch.rand(2, 4, 4, 2, dtype=torch.float64, generator=rng(1)) * 2.2 - 1.1
    assert torch.autograd.gradcheck(lambda v: grid_sample(v, grid, beyond), x)
    assert torch.autograd.gradgradcheck(lambda v: grid_sample(v, grid, beyond) ** 2, x)


def test_colours_turn_about_gray() -> None:
    """Hue and saturation leave gray gray; without brightness and contrast its level stays too."""
    matrices = colour_matrices(smooth(500), 1.0, rng())
    gray = torch.full((500, 3, 2, 2), 0.3)
    done = recoloured(gray, matrices)
    torch.testing.assert_close(done[:, :1].expand(-1, 3, -1, -1), done, atol=1e-4, rtol=1e-4)
    assert done.std() > 0.1


def test_gray_pictures_follow_the_gray_of_colour_ones() -> None:
    gray = smooth(8, 1)
    matrices = colour_matrices(gray, 1.0, rng(2))
    as_colour = recoloured(gray.expand(-1, 3, -1, -1), matrices)
    torch.testing.assert_close(recoloured(gray, matrices), as_colour.mean(dim=1, keepdim=True))


def test_bands_add_up_to_the_picture_and_keep_flat_ones() -> None:
    flat = torch.full((64, 3, 16, 16), 0.5)
    done = filtered_bands(flat, 1.0, rng())
    assert (done.flatten(2).std(dim=2) < 1e-5).all()
    images = smooth()
    torch.testing.assert_close(filtered_bands(images, 1e-9, rng()), images)


def test_cutout_hides_a_quarter_at_most() -> None:
    hidden = (cut_out(torch.ones(200, 1, 32, 32), 1.0, rng()) == 0).flatten(1).float().mean(dim=1)
    assert hidden.max() <= 0.26
    assert hidden.max() > 0.2
    assert hidden.min() > 0.05


def test_whole_transformations_are_chosen_with_probability_p() -> None:
    matrices = geometry(torch.zeros(4000, 3, 32, 32), 0.3, rng(), blits=False, turns=True)
    still = (matrices - torch.eye(3)).abs().amax(dim=(1, 2)) < 1e-6
    assert float(still.float().mean()) == pytest.approx(0.7**4, abs=0.03)  # scale, either turn, aspect, shift


def test_what_is_unknown_is_named() -> None:
    with pytest.raises(InputError, match=r"blitt.*blit, geometry"):
        parse_pipe("blitt,colour")
    assert parse_pipe("bgc") == ("blit", "geometry", "colour")
    assert parse_pipe("simple-colour, cutout") == ("simple-colour", "cutout")


def test_adaptive_strength_follows_its_target() -> None:
    """Signs above the target raise p by images over ramp, below lower it; it stays in 0..1."""
    adaptive = Adaptive(Augmentation(("colour",)), ramp_nimg=1000)
    for _ in range(4):
        adaptive.observe(0.9, 10)
    assert adaptive.augmentation.p == pytest.approx(0.04)
    for _ in range(8):
        adaptive.observe(0.1, 10)
    assert adaptive.augmentation.p == 0
    for _ in range(800):
        adaptive.observe(1.0, 10)
    assert adaptive.augmentation.p == 1


def test_adaptive_strength_settles_on_an_overfitting_toy() -> None:
    """A discriminator whose confidence falls with p is brought to the target and held there."""
    adaptive = Adaptive(Augmentation(("colour",)), target=0.6, ramp_nimg=2000)
    trace = []
    for _ in range(2000):
        adaptive.observe(1 - 0.8 * adaptive.augmentation.p, 8)
        trace.append(adaptive.augmentation.p)
    assert sum(trace[-200:]) / 200 == pytest.approx(0.5, abs=0.03)


def test_adaptive_strength_is_restored() -> None:
    first = Adaptive(Augmentation(("colour",)))
    for _ in range(5):
        first.observe(1.0, 64)
    second = Adaptive(Augmentation(("colour",)))
    second.load_state_dict(first.state_dict())
    for adaptive in (first, second):
        for _ in range(3):
            adaptive.observe(0.8, 64)
    assert first.state_dict() == second.state_dict()
    assert first.augmentation.p > 0


def test_another_device_disturbs_alike(on_second_device: Callable[..., Any]) -> None:
    for here, there in on_second_device(disturbed_there):
        assert np.allclose(here, there, atol=1e-4)


def disturbed_there(second: torch.device) -> list[Any]:
    """Images and their derivatives through each group, on the CPU and on `second`."""
    start = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    pairs = []
    for group in (*GROUPS, *SIMPLE):
        ends = []
        for device in (torch.device("cpu"), second):
            rng = torch.Generator(device)
            rng.manual_seed(1)
            images = start.clone().to(device).requires_grad_()
            disturbed = Augmentation((group,), p=0.9)(images, rng)
            disturbed.square().sum().backward()
            assert images.grad is not None
            ends.append(torch.cat([disturbed.detach(), images.grad]).cpu().numpy())
        pairs.append(tuple(ends))
    return pairs


def test_a_schedule_sets_p_by_its_mode() -> None:
    """Fixed at the peak; along half a cosine up to it; or as the scores say, and nothing else."""
    augmentation = Augmentation(("colour",))
    fractions = (0.0, 0.25, 0.5, 1.0)

    def along(mode: str, peak: float) -> list[float]:
        schedule = Schedule(augmentation, mode, peak)
        found = []
        for fraction in fractions:
            schedule.begin_step(Progress(0, 0, fraction))
            schedule.end_step({"Loss/signs/real": 1.0}, 8)
            found.append(augmentation.p)
        assert schedule.state_dict() == {}
        return found

    assert along("fixed", 0.3) == [0.3] * 4
    quarter = (1 - math.sqrt(0.5)) / 2
    assert along("ramp", 0.8) == pytest.approx([0, 0.8 * quarter, 0.4, 0.8])
    augmentation.p = 0.0
    ada = Schedule(augmentation, "ada")
    assert ada.adaptive is not None
    ada.adaptive.ramp_nimg, ada.adaptive.interval = 1000, 1
    ada.begin_step(Progress(0, 0, 0.5))
    assert augmentation.p == 0
    ada.end_step({"Loss/other": 1.0}, 100)
    assert augmentation.p == 0
    ada.end_step({"Loss/signs/real": 1.0}, 100)
    assert augmentation.p == pytest.approx(0.1)
    other = Schedule(Augmentation(("colour",)), "ada")
    other.load_state_dict(ada.state_dict())
    assert other.augmentation.p == augmentation.p


@pytest.mark.parametrize(
    ("mode", "peak", "says"),
    [
        ("often", 0.5, "augmentation mode 'often' is not known; choose from: .*ramp"),
        ("fixed", 1.5, "augmentation p is a probability from 0 to 1, not 1.5"),
        ("ramp", -0.1, "augmentation p is a probability from 0 to 1, not -0.1"),
    ],
)
def test_what_is_no_schedule_is_named(mode: str, peak: float, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Schedule(Augmentation(("colour",)), mode, peak)
