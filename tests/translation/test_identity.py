"""Who is whose: exact chances against draws, ties, several pictures of one person."""

import numpy as np
import pytest

from mien.translation.translator_kind import distances, fewest_others, rank_one, verification_auc


def letters(count: int) -> list[str]:
    return [f"person {number}" for number in range(count)]


@pytest.mark.slow
def test_rank_one_among_some_is_the_mean_over_draws() -> None:
    rng = np.random.default_rng(0)
    far = rng.random((12, 12))
    far[np.arange(12), np.arange(12)] *= 0.4
    found = rank_one(far, letters(12), among=5)
    hits = np.zeros((4000, 12))
    for draw in hits:
        for probe in range(12):
            others = rng.choice(np.delete(np.arange(12), probe), 4, replace=False)
            draw[probe] = far[probe, probe] < far[probe, others].min()
    assert found == pytest.approx(hits.mean(axis=0), abs=0.04)
    assert 0.1 < found.mean() < 0.9


def test_among_all_it_is_a_plain_count() -> None:
    far = np.random.default_rng(1).random((30, 30))
    wanted = far.argmin(axis=1) == np.arange(30)
    assert rank_one(far, letters(30), among=30).tolist() == wanted.tolist()
    assert rank_one(far, letters(30), among=1).tolist() == [1.0] * 30


def test_one_picture_for_all_finds_people_by_chance() -> None:
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(40, 8))
    far = distances(np.repeat(gallery[:1] * 0.3 + 1, 40, axis=0), gallery)
    assert rank_one(far, letters(40), among=40).mean() == pytest.approx(1 / 40)
    assert rank_one(far, letters(40), among=10).mean() == pytest.approx(1 / 10)
    assert verification_auc(far, letters(40)) == pytest.approx(0.5, abs=1e-3)


def test_others_that_are_as_near_count_as_nearer() -> None:
    assert rank_one(np.ones((6, 6)), letters(6), among=3).tolist() == [0.0] * 6


def test_pictures_of_the_same_person_are_no_others() -> None:
    people = ["a", "a", "b", "c"]
    far = np.array([[2, 1, 3, 3], [1, 2, 3, 3], [9, 9, 0, 9], [0, 9, 9, 5]], float)
    assert fewest_others(people) == 2
    assert rank_one(far, people, among=3).tolist() == pytest.approx([1, 1, 1, 1 / 3])
    with pytest.raises(ValueError, match="pictures of others"):
        rank_one(far, people, among=4)


def test_the_auc_counts_pairs_in_the_right_order() -> None:
    rng = np.random.default_rng(0)
    far = rng.random((9, 9))
    far[np.arange(9), np.arange(9)] *= 0.6
    people = [*letters(8), "person 0"]
    names = np.array(people)
    other = far[names[:, None] != names]
    wanted = np.mean([(own < other).mean() for own in np.diagonal(far)])
    assert verification_auc(far, people) == pytest.approx(wanted)


def test_distances_are_of_directions_from_the_mean() -> None:
    gallery = np.array([[11.0, 10], [10, 11], [9, 10], [10, 9]])
    far = distances(np.array([[30.0, 10], [10, 10.5]]), gallery)
    assert far == pytest.approx(np.array([[0, 1, 2, 1], [1, 0, 1, 2]]))
    assert far.dtype == np.float64
