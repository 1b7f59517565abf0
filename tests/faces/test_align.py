"""Alignment: the documented place of eyes and mouth, whatever the roll, and no aliasing."""

import math

import cv2
import numpy as np
import pytest

from mien.core.errors import InputError
from mien.faces.align import crop, ffhq_square, layout_squares
from mien.faces.face import Face
from rendered_heads import heads


def face_at(eye_left, eye_right, mouth, *, half_mouth=(10.0, 0.0), size=100.0):
    """A face with the given points; the box is of no matter to "ffhq"."""
    corners = [tuple(np.add(mouth, sign * np.asarray(half_mouth))) for sign in (-1, 1)]
    return Face((0.0, 0.0, size, size), size, 1.0, eye_left, eye_right, mouth, *corners)


def from_landmarks(places):
    return Face((0.0, 0.0, 1.0, 1.0), 1.0, 1.0, *places.values())


def blob_centre(pixels, channel):
    weights = pixels[..., channel].astype(float)
    y, x = np.mgrid[0 : len(pixels), 0 : len(pixels)] + 0.5
    return tuple((axis * weights).sum() / weights.sum() / len(pixels) for axis in (x, y))


@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize("degrees", [0, 20, -65, 90, 180])
def test_eyes_and_mouth_land_where_the_paper_puts_them(degrees, size):
    """Eyes d apart, mouth d below: s = max(4 d, 3.6 d) = 4 d about a centre d/10 below the eyes."""
    turn = np.array(
        [
            [math.cos(math.radians(degrees)), -math.sin(math.radians(degrees))],
            [math.sin(math.radians(degrees)), math.cos(math.radians(degrees))],
        ]
    )
    places = [tuple(turn @ place + (300, 300)) for place in ((-40.0, 0.0), (40.0, 0.0), (0.0, 80.0))]
    picture = np.zeros((600, 600, 3), np.uint8)
    for channel, (x, y) in enumerate(places):
        colour = [255 if other == channel else 0 for other in range(3)]
        dot = np.zeros_like(picture)
        cv2.circle(dot, (round((x - 0.5) * 16), round((y - 0.5) * 16)), 6 * 16, colour, -1, cv2.LINE_AA, 4)
        picture |= dot
    square = ffhq_square(face_at(*places, half_mouth=turn @ (20.0, 0.0)))
    assert square.side == pytest.approx(320)
    pixels = crop(picture, square, size)
    expected = [(0.375, 0.475), (0.625, 0.475), (0.5, 0.725)]
    for channel, place in enumerate(expected):
        assert blob_centre(pixels, channel) == pytest.approx(place, abs=0.004)


def test_long_face_is_framed_by_its_mouth():
    square = ffhq_square(face_at((80.0, 100.0), (120.0, 100.0), (100.0, 160.0)))
    assert square.side == pytest.approx(3.6 * 60)
    assert square.centre == pytest.approx((100.0, 106.0))
    assert square.across == pytest.approx((216.0, 0.0))


@pytest.mark.slow
def test_turning_the_photo_hardly_changes_the_crop():
    compared = 0
    for image, truth in zip(*heads(4), strict=True):
        base = cv2.resize(image, (320, 320), interpolation=cv2.INTER_CUBIC)
        canvas = np.full((640, 640, 3), 128, np.uint8)
        canvas[160:480, 160:480] = base
        places = {name: tuple(np.multiply(place, 2) + 160) for name, place in truth.items()}
        matrix = cv2.getRotationMatrix2D((320, 320), 20, 1)
        rolled = cv2.warpAffine(canvas, matrix, (640, 640), flags=cv2.INTER_CUBIC)
        moved = {name: tuple(matrix @ [*place, 1]) for name, place in places.items()}
        straight = crop(canvas, ffhq_square(from_landmarks(places)), 64).astype(float)
        turned = crop(rolled, ffhq_square(from_landmarks(moved)), 64).astype(float)
        inner = np.s_[12:52, 12:52]
        assert np.abs(straight[inner] - turned[inner]).mean() < 3
        unaligned = crop(rolled, ffhq_square(from_landmarks(places)), 64).astype(float)
        assert np.abs(straight[inner] - unaligned[inner]).mean() > 10
        compared += 1
    assert compared == 4


