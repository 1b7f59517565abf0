"""Each rule drops on its side of the threshold, with a reason and a sentence."""

import re
from dataclasses import fields, replace

import pytest

from mien.core.errors import InputError
from mien.faces.measure import SUGGESTED
from mien.prepare.judge import Rules, judge

NOTHING = Rules(**{rule.name: False if rule.name == "single_face" else None for rule in fields(Rules)})
RULES = Rules(min_face=30, min_coverage=0.1, max_coverage=0.6)


@pytest.mark.parametrize(
    ("face", "coverage", "reason", "words"),
    [
        (30, 0.1, None, ""),
        (300, 0.6, None, ""),
        (29, 0.3, "too-small", "29 pixels large, 30 are needed"),
        (100, 0.099, "covers-too-little", "9.9% of the picture, at least 10.0%"),
        (100, 0.61, "covers-too-much", "61.0% of the picture, at most 60.0%"),
        (29, 0.01, "too-small", "29 pixels"),
    ],
)
def test_thresholds(face, coverage, reason, words):
    drop = judge({"face_size": face, "coverage": coverage}, RULES)
    assert (drop.reason if drop else None) == reason
    assert drop is None or words in drop.detail


def test_a_photo_of_a_group_is_told_how_to_take_every_face():
    small = judge({"coverage": 0.02, "num_faces": 9}, replace(NOTHING, min_coverage=0.1))
    assert small.detail.endswith("at least 10.0% and is one of 9; --faces all takes every face")
    assert (
        "--faces" not in judge({"coverage": 0.02, "num_faces": 1}, replace(NOTHING, min_coverage=0.1)).detail
    )
    assert "--faces all" in judge({"num_faces": 2}, replace(NOTHING, single_face=True)).detail


@pytest.mark.parametrize("bounds", [(-0.1, 0.5), (0.5, 0.5), (0.6, 0.4), (float("nan"), 0.5)])
def test_impossible_bounds_are_refused(bounds):
    with pytest.raises(InputError, match="coverage"):
        Rules(min_coverage=bounds[0], max_coverage=bounds[1])


@pytest.mark.parametrize("least", [-1.0, float("nan")])
def test_impossible_size_is_refused(least):
    with pytest.raises(InputError, match="--min-face must be"):
        Rules(min_face=least)


# What each rule looks at: a value that passes, one that breaks it, the limit, the reason.
RULES_TABLE = {
    "min_face": ("face_size", 40, 39, 40, "too-small"),
    "min_crop_side": ("crop_side", 64, 63.9, 64, "too-small"),
    "min_score": ("score", 0.9, 0.6, 0.7, "unsure"),
    "min_coverage": ("coverage", 0.4, 0.39, 0.4, "covers-too-little"),
    "max_coverage": ("coverage", 0.5, 0.51, 0.5, "covers-too-much"),
    "min_sharpness": ("sharpness", 0.3, 0.2, 0.25, "blurred"),
    "max_yaw": ("yaw", -20, -31, 30, "turned"),
    "max_pitch": ("pitch", 20, 31, 30, "nodding"),
    "max_roll": ("roll", -20, 31, 30, "tilted"),
    "min_eyes_open": ("eyes_open", 0.5, 0.1, 0.2, "eyes-closed"),
    "max_mouth_open": ("mouth_open", 0.1, 0.5, 0.2, "mouth-open"),
    "max_mask": ("mask", 0.1, 0.9, 0.8, "masked"),
    "max_glasses": ("glasses", 0.1, 0.9, 0.8, "glasses"),
    "min_exposure": ("exposure", 0.4, 0.1, 0.2, "too-dark"),
    "max_exposure": ("exposure", 0.4, 0.95, 0.9, "too-bright"),
    "max_shadows": ("shadows", 0.2, 0.95, 0.9, "too-bright"),
    "min_highlights": ("highlights", 0.8, 0.05, 0.1, "too-dark"),
    "max_drawing": ("drawing", 0.1, 0.9, 0.5, "drawn"),
    "max_padding": ("padding", 0.0, 0.2, 0.1, "padded"),
    "min_contrast": ("contrast", 0.4, 0.01, 0.05, "flat"),
    "min_colour": ("colour", 0.1, 0.0, 0.02, "gray"),
    "single_face": ("num_faces", 1, 2, True, "several-faces"),
}


def test_the_table_above_has_every_rule():
    assert set(RULES_TABLE) == {rule.name for rule in fields(Rules)}


@pytest.mark.parametrize("rule", RULES_TABLE)
def test_each_rule_alone(rule):
    measurement, good, bad, limit, reason = RULES_TABLE[rule]
    rules = replace(NOTHING, **{rule: limit})
    assert judge({measurement: good}, rules) is None
    assert judge({measurement: bad}, rules).reason == reason
    assert judge({measurement: bad}, NOTHING) is None
    assert judge({}, rules) is None, "what was not measured breaks no rule"
    (bound,) = rules.bounds()
    assert (bound.measurement, bound.reason) == (measurement, reason)
    inside = [value for value in (good, bad) if (bound.low is None or value >= bound.low)
              and (bound.high is None or value <= bound.high)]  # fmt: skip
    assert inside == [good], "the bound says what the rule does"


def test_defaults_are_the_suggested_ones():
    bounds = {}
    for bound in Rules().bounds():
        low, high = bounds.get(bound.measurement, (None, None))
        bounds[bound.measurement] = (low if bound.low is None else bound.low,
                                     high if bound.high is None else bound.high)  # fmt: skip
    suggested = {name: pair for name, pair in SUGGESTED.items() if pair != (None, None)}
    assert {name: bounds.get(name) for name in suggested} == suggested
    assert set(bounds) - set(suggested) <= {"coverage", "score"}


def test_the_smallest_crop_follows_the_size_unless_a_size_is_asked_for():
    assert Rules().for_size(100).min_crop_side == 60
    assert Rules(min_face=5).for_size(100) == Rules(min_face=5)
    assert Rules(min_crop_side=5).for_size(100).min_crop_side == 5


@pytest.mark.parametrize("rule", RULES_TABLE)
def test_no_sentence_contradicts_itself_by_rounding(rule):
    measurement, good, bad, limit, _ = RULES_TABLE[rule]
    rules = replace(NOTHING, **{rule: limit})
    step = 1e-4 if bad > good else -1e-4
    value = -(limit + 1e-4) if rule == "max_yaw" else limit + step
    detail = judge({measurement: value}, rules).detail
    numbers = [float(number) for number in re.findall(r"[\d.]*\d", detail)]
    assert rule == "single_face" or len(set(numbers)) == 2, detail


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.3496, "eyes open 0.3496, at least 0.3500"), (0.1, "eyes open 0.10, at least 0.35"),
     (0.346, "eyes open 0.346, at least 0.350")],
)  # fmt: skip
def test_sentences_have_as_many_digits_as_they_need(value, words):
    assert judge({"eyes_open": value}, Rules()).detail == words


def test_a_whole_face_in_a_large_photo_is_kept():
    """105 pixels of 2000 by 1500, as a person in a landscape has; a speck in a crowd is not kept."""
    assert judge({"coverage": 105**2 / (2000 * 1500), "face_size": 105}, Rules()) is None
    assert judge({"coverage": 40**2 / (2000 * 1500)}, Rules()).reason == "covers-too-little"
