"""Figures of each task: accuracy, d', thresholds, HYPE scores; ratings, preferences in pairs, attributes."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from statistics import mean

import numpy as np
from scipy import sparse, stats
from scipy.special import expit

from mien.study.design import FAKE, Attributes, Design, HypeTime, Prefer, Rate
from mien.study.findings import (
    TARGET,
    Ends,
    Figure,
    Findings,
    Fits,
    Floats,
    agree,
    interval_text,
    levels,
    rater_intervals,
    stacked,
    weighted_mean,
)
from mien.study.records import Vote


def categorise(findings: Findings, design: Design, votes: Sequence[Vote]) -> None:
    """Accuracy and d' at each exposure, and the threshold of each set of fakes."""
    exposures = sorted({vote.exposure_ms for vote in votes if vote.exposure_ms is not None})
    for exposure in exposures:
        same = [vote for vote in votes if vote.exposure_ms == exposure]
        _accuracy(findings, "by exposure", f"{exposure:g} ms", same)
    for name in (one.name for one in design.fakes):
        shown = [vote for vote in votes if vote.sets[0] in (name, design.real.name)]
        if (threshold := _threshold(findings, name, shown)) is not None:
            ends = interval_text((threshold.value, threshold.low, threshold.high), " ms")
            words = f"it takes {ends} until {100 * TARGET:.0f} % of answers are right"
            findings.sentences.append(("plain", f"{name} against {design.real.name}: {words}"))
    agree(findings, "real or fake", "nominal", votes, [vote.answer for vote in votes])


def hype_time(findings: Findings, design: Design, votes: Sequence[Vote]) -> None:
    """HYPE-time, accuracy and threshold of each model."""
    task = design.task
    assert isinstance(task, HypeTime)
    for name, shown in _by_model(design, votes):
        scores = _staircase_scores(task, shown)
        if scores:
            raters, values = list(scores), np.array(list(scores.values()))
            (ends,) = rater_intervals(raters, weighted_mean(values))
            findings.add("HYPE", name, "HYPE-time", ends, unit=" ms", count=len(raters))
            words = f"raters need {interval_text(ends, ' ms')} to tell it from {design.real.name}"
            findings.sentences.append(("plain", f"{name}: {words}"))
        unfinished = len({vote.participant for vote in shown}) - len(scores)
        if unfinished:
            findings.warnings.append(f"{name}: {unfinished} raters finished no block, so have no score")
        _accuracy(findings, "right answers", name, shown)
        _threshold(findings, name, shown)
    agree(findings, "real or fake", "nominal", votes, [vote.answer for vote in votes])


def _staircase_scores(task: HypeTime, votes: Iterable[Vote]) -> dict[str, float]:
    """The mean over a rater's whole blocks of the modal exposure, in ms."""
    blocks: dict[tuple[str, int], list[float]] = defaultdict(list)
    for vote in votes:
        if vote.exposure_ms is not None:
            blocks[vote.participant, vote.block].append(vote.exposure_ms)
    scores: dict[str, list[float]] = defaultdict(list)
    for (rater, _), exposures in blocks.items():
        if len(exposures) >= 0.8 * task.trials:  # single trials are left out where an exposure failed
            scores[rater].append(modal_exposure(exposures))
    return {rater: float(np.mean(modes)) for rater, modes in scores.items()}


def modal_exposure(exposures_ms: Iterable[float]) -> float:
    """The exposure that a block asked for most often, in ms; of several equally frequent ones, their mean."""
    counts = Counter(exposures_ms)
    most = max(counts.values())
    return mean(exposure for exposure, count in counts.items() if count == most)


def hype_infinity(findings: Findings, design: Design, votes: Sequence[Vote]) -> None:
    """HYPE-infinity of each model, on fakes and on real pictures too, with accuracy and d'."""
    for name, shown in _by_model(design, votes):
        raters = [vote.participant for vote in shown]
        wrong = np.array([100.0 * (not vote.correct) for vote in shown])
        fake = np.array([vote.expected == FAKE for vote in shown])
        statistics = stacked(weighted_mean(wrong), weighted_mean(wrong, fake), weighted_mean(wrong, ~fake))
        score, on_fakes, on_real = rater_intervals(raters, statistics)
        count = len(set(raters))
        findings.add("HYPE", name, "HYPE-infinity", score, unit=" %", count=count)
        findings.add("HYPE", name, "fakes taken for real", on_fakes, unit=" %", count=count)
        findings.add("HYPE", name, "real taken for fakes", on_real, unit=" %", count=count)
        _accuracy(findings, "right answers", name, shown)
        value, low, high = score
        words, real = f"{name}: raters are wrong in {interval_text(score, ' %')}", design.real.name
        if low is None or high is None:
            findings.sentences.append(("plain", words))
        elif low <= 50 <= high:
            findings.sentences.append(("good", f"{words}; it cannot be told from {real} (50 % is guessing)"))
        else:
            how = f"it is told from {real}" if value < 50 else f"it looks more real than {real}"
            findings.sentences.append(("plain", f"{words}; {how}"))
    agree(findings, "real or fake", "nominal", votes, [vote.answer for vote in votes])


