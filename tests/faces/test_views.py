"""Windows and tiles: the right pixels, back to the right places, nothing left uncovered."""

import numpy as np
import pytest

from mien.faces.detector import VIEW
from mien.faces.views import View, tiles, window


def ramp(width, height):
    """Red is x, green is y, in shares of 255 of each side."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, np.zeros_like(x)], axis=2).astype(np.uint8)


def detection(x, y, width=0.2, height=0.1):
    return np.array([[0.9, x, y, width, height, x - 0.05, y - 0.02, x + 0.05, y - 0.02]], np.float32)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_places_in_turned_views_come_back_to_the_picture(turns):
    image, view = ramp(400, 300), View(100, 50, 200)
    pixels = np.rot90(window(image, view), turns)
    row, column = 20, 90
    found = view.to_picture(detection((column + 0.5) / VIEW, (row + 0.5) / VIEW), turns)
    red, green, _ = pixels[row, column].astype(float)
    assert found[0, 1] == pytest.approx(red * 400 / 255, abs=3)
    assert found[0, 2] == pytest.approx(green * 300 / 255, abs=3)
    sides = (40, 20) if turns % 2 == 0 else (20, 40)
    assert found[0, 3:5] == pytest.approx(sides)
    right = found[0, 7:9] - found[0, 5:7]
    assert right == pytest.approx({0: (20, 0), 1: (0, 20), 2: (-20, 0), 3: (0, -20)}[turns], abs=1e-3)


@pytest.mark.parametrize("side", [3.3, 6.7, 31.9, 128.0, 900.0])
@pytest.mark.parametrize("place", [(-400.0, -400.0), (-3.4, -2.6), (0.4, 0.4), (58.7, 38.6), (500.0, 10.0)])
def test_windows_of_any_place_and_size_are_black_beyond_the_picture(place, side):
    image = np.full((40, 60, 3), 200, np.uint8)
    pixels = window(image, View(*place, side))
    assert pixels.shape == (VIEW, VIEW, 3)
    assert set(np.unique(pixels)) <= {0, 200}
    inside = (max(0, min(60, place[0] + side) - max(0, place[0]))
              * max(0, min(40, place[1] + side) - max(0, place[1])) / side**2)  # fmt: skip
    assert (pixels[..., 0] > 0).mean() == pytest.approx(inside, abs=2.2 / min(side, VIEW) + 0.01)


@pytest.mark.parametrize("size", [(1600, 1200), (1000, 1500), (2000, 300), (900, 900)])
@pytest.mark.parametrize("share", [0.6, 0.4, 0.14])
def test_tiles_cover_the_picture_and_overlap(size, share):
    width, height = size
    image = ramp(width, height)
    image[::7, ::7, 1] = 255  # no tile is flat
    views = list(tiles(image, share))
    side = share * max(size)
    covered = np.zeros((height, width), int)
    for view, pixels in views:
        assert pixels.shape == (VIEW, VIEW, 3)
        assert view.side == pytest.approx(side)
        y, x = max(0, round(view.y)), max(0, round(view.x))
        covered[y : round(view.y + side), x : round(view.x + side)] += 1
        middle = pixels[VIEW // 2, VIEW // 2].astype(float)
        assert middle[0] == pytest.approx((view.x + side / 2) * 255 / width, abs=6)
    assert covered[2:-2, 2:-2].min() >= 1
    gaps = np.diff(sorted({round(view.x) for view, _ in views}))
    assert (gaps <= 0.77 * side).all()


def test_flat_tiles_are_left_out():
    image = np.full((1000, 1000, 3), 90, np.uint8)
    assert list(tiles(image, 0.4)) == []
    image[100:140, 100:140] = 160
    assert 1 <= len(list(tiles(image, 0.4))) <= 2
