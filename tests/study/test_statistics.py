"""The statistics of studies against closed forms, published examples and simulated raters."""

from typing import Any

import numpy as np
import pytest
from raters import design_of
from sklearn.linear_model import LogisticRegression

from mien.study.analyses import bradley_terry, modal_exposure, wins_of
from mien.study.design import HypeTime, parse_design
from mien.study.findings import (
    AGREEMENT,
    Curve,
    Findings,
    Fits,
    alpha_interval,
    counts_of,
    ends_texts,
    expanded_tail,
    krippendorff_alpha,
    levels,
    rater_intervals,
    weighted_mean,
)
from mien.study.plan import next_exposure
from mien.study.records import Records, Vote
from mien.study.results import analyse, cell_text

# Krippendorff (2011), example C: four observers, twelve units, missing values; alpha is given there.
EXAMPLE = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
ALPHA = {"nominal": 0.743, "ordinal": 0.815, "interval": 0.849}


def example() -> dict[int, list[int]]:
    return {unit: [int(row[unit]) for row in EXAMPLE if row[unit] != "."] for unit in range(len(EXAMPLE[0]))}


@pytest.mark.parametrize("level", list(ALPHA))
def test_alpha_is_that_of_the_published_example(level: str) -> None:
    counts, values = counts_of(example())
    assert counts.sum() == 40  # pairable values; unit 12 has one observer
    assert krippendorff_alpha(counts, values, level) == pytest.approx(ALPHA[level], abs=5e-4)


def test_alpha_of_agreement_of_chance_and_of_nothing() -> None:
    agreed = {unit: [unit % 3] * 4 for unit in range(9)}
    assert krippendorff_alpha(*counts_of(agreed), "nominal") == pytest.approx(1)
    rng = np.random.default_rng(0)
    guessed = {unit: list(rng.integers(0, 2, 5)) for unit in range(4000)}
    assert krippendorff_alpha(*counts_of(guessed), "nominal") == pytest.approx(0, abs=0.02)
    same = {unit: [1, 1, 1] for unit in range(5)}
    assert np.isnan(krippendorff_alpha(*counts_of(same), "nominal"))
    value, low, high = alpha_interval(*counts_of(guessed), "nominal")
    assert low is not None
    assert high is not None
    assert low < value < high


def test_alpha_of_two_raters_by_hand() -> None:
    """Ratings (a,a) (a,b) (b,b) (b,b): D_o = 2/8, D_e = 2*3*5/(8*7), alpha = 1 - (2/8)/(30/56)."""
    counts, values = counts_of({0: "aa", 1: "ab", 2: "bb", 3: "bb"})
    assert krippendorff_alpha(counts, values, "nominal") == pytest.approx(1 - (2 / 8) / (30 / 56))


def wins(winners: list[int], losers: list[int], count: int) -> np.ndarray:
    return wins_of(np.array(winners), np.array(losers), count, np.ones((1, len(winners))))


def test_strengths_of_two_are_the_log_odds() -> None:
    (strengths,) = bradley_terry(wins([0] * 30 + [1] * 10, [1] * 30 + [0] * 10, 2))
    assert strengths[0] - strengths[1] == pytest.approx(np.log(3), abs=1e-4)
    assert strengths.sum() == pytest.approx(0, abs=1e-9)


def test_strengths_are_those_of_a_logistic_regression_without_intercept() -> None:
    rng = np.random.default_rng(4)
    winners = rng.integers(0, 5, 400)
    losers = (winners + rng.integers(1, 5, 400)) % 5
    weights = rng.poisson(1, (3, 400)).astype(float)
    found = bradley_terry(wins_of(winners, losers, 5, weights))
    design = np.zeros((400, 5))
    design[np.arange(400), winners], design[np.arange(400), losers] = 1, -1
    mirrored, outcome = np.concatenate([design, -design]), np.repeat([1, 0], 400)
    for row, strengths in zip(weights, found, strict=True):
        model = LogisticRegression(C=2e4, fit_intercept=False, tol=1e-10, max_iter=2000)
        model.fit(mirrored, outcome, sample_weight=np.concatenate([row, row]) / 2)
        oracle = model.coef_[0] - model.coef_[0].mean()
        assert strengths == pytest.approx(oracle, abs=2e-4)


def test_strengths_recover_those_that_made_the_choices() -> None:
    true = np.array([1.2, 0.3, -0.4, -1.1])
    chance = 1 / (1 + np.exp(true[None, :] - true[:, None]))
    (found,) = bradley_terry(1000 * chance[None] * (1 - np.eye(4)))
    assert found == pytest.approx(true - true.mean(), abs=1e-4)


def test_who_always_wins_is_strong_and_who_never_took_part_unknown() -> None:
    (found,) = bradley_terry(wins([0, 0, 0], [1, 1, 1], 3))
    assert 2 < found[0] < 50
    assert found[1] == pytest.approx(-found[0])
    assert np.isnan(found[2])