def _by_model(design: Design, votes: Sequence[Vote]) -> Iterable[tuple[str, list[Vote]]]:
    """The votes of the raters who had each set of fakes."""
    rated: dict[str, set[str]] = defaultdict(set)
    for vote in votes:
        rated[vote.sets[0]].add(vote.participant)
    for one in design.fakes:
        shown = [vote for vote in votes if vote.participant in rated[one.name]]
        if shown:
            yield one.name, shown


def _accuracy(findings: Findings, table: str, row: str, votes: Sequence[Vote]) -> None:
    """Share right, d' and criterion (Green and Swets 1966; log-linear rule of Hautus 1995)."""
    raters = [vote.participant for vote in votes]
    right = np.array([100.0 * bool(vote.correct) for vote in votes])
    fake = np.array([vote.expected == FAKE for vote in votes])
    said_fake = np.array([vote.answer == FAKE for vote in votes])
    statistics = stacked(weighted_mean(right), _detection(fake, said_fake))
    accuracy, sensitivity, criterion = rater_intervals(raters, statistics)
    count = len(set(raters))
    findings.add(table, row, "right", accuracy, unit=" %", count=count)
    findings.add(table, row, "d'", sensitivity, count=count)
    findings.add(table, row, "criterion", criterion, count=count)


def _detection(fake: Floats, said_fake: Floats) -> Callable[[Floats], Floats]:
    """Weights [B, N] -> d' and criterion [2, B]; a criterion above 0 leans to "real"."""

    def figures(weights: Floats) -> Floats:
        hits = (weights @ (fake & said_fake) + 0.5) / (weights @ fake + 1)
        alarms = (weights @ (~fake & said_fake) + 0.5) / (weights @ ~fake + 1)
        z_hits, z_alarms = stats.norm.ppf(hits), stats.norm.ppf(alarms)
        return np.stack([z_hits - z_alarms, -(z_hits + z_alarms) / 2])

    return figures


def _threshold(findings: Findings, row: str, votes: Sequence[Vote]) -> Figure | None:
    """The psychometric function over achieved exposures; its threshold, None where it is none or a guess."""
    timed = [vote for vote in votes if (vote.achieved_ms or vote.exposure_ms) is not None]
    if not timed:
        return None
    exposures, level = levels(np.array([float(v.achieved_ms or v.exposure_ms or 0) for v in timed]))
    if len(exposures) < 2:
        findings.warnings.append(f"{row}: one exposure alone gives no threshold")
        return None
    raters = [vote.participant for vote in timed]
    right = np.array([bool(vote.correct) for vote in timed])
    fits, at_level = Fits(exposures), np.eye(len(exposures))[level]

    def counts(weights: Floats) -> tuple[Floats, Floats]:
        return (weights * right) @ at_level, (weights * ~right) @ at_level

    ends = rater_intervals(raters, lambda weights: fits.thresholds[fits.best(*counts(weights))][None])[0]
    count = len(set(raters))
    figure = findings.add("threshold", row, f"exposure for {TARGET:.0%} right", ends, unit=" ms", count=count)
    best = int(fits.best(*counts(np.ones((1, len(timed)))))[0])
    findings.curves[row] = (_points(row, exposures, level, right, raters), fits.curves[best])
    if not exposures[0] <= figure.value <= exposures[-1]:
        findings.warnings.append(
            f"{row}: the threshold lies outside of the exposures that were shown"
            f" ({exposures[0]:g} to {exposures[-1]:g} ms); it is a guess"
        )
        return None
    return figure


