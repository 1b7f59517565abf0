"""The range rule, resizing and grids."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mien.core.image import grid, resize, to_float, to_hwc, to_uint8


def test_every_level_survives_the_round_trip() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    floats = to_float(levels)
    assert floats.min() == -1
    assert floats.max() == pytest.approx(1, abs=1e-6)
    assert torch.equal(to_uint8(floats), levels)


def test_values_beyond_the_range_are_clamped() -> None:
    assert to_uint8(torch.tensor([[[[-3.0, 0.0, 3.0]]]])).flatten().tolist() == [0, 128, 255]


def test_each_direction_refuses_the_others_type() -> None:
    with pytest.raises(TypeError, match="uint8"):
        to_float(torch.zeros(1, 3, 2, 2))
    with pytest.raises(TypeError, match="floats"):
        to_uint8(torch.zeros(1, 3, 2, 2, dtype=torch.uint8))


def test_resizing_is_antialiased() -> None:
    """A one-pixel checkerboard becomes even grey; without antialiasing it would stay black and white."""
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    small = resize(board, 16)
    assert small.shape == (16, 16, 3)
    assert np.abs(small.astype(int) - 127).max() <= 4


def test_resizing_keeps_height_and_width_apart() -> None:
    picture = np.zeros((32, 32, 1), np.uint8)
    picture[:16] = 255
    small = resize(picture, 8)
    assert small.shape == (8, 8, 1)
    assert small[:3].min() > 240
    assert small[5:].max() < 15


@given(st.integers(1, 20), st.sampled_from([1, 3]), st.one_of(st.none(), st.integers(1, 7)))
def test_a_grid_holds_each_picture_whole_at_its_place(count: int, channels: int, columns: int | None) -> None:
    pictures = torch.randint(0, 256, (count, channels, 4, 6), dtype=torch.uint8)
    sheet = grid(pictures, columns)
    across = sheet.shape[1] // 6
    assert sheet.shape[2] == 3
    assert columns is None or across == columns
    for index, picture in enumerate(pictures):
        row, column = divmod(index, across)
        cell = sheet[row * 4 : row * 4 + 4, column * 6 : column * 6 + 6]
        assert np.array_equal(cell, np.broadcast_to(to_hwc(picture), (4, 6, 3)))
