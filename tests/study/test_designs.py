"""Every design over HTTP, in SQLite and in PostgreSQL: the results recover what raters are made of."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raters import TASKS, Answer, Trial, detector, make_study, run_all, serving, share_right
from scipy import stats

from mien.study.analyses import modal_exposure
from mien.study.commands import results
from mien.study.design import HypeTime
from mien.study.findings import Figure
from mien.study.plan import next_exposure

RATERS = 10
# A 95 % interval misses the truth in one of twenty, and here are thirty; so widened, in one of a thousand.
# How often the intervals as they are hold the truth: benchmarks/study_coverage.py.
WIDER = 1.7
MEANS = {"good": {"realism": 4.0, "quality": 3.4}, "poor": {"realism": 2.4, "quality": 3.2}}
STRENGTHS = {"good": 0.9, "fair": 0.1, "poor": -1.0}
SEEN = {"smilers": {"smiling": 0.85, "glasses": 0.2}, "plain": {"smiling": 0.1, "glasses": 0.2}}


def rating(rng: np.random.Generator) -> Answer:
    own = rng.normal(0, 0.2)

    def answer(trial: Trial, sets: list[str]) -> dict[str, int]:
        return {
            scale: int(np.clip(np.rint(rng.normal(mean + own, 0.9)), 1, 5))
            for scale, mean in MEANS[sets[0]].items()
        }

    return answer


def mean_rating(mean: float) -> float:
    """The expectation of a rating: of a rounded and clipped normal, whose mean differs between raters."""
    cuts = np.array([-np.inf, 1.5, 2.5, 3.5, 4.5, np.inf])
    return float(np.diff(stats.norm.cdf(cuts, mean, np.hypot(0.9, 0.2))) @ np.arange(1, 6))


def preferring(rng: np.random.Generator) -> Answer:
    def answer(trial: Trial, sets: list[str]) -> str:
        lead = STRENGTHS[sets[0]] - STRENGTHS[sets[1]]
        return "left" if rng.random() < 1 / (1 + np.exp(-lead)) else "right"

    return answer


def seeing(rng: np.random.Generator) -> Answer:
    return lambda trial, sets: [name for name, share in SEEN[sets[0]].items() if rng.random() < share]


RATING: dict[str, Callable[[np.random.Generator], Answer]] = {
    "categorise": detector,
    "hype-time": detector,
    "hype-infinity": detector,
    "rate": rating,
    "prefer": preferring,
    "attributes": seeing,
}


@cache
def expected_hype_time() -> float:
    """The mean modal exposure of very many such raters, by the staircase alone."""
    task = HypeTime(kind="hype-time", **TASKS["hype-time"])
    rng, modes = np.random.default_rng(1), []
    for _ in range(1500):
        exposure, visited = None, []
        for _ in range(task.trials):
            right = bool(visited) and rng.random() < share_right(max(1, round(visited[-1] * 0.06)) / 0.06)
            exposure = next_exposure(task, exposure, right)
            visited.append(exposure)
        modes.append(modal_exposure(visited))
    return float(np.mean(modes))


def truth(kind: str) -> dict[tuple[str, str, str], float]:
    """Figures that the raters were made to give, by table, row and column."""
    threshold = {("threshold", "model", "exposure for 75% right"): 150.0}
    if kind == "categorise":
        exact = {ms: max(1, round(ms * 0.06)) / 0.06 for ms in TASKS[kind]["exposures_ms"]}
        right = {("by exposure", f"{ms} ms", "right"): 100 * share_right(exact[ms]) for ms in (50, 100, 200)}
        return threshold | right
    if kind == "hype-time":
        return threshold | {("HYPE", "model", "HYPE-time"): expected_hype_time()}
    if kind == "hype-infinity":
        columns = ("HYPE-infinity", "fakes taken for real", "real taken for fakes")
        exact_d = float(stats.norm.ppf(0.8) - stats.norm.ppf(0.2))
        return {("HYPE", "model", column): 20.0 for column in columns} | {
            ("right answers", "model", "d'"): exact_d,
            ("right answers", "model", "criterion"): 0.0,
        }
    if kind == "rate":
        rows = {(name, scale): mean_rating(mean) for name, of in MEANS.items() for scale, mean in of.items()}
        apart = rows["good", "realism"] - rows["poor", "realism"]
        return {("ratings", *place): mean for place, mean in rows.items()} | {
            ("differences", "good less poor", "realism"): apart
        }
    if kind == "prefer":
        rows = {("strengths", name, "strength"): value for name, value in STRENGTHS.items()}
        return rows | {("side", "all", "left chosen"): 50.0}
    return {
        ("as meant", "smiling", "seen where meant"): 85.0,
        ("as meant", "smiling", "seen elsewhere"): 10.0,
        ("seen", "plain", "glasses"): 20.0,
        ("seen", "smilers", "glasses"): 20.0,
    }


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("kind", list(TASKS))
def test_raters_of_known_skill_are_recovered(kind: str, database: str, tmp_path: Path) -> None:
    """One rater after the other, so that all is drawn alike every time and in both databases."""
    place = make_study(tmp_path, kind, db=database, count=100)
    with serving(place) as address:
        run_all(address, place, [RATING[kind](np.random.default_rng((3, seed))) for seed in range(RATERS)])
    written = results(place, out=tmp_path / "out").run()
    assert [path.name for path in written] == [
        "results.html",
        "results.json",
        "votes.csv",
        "participants.csv",
    ]
    found = json.loads(written[1].read_text())
    assert found["counts"]["finished"] == RATERS
    assert found["counts"]["votes that count"] == found["counts"]["votes"] == RATERS * trials_of(kind)
    assert found["votes_left_out"] == found["participants_left_out"] == {}
    figures = [Figure.model_validate(one) for one in found["figures"]]
    by_place = {(one.table, one.row, one.column): one for one in figures}
    off = {}
    for where, value in truth(kind).items():
        figure = by_place[where]
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low < figure.value < figure.high
        end = figure.low if value < figure.value else figure.high
        if abs(value - figure.value) > WIDER * abs(end - figure.value):
            off[where] = (value, figure)
    assert not off
    page = written[0].read_text()
    assert page.count("<svg") >= 1
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert len(written[2].read_text().splitlines()) > found["counts"]["votes"]
    assert len(written[3].read_text().splitlines()) == RATERS + 1


def trials_of(kind: str) -> int:
    task: dict[str, Any] = TASKS[kind]
    return int(task["trials"] * task.get("blocks", 1) * len(task.get("exposures_ms", [0])))
