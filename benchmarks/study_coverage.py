"""How often the 95 % intervals of `mien study results` hold the truth, by simulated studies.

    python benchmarks/study_coverage.py --studies 200 --raters 20

Raters of known skill answer without a server; the analysis is that of the command. Prints for each figure the
truth, the mean over studies, and the share of intervals that hold the truth (95 +- 3 is what is wanted).
"""

import argparse
import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import stats

from mien.study.analyses import modal_exposure
from mien.study.design import HypeTime, parse_design
from mien.study.plan import next_exposure
from mien.study.records import Records, Vote
from mien.study.results import analyse

STRENGTHS = {"good": 0.9, "fair": 0.1, "poor": -1.0}
MEANS = {"good": 4.0, "fair": 3.0, "poor": 2.4}
SPREAD = 0.25  # of raters' thresholds (log), ratings and logits
MIDPOINT, SLOPE = 150.0, 3.0
TASKS: dict[str, dict[str, Any]] = {
    "categorise": {"exposures_ms": [50, 100, 200, 400, 800], "trials": 10},
    "hype-time": {"blocks": 2, "trials": 60, "start_ms": 400},
    "hype-infinity": {"trials": 50},
    "rate": {"scales": [{"name": "realism", "text": "?"}], "trials": 30},
    "prefer": {"trials": 36},
}


def right(exposure_ms: np.ndarray | float, own: float = 0.0) -> Any:
    return 0.5 + 0.5 / (1 + (np.asarray(exposure_ms) / (MIDPOINT * np.exp(own))) ** -SLOPE)


def vote(rater: str, position: int, sets: tuple[str, ...], answer: Any, **known: Any) -> Vote:
    values = dict.fromkeys(Vote.__dataclass_fields__)
    values |= {"participant": rater, "position": position, "phase": "main", "block": 0, "sets": sets}
    values |= {
        "pictures": tuple(f"{position % 40}" for _ in sets),
        "answer": answer,
        "flags": (),
        "left_out": "",
    }
    return Vote(**(values | known))


def judged(rater: str, rng: np.random.Generator, share: float, number: int, **known: Any) -> Vote:
    expected = ("real", "fake")[number % 2]
    correct = bool(rng.random() < share)
    answer = expected if correct else ("fake", "real")[number % 2]
    sets = ("photos" if expected == "real" else "model",)
    return vote(rater, number, sets, answer, expected=expected, correct=correct, **known)


def constant_stimuli(rater: str, rng: np.random.Generator, own: float) -> Iterator[Vote]:
    exposures = TASKS["categorise"]["exposures_ms"]
    for number, exposure in itertools.product(range(TASKS["categorise"]["trials"]), exposures):
        yield judged(rater, rng, right(exposure, own), number, exposure_ms=float(exposure))


def staircase(rater: str, rng: np.random.Generator, own: float) -> Iterator[Vote]:
    for block in range(STAIRCASE.blocks):
        exposure, last = None, False
        for number in range(STAIRCASE.trials):
            exposure = next_exposure(STAIRCASE, exposure, last)
            made = judged(rater, rng, right(exposure, own), number, exposure_ms=exposure, block=block)
            last = bool(made.correct)
            yield made


def untimed(rater: str, rng: np.random.Generator, own: float) -> Iterator[Vote]:
    for number in range(TASKS["hype-infinity"]["trials"]):
        yield judged(rater, rng, stats.norm.cdf(0.84 + own), number)


def ratings(rater: str, rng: np.random.Generator, own: float) -> Iterator[Vote]:
    for number, name in zip(range(TASKS["rate"]["trials"]), itertools.cycle(MEANS), strict=False):
        value = int(np.clip(np.rint(rng.normal(MEANS[name] + own, 0.9)), 1, 5))
        yield vote(rater, number, (name,), {"realism": value})