def _points(
    row: str, exposures: Floats, level: np.ndarray, right: np.ndarray, raters: Sequence[str]
) -> list[Figure]:
    """The share of right answers in at most eight stretches of exposures with equally many trials."""
    groups = np.array_split(np.argsort(level, kind="stable"), min(8, len(exposures)))
    if len(exposures) <= 8:
        groups = [np.flatnonzero(level == index) for index in range(len(exposures))]
    points = []
    for group in groups:
        share = weighted_mean(100.0 * right[group])
        value, low, high = rater_intervals([raters[index] for index in group], share)[0]
        shown = f"{exposures[level[group]].mean():.1f}"
        points.append(
            Figure(table="curve", row=row, column=shown, value=value, low=low, high=high, count=len(group))
        )
    return points


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
        means = stacked(*(weighted_mean(values, of_set[name]) for name in names))
        for name, ends in zip(names, rater_intervals(raters, means), strict=True):
            findings.add("ratings", name, scale.name, ends, count=int(of_set[name].sum()), of="rating")
        for first, second in itertools.combinations(range(len(names)), 2):
            ends = rater_intervals(raters, partial(_difference, means, first, second))[0]
            _, low, high = ends
            row = f"{names[first]} less {names[second]}"
            findings.add("differences", row, scale.name, ends, count=len(set(raters)))
            if low is not None and high is not None and (low > 0 or high < 0):
                better, worse = (first, second) if low > 0 else (second, first)
                size = ends if low > 0 else (-ends[0], -high, -low)
                words = f"{names[better]} is rated higher than {names[worse]} by {interval_text(size)}"
                findings.sentences.append(("plain", f"{scale.name}: {words}"))
        agree(findings, scale.name, "ordinal", votes, [vote.answer[scale.name] for vote in votes])


def _difference(means: Callable[[Floats], Floats], first: int, second: int, weights: Floats) -> Floats:
    rows = means(weights)
    return np.asarray(rows[first] - rows[second])[None]


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

    order = np.argsort(-strengths(np.ones((1, len(votes))))[:, 0], kind="stable")

    def chances(weights: Floats) -> Floats:
        ordered = strengths(weights)[order]
        return np.concatenate([ordered, 100 * expit(ordered[:-1] - ordered[1:])])

    found = rater_intervals(raters, chances)
    for index, ends in zip(order.tolist(), found, strict=False):
        name, count = names[index], int((shown == index).sum())
        findings.add("strengths", name, "strength", ends, count=count, of="pair")
        wins = weighted_mean(100.0 * (winners == index), (shown == index).any(axis=1))
        share = rater_intervals(raters, wins)[0]
        findings.add("strengths", name, "preferred", share, unit=" %", count=count, of="pair")
    if task.compare == "sets":
        for first, second, ends in zip(order.tolist(), order[1:].tolist(), found[len(names) :], strict=False):
            _say_preferred(findings, names[first], names[second], ends)
    side = rater_intervals(raters, weighted_mean(100.0 * left))[0]
    findings.add("side", "all", "left chosen", side, unit=" %", count=len(votes), of="pair")
    chosen = [_pictures_of(vote)[0 if vote.answer == "left" else 1] for vote in votes]
    agree(findings, "choice", "nominal", votes, chosen, "pair")


def _say_preferred(findings: Findings, better: str, worse: str, ends: Ends) -> None:
    """How often one set is preferred to the next weaker one, by their strengths."""
    low, words = ends[1], f"in {interval_text(ends, ' %')} of their pairs"
    surely = low is None or low > 50
    what = f"{better} is preferred to {worse} {words}"
    findings.sentences.append(("plain", what if surely else f"{what}, which may be chance"))


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
            findings.add("seen", name, attribute, ends, unit=" %", count=int(where.sum()), of="answer")
        meant = np.array([attribute in shows[vote.sets[0]] for vote in votes])
        if meant.any():
            statistics = stacked(weighted_mean(reported, meant), weighted_mean(reported, ~meant))
            hits, alarms = rater_intervals(raters, statistics)
            for column, ends, where in (("where meant", hits, meant), ("elsewhere", alarms, ~meant)):
                count = int(where.sum())
                findings.add(
                    "as meant", attribute, f"seen {column}", ends, unit=" %", count=count, of="answer"
                )
            words = f"seen in {interval_text(hits, ' %')} of answers about pictures that were to show it"
            elsewhere = "" if meant.all() else f", in {interval_text(alarms, ' %')} about others"
            findings.sentences.append(("plain", f"{attribute}: {words}{elsewhere}"))
        agree(findings, attribute, "nominal", votes, [attribute in vote.answer for vote in votes])
