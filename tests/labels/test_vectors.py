"""What is asked of a conditional generator, and what is drawn where nothing is asked."""

import numpy as np
import pytest

from mien.core.checkpoint import NetworkHeader
from mien.core.errors import InputError
from mien.core.labels import MOST_ROWS, spread_rows
from mien.core.types import Spec
from mien.labels.vectors import label_vectors, plain_requests

NAMES = ("Smiling", "Hat", "hair=black", "hair=blond", "hair=red", "age=<20", "age=20-60", "age=60+")
# Nobody who smiles wears a hat; red hair is always young.
ROWS = (
    (1, 0, 1, 0, 0, 0, 1, 0),
    (1, 0, 0, 1, 0, 0, 0, 1),
    (1, 0, 0, 0, 1, 1, 0, 0),
    (0, 1, 1, 0, 0, 0, 1, 0),
    (0, 0, 0, 1, 0, 0, 1, 0),
    (0, 1, 0, 0, 1, 1, 0, 0),
)
SEEDS = range(200)


def header(names: tuple[str, ...] = NAMES, rows=ROWS, label_dim: int | None = None) -> NetworkHeader:
    spec = Spec(16, 3, len(names) if label_dim is None else label_dim, names)
    return NetworkHeader(family="lite", config={}, spec=spec, nimg=0, tool="test", label_rows=rows)


def ask(*asked: str, **changes) -> np.ndarray:
    return label_vectors(header(**changes), asked, SEEDS).numpy()


def test_what_is_not_asked_comes_from_rows_that_agree() -> None:
    drawn = ask("Smiling=1")
    assert {tuple(row) for row in drawn.tolist()} == set(ROWS[:3])  # all of them, nothing else
    red = ask("hair=red", "Hat=no")
    assert red.tolist() == [list(ROWS[2])] * len(SEEDS)
    assert {tuple(row) for row in ask("hat").tolist()} == {ROWS[3], ROWS[5]}


def test_requests_have_one_spelling() -> None:
    spelt = ("smiling=yes", "HAT=0", "blond", "age=35", "Smiling", "4")
    expected = ("Smiling", "Hat=0", "hair=blond", "age=20-60", "hair=red")
    assert plain_requests(header(), spelt) == expected
    assert plain_requests(header(("Age:number",), rows=((20.0,), (40.0,))), ("age=31.5",)) == ("Age=31.5",)
    assert plain_requests(header(("a",), ()), ()) == ()


def test_the_seed_decides_and_nothing_else() -> None:
    alone = label_vectors(header(), ["Smiling"], [7]).numpy()
    assert np.array_equal(alone[0], ask("Smiling")[7])
    assert len(np.unique(ask("Smiling")[:20], axis=0)) == 3


def test_where_no_row_agrees_the_nearest_are_overwritten() -> None:
    drawn = ask("Smiling=yes", "Hat=yes")  # nobody does both
    assert {tuple(row) for row in drawn[:, :2].tolist()} == {(1, 1)}
    assert {tuple(row) for row in drawn[:, 2:].tolist()} == {row[2:] for row in (*ROWS[:4], ROWS[5])}


def test_a_value_puts_the_others_of_its_label_to_zero() -> None:
    drawn = ask("hair=blond", "age=60+", "Hat=1", rows=ROWS[:1])
    assert drawn[0].tolist() == [1, 1, 0, 1, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("asked", "columns"),
    [
        ("smiling", {0: 1}),
        ("SMILING=No", {0: 0}),
        (" Smiling = true ", {0: 1}),
        ("hair=BLOND", {2: 0, 3: 1, 4: 0}),
        ("blond", {2: 0, 3: 1, 4: 0}),
        ("age=35", {5: 0, 6: 1, 7: 0}),
        ("age=<20", {5: 1, 6: 0, 7: 0}),
        ("4", {2: 0, 3: 0, 4: 1}),
    ],
)
def test_ways_to_ask(asked: str, columns: dict[int, float]) -> None:
    drawn = ask(asked)
    for place, value in columns.items():
        assert set(drawn[:, place].tolist()) == {value}
    others = [place for place in range(len(NAMES)) if place not in columns]
    assert len(np.unique(drawn[:, others], axis=0)) > 1


