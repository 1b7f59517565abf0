"""Figures, intervals and verdicts of `mien worth`, against numbers worked out by hand."""

import numpy as np
import pytest

from mien.core.score import Interval
from mien.evaluation.worth_page import verdict
from mien.evaluation.worth_scores import (
    Gain,
    Scale,
    Scored,
    backwards,
    gain,
    guess,
    interval,
    mean_score,
    scale_of,
    score,
)
from mien.labels.encoding import Target, parse

NUMBER = parse(("age:number",))
YES = parse(("Smiling",))
HAIR = parse(("hair=black", "hair=red", "hair=blond"))
GAZE = parse(("gaze_yaw:number", "gaze_pitch:number"))
DEGREES = Scale(("MAE", "RMSE"), higher=False, unit="°")


def alone(count: int) -> list[str]:
    return [str(index) for index in range(count)]


def points(targets: tuple[Target, ...], truth: object, said: object) -> list[float]:
    rows = np.array(truth, float)
    return score(targets, rows, np.array(said, float), alone(len(rows))).points.tolist()


def test_a_mean_absolute_error_is_not_called_rmse() -> None:
    """Defect 7: errors of 0, 0, 0 and 8 have a mean of 2 and a root mean square of 4."""
    assert scale_of(NUMBER).names == ("MAE", "RMSE")
    found = points(NUMBER, [[20], [30], [40], [50]], [[20], [30], [40], [58]])
    assert found == pytest.approx([2.0, 4.0])


def test_the_error_of_a_gaze_is_the_angle_between_lines_of_sight() -> None:
    assert scale_of(GAZE) == DEGREES
    assert points(GAZE, [[0, 0]], [[90, 0]])[0] == pytest.approx(90)
    assert points(GAZE, [[10, 0]], [[10, 3]])[0] == pytest.approx(3)
    assert points(GAZE, [[40, 90]], [[-70, 90]])[0] == pytest.approx(0, abs=1e-6)  # straight up, either way
    # cos of the angle between (yaw 0, pitch 60) and (yaw 60, pitch 60): .25 * .5 + .75
    assert points(GAZE, [[0, 60]], [[60, 60]])[0] == pytest.approx(np.degrees(np.arccos(0.875)))
    assert points(GAZE, [[5, 5], [0, 0]], [[5, 5], [0, 6]]) == pytest.approx([3, np.sqrt(18)])


def test_auc_and_accuracy_by_hand() -> None:
    assert scale_of(YES) == Scale(("AUC",), higher=True)
    assert points(YES, [[1], [1], [0], [0]], [[0.9], [0.4], [0.4], [0.1]]) == [pytest.approx(3.5 / 4)]
    assert scale_of(HAIR) == Scale(("accuracy",), higher=True)
    truth = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert points(HAIR, truth, [[0.5, 0.3, 0.2], [0.6, 0.3, 0.1], [0, 0, 1]]) == [pytest.approx(2 / 3)]


def test_always_saying_the_same() -> None:
    assert guess(NUMBER, np.array([[1.0], [2.0], [9.0]]))[0] == pytest.approx(8 / 3)  # always 2
    assert guess(YES, np.array([[1.0], [0.0], [0.0]])).tolist() == [0.5]
    assert guess(HAIR, np.array([[1.0, 0, 0], [1, 0, 0], [0, 1, 0]]))[0] == pytest.approx(2 / 3)


def test_the_interval_over_few_seeds_is_students() -> None:
    """Seeds 2, 4, 6: variance of the mean 4/3, two degrees of freedom, where t is 4.3027 and not 1.96."""
    found = interval(np.array([2.0, 4.0, 6.0]), np.tile([2.0, 4.0, 6.0], (50, 1)).T, 40)
    half = 4.302653 * np.sqrt(4 / 3)
    assert (found.value, found.low, found.high) == pytest.approx((4, 4 - half, 4 + half), rel=1e-5)


def test_the_interval_over_few_people_is_wider_than_their_bootstrap() -> None:
    """Four people, two like seeds: variance of the draws times 4/3, three degrees of freedom (t 3.1824)."""
    draws = np.array([[1.0, 3.0] * 50] * 2)
    found = interval(np.array([2.0, 2.0]), draws, 4)
    half = 3.182446 * np.sqrt(draws[0].var(ddof=1) * 4 / 3)
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half), rel=1e-5)