def test_a_curve_is_found_from_its_own_shares() -> None:
    curve = Curve(150.0, 3.0, 0.02)
    exposures = np.array([25.0, 50, 100, 200, 400, 800])
    right = curve.at(exposures)
    fits = Fits(exposures)
    best = int(fits.best(1000 * right[None], 1000 * (1 - right)[None])[0])
    assert fits.thresholds[best] == pytest.approx(curve.threshold, rel=0.02)
    assert curve.at(np.array([curve.threshold]))[0] == pytest.approx(0.75)
    assert Curve(150.0, 3.0, 0.0).threshold == pytest.approx(150)


def test_levels_group_exposures_to_the_millisecond() -> None:
    found, owner = levels(np.array([33.3, 16.7, 33.4, 0.2]))
    assert found.tolist() == [1, 17, 33]
    assert owner.tolist() == [2, 1, 2, 0]


@pytest.mark.slow
def test_intervals_of_few_raters_cover() -> None:
    """95 % intervals of the mean over 12 raters who differ hold the truth in 95 +- 3 % of 600 studies."""
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(600):
        skill = rng.normal(0.7, 0.1, 12)
        answers = (rng.random((12, 8)) < skill[:, None]).astype(float)
        raters = np.repeat(np.arange(12), 8).astype(str).tolist()
        _, low, high = rater_intervals(
            raters, weighted_mean(answers.ravel()), seed=int(rng.integers(1 << 30))
        )[0]
        covered += low <= 0.7 <= high
    assert 0.92 <= covered / 600 <= 0.98


def test_one_rater_has_no_interval() -> None:
    assert rater_intervals(["a", "a"], weighted_mean(np.array([1.0, 2.0]))) == [(1.5, None, None)]
    assert expanded_tail(1000) == pytest.approx(0.025, abs=2e-4)
    assert expanded_tail(3) < 0.001


TASK = HypeTime(kind="hype-time")


def test_the_staircase_goes_down_by_10_up_by_30_and_stays_within_its_ends() -> None:
    assert next_exposure(TASK, None, False) == 500
    assert next_exposure(TASK, 500, True) == 490
    assert next_exposure(TASK, 500, False) == 530
    assert next_exposure(TASK, 100, True) == 100
    assert next_exposure(TASK, 990, False) == 1000


def test_the_staircase_rests_where_75_percent_are_right() -> None:
    rng = np.random.default_rng(0)
    exposure, visited = None, []
    for _ in range(20_000):
        exposure = next_exposure(TASK, exposure, bool(visited) and rng.random() < _right(visited[-1]))
        visited.append(exposure)
    assert np.mean([_right(one) for one in visited[500:]]) == pytest.approx(0.75, abs=0.01)


def _right(exposure_ms: float) -> float:
    return 0.5 + 0.5 / (1 + (exposure_ms / 250.0) ** -3)


def test_the_modal_exposure_is_the_most_frequent() -> None:
    assert modal_exposure([500, 490, 490, 520]) == 490
    assert modal_exposure([500, 490, 490, 500, 480]) == 495


def test_strengths_of_pictures_keep_sets_apart_that_name_files_alike() -> None:
    """A picture of one set beats its namesake in the other three times of four."""
    design = parse_design(
        design_of("prefer", task={"compare": "pictures"}, sets=[{"name": "a"}, {"name": "b"}]), "design"
    )
    votes = [
        vote_of(str(rater), sets=("a", "b"), pictures=("0.png", "0.png"), answer=answer)
        for rater in range(5)
        for answer in ("left", "left", "left", "right")
    ]
    found = analyse(Records(design, [], votes)).figures
    strengths = {one.row: one.value for one in found if one.column == "strength"}
    assert list(strengths) == ["a/0.png", "b/0.png"]
    assert strengths["a/0.png"] - strengths["b/0.png"] == pytest.approx(np.log(3), abs=1e-3)


def test_which_set_is_preferred_is_said_and_what_may_be_chance_too() -> None:
    """Three pairs of pictures say nothing of agreement."""
    design = parse_design(design_of("prefer", sets=[{"name": "a"}, {"name": "b"}]), "design")

    def found(*answers: tuple[str, ...]) -> Findings:
        votes = [
            vote_of(str(rater), sets=("a", "b"), pictures=(f"{trial % 3}.png",) * 2, answer=answer)
            for rater in range(6)
            for trial, answer in enumerate(answers[rater % len(answers)])
        ]
        return analyse(Records(design, [], votes))

    sure = found(("left",) * 4 + ("right",), ("left",) * 9 + ("right",) * 2)
    said = "a is preferred to b in 81.2 % (95 % interval 80.0 to 81.8) of their pairs"  # 39 of 48
    assert sure.sentences[0][1] == said
    doubtful = found(("left", "left", "right"), ("right", "right", "left"), ("left", "left", "right"))
    assert doubtful.sentences[0][1].endswith("which may be chance")
    assert not [one for one in sure.figures if one.table == AGREEMENT]