def test_classes_exclude_each_other() -> None:
    rows = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 0))
    classes = {"names": ("Ann", "bob", "Cleo"), "rows": rows}
    assert ask("bob", **classes)[0].tolist() == ask("class=BOB", **classes)[0].tolist() == [0, 1, 0]
    assert ask("2", **classes)[0].tolist() == [0, 0, 1]
    with pytest.raises(InputError, match="--label Ann and --label bob contradict each other"):
        ask("Ann", "bob", **classes)
    nameless = label_vectors(header((), rows, 3), ["1"], [5])
    assert nameless.tolist() == [[0, 1, 0]]


def test_a_lone_column_named_after_a_value_is_a_yes_or_no() -> None:
    both = {"names": ("sex=female", "glasses"), "rows": ((0, 1), (1, 1), (1, 0))}
    assert set(ask("sex=female", **both)[:, 0]) == {1}
    assert {tuple(row) for row in ask("sex=female", "glasses=0", **both).tolist()} == {(1, 0)}


def test_numbers_stay_numbers() -> None:
    drawn = ask("turn=-12.5", names=("turn", "smile"), rows=((3.25, 1.0), (-10.0, 0.0)))
    assert drawn.tolist() == [[-12.5, 0.0]] * len(SEEDS)  # the nearer row


def test_files_from_before_rows_were_kept_get_zeros() -> None:
    assert ask("hair=red", rows=())[0].tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
    assert ask("Smiling=0", "Hat", rows=())[0].tolist() == [0, 1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ((), "conditional; say which with --label: Smiling, Hat, hair=black|blond|red, age=<20|20-60|60+"),
        (("beard",), "--label beard: not known; choose from Smiling, Hat, hair=black"),
        (("beard=1",), "no label 'beard'; choose from Smiling, Hat, hair=black"),
        (("hair=green",), "--label hair=green: choose from hair=black|blond|red"),
        (("Smiling=perhaps",), "Smiling is a yes or no; write Smiling=1 or Smiling=0"),
        (("Smiling=0.5",), "Smiling is a yes or no"),
        (("Smiling=nan",), "Smiling is a yes or no"),
        (("9",), "--label 9: not known"),
        (("smiling", "Smiling=0"), "--label smiling and --label Smiling=0 contradict each other"),
        (("hair=red", "hair=black"), "contradict"),
        (("red", "2"), "contradict"),
        (("",), "not known"),
    ],
)
def test_bad_questions(asked: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError) as caught:
        ask(*asked)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_asking_the_same_twice_is_no_contradiction() -> None:
    assert np.array_equal(ask("red", "hair=red"), ask("hair=red"))


def test_names_that_differ_in_case_alone_must_be_written_exactly() -> None:
    both = {"names": ("hat", "Hat"), "rows": ((1, 0), (0, 1), (0, 0))}
    assert set(ask("Hat", **both)[:, 1]) == {1}
    with pytest.raises(InputError, match="HAT: may mean hat or Hat"):
        ask("HAT", **both)


def test_a_generator_without_labels_takes_none() -> None:
    plain = header((), ())
    assert label_vectors(plain, (), [1]) is None
    with pytest.raises(InputError, match="without labels"):
        label_vectors(plain, ["Smiling"], [1])


def test_rows_that_a_file_keeps_are_spread_and_few() -> None:
    labels = np.arange(5000, dtype=np.float32)[:, None]
    rows = np.array(spread_rows(labels))
    assert len(rows) == MOST_ROWS
    assert rows[0] == 0
    assert rows[-1] == 4999
    assert np.ptp(np.diff(rows[:, 0])) <= 1
    assert spread_rows(labels[:3]) == ((0.0,), (1.0,), (2.0,))
    assert len(spread_rows(np.zeros((100, 60_000), np.float32))) == 2