def test_seeds_and_people_both_count() -> None:
    seeds, people = np.array([2.0, 4.0, 6.0]), np.array([0.0, 2.0] * 50)
    both = interval(seeds, seeds[:, None] + people - 1, 30)
    variances = 4 / 3, people.var(ddof=1) * 30 / 29
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / 2 + variances[1] ** 2 / 29)
    assert freedom == pytest.approx(6.1046, abs=1e-4)  # of two for the seeds and 29 for the people
    assert both.high - both.low == pytest.approx(2 * 2.4366 * np.sqrt(sum(variances)), rel=1e-3)


def test_a_gain_is_taken_seed_by_seed_and_person_by_person() -> None:
    """Seeds and people that differ by 10 drown a gain of 1 unless both arms are held against each other."""
    rng = np.random.default_rng(0)
    worse = [
        Scored(np.array([value]), value + draws[None])
        for value, draws in zip(20 + 10 * rng.normal(size=5), 10 * rng.normal(size=(5, 200)), strict=True)
    ]
    better = [Scored(one.points - 1, one.draws - 1) for one in worse]
    less = gain(better, worse, "real", 50, higher=False)
    assert less.gain.model_dump() == pytest.approx({"value": 1, "low": 1, "high": 1})
    assert less.verdict == "better"
    assert gain(better, worse, "real", 50, higher=True).verdict == "worse"
    turned = gain(better, worse[::-1], "real", 50, higher=False)  # another seed's partner
    assert turned.verdict == "unclear"


def test_figures_stay_within_what_is_possible() -> None:
    scored = [Scored(np.array([value]), np.full((1, 10), value)) for value in (0.9, 0.99)]
    assert mean_score(scored, 0, 20, higher=True).high == 1
    assert mean_score(scored, 0, 20, higher=False).high > 1
    assert mean_score([Scored(-one.points + 1, 1 - one.draws) for one in scored], 0, 20, higher=True).low == 0


def test_a_label_read_the_wrong_way_round_is_noticed() -> None:
    """Defect 14: an angle or an age with its sign reversed."""
    truth = np.linspace(-20, 20, 50)[:, None]
    noise = np.random.default_rng(0).normal(0, 5, truth.shape)
    assert backwards(NUMBER, truth, -truth + noise)
    assert not backwards(NUMBER, truth, truth + noise)
    assert not backwards(NUMBER, truth, np.zeros_like(truth))
    pair = np.hstack([truth, np.roll(truth, 7)])
    assert backwards(GAZE, pair, pair * [1, -1])


def one_gain(value: float, low: float, high: float, over: str = "real") -> Gain:
    how = "better" if low > 0 else "worse" if high < 0 else "unclear"
    return Gain(over=over, gain=Interval(value=value, low=low, high=high), verdict=how)


@pytest.mark.parametrize(
    ("arm", "found", "sentence"),
    [
        (
            "real + refined",
            one_gain(1.2, 0.5, 1.9),
            "adding refined helps: MAE better by 1.20° (0.50° to 1.90°) than real alone",
        ),
        (
            "real, augmented",
            one_gain(0.1, -0.4, 0.6),
            "classical augmentation makes no difference that can be seen:"
            " MAE better by 0.10° (-0.40° to 0.60°) than real alone",
        ),
        (
            "real + raw",
            one_gain(-1.5, -2, -1),
            "adding raw hurts: MAE worse by 1.50° (1.00° to 2.00°) than real alone",
        ),
        (
            "refined",
            one_gain(2, 1, 3, "raw"),
            "refined is better than raw: MAE better by 2.00° (1.00° to 3.00°)",
        ),
        (
            "refined",
            one_gain(0.5, -1, 2),
            "refined is neither better nor worse, as far as can be seen, than real:"
            " MAE better by 0.50° (-1.00° to 2.00°)",
        ),
        (
            "raw",
            one_gain(-2, -3, -1),
            "raw is worse than real: MAE worse by 2.00° (1.00° to 3.00°)",
        ),
    ],
)
def test_verdicts_are_plain(arm: str, found: Gain, sentence: str) -> None:
    assert verdict(arm, found, DEGREES) == sentence
