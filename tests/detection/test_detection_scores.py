"""Calibration, thresholds and scores of a detector, against what they must be."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.stats import norm
from torch import Tensor

from mien.core.types import Spec
from mien.detection import scores
from mien.nn.forensic import ForensicNet


class Bright(ForensicNet):
    """Says of a face, in its first part, how bright it is: a score that the test sets."""

    def parts(self, images: Tensor) -> Tensor:
        value = images.mean(dim=(1, 2, 3))
        return torch.stack([value * 8, value * 0, value * 0], dim=1)


def bright() -> Bright:
    return Bright(Spec(8, 3, 1, ("synthetic",)), width=4, traces_width=4)


def faces(means: np.ndarray) -> np.ndarray:
    levels = np.clip(np.round(means * 127.5 + 127.5), 0, 255).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (len(means), 8, 8, 3)).copy()


def drawn(count: int, middle: float, seed: int) -> np.ndarray:
    return faces(np.random.default_rng(seed).normal(middle, 0.25, count))


@pytest.fixture
def network() -> Bright:
    net = bright()
    pixels = np.concatenate([drawn(600, -0.2, 0), drawn(300, 0.2, 1)])
    scores.calibrate(net, pixels, np.arange(900) >= 600)
    return net


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.2])
def test_false_alarms_stay_below_the_promised_rate(network: Bright, rate: float) -> None:
    fresh = scores.log_odds(network, scores.parts_of(network, drawn(4000, -0.2, 2)))
    assert (fresh >= network.threshold(rate)).mean() <= rate * 1.4


def test_a_threshold_from_few_faces_keeps_its_promise_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(0)
    rates = [norm.sf(scores._quantiles(rng.standard_normal(138))[95]) for _ in range(2000)]
    assert 0.015 < np.mean(np.array(rates) > 0.05) < 0.055


def test_probabilities_are_calibrated_at_as_many_real_as_synthetic(network: Bright) -> None:
    reals, fakes = (
        scores.log_odds(network, scores.parts_of(network, drawn(4000, middle, seed)))
        for middle, seed in ((-0.2, 3), (0.2, 4))
    )
    assert scores.balanced_error(reals, fakes) < 0.05


def test_the_calibration_error_of_known_answers() -> None:
    sure = np.full(100, np.log(9))  # says 90 % of everything
    assert scores.balanced_error(sure, sure) == pytest.approx(0.4, abs=1e-6)
    half = np.zeros(50)
    assert scores.balanced_error(half, np.zeros(500)) == pytest.approx(0, abs=1e-9)
    assert scores.balanced_error(-sure * 20, sure * 20) == pytest.approx(0, abs=1e-6)
    assert expit(sure[0]) == pytest.approx(0.9)


def test_an_arm_that_is_guessed_has_auc_one_half_and_a_told_one_has_one(network: Bright) -> None:
    real = {"r": drawn(300, -0.2, 5)}
    same, apart = drawn(300, -0.2, 6), faces(np.full(50, 0.95))
    found, _, accuracy = scores.score_sources(
        network, real, {"same": same, "apart": apart}, histories={"as it is": lambda pixels: pixels}
    )
    areas = {score.source: score.auc for score in found if score.auc is not None}
    assert areas["same"].low < 0.5 < areas["same"].high
    assert areas["apart"].value > 0.99
    assert 0.5 < accuracy < 0.8
    (alarms,) = [score for score in found if not score.synthetic]
    assert alarms.called.low <= 0.05


def test_a_share_has_its_exact_interval() -> None:
    none = scores.share(0, 100)
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 100))  # Clopper and Pearson, in closed form
