"""Classifier score: exp of the mean KL of each picture's classes from all pictures' (Salimans et al. 2016).

It is the Inception score where the classifier is Inception; here it is one of faces, which is what is drawn.
"""

import numpy as np

from mien.core.errors import InputError
from mien.metrics._intervals import named, of_mean

NEEDS = "probabilities"
ALSO = {"is": "an Inception Score is that of Inception's classes", "inception_score": ""}
# High where every picture is clearly of one class and all classes are there; the reals say how high is right.
BETTER: dict[str, str] = {}
TITLES = {
    "classifier_score_fake": "classifier score, generated",
    "classifier_score_real": "classifier score, real",
}
ASKED_FOR = True  # computed only where it is named

_LEAST = 1e-12


def compute(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """The score of the fakes (`classifier_score_fake`) and of the reals (`classifier_score_real`).

    real, fake: [N, K] and [M, K], rows that add to 1. From 1 (all pictures alike, or of no clear class) to K.
    `_low`, `_high`: 95 % intervals. The score is blind to variety within a class, and to copies.
    """
    return {**_score("classifier_score_fake", fake), **_score("classifier_score_real", real)}


def advice(num_real: int, num_fake: int, dims: int) -> str | None:
    """A warning in words when a class has too few pictures, else None."""
    needed = max(50 * dims, 500)
    fewest = min(num_real, num_fake)
    return None if fewest >= needed else f"{fewest} pictures of {dims} classes: use {needed:,} or more"


def _score(name: str, probabilities: np.ndarray) -> dict[str, float]:
    p = np.asarray(probabilities, np.float64)
    if len(p) < 2 or p.min() < -1e-6 or not np.allclose(p.sum(1), 1, atol=1e-3):
        raise InputError(
            "the classifier score needs two pictures or more, each with probabilities that add to 1"
        )
    p = np.clip(p, _LEAST, 1)
    # A picture's part is also its influence, so the mean's error is the logarithm's.
    parts = (p * np.log(p / p.mean(0))).sum(1)
    low, high = of_mean(parts)
    # A score is never below 1, the logarithm's 0.
    return named(name, float(np.exp(parts.mean())), (float(np.exp(max(low, 0))), float(np.exp(high))))