def test_one_exposure_alone_and_one_never_reached_give_no_threshold() -> None:
    """Where all answers are right at every exposure, 75 % lie below the shortest one."""
    design = parse_design(design_of("categorise"), "design")

    def found(*exposures: float | None, right: float = 1.0) -> Findings:
        rng = np.random.default_rng(0)
        votes = []
        for rater in range(12):
            for exposure in exposures:
                for name, answer in (("photos", "real"), ("model", "fake")) * 4:
                    correct = bool(rng.random() < right)
                    other = "fake" if answer == "real" else "real"
                    shown = {"sets": (name,), "pictures": ("0.png",), "expected": answer, "correct": correct}
                    given = {"answer": answer if correct else other, "exposure_ms": exposure}
                    votes.append(vote_of(str(rater), **shown, **given))
        return analyse(Records(design, [], votes))

    def thresholds(findings: Findings) -> list[Any]:
        return [one for one in findings.figures if one.table == "threshold"]

    alone = found(100.0)
    assert thresholds(alone) == []
    assert "model: one exposure alone gives no threshold" in alone.warnings
    untimed = found(None)
    assert thresholds(untimed) == []
    assert not any("threshold" in line for line in untimed.warnings)
    beyond = found(100.0, 200.0, 400.0)
    (guess,) = thresholds(beyond)
    assert guess.value < 100
    line = "model: the threshold lies outside of the exposures that were shown (100 to 400 ms); it is a guess"
    assert line in beyond.warnings
    assert not any("75 % of answers" in sentence for _, sentence in beyond.sentences)


def test_who_cannot_tell_a_model_says_so_and_who_finished_no_block_has_no_score() -> None:
    def cast(kind: str, answers: str, **more: Any) -> Findings:
        design = parse_design(design_of(kind, **more), "design")
        votes = [
            vote_of(
                str(rater),
                **{"sets": (name,), "pictures": (f"{trial}.png",), "expected": truth, "block": 0},
                **{"answer": said, "correct": said == truth, "exposure_ms": 300.0},
            )
            for rater in range(8)
            for trial, letter in enumerate(answers)
            for name, truth in (("photos", "real"), ("model", "fake"))
            for said in [("real", "fake")[(letter == "f") != (rater % 2 == 1)]]
        ]
        return analyse(Records(design, [], votes))

    guessed = cast("hype-infinity", "rfrfrfrf")
    (tone, words) = guessed.sentences[0]
    assert tone == "good"
    assert words.startswith("model: raters are wrong in 50.0")
    assert words.endswith("it cannot be told from photos (50 % is guessing)")

    short = cast("hype-time", "rf", task={"trials": 40})
    assert "model: 8 raters finished no block, so have no score" in short.warnings
    assert not [one for one in short.figures if one.column == "HYPE-time"]
    whole = cast("hype-time", "rf" * 8, task={"trials": 40})
    (score,) = [one for one in whole.figures if one.column == "HYPE-time"]
    assert score.value == 300, "32 of 40 trials are 80 %"
    assert not any("no block" in line for line in whole.warnings)


def test_nothing_and_one_unit_have_no_interval() -> None:
    nothing = np.zeros((0, 2))
    assert np.isnan(krippendorff_alpha(nothing, ["a", "b"], "nominal"))
    value, low, high = alpha_interval(nothing, ["a", "b"], "nominal")
    assert np.isnan(value)
    assert (low, high) == (None, None)
    counts, values = counts_of({0: "aab"})
    value, low, high = alpha_interval(counts, values, "nominal")
    assert value == pytest.approx(0)  # observed and expected disagreement of one unit are the same
    assert (low, high) == (None, None)
    same, values = counts_of(dict.fromkeys(range(5), "aa"))
    value, low, high = alpha_interval(same, values, "nominal")
    assert np.isnan(value), "where nothing varies, there is no agreement to speak of"
    assert (low, high) == (None, None)


def test_a_figure_that_is_not_there_is_an_empty_cell() -> None:
    findings = Findings()
    findings.add("t", "r", "c", (71.25, 60.0, 80.0), unit=" %", count=3)
    assert cell_text(None) == ""
    assert cell_text(findings.figures[0]) == "71 %\n60 to 80"


def test_figures_show_two_digits_of_their_interval() -> None:
    assert ends_texts((28.714, 25.286, 32.429), " %") == ("28.7 %", "25.3 to 32.4")
    assert ends_texts((0.1947, -2.4e-15, 0.4196)) == ("0.19", "0.00 to 0.42")
    assert ends_texts((1234.5, 1100.0, 1390.0), " ms") == ("1,234 ms", "1,100 to 1,390")
    assert ends_texts((71.25, None, None), " %") == ("71.2 %", "")


def vote_of(rater: str, **known: Any) -> Vote:
    values = dict.fromkeys(Vote.__dataclass_fields__)
    return Vote(**(values | {"participant": rater, "phase": "main", "flags": (), "left_out": ""} | known))
