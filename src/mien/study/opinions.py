"""Figures of ratings, of preferences in pairs, and of attributes that raters see."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import expit

from mien.study.design import Attributes, Design, Prefer, Rate
from mien.study.findings import (
    Ends,
    Findings,
    Floats,
    agree,
    interval_text,
    rater_intervals,
    stacked,
    weighted_mean,
)
from mien.study.records import Vote

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

    The model of Bradley and Terry (1952): P(i is preferred to j) = 1 / (1 + exp(strength j - strength i)).
    By Newton's method on the penalised likelihood of the logistic regression, all B at once. An item that won
    or lost always gets a large strength, not an infinite one; one that never took part NaN.
    """
    step = max(1, _AT_ONCE // wins[0].size)
    chunks = [_newton(wins[start : start + step]) for start in range(0, len(wins), step)]
    strengths = np.concatenate(chunks)
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


def rate(findings: Findings, design: Design, votes: Sequence[Vote]) -> None:
    """Mean rating of each set on each scale, and the differences between sets."""
    task = design.task
    assert isinstance(task, Rate)
    raters = [vote.participant for vote in votes]
    names = [one.name for one in design.sets]
    of_set = {name: np.array([vote.sets[0] == name for vote in votes]) for name in names}
    for scale in task.scales:
        values = np.array([float(vote.answer[scale.name]) for vote in votes])
        means = [weighted_mean(values, of_set[name]) for name in names]
        for name, ends in zip(names, rater_intervals(raters, stacked(*means)), strict=True):
            findings.add("ratings", name, scale.name, ends, count=int(of_set[name].sum()))
        for first, second in itertools.combinations(range(len(names)), 2):
            ends = rater_intervals(raters, _difference(means[first], means[second]))[0]
            row = f"{names[first]} less {names[second]}"
            findings.add("differences", row, scale.name, ends, count=len(set(raters)))
            _difference_sentence(findings, scale.name, names[first], names[second], ends)
        agree(findings, scale.name, "ordinal", votes, [vote.answer[scale.name] for vote in votes])


def _difference(first: Callable[[Floats], Floats], second: Callable[[Floats], Floats]) -> Any:
    return lambda weights: first(weights) - second(weights)


def _difference_sentence(findings: Findings, scale: str, first: str, second: str, ends: Ends) -> None:
    _, low, high = ends
    if low is not None and high is not None and (low > 0 or high < 0):
        better, worse = (first, second) if low > 0 else (second, first)
        findings.sentences.append(
            ("plain", f"{scale}: {better} is rated higher than {worse} ({interval_text(ends)})")
        )


def prefer(findings: Findings, design: Design, votes: Sequence[Vote]) -> None:
    """Strengths, strongest first, and how often the left side was chosen."""
    task = design.task
    assert isinstance(task, Prefer)
    items = [vote.sets if task.compare == "sets" else _pictures_of(vote) for vote in votes]
    names = sorted({name for pair in items for name in pair})
    place = {name: index for index, name in enumerate(names)}
    shown = np.array([[place[name] for name in pair] for pair in items])
    left = np.array([vote.answer == "left" for vote in votes])
    winners, losers = np.where(left, shown.T, shown.T[::-1])
    raters = [vote.participant for vote in votes]

    def strengths(weights: Floats) -> Floats:
        return bradley_terry(wins_of(winners, losers, len(names), weights)).T

    found_strengths = dict(zip(names, rater_intervals(raters, strengths), strict=True))
    for name, ends in sorted(found_strengths.items(), key=lambda pair: -pair[1][0]):
        count = int((shown == place[name]).sum())
        findings.add("strengths", name, "strength", ends, count=count)
        wins = weighted_mean(100.0 * (winners == place[name]), (shown == place[name]).any(axis=1))
        findings.add("strengths", name, "preferred", rater_intervals(raters, wins)[0], unit=" %", count=count)
    side = rater_intervals(raters, weighted_mean(100.0 * left))[0]
    findings.add("side", "all", "left chosen", side, unit=" %", count=len(votes))
    chosen = [_pictures_of(vote)[0 if vote.answer == "left" else 1] for vote in votes]
    agree(findings, "choice", "nominal", votes, chosen)


def _pictures_of(vote: Vote) -> tuple[str, ...]:
    """The pictures of a vote as "set/file", since sets may hold files of the same name."""
    return tuple(f"{name}/{picture}" for name, picture in zip(vote.sets, vote.pictures, strict=True))


def attributes(findings: Findings, design: Design, votes: Sequence[Vote]) -> None:
    """How often each attribute was seen in each set, where it was meant, and elsewhere."""
    task = design.task
    assert isinstance(task, Attributes)
    raters = [vote.participant for vote in votes]
    shows = {one.name: one.shows for one in design.sets}
    for attribute in task.attributes:
        reported = np.array([100.0 * (attribute in vote.answer) for vote in votes])
        for name in shows:
            where = np.array([vote.sets[0] == name for vote in votes])
            ends = rater_intervals(raters, weighted_mean(reported, where))[0]
            findings.add("seen", name, attribute, ends, unit=" %", count=int(where.sum()))
        meant = np.array([attribute in shows[vote.sets[0]] for vote in votes])
        if meant.any():
            statistics = stacked(weighted_mean(reported, meant), weighted_mean(reported, ~meant))
            hits, alarms = rater_intervals(raters, statistics)
            findings.add("as meant", attribute, "seen where meant", hits, unit=" %", count=int(meant.sum()))
            findings.add(
                "as meant", attribute, "seen elsewhere", alarms, unit=" %", count=int((~meant).sum())
            )
        agree(findings, attribute, "nominal", votes, [attribute in vote.answer for vote in votes])