def preferences(rater: str, rng: np.random.Generator, own: float) -> Iterator[Vote]:
    pairs = itertools.cycle(itertools.permutations(STRENGTHS, 2))
    for number, pair in zip(range(TASKS["prefer"]["trials"]), pairs, strict=False):
        lead = STRENGTHS[pair[0]] - STRENGTHS[pair[1]]
        yield vote(rater, number, pair, "left" if rng.random() < 1 / (1 + np.exp(-lead)) else "right")


ANSWERS = {
    "categorise": constant_stimuli,
    "hype-time": staircase,
    "hype-infinity": untimed,
    "rate": ratings,
    "prefer": preferences,
}


def answers(kind: str, rater: str, rng: np.random.Generator) -> Iterator[Vote]:
    """All votes of one rater, whose skill differs from others'."""
    return ANSWERS[kind](rater, rng, rng.normal(0, SPREAD))


STAIRCASE = HypeTime(kind="hype-time", **TASKS["hype-time"])


def truth(kind: str) -> dict[str, float]:
    """By large numbers of raters, or exactly."""
    rng = np.random.default_rng(99)
    if kind in ("categorise", "hype-time"):
        own = rng.normal(0, SPREAD, 20_000)
        grid = np.geomspace(60, 400, 400)
        mean = np.array([right(exposure, own).mean() for exposure in grid])
        found = {"model exposure for 75% right": float(np.interp(0.75, mean, grid))}
        if kind == "categorise":
            return found | {f"{ms} ms right": 100 * float(right(ms, own).mean()) for ms in (50, 100, 200)}
        modes = []
        for number in range(2000):
            levels = defaultdict(list)
            for one in answers(kind, str(number), rng):
                levels[one.block].append(one.exposure_ms)
            modes += [modal_exposure(visited) for visited in levels.values()]
        return {"model HYPE-time": float(np.mean(modes))}  # the curve of a mixture is no curve of the family
    if kind == "hype-infinity":
        return {"model HYPE-infinity": 100 * float(1 - stats.norm.cdf(0.84 / np.hypot(1, SPREAD)))}
    if kind == "rate":
        cuts = np.array([-np.inf, 1.5, 2.5, 3.5, 4.5, np.inf])
        wide = np.hypot(0.9, SPREAD)
        means = {
            name: float(np.diff(stats.norm.cdf(cuts, mean, wide)) @ np.arange(1, 6))
            for name, mean in MEANS.items()
        }
        return {f"{name} realism": mean for name, mean in means.items()} | {
            "good less fair realism": means["good"] - means["fair"]
        }
    return {f"{name} strength": value for name, value in STRENGTHS.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--raters", type=int, default=20)
    parser.add_argument("--kind", choices=list(TASKS), action="append")
    given = parser.parse_args()
    for kind in given.kind or TASKS:
        real_or_fake = kind in ("categorise", "hype-time", "hype-infinity")
        names = ["photos", "model"] if real_or_fake else list(STRENGTHS)
        sets = [{"name": name, "path": name, "real": name == "photos"} for name in names]
        values = {
            "title": "t",
            "consent": "c",
            "instructions": "i",
            "sets": sets,
            "task": {"kind": kind} | TASKS[kind],
        }
        design, wanted = parse_design(values, kind), truth(kind)
        held: dict[str, list[bool]] = defaultdict(list)
        means: dict[str, list[float]] = defaultdict(list)
        for seed in range(given.studies):
            rng = np.random.default_rng((7, seed))
            votes = [one for rater in range(given.raters) for one in answers(kind, str(rater), rng)]
            for figure in analyse(Records(design, [], votes)).figures:
                name = f"{figure.row} {figure.column}"
                if name in wanted and figure.low is not None and figure.high is not None:
                    held[name].append(figure.low <= wanted[name] <= figure.high)
                    means[name].append(figure.value)
        for name, right_value in wanted.items():
            share = 100 * np.mean(held[name])
            print(
                f"{kind:14} {name:32} truth {right_value:8.3f} mean {np.mean(means[name]):8.3f}"
                f" held {share:5.1f} % of {len(held[name])}",
                flush=True,
            )


if __name__ == "__main__":
    main()
