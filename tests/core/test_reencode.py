"""Histories of pictures."""

import cv2
import numpy as np
import pytest

from mien.core import reencode


@pytest.fixture
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (8, 8, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.mark.parametrize("name", [*reencode.HISTORIES, *reencode.MILD])
def test_a_history_keeps_size_and_type(picture: np.ndarray, name: str) -> None:
    before = picture.copy()
    changed = (reencode.HISTORIES | reencode.MILD)[name](picture)
    assert changed.shape == picture.shape
    assert changed.dtype == np.uint8
    assert np.array_equal(picture, before), "its input may not change"


def test_jpeg_errs_more_at_a_lower_quality(picture: np.ndarray) -> None:
    errors = [np.abs(reencode.jpeg(picture, q).astype(int) - picture).mean() for q in (95, 60, 20)]
    assert errors == sorted(errors)
    assert 0 < errors[0] < 3


def test_shrinking_takes_away_what_a_smaller_picture_cannot_show() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    assert reencode.shrunk(stripes, 0.5).std() < 2 < stripes.std()


def test_a_drawn_history_follows_from_the_generator_alone(picture: np.ndarray) -> None:
    one, same, other = (reencode.drawn_history(picture, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
