"""Who is taken for one person: groups without chains, one picture each, guesses that do not overrule."""

import numpy as np
import pytest

from mien.core.artefacts import artefact_path
from mien.core.errors import InputError
from mien.prepare import people, select
from mien.prepare.judge import Rules
from mien.prepare.people import group
from mien.prepare.prepare import prepare


def at(*places):
    """Features on a line, 128 numbers each."""
    rows = np.zeros((len(places), 128), np.float32)
    rows[:, 0] = places
    return rows


def test_a_chain_of_likenesses_does_not_join_two_people():
    assert group(at(0, 0.3, 0.6), distance=0.4).tolist() in ([0, 0, 1], [0, 1, 1])
    assert group(at(0, 0.3, 0.39), distance=0.4).tolist() == [0, 0, 0]


def test_numbers_follow_the_first_picture_and_nobody_is_lost():
    assert group(at(5, 0, 5.1, 9, 0.1), distance=0.4).tolist() == [0, 1, 0, 2, 1]
    assert group(at(), distance=0.4).tolist() == []
    assert group(at(3), distance=0.4).tolist() == [0]


def test_groups_are_cliques_and_maximal_whatever_the_features():
    rng = np.random.RandomState(0)
    rows = np.zeros((300, 128), np.float32)
    rows[:, :2] = rng.rand(300, 2) * 2
    owner = group(rows, distance=0.4)
    far = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    groups = [np.flatnonzero(owner == one) for one in range(owner.max() + 1)]
    assert all(far[np.ix_(one, one)].max() <= 0.4 + 1e-6 for one in groups)
    joinable = [
        (i, j)
        for i, one in enumerate(groups)
        for j, two in enumerate(groups)
        if i < j and far[np.ix_(one, two)].max() <= 0.4 - 1e-6
    ]
    assert joinable == []
    assert np.array_equal(group(rows, distance=0.4), owner)


class Pile:
    """Candidates whose crops are their numbers."""

    class_names = ()

    def __init__(self, records):
        self.records = records

    def __len__(self):
        return len(self.records)

    def record(self, index):
        return {"source": f"{index}.jpg", **self.records[index]}

    def crops(self, index, size):
        return [("", bytes([index]))]


def test_the_sharpest_of_each_person_is_kept_and_a_known_name_stays(monkeypatch):
    sharp = [{"measurements": {"sharpness": value}} for value in (0.4, 0.9, 0.5, 0.5)]
    sharp[2]["person"] = "Ada"
    pile = Pile(sharp)
    places = at(0, 0.1, 5, 9)
    monkeypatch.setattr(select, "features", lambda crops: places[[crop[0] for crop in crops]])
    found = select.select(pile, Rules(min_sharpness=None), where=None, duplicates=select.Duplicates(None))
    both = select.know_people(found, pile, 64, one_each=True, guess=True)
    assert [None if drop is None else drop.reason for drop in both.drops] == ["same-person", None, None, None]
    assert both.doubles == {0: 1}
    assert "1.jpg" in both.drops[0].detail
    assert both.people == {1: "guessed 1", 3: "guessed 3"}
    guessed = select.know_people(found, pile, 64, one_each=False, guess=True)
    assert guessed.drops == [None] * 4
    assert guessed.people[0] == guessed.people[1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"duplicates_by": "face"}, "choose from"),
        ({"duplicates_by": "identity", "keep_duplicates": True}, "choose one"),
        ({"guess_person": True, "layout": "eyes"}, "layout ffhq"),
        ({"guess_person": True, "size": 32}, "from 64 pixels"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_begins(tmp_path, options, says):
    with pytest.raises(InputError, match=says):
        prepare(tmp_path, tmp_path / "out.zip", **options).run()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_people_photographed_twice_are_found_and_no_others_joined(shared_data, tmp_path):
    if artefact_path(people.NEEDS) is None or artefact_path("face-mesh") is None:
        pytest.skip("the identity or face-mesh artefact is not cached")
    from mien.core.packed import PackReader

    source = tmp_path / "photos"
    source.mkdir()
    for folder in ("neutral", "smiling"):
        for file in sorted((shared_data / "expressions" / folder).iterdir())[:12]:
            (source / file.name).symlink_to(file)
    guess = {"guess_person": True, "keep_duplicates": True, "workers": 1}
    prepare(source, tmp_path / "all.zip", **guess).run()
    named = {r["source"].split("_")[0]: set() for r in PackReader(tmp_path / "all.zip").records}
    for record in PackReader(tmp_path / "all.zip").records:
        named[record["source"].split("_")[0]].add(record["person"])
    assert all(len(guesses) == 1 for guesses in named.values())
    assert len(set.union(*named.values())) == len(named) == 12
    assert prepare(source, tmp_path / "one.zip", duplicates_by="identity", workers=1).run().kept == 12
