"""Cutting rotated squares: the right pixels, antialiased, mirrored beyond the edge."""

import math

import numpy as np
import pytest

from mien.faces.crop import Square, cut, padding


def ramp(width=200, height=160):
    """Red is x, green is y, in whole steps of one pixel."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x, y, np.zeros_like(x)], axis=2).astype(np.uint8)


def test_aligned_square_gives_its_own_pixels():
    pixels = cut(ramp(), Square((60.0, 50.0), (40.0, 0.0)), 40)
    assert (pixels == ramp()[30:70, 40:80]).all()


@pytest.mark.parametrize("degrees", [0, 20, 90, 135, 180, -70])
@pytest.mark.parametrize("side", [24.0, 60.0, 96.0])
def test_pixels_come_from_where_to_picture_says(degrees, side):
    turn = math.radians(degrees)
    square = Square((100.3, 80.7), (side * math.cos(turn), side * math.sin(turn)))
    pixels = cut(ramp(), square, 16).astype(float)
    middles = (np.arange(16) + 0.5) / 16
    places = square.to_picture(np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2))
    expected = places.reshape(16, 16, 2) - 0.5  # the ramp's value at a pixel's centre is its index
    assert np.abs(pixels[..., :2] - expected).max() < 1.1


def test_square_maps_back_and_forth():
    square = Square((3.0, -2.0), (1.5, 2.0))
    shares = np.array([[0.0, 0.0], [1.0, 0.5], [0.25, 0.75]])
    assert np.allclose(square.to_square(square.to_picture(shares)), shares)
    assert square.side == 2.5
    assert np.allclose(square.corners[0] + square.corners[2], (6.0, -4.0))


@pytest.mark.parametrize("step", [2.0, 3.0, 5.5, 9.9])
def test_fine_pattern_averages_to_gray_instead_of_aliasing(step):
    stripes = np.zeros((700, 700, 3), np.uint8)
    stripes[:, ::2] = 255
    side = 64 * step
    pixels = cut(stripes, Square((350.0, 350.0), (side, 0.0)), 64).astype(float)
    assert pixels.std() < 30, "nearest or plain bilinear sampling gives about 100"
    assert abs(pixels.mean() - 127.5) < 4


def test_beyond_the_edge_the_picture_is_mirrored():
    pixels = cut(ramp(), Square((0.0, 80.0), (40.0, 0.0)), 40)
    assert (pixels[:, :20] == pixels[:, 39:19:-1]).all()


def test_overhang_is_a_share_of_the_side():
    assert Square((100.0, 80.0), (100.0, 0.0)).overhang(200, 160) == 0
    assert Square((190.0, 80.0), (100.0, 0.0)).overhang(200, 160) == pytest.approx(0.4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3, 2)])
def test_tiny_pictures_are_no_trouble(shape):
    pixels = cut(np.full((*shape, 3), 7, np.uint8), Square((0.5, 0.5), (30.0, 10.0)), 16)
    assert (pixels == 7).all()


@pytest.mark.parametrize(
    ("square", "share"),
    [
        (Square((50.0, 40.0), (60.0, 0.0)), 0.0),
        (Square((0.0, 40.0), (60.0, 0.0)), 0.5),
        (Square((0.0, 0.0), (20.0, 20.0)), 0.75),  # turned by 45 degrees about a corner of the picture
        (Square((50.0, 40.0), (100.0, 0.0)), 0.2),
        (Square((500.0, 40.0), (60.0, 0.0)), 1.0),
    ],
)
def test_padding_is_the_share_off_the_picture(square, share):
    assert padding(square, 100, 80) == pytest.approx(share, abs=1e-5)


def test_padding_agrees_with_a_count_of_places():
    places = (np.stack(np.meshgrid(np.arange(400), np.arange(400)), axis=-1).reshape(-1, 2) + 0.5) / 400
    for seed in range(5):
        rng = np.random.default_rng(seed)
        square = Square(tuple(rng.uniform(0, 100, 2)), tuple(rng.uniform(-60, 60, 2)))
        x, y = square.to_picture(places).T
        off = float(np.mean((x < 0) | (x > 100) | (y < 0) | (y > 80)))
        assert padding(square, 100, 80) == pytest.approx(off, abs=0.005)
