"""Folders named by person: nobody is on two sides, and pairs.txt is no table of labels."""

import pytest

from contracts.dataset_contract import DatasetContract
from layouts import head, save
from mien.core.errors import InputError
from mien.datasets.index import record_fields
from mien.datasets.info import inspect
from mien.datasets.opening import choose_entries, open_dataset, open_index, recognise

PEOPLE = {"Ann_Lee": 3, "Bo_Xi": 1, "J\u00f6rg_von_X": 2, "Zoe": 2}


def write(root, last=7):
    number = 0
    for name, count in PEOPLE.items():
        for at in range(1, count + 1):
            save(root / name / f"{name}_{at:04d}.png", head(number if number < 7 else last))
            number += 1
    (root / "pairs.txt").write_text("10\t300\nAnn_Lee\t1\t2\n")
    return root


class TestLfw(DatasetContract):
    def make(self, root):
        return f"lfw:{write(root)}?size=32"

    def make_other(self, root):
        return f"lfw:{write(root, last=0)}?size=32"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


def test_people_are_the_folders(tmp_path):
    root = write(tmp_path / "lfw")
    assert recognise(root) == "lfw"
    assert recognise(root.parent) == "lfw"  # as some archives unpack
    index = open_index(f"lfw:{root}")
    assert [entry.person for entry in index.entries] == [
        n for n, count in PEOPLE.items() for _ in range(count)
    ]
    assert index.problems == ()
    info = inspect(str(root), quick=True)
    assert (info.layout, info.opened_as) == ("lfw", f"lfw:{root}")
    assert info.counts == {"pictures": 8, "people": 4, "people with several pictures": 3}


def test_nobody_is_on_two_sides(tmp_path):
    root = write(tmp_path / "lfw")
    for seed in range(4):
        sides = [
            {entry.person for entry in open_index(f"lfw:{root}?fold=1/2&seed={seed}&split={split}").entries}
            for split in ("train", "test")
        ]
        assert sides[0] | sides[1] == PEOPLE.keys()
        assert not sides[0] & sides[1]


def test_what_prepare_takes_has_the_person_and_the_licence(tmp_path):
    fields = record_fields(choose_entries(f"lfw:{write(tmp_path / 'lfw')}").index)
    assert fields["Bo_Xi/Bo_Xi_0001.png"]["person"] == "Bo_Xi"
    assert len(fields) == 8


def test_other_pictures_are_named_and_left_out(tmp_path):
    root = write(tmp_path / "lfw")
    for file in ("cover.png", "Zoe/Ann_Lee_0001.png", "Zoe/1.png"):
        save(root / file, head(0))
    index = open_index(f"lfw:{root}")
    assert {problem.where for problem in index.problems} == {"cover.png", "Zoe/Ann_Lee_0001.png", "Zoe/1.png"}
    assert len(open_dataset(f"lfw:{root}?size=16&labels=person").spec.class_names) == 4
    with pytest.raises(InputError, match="Aaron_Peirsol"):
        open_index(
            f"lfw:{root.parent / 'cache'}" if (root.parent / "cache").is_dir() else f"lfw:{tmp_path / 'no'}"
        )


def test_folders_of_kinds_are_no_people(tmp_path):
    for kind in ("cats", "dogs"):
        save(tmp_path / "k" / kind / "img_0001.png", head(0))
    assert recognise(tmp_path / "k") != "lfw"
