"""Strengths from preferences in pairs: the Bradley-Terry model, as a logistic regression without intercept.

P(i is preferred to j) = 1 / (1 + exp(strength j - strength i)) (Bradley and Terry 1952).
"""

import numpy as np
from scipy import sparse
from scipy.special import expit

_PENALTY = 1e-4  # ridge: keeps the strength of who always wins finite
_LONGEST_STEP = 2.0
_MOST_STEPS = 100
_AT_ONCE = 1_000_000


def wins_of(winners: np.ndarray, losers: np.ndarray, count: int, weights: np.ndarray) -> np.ndarray:
    """How often each item was preferred to each other, float [B, count, count].

    winners, losers: of each choice, int [N]. weights: of the choices, float [B, N].
    """
    rows, columns = np.arange(len(winners)), winners * count + losers
    pairs = sparse.csr_array((np.ones(len(winners)), (rows, columns)), shape=(len(winners), count * count))
    return np.asarray(weights @ pairs).reshape(len(weights), count, count)


def bradley_terry(wins: np.ndarray) -> np.ndarray:
    """Strengths float [B, K], each row of mean 0, from wins [B, K, K]: of the row's item over the column's.

    By Newton's method on the penalised likelihood of the logistic regression, all B at once. An item that won
    or lost always gets a large strength, not an infinite one; one that never took part NaN.
    """
    step = max(1, _AT_ONCE // wins[0].size)
    found = [_newton(wins[start : start + step]) for start in range(0, len(wins), step)]
    strengths = np.concatenate(found)
    strengths[(wins + wins.transpose(0, 2, 1)).sum(axis=2) == 0] = np.nan
    return np.asarray(strengths - np.nanmean(strengths, axis=1, keepdims=True))


def _newton(wins: np.ndarray) -> np.ndarray:
    games, won = wins + wins.transpose(0, 2, 1), wins.sum(axis=2)
    strengths, eye = np.zeros(won.shape), np.eye(won.shape[1])
    for _ in range(_MOST_STEPS):
        chance = expit(strengths[:, :, None] - strengths[:, None, :])
        gradient = won - (games * chance).sum(axis=2) - _PENALTY * strengths
        spread = games * chance * (1 - chance)
        curvature = (spread.sum(axis=2) + _PENALTY)[:, :, None] * eye - spread
        step = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
        strengths += np.clip(step, -_LONGEST_STEP, _LONGEST_STEP)
        if np.abs(step).max() < 1e-9:
            break
    return strengths
