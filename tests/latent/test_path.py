"""Walks in latent space: ends are met exactly, lengths kept, loops closed."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mien.core.sampling import latents
from mien.latent.path import Route, positions, slerp, smooth, spherical, straight

LINES = (spherical, straight, smooth)


def steps(route: Route, where: np.ndarray) -> np.ndarray:
    """How far each frame is from the one before, the first from the last."""
    walked = route(where).double().flatten(1)
    return (walked - walked.roll(1, dims=0)).norm(dim=1).numpy()


@pytest.mark.parametrize("ease", [False, True])
@pytest.mark.parametrize(("loop", "count"), [(True, 5 * 7), (False, 4 * 7 + 1)])
def test_frames_of_a_walk(loop: bool, count: int, ease: bool) -> None:
    where = positions(5, 7, loop=loop, ease=ease)
    assert len(where) == count
    assert where[0] == 0
    assert (np.diff(where) > 0).all()
    assert where[::7].tolist() == list(range(5)), "every key is one of the frames"


def test_easing_rests_at_the_keys() -> None:
    paces = np.diff(positions(3, 40, loop=False, ease=True))
    even = 1 / 40
    assert paces[0] < even / 10 > paces[39]
    assert paces[20] == pytest.approx(even * 1.5, rel=0.01), "smoothstep's slope in the middle"


@pytest.mark.parametrize("loop", [True, False])
@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("ease", [False, True])
def test_keys_are_met_to_the_bit(line: type, loop: bool, ease: bool) -> None:
    """Even of numbers so unlike in size that rounding would show."""
    rng = np.random.default_rng(0)
    keys = torch.from_numpy(rng.normal(size=(5, 16)) * 10 ** rng.uniform(-20, 8, (5, 16))).float()
    walked = line(keys, loop=loop)(positions(5, 3, loop=loop, ease=ease))
    assert walked.dtype == torch.float32
    assert torch.equal(walked[::3], keys)


def test_routes_keep_the_shape_of_styles() -> None:
    keys = torch.randn(4, 6, 8)
    for line in (straight, smooth):
        walked = line(keys, loop=True)(np.array([0.25, 3.5]))
        assert walked.shape == (2, 6, 8)
    half = straight(keys, loop=True)(np.array([3.5]))
    assert torch.allclose(half[0], (keys[3] + keys[0]) / 2)


@pytest.mark.parametrize("num_keys", [2, 3, 4, 9])
@pytest.mark.parametrize("line", LINES)
def test_loops_close(line: type, num_keys: int) -> None:
    """The step from the last frame to the first is no longer than those beside it."""
    found = steps(line(latents(list(range(num_keys)), 32), loop=True), positions(num_keys, 30, loop=True))
    assert 0 < found[0] <= max(found[-1], found[1]) * 1.01


def test_a_smooth_loop_has_no_corner() -> None:
    """Across a key the direction of a spline hardly turns, that of straight lines does; at the seam too."""
    keys = latents(list(range(5)), 32)

    def turns(line: type) -> np.ndarray:
        walked = line(keys, loop=True)(positions(5, 200, loop=True)).double()
        going = torch.nn.functional.normalize(walked.roll(-1, 0) - walked, dim=1)
        return np.asarray((going * going.roll(1, 0)).sum(1)[::200])

    assert (turns(smooth) > 0.999).all()
    assert (turns(straight) < 0.5).all()


def test_walking_in_z_keeps_the_lengths() -> None:
    """On the way the latents are as long as normal ones are; a straight line would cut through the middle."""
    keys = latents(list(range(40)), 512)
    where = positions(40, 8, loop=True)
    drawn = torch.randn(2000, 512, generator=torch.Generator().manual_seed(0)).norm(dim=1)
    walked = spherical(keys, loop=True)(where).norm(dim=1)
    assert walked.mean() == pytest.approx(float(drawn.mean()), rel=0.01)
    assert walked.std() == pytest.approx(float(drawn.std()), rel=0.35)
    assert keys.norm(dim=1).min() <= walked.min() <= walked.max() <= keys.norm(dim=1).max()
    assert straight(keys, loop=True)(where).norm(dim=1).min() < 0.75 * drawn.mean()


def arrays(size: int) -> st.SearchStrategy[np.ndarray]:
    numbers = st.floats(-5, 5, allow_subnormal=False)
    return st.lists(numbers, min_size=size, max_size=size).map(lambda values: np.array([values]))


@given(arrays(4), arrays(4), st.floats(0, 1))
def test_slerp_is_between(a: np.ndarray, b: np.ndarray, t: float) -> None:
    found = slerp(a, b, np.array([t]))
    low, high = sorted((np.linalg.norm(a), np.linalg.norm(b)))
    assert low - 1e-6 <= np.linalg.norm(found) <= high + 1e-6
    assert np.allclose(found, slerp(b, a, np.array([1 - t])), atol=1e-4) or _opposite(a, b)


def _opposite(a: np.ndarray, b: np.ndarray) -> bool:
    """Too near to opposite (or to nothing) for one great circle."""
    length = np.linalg.norm(a) * np.linalg.norm(b)
    return bool(length < 1e-6 or (a * b).sum() / length < -1 + 1e-6)


def test_slerp_turns_evenly_even_between_opposites() -> None:
    t = np.linspace(0, 1, 5)
    for b in ([0.0, 2.0, 0.0], [-2.0, 0.0, 0.0]):
        a = np.array([[2.0, 0.0, 0.0]])
        found = slerp(a.repeat(5, 0), np.array([b]).repeat(5, 0), t)
        assert np.linalg.norm(found, axis=1) == pytest.approx(np.full(5, 2.0))
        apart = np.linalg.norm(np.diff(found, axis=0), axis=1)
        assert apart == pytest.approx(np.full(4, apart[0]))
        assert found[-1] == pytest.approx(np.array(b), abs=1e-9)


def test_the_same_face_twice_stands_still() -> None:
    keys = latents([3, 3], 8)
    assert torch.allclose(spherical(keys, loop=True)(positions(2, 9, loop=True)), keys[0].expand(18, -1))


@pytest.mark.parametrize("line", LINES)
def test_one_key_is_no_walk(line: type) -> None:
    with pytest.raises(ValueError, match="two keys"):
        line(torch.zeros(1, 4), loop=True)


def test_pieces_of_a_walk_are_the_walk() -> None:
    keys: Tensor = latents([0, 1, 2], 8)
    where = positions(3, 10, loop=True)
    for line in LINES:
        route = line(keys, loop=True)
        pieces = torch.cat([route(where[start : start + 7]) for start in range(0, 30, 7)])
        assert torch.equal(pieces, route(where))
