"""Scores carry their provenance, and those of different provenance are told apart."""

import pytest
from pydantic import ValidationError

from mien.core.score import Score, comparable


def score(**changes):
    fields = {
        "metric": "frechet",
        "module": "frechet",
        "value": 1.5,
        "better": "lower",
        "network": "vgg-random",
        "network_hash": "ab" * 32,
        "resize": "bicubic antialiased to 64",
        "num_real": 1000,
        "num_fake": 500,
        "dataset_name": "photos",
        "dataset_hash": "cd" * 32,
        "model_id": "lite-0123456789ab",
        "seeds": "0-499",
        "psi": 1.0,
        "tool": "mien 0.1.0",
    }
    return Score.model_validate({**fields, **changes})


def test_a_score_survives_json():
    assert Score.model_validate_json(score().model_dump_json()) == score()


def test_unknown_fields_and_changes_are_refused():
    with pytest.raises(ValidationError):
        score(colour="red")
    with pytest.raises(ValidationError):
        score().value = 2.0


@pytest.mark.parametrize(
    "change",
    [
        {"metric": "kernel"},
        {"network": "mesh"},
        {"network_hash": "00" * 32},
        {"resize": "bilinear to 64"},
        {"num_real": 999},
        {"num_fake": 50},
        {"dataset_hash": "00" * 32},
        {"psi": 0.7},
    ],
)
def test_what_makes_two_scores_incomparable(change):
    reasons = comparable(score(), score(**change))
    assert len(reasons) == 1
    assert comparable(score(**change), score()) != []


def test_models_seeds_and_baselines_may_be_compared():
    assert comparable(score(), score(model_id="dcgan-0123456789ab", seeds="7-506", value=9.0)) == []
    assert comparable(score(), score(subject="noise", model_id=None, psi=None)) == []
    assert comparable(score(), score(dataset_name="moved elsewhere")) == []
