"""Nobody is on both sides."""

import numpy as np
import pytest

from mien.core.errors import InputError
from mien.labels.split import person_of, split_people


def test_no_person_is_on_both_sides() -> None:
    """Defect 12: frames of one person in training and test."""
    rng = np.random.default_rng(0)
    records = [{"labels": {"person": int(who)}} for who in rng.integers(0, 100, 1000)]
    split = split_people(records, share=0.2)
    sides = [{person_of(records[index]) for index in side} for side in (split.train, split.held_out)]
    assert not sides[0] & sides[1]
    assert sorted([*split.train, *split.held_out]) == list(range(1000))
    assert 0.15 < len(split.held_out) / 1000 < 0.25
    assert split.how == "by person"


def test_a_split_is_the_same_again_and_in_any_order() -> None:
    records = [{"person": f"p{index // 3}"} for index in range(90)]
    first, again = split_people(records, share=0.3), split_people(records, share=0.3)
    assert np.array_equal(first.held_out, again.held_out)
    turned = split_people(records[::-1], share=0.3)
    assert {records[i]["person"] for i in first.held_out} == {
        records[89 - i]["person"] for i in turned.held_out
    }
    other = split_people(records, share=0.3, seed=1)
    assert not np.array_equal(first.held_out, other.held_out)


def test_the_datasets_own_split_is_followed_and_checked() -> None:
    records = [{"person": f"p{index}", "split": ("train", "val", "test")[index % 3]} for index in range(9)]
    split = split_people(records, share=0.5)
    assert split.train.tolist() == [0, 3, 6]
    records[1]["person"] = "p0"
    split = split_people(records, share=0.5)
    assert split.train.tolist() == [0, 1, 3, 6]
    assert "go to train: 1 (first person p0)" in split.how
    parted = [{"person": f"p{index // 2}", "split": ("train", "test")[index % 2]} for index in range(8)]
    assert "parts people, leaves one side alone, and is passed over" in split_people(parted, share=0.5).how


@pytest.mark.parametrize("side", ["train", "test"])
def test_a_recorded_split_of_one_side_is_passed_over_with_a_note(side: str) -> None:
    """CelebA's first pictures are all for training; nothing would be left to test."""
    records = [{"person": f"p{index // 2}", "split": side} for index in range(40)]
    split = split_people(records, share=0.25)
    assert split.how == f"by person; the dataset's own split has only {side} and is passed over"
    people = [{records[index]["person"] for index in part} for part in split[:2]]
    assert not people[0] & people[1]
    assert len(split.held_out) == 10


def test_a_split_of_some_pictures_alone_is_passed_over_with_a_note() -> None:
    records = [{"person": str(k), "split": ("train", "test", "")[k % 3]} for k in range(30)]
    assert "own split has 20 of 30 and is passed over" in split_people(records, share=0.2).how
    assert "passed over" not in split_people([{"person": str(k)} for k in range(30)], share=0.2).how


def test_unknown_people_are_owned_up_to() -> None:
    assert "flatter" in split_people([{}] * 10, share=0.2).how
    mixed = split_people([{"person": "a"}] * 5 + [{}] * 5, share=0.2)
    assert "5 pictures of unknown people" in mixed.how


def test_a_side_without_anyone_is_refused() -> None:
    with pytest.raises(InputError, match="1 people cannot be parted"):
        split_people([{"person": "a"}] * 10, share=0.2)
    assert len(split_people([{"person": "a"}] * 9 + [{"person": "b"}], share=0.01).held_out) in (1, 9)
