from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.core.errors import InputError
from mien.datasets.index import Entry
from mien.datasets.splits import SHARES, count_people, fold_people, person_of, split_people

# How many pictures there are of each person; the name is the key.
crowds = st.dictionaries(st.text(min_size=1, max_size=6), st.integers(1, 9), min_size=1, max_size=40)
# The same share may be 0: then nobody is on that side.
shares = st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any)


def entries_of(crowd):
    return [
        Entry(f"{number}/{at}.png", person=name)
        for number, name in enumerate(crowd)
        for at in range(crowd[name])
    ]


@settings(max_examples=200, deadline=None)
@given(crowd=crowds, parts=shares, seed=st.integers(0, 5), data=st.data())
def test_nobody_is_on_two_sides_and_shares_are_met_as_far_as_people_allow(crowd, parts, seed, data):
    wanted = {f"side{number}": part / sum(parts) for number, part in enumerate(parts)}
    entries = entries_of(crowd)
    split = split_people(entries, shares=wanted, seed=seed)
    assert [(entry.file, entry.person) for entry in split] == [
        (entry.file, entry.person) for entry in entries
    ]
    sides = {}
    for entry in split:
        assert sides.setdefault(entry.person, entry.split) == entry.split
    sizes = Counter(entry.split for entry in split)
    for side, share in wanted.items():
        assert abs(sizes[side] - share * len(entries)) <= max(crowd.values())
        assert share or not sizes[side]
    shuffled = data.draw(st.permutations(entries))
    assert {e.file: e.split for e in split_people(shuffled, shares=wanted, seed=seed)} == {
        e.file: e.split for e in split
    }


@settings(max_examples=100, deadline=None)
@given(crowd=crowds.filter(lambda crowd: len(crowd) > 1), data=st.data(), seed=st.integers(0, 5))
def test_everybody_is_tested_in_exactly_one_fold_and_folds_are_even(crowd, data, seed):
    folds = data.draw(st.integers(2, len(crowd)))
    entries = entries_of(crowd)
    tested, sizes = Counter(), []
    for fold in range(1, folds + 1):
        split = fold_people(entries, fold=fold, folds=folds, seed=seed)
        test = {entry.person for entry in split if entry.split == "test"}
        assert test
        assert not test & {entry.person for entry in split if entry.split == "train"}
        tested.update(test)
        sizes.append(sum(entry.split == "test" for entry in split))
    assert tested == Counter(dict.fromkeys(crowd, 1))
    assert max(sizes) - min(sizes) <= max(crowd.values())


@settings(max_examples=100, deadline=None)
@given(crowd=crowds.filter(lambda crowd: len(crowd) > 1), data=st.data())
def test_a_part_of_the_pictures_is_split_like_the_whole(crowd, data):
    entries = entries_of(crowd)
    part = data.draw(st.lists(st.sampled_from(entries), min_size=1, unique_by=lambda entry: entry.file))
    people = count_people(entries)
    for split in (
        lambda some: split_people(some, people=people),
        lambda some: fold_people(some, fold=1, folds=2, people=people),
    ):
        whole = {entry.file: entry.split for entry in split(entries)}
        assert all(entry.split == whole[entry.file] for entry in split(part))


def test_folds_are_as_even_as_people_allow():
    entries = entries_of({"many": 9} | {f"{number}": 1 for number in range(9)})
    for seed in range(5):
        split = fold_people(entries, fold=1, folds=2, seed=seed)
        assert Counter(entry.split for entry in split) == {"train": 9, "test": 9}


def test_people_with_one_picture_each_are_shared_out_exactly():
    entries = [Entry(f"{number}.png", person=f"p{number}") for number in range(1000)]
    split = split_people(entries)
    assert Counter(entry.split for entry in split) == {"train": 800, "val": 100, "test": 100}
    assert split == split_people(entries)
    assert split != split_people(entries, seed=1)


def test_the_split_is_the_same_on_every_machine():
    entries = [Entry(f"{number}.png", person=f"p{number}") for number in range(20)]
    sides = "".join(entry.split[1] for entry in split_people(entries))
    assert sides == "arrrerearrrrrrrrrrrr"


def test_who_is_not_known_goes_with_the_group_or_alone():
    assert person_of(Entry("a.png", person="p", group="g")) == "p"
    assert person_of(Entry("a.png", group="g")) == "g"
    assert person_of(Entry("a.png")) == "a.png"
    pairs = [Entry(f"{side}/{number}.png", group=f"{number}") for number in range(50) for side in "ab"]
    split = split_people(pairs)
    assert all(one.split == two.split for one, two in zip(split[::2], split[1::2], strict=True))


@pytest.mark.parametrize("wrong", [{}, {"a": 0.5}, {"a": 1.5, "b": -0.5}, {"a": float("nan")}])
def test_shares_that_are_none_are_refused(wrong):
    with pytest.raises(InputError, match="sum to 1"):
        split_people([Entry("a.png")], shares=wrong)
    assert sum(SHARES.values()) == pytest.approx(1)


@pytest.mark.parametrize(("fold", "folds"), [(0, 3), (4, 3), (1, 1), (1, 4)])
def test_folds_that_are_none_are_refused(fold, folds):
    with pytest.raises(InputError, match=f"fold {fold}/{folds}"):
        fold_people(
            [Entry(f"{number}.png", person=f"{number}") for number in range(3)], fold=fold, folds=folds
        )
