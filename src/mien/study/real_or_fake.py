"""Figures of the tasks that ask for real or fake: accuracy, d', thresholds, HYPE scores."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from statistics import mean

import numpy as np
from scipy import stats

from mien.study.design import FAKE, Design, HypeTime
from mien.study.findings import (
    Ends,
    Figure,
    Findings,
    Floats,
    agree,
    interval_text,
    rater_intervals,
    stacked,
    weighted_mean,
)
from mien.study.psychometric import TARGET, Fits, levels
from mien.study.records import Vote


def categorise(findings: Findings, design: Design, votes: Sequence[Vote]) -> None:
    """Accuracy and d' at each exposure, and the threshold of each set of fakes."""
    exposures = sorted({vote.exposure_ms for vote in votes if vote.exposure_ms is not None})
    for exposure in exposures:
        same = [vote for vote in votes if vote.exposure_ms == exposure]
        _accuracy(findings, "by exposure", f"{exposure:g} ms", same)
    for name in (one.name for one in design.fakes):
        shown = [vote for vote in votes if vote.sets[0] in (name, design.real.name)]
        _threshold(findings, name, shown)
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
            findings.sentences.append(
                (
                    "plain",
                    f"{name}: raters need {interval_text(ends, ' ms')} to tell it from {design.real.name}",
                )
            )
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
        for column, ends in (
            ("HYPE-infinity", score),
            ("fakes taken for real", on_fakes),
            ("real taken for fakes", on_real),
        ):
            findings.add("HYPE", name, column, ends, unit=" %", count=count)
        _accuracy(findings, "right answers", name, shown)
        findings.sentences.append(_hype_sentence(name, design.real.name, score))
    agree(findings, "real or fake", "nominal", votes, [vote.answer for vote in votes])


def _hype_sentence(name: str, real: str, score: Ends) -> tuple[str, str]:
    value, low, high = score
    words = f"{name}: raters are wrong in {interval_text(score, ' %')}"
    if low is None or high is None:
        return "plain", words
    if low <= 50 <= high:
        return "good", f"{words}; it cannot be told from {real} (50 % is guessing)"
    return "plain", f"{words}; " + (
        f"it is told from {real}" if value < 50 else f"it looks more real than {real}"
    )


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


def _threshold(findings: Findings, row: str, votes: Sequence[Vote]) -> None:
    """The psychometric function over achieved exposures, with its threshold."""
    timed = [vote for vote in votes if (vote.achieved_ms or vote.exposure_ms) is not None]
    if not timed:
        return
    exposures, level = levels(np.array([float(v.achieved_ms or v.exposure_ms or 0) for v in timed]))
    if len(exposures) < 2:
        findings.warnings.append(f"{row}: one exposure alone gives no threshold")
        return
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
