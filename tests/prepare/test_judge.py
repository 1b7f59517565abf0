"""Each rule drops on its side of the threshold, with a reason and a sentence."""

import pytest

from mien.core.errors import InputError
from mien.prepare.judge import Rules, judge

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


@pytest.mark.parametrize("bounds", [(-0.1, 0.5), (0.5, 0.5), (0.6, 0.4), (float("nan"), 0.5)])
def test_impossible_bounds_are_refused(bounds):
    with pytest.raises(InputError, match="coverage bounds"):
        Rules(10, *bounds)


@pytest.mark.parametrize("least", [-1.0, float("nan")])
def test_impossible_size_is_refused(least):
    with pytest.raises(InputError, match="smallest face"):
        Rules(least)
