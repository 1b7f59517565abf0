"""Balance: shares of groups among fakes over those among reals."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from contracts.metric_contract import MetricContract
from mien.core.artefacts import artefact_path
from mien.core.errors import InputError
from mien.faces.age_sex import AgeSexNetworks
from mien.faces.expressions import EXPRESSIONS, ExpressionNetwork
from mien.metrics import balance
from mien.render.shot import Shot
from rendered_heads import head

MEMBERSHIPS = balance.memberships


def members(count, *, seed=0, women=0.5, glasses=0.2):
    """Memberships as the networks would give them; every tenth face is not found."""
    rng = np.random.RandomState(seed)
    rows = (rng.rand(count, len(balance.GROUPS)) < 0.3).astype(float)
    rows[:, 0] = rng.rand(count) < women
    rows[:, 1] = 1 - rows[:, 0]
    rows[:, 7] = np.where(np.arange(count) % 10, rng.rand(count) < glasses, np.nan)
    return rows


@pytest.fixture(autouse=True)
def _guessed(monkeypatch):
    """Which groups a picture is in is written in its first pixels."""

    def read(images):
        return (images[:, 0, 0, : len(balance.GROUPS)] > 127).double().numpy()

    monkeypatch.setattr(balance, "memberships", read)


class TestContract(MetricContract):
    metric = "balance"
    perfect = {f"balance_{name}": 1.0 for name in balance.GROUPS}  # noqa: RUF012


def test_a_group_that_fakes_lack_is_called_lost_and_one_that_is_rare_by_chance_is_not():
    values = balance.ratios(members(4000), members(4000, seed=1, women=0.05))
    assert values["balance_women"] == pytest.approx(0.1, rel=0.25)
    assert values["balance_women_low"] < values["balance_women"] < values["balance_women_high"]
    (line,) = balance.findings(values)
    assert line.startswith("group lost: women")
    few = balance.ratios(members(400), members(12, seed=3, women=0.3))
    assert balance.findings(few) == []


def test_a_group_that_takes_over_is_said_too():
    values = balance.ratios(members(400), members(400, seed=1, glasses=0.9))
    assert balance.findings(values) == [
        f"group too frequent: with glasses, {values['balance_glasses']:.2g} times their share among the real"
    ]


def test_intervals_hold_the_true_ratio():
    values = [
        balance.ratios(members(300, seed=s), members(300, seed=9000 + s, women=0.25)) for s in range(300)
    ]
    held = [v["balance_women_low"] <= 0.5 <= v["balance_women_high"] for v in values]
    assert 0.92 <= np.mean(held) <= 0.98


def test_groups_of_nobody_are_left_out():
    none = members(50)
    none[:, 6] = 0
    assert "balance_smiling" not in balance.ratios(none, members(50))


def test_too_few_are_refused():
    with pytest.raises(InputError, match="two pictures"):
        balance.compute(np.zeros((1, 3, 64, 64)), np.zeros((5, 3, 64, 64)))


@pytest.mark.skipif(
    any(artefact_path(name) is None for name in balance.ARTEFACTS), reason="the face networks are not cached"
)
def test_a_head_is_in_the_groups_that_it_was_rendered_for():
    """One head plain, turned, with glasses and in the dark; then no head at all."""
    shot = Shot(seed=8)
    pictures = [head(8, one) for one in (shot, replace(shot, yaw=30), replace(shot, glasses="square"))]
    pictures += [(pictures[0] * 0.4).astype(np.uint8), np.full_like(pictures[0], 127)]
    images = torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy())
    rows = dict(zip(balance.GROUPS, MEMBERSHIPS(images).T, strict=True))
    assert rows["turned"][:4].tolist() == [0, 1, 0, 0]
    assert rows["glasses"][:4].tolist() == [0, 0, 1, 0]
    assert rows["dark"].tolist() == [0, 0, 0, 1, 0]
    assert np.isnan([rows["turned"][4], rows["glasses"][4]]).all(), "of no face it is not known"

    guess = AgeSexNetworks.load().guess(images)
    assert rows["women"].tolist() == (guess.female > 0.5).tolist()
    assert (rows["women"] + rows["men"] == 1).all()
    ages = np.stack([rows[name] for name in ("under_25", "25_to_40", "40_to_55", "over_55")])
    assert ages.argmax(0).tolist() == np.digitize(guess.years, (25, 40, 55)).tolist()
    assert (ages.sum(0) == 1).all()
    happy = ExpressionNetwork.load().probabilities(images)[:, EXPRESSIONS.index("happy")]
    assert rows["smiling"].tolist() == (happy > 0.5).tolist()


def test_brightness_is_that_of_the_middle_quarter():
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[24:40, 24:40] = 51
    assert balance._middle(picture) == pytest.approx(0.2)
    picture[:24] = picture[40:] = 255
    assert balance._middle(picture) == pytest.approx(0.2)