def test_center_is_upright_and_round_the_box():
    face = face_at((80.0, 100.0), (120.0, 140.0), (90.0, 160.0))
    (square,) = layout_squares(face, "center", 200, 200).values()
    assert square.across[1] == 0
    assert square.centre == pytest.approx((50.0, 40.0))
    assert square.side == pytest.approx(175.0)


@pytest.mark.parametrize(
    ("box", "picture", "centre", "side"),
    [
        ((60, 60, 80, 80), (300, 200), (100, 100), 200),  # as far left as the square reaches
        ((110, 60, 80, 80), (300, 200), (150, 100), 200),
        ((110, 10, 80, 80), (300, 200), (150, 100), 200),  # the shorter side leaves no choice
        ((50, 100, 80, 80), (200, 400), (100, 140), 200),
        ((-20, 10, 240, 220), (200, 220), (100, 120), 264),  # a face that fills it: padded, about the face
    ],
)
def test_wild_is_the_picture_itself_around_the_face(box, picture, centre, side):
    face = Face(box, 80.0, 1.0, (0, 0), (1, 0), (0, 0), (0, 0), (0, 0))
    (square,) = layout_squares(face, "wild", *picture).values()
    assert square.across == pytest.approx((side, 0.0))
    assert square.centre == pytest.approx(centre)


def test_eyes_are_two_level_crops_each_about_its_eye():
    face = face_at((80.0, 100.0), (120.0, 140.0), (90.0, 160.0))
    squares = layout_squares(face, "eyes", 200, 200)
    assert list(squares) == ["eye-left", "eye-right"]
    assert squares["eye-left"].centre == (80.0, 100.0)
    assert squares["eye-right"].centre == (120.0, 140.0)
    for square in squares.values():
        assert square.across == pytest.approx((36.0, 36.0)), "along the line from eye to eye"


def test_unknown_layout():
    with pytest.raises(InputError, match="ffhq, center"):
        layout_squares(face_at((0.0, 0.0), (1.0, 0.0), (0.5, 1.0)), "tight", 9, 9)


@pytest.mark.parametrize("side", [128, 300, 640])
def test_fine_pattern_does_not_alias(side):
    stripes = np.zeros((700, 700, 3), np.uint8)
    stripes[::2] = 255
    face = Face((300, 310, 100, 100), side / 1.75, 1, (0, 0), (1, 0), (0, 0), (0, 0), (0, 0))
    (square,) = layout_squares(face, "center", 700, 700).values()
    assert crop(stripes, square, 64).astype(float).std() < 8


def test_margin_beyond_the_picture_loses_detail_but_the_picture_itself_keeps_its_own():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (200, 200, 3), np.uint8)
    face = face_at((20.0, 100.0), (60.0, 100.0), (40.0, 140.0))
    square = ffhq_square(face)
    pixels = crop(picture, square, 160).astype(float)
    edge = round(-square.corners[0, 0])
    assert edge == 40
    assert np.abs(pixels[:, 44:] - picture[24:184, 4:120]).max() <= 1
    assert pixels[:, :20].std() < 0.5 * pixels[:, 60:].std()


def test_enlarging_is_smooth():
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[:, 20:] = 200
    square = ffhq_square(face_at((16.0, 20.0), (24.0, 20.0), (20.0, 28.0)))
    row = crop(picture, square, 128)[64, :, 0].astype(int)
    assert row[0] == 0
    assert row[-1] == 200
    assert np.abs(np.diff(row)).max() < 110, "a step of 200 would be a block edge"
