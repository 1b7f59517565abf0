"""The classifier score against torchmetrics' Inception score, and what it means."""

import numpy as np
import pytest

from contracts.metric_contract import MetricContract
from mien.core.errors import InputError
from mien.metrics.classifier_score import compute


def probabilities(count, classes, *, seed=0, sharp=3.0):
    logits = np.random.RandomState(seed).randn(count, classes) * sharp
    rows = np.exp(logits - logits.max(1, keepdims=True))
    return (rows / rows.sum(1, keepdims=True)).astype(np.float32)


class TestContract(MetricContract):
    metric = "classifier_score"
    swapped = (("classifier_score_fake", "classifier_score_real"),)

    def sets(self):
        return probabilities(40, 7), probabilities(32, 7, seed=1, sharp=1.0)


def test_agrees_with_the_definition_of_torchmetrics():
    """InceptionScore of torchmetrics 1.x: exp of the mean over rows of sum p (log p - log mean p)."""
    import torch

    p = torch.from_numpy(probabilities(200, 10)).double()
    expected = torch.nn.functional.kl_div(p.mean(0).log().expand_as(p), p, reduction="batchmean").exp()
    assert compute(p.numpy(), p.numpy())["classifier_score_fake"] == pytest.approx(float(expected), rel=1e-6)


def test_all_classes_and_sure_scores_their_number_one_class_scores_one():
    sure = np.eye(7, dtype=np.float32)[np.arange(70) % 7]
    values = compute(sure, sure[::7])
    assert values["classifier_score_real"] == pytest.approx(7, rel=1e-6)
    assert values["classifier_score_fake"] == pytest.approx(1, rel=1e-6)
    unsure = np.full((70, 7), 1 / 7, np.float32)
    assert compute(sure, unsure)["classifier_score_fake"] == pytest.approx(1, rel=1e-6)


def test_half_the_classes_dropped_halves_it():
    sure = np.eye(8, dtype=np.float32)[np.arange(80) % 8]
    half = np.eye(8, dtype=np.float32)[np.arange(80) % 4]
    assert compute(sure, half)["classifier_score_fake"] == pytest.approx(4, rel=1e-6)


def test_what_is_no_probability_is_refused():
    with pytest.raises(InputError, match="add to 1"):
        compute(np.ones((5, 3)), np.ones((5, 3)))
