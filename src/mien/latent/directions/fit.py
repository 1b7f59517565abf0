"""From latents and readings to a direction: linear classifiers on the extremes, ridge for numbers.

Shen et al. 2020, "Interpreting the Latent Space of GANs for Semantic Face Editing" (arXiv:1907.10786).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import LinearSVC

from mien.core.errors import InputError
from mien.latent.directions.direction import Accuracy
from mien.metrics._intervals import of_share

EXTREMES = 0.02  # share of the samples at either end that classifiers learn from, as published
FEWEST = 100  # samples at either end, where there are as many; of 2,000 samples 2 % would be 40
MINIMUM = 20  # samples at either end without which nothing is learnt
_FEWEST_HELD_OUT = 30  # likewise of the held-out samples, which are fewer
_MOST_SHARE = 0.25
_TRAIN, _CHOOSE = 0.6, 0.2  # shares of the samples; the rest is held out
_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
_PENALTIES = (1.0, 10.0, 100.0, 1000.0)

Floats = np.ndarray


@dataclass(frozen=True)
class Fit:
    """A direction in feature space: `weights` [features] grow with the attribute; boundary at `bias` + x @ w.

    accuracy, correlation (of scores with the attribute): on held-out samples.
    """

    weights: Floats
    bias: float
    method: str
    accuracy: Accuracy
    correlation: float


class TooFew(InputError):  # noqa: N818 - named for what it is about
    """An attribute with fewer samples at either end than can be learnt from."""


@dataclass(frozen=True)
class Parts:
    """Indexes of the samples to learn from, to choose a method by, and to judge it on."""

    train: Floats
    choose: Floats
    held_out: Floats

    @classmethod
    def of(cls, count: int) -> "Parts":
        order = np.random.default_rng(0).permutation(count)
        first, second = round(count * _TRAIN), round(count * (_TRAIN + _CHOOSE))
        return cls(order[:first], order[first:second], order[second:])


def fit(features: Floats, values: Floats, name: str, parts: Parts, *, yes_no: bool) -> Fit:
    """Learn the direction in which an attribute grows.

    features: [N, F], of like scale. values: [N], NaN where unknown. The method that ranks the samples of
    `parts.choose` best is kept. Raises TooFew.
    """
    known = np.isfinite(values)
    train, choose, test = (part[known[part]] for part in (parts.train, parts.choose, parts.held_out))
    rng = np.random.default_rng(0)
    low, high = extremes(values, train, name, yes_no=yes_no, rng=rng)
    test_low, test_high = extremes(
        values, test, name, yes_no=yes_no, rng=rng, minimum=5, fewest=_FEWEST_HELD_OUT
    )
    tried = list(_classifiers(features, low, high))
    if not yes_no:
        tried += list(_ridges(features, values, train, low, high))
    weights, bias, method = max(tried, key=lambda one: correlation(features[choose] @ one[0], values[choose]))
    scores = features @ weights + bias
    right = int((scores[test_low] < 0).sum() + (scores[test_high] > 0).sum())
    accuracy = wilson(right, len(test_low) + len(test_high))
    return Fit(weights, bias, method, accuracy, correlation(scores[test], values[test]))


def extremes(
    values: Floats,
    among: Floats,
    name: str,
    *,
    yes_no: bool,
    rng: np.random.Generator,
    minimum: int = MINIMUM,
    fewest: int = FEWEST,
) -> tuple[Floats, Floats]:
    """Indexes out of `among` of equally many samples with little and with much of an attribute.

    yes_no: the noes and the yeses, as many of either as there are of the rarer. Raises TooFew.
    """
    if yes_no:
        no, yes = (among[values[among] == answer] for answer in (0, 1))
        count = min(len(no), len(yes))
        low, high = (rng.choice(side, count, replace=False) for side in (no, yes))
    else:
        share = min(max(EXTREMES, fewest / max(len(among), 1)), _MOST_SHARE)
        order = among[np.argsort(values[among], kind="stable")]
        count = round(len(order) * share)
        low, high = order[:count], order[len(order) - count :]
        if count and values[low[-1]] >= values[high[0]]:
            count = 0  # it is the same everywhere
    if count < minimum:
        raise TooFew(f"{name}: {count} samples at either end of it, and at least {minimum} are needed")
    return low, high


def wilson(right: int, count: int) -> Accuracy:
    """right / count with its 95 % score interval (Wilson 1927)."""
    share = right / count
    low, high = of_share(share, count)
    high = max(high, share)  # rounding can leave the bound of a share of 1 a hair below it
    return Accuracy(value=share, low=low, high=high, count=count)


def _classifiers(features: Floats, low: Floats, high: Floats) -> Iterator[tuple[Floats, float, str]]:
    rows = features[np.concatenate([low, high])]
    answers = np.repeat([0, 1], [len(low), len(high)])
    for strength in _STRENGTHS:
        models: dict[str, Any] = {
            "logistic regression": LogisticRegression(C=strength, max_iter=2000),
            "linear SVM": LinearSVC(C=strength, dual=True, max_iter=5000, random_state=0, tol=1e-3),
        }
        for method, model in models.items():
            model.fit(rows, answers)
            yield model.coef_[0], float(model.intercept_[0]), method


def _ridges(
    features: Floats, values: Floats, train: Floats, low: Floats, high: Floats
) -> Iterator[tuple[Floats, float, str]]:
    spread = float(values[train].std())
    for penalty in _PENALTIES:
        model = Ridge(alpha=penalty).fit(features[train], values[train] / max(spread, 1e-12))
        weights = np.asarray(model.coef_)
        middle = ((features[low] @ weights).mean() + (features[high] @ weights).mean()) / 2
        yield weights, -float(middle), "ridge"


def correlation(one: Floats, other: Floats) -> float:
    """Of two columns where both are known; 0 where either does not vary there."""
    known = np.isfinite(one) & np.isfinite(other)
    one, other = one[known], other[known]
    if len(one) < 2 or one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
