from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.core.errors import InputError
from mien.datasets.index import Entry
from mien.labels.split import SHARES, assign_folds, assign_splits

# How many pictures there are of each person; the name is the key.
crowds = st.dictionaries(st.text(min_size=1, max_size=6), st.integers(1, 9), min_size=1, max_size=40)
# The same share may be 0: then nobody is on that side.
shares = st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any)


def images_of(crowd):
    """(file, person) of each image."""
    return [(f"{number}/{at}.png", name) for number, name in enumerate(crowd) for at in range(crowd[name])]


def splits_of(images, **options):
    """file -> split."""
    files, people = zip(*images, strict=True) if images else ((), ())
    return dict(zip(files, assign_splits(people, **options), strict=True))


@pytest.mark.slow
@settings(max_examples=200)
@given(crowd=crowds, parts=shares, seed=st.integers(0, 5), data=st.data())
def test_nobody_is_on_two_sides_and_shares_are_met_as_far_as_people_allow(crowd, parts, seed, data):
    wanted = {f"side{number}": part / sum(parts) for number, part in enumerate(parts)}
    images = images_of(crowd)
    split = splits_of(images, shares=wanted, seed=seed)
    sides = {}
    for file, person in images:
        assert sides.setdefault(person, split[file]) == split[file]
    sizes = Counter(split.values())
    for side, share in wanted.items():
        assert abs(sizes[side] - share * len(images)) <= max(crowd.values())
        assert share or not sizes[side]
    assert splits_of(data.draw(st.permutations(images)), shares=wanted, seed=seed) == split


@settings(max_examples=100)
@given(crowd=crowds.filter(lambda crowd: len(crowd) > 1), data=st.data(), seed=st.integers(0, 5))
def test_everybody_is_tested_in_exactly_one_fold_and_folds_are_even(crowd, data, seed):
    folds = data.draw(st.integers(2, len(crowd)))
    people = [person for _, person in images_of(crowd)]
    tested, sizes = Counter(), []
    for fold in range(1, folds + 1):
        split = list(zip(people, assign_folds(people, fold=fold, folds=folds, seed=seed), strict=True))
        test = {person for person, side in split if side == "test"}
        assert test
        assert not test & {person for person, side in split if side == "train"}
        tested.update(test)
        sizes.append(sum(side == "test" for _, side in split))
    assert tested == Counter(dict.fromkeys(crowd, 1))
    assert max(sizes) - min(sizes) <= max(crowd.values())


@settings(max_examples=100)
@given(crowd=crowds.filter(lambda crowd: len(crowd) > 1), data=st.data())
def test_a_part_of_the_images_is_split_like_the_whole(crowd, data):
    everyone = [person for _, person in images_of(crowd)]
    part = data.draw(st.lists(st.sampled_from(everyone), min_size=1))
    for split in (
        lambda some: assign_splits(some, people=crowd),
        lambda some: assign_folds(some, fold=1, folds=2, people=crowd),
    ):
        whole = dict(zip(everyone, split(everyone), strict=True))
        assert split(part) == [whole[person] for person in part]


def test_folds_are_as_even_as_people_allow():
    people = [person for _, person in images_of({"many": 9} | {f"{number}": 1 for number in range(9)})]
    for seed in range(5):
        assert Counter(assign_folds(people, fold=1, folds=2, seed=seed)) == {"train": 9, "test": 9}


def test_people_with_one_image_each_are_shared_out_exactly():
    people = [f"p{number}" for number in range(1000)]
    split = assign_splits(people)
    assert Counter(split) == {"train": 800, "val": 100, "test": 100}
    assert split == assign_splits(people)
    assert split != assign_splits(people, seed=1)


def test_the_split_is_the_same_on_every_machine():
    sides = "".join(split[1] for split in assign_splits([f"p{number}" for number in range(20)]))
    assert sides == "arrrerearrrrrrrrrrrr"


def test_who_is_not_known_goes_with_the_group_or_alone():
    assert Entry("a.png", person="p", group="g").owner == "p"
    assert Entry("a.png", group="g").owner == "g"
    assert Entry("a.png").owner == "a.png"


@pytest.mark.parametrize("wrong", [{}, {"a": 0.5}, {"a": 1.5, "b": -0.5}, {"a": float("nan")}])
def test_shares_that_are_none_are_refused(wrong):
    with pytest.raises(InputError, match="sum to 1"):
        assign_splits(["a"], shares=wrong)
    assert sum(SHARES.values()) == pytest.approx(1)


@pytest.mark.parametrize(("fold", "folds"), [(0, 3), (4, 3), (1, 1), (1, 4)])
def test_folds_that_are_none_are_refused(fold, folds):
    with pytest.raises(InputError, match=f"fold {fold}/{folds}"):
        assign_folds([f"{number}" for number in range(3)], fold=fold, folds=folds)
