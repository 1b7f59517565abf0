"""Figures about labels that were read: against scikit-learn, against numbers worked out by hand."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mien.attributes.agreement import (
    _ranking,
    _weighted_auc,
    calibration_error,
    mean_auc,
    number,
    one_of,
    reliability,
    yes_no,
)


def alone(count: int) -> list[str]:
    return [str(index) for index in range(count)]


def test_a_mean_absolute_error_is_not_called_rmse() -> None:
    """Defect 7. With errors of 0, 0, 0 and 8 the two differ by a factor of two."""
    reading = number("age", np.array([20.0, 30.0, 40.0, 50.0]), np.array([20.0, 30.0, 40.0, 58.0]), alone(4))
    assert reading.mae.value == pytest.approx(2.0)
    assert reading.rmse.value == pytest.approx(4.0)
    assert reading.bias == pytest.approx(2.0)
    assert reading.mae_of_median == pytest.approx(10.0)
    assert reading.r2 == pytest.approx(1 - 64 / 500)
    assert number("age", np.array([20.0, 30.0]), np.array([12.0, 30.0]), alone(2)).bias == pytest.approx(-4.0)


def test_the_weighted_auc_is_scikit_learns_ties_included() -> None:
    rng = np.random.default_rng(0)
    truth, score = rng.integers(0, 2, 200).astype(bool), rng.integers(0, 12, 200) / 12
    weights = rng.integers(0, 4, (3, 200)).astype(float)
    ours = _weighted_auc(_ranking(truth, score), weights)
    theirs = [roc_auc_score(truth, score, sample_weight=row) for row in weights]
    assert ours == pytest.approx(theirs, abs=1e-12)


def test_yes_no_by_hand() -> None:
    truth = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    said = np.array([0.9, 0.8, 0.3, 0.7, 0.2, 0.1, 0.1, 0.4])
    reading = yes_no("hat", truth, said, alone(8))
    assert reading.confusion == ((4, 1), (1, 2))  # rows are the truth
    assert reading.precision is not None
    assert reading.recall is not None
    assert reading.f1 is not None
    assert reading.auc is not None
    assert (reading.precision.value, reading.recall.value) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert reading.f1.value == pytest.approx(2 / 3)
    assert reading.auc.value == pytest.approx(13 / 15)
    assert reading.base_rate == 3 / 8
    assert reading.brier == pytest.approx(np.mean((said - truth) ** 2))


def test_what_is_undefined_is_none_and_not_zero() -> None:
    nobody = yes_no("hat", np.zeros(10), np.linspace(0, 0.4, 10), alone(10))
    assert (nobody.auc, nobody.precision, nobody.recall, nobody.average_precision) == (None,) * 4
    never_said = yes_no("hat", np.arange(10) % 2, np.linspace(0, 0.4, 10), alone(10))
    assert never_said.precision is None
    assert never_said.recall is not None
    assert never_said.recall.value == 0
    assert number("age", np.ones(5), np.arange(5.0), alone(5)).r2 is None


def test_pictures_of_one_person_do_not_count_as_so_many_people() -> None:
    rng = np.random.default_rng(1)
    truth = np.arange(60) % 2
    said = np.clip(truth * 0.3 + rng.normal(0.35, 0.25, 60), 0, 1)
    widths = []
    for people in (alone(600), [str(index // 10) for index in range(600)]):
        interval = yes_no("hat", truth.repeat(10), said.repeat(10), people).auc
        assert interval is not None
        assert interval.low < interval.value < interval.high
        widths.append(interval.high - interval.low)
    assert widths[1] == pytest.approx(widths[0] * math.sqrt(10), rel=0.25)


def test_calibration_by_hand() -> None:
    said = np.array([0.15] * 10 + [0.75] * 30)
    truth = np.array([1] * 4 + [0] * 6 + [1] * 15 + [0] * 15)
    low, high = reliability(truth, said)
    assert (low.count, high.count) == (10, 30)
    assert (low.predicted, low.observed) == (pytest.approx(0.15), pytest.approx(0.4))
    assert calibration_error((low, high)) == pytest.approx((10 * 0.25 + 30 * 0.25) / 40)
    assert reliability(np.array([1]), np.array([1.0]))[0].predicted == 1.0  # the last bin is closed


def test_one_of_several() -> None:
    truth = np.array([0, 0, 1, 2])
    said = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
    reading = one_of("hair", ("black", "blond", "red"), truth, said, alone(4))
    assert reading.accuracy.value == 0.75
    assert reading.most_common == 0.5
    assert reading.confusion == ((1, 1, 0), (0, 1, 0), (0, 0, 1))
    assert [one.name for one in reading.each] == ["hair=black", "hair=blond", "hair=red"]
    assert reading.each[1].recall is not None
    assert reading.each[1].precision is not None
    assert (reading.each[1].recall.value, reading.each[1].precision.value) == (1, 0.5)
    assert reading.each[2].auc is not None
    assert reading.each[2].auc.value == 1


def test_the_mean_auc_leaves_out_what_is_rare() -> None:
    common = yes_no("common", np.arange(100) % 2, np.linspace(0, 1, 100), alone(100))
    rare = yes_no("rare", np.arange(100) == 99, np.linspace(0, 1, 100), alone(100))
    assert common.auc is not None
    assert mean_auc([common, rare]) == (common.auc.value, 1)
    assert mean_auc([rare]) == (None, 0)
