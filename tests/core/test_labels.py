import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.core.labels import MOST_CLASSES, check_label, label_array, label_width, parse_labels

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
CLASSES = st.lists(st.integers(0, 50), min_size=1, max_size=8)
VECTORS = st.integers(1, 5).flatmap(
    lambda width: st.lists(
        st.lists(FLOATS, min_size=width, max_size=width).map(tuple), min_size=1, max_size=8
    )
)


def document(pairs, **more):
    return json.dumps({"labels": pairs, **more})


@given(CLASSES | VECTORS, st.randoms())
def test_labels_come_back_aligned_with_names_whatever_the_order_in_the_file(labels, random):
    names = [f"{i:03d}.png" for i in range(len(labels))]
    pairs = list(zip(names, labels, strict=True))
    random.shuffle(pairs)
    assert parse_labels(document(pairs), names).labels == labels


@given(CLASSES)
def test_classes_become_one_hot(labels):
    array = label_array(labels, label_width(labels))
    assert array.dtype == np.float32
    assert array.shape == (len(labels), max(labels) + 1)
    assert array.sum(1).tolist() == [1] * len(labels)
    assert array.argmax(1).tolist() == labels


@given(VECTORS)
def test_vectors_stay_as_they_are(labels):
    np.testing.assert_array_equal(label_array(labels, label_width(labels)), np.array(labels, np.float32))


def test_no_labels_is_no_labels():
    assert parse_labels('{"labels": null}', ["a.png"]).labels is None
    assert parse_labels("{}", ["a.png"]).labels is None


def test_backslashes_are_slashes_as_for_nvlabs():
    assert parse_labels(document([["a\\b.png", 1]]), ["a/b.png"]).labels == [1]


def test_class_names_are_read():
    found = parse_labels(document([["a.png", 0]], class_names=["cat", "dog"]), ["a.png"])
    assert found.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "not an object"),
        ('{"labels": 3}', "not a list"),
        (document([["a.png", 0]]), "no label for 1 of 2 images (first b.png)"),
        (document([["a.png", 0], ["b.png", [1.0]]]), "two kinds"),
        (document([["a.png", [1, 2]], ["b.png", [1.0]]]), "b.png has a label of 1"),
    ],
)
def test_why_there_are_no_labels_is_said_and_nothing_fails(text, words):
    labels = parse_labels(text, ["a.png", "b.png"])
    assert labels.labels is None
    assert words in labels.problem
    assert "\n" not in labels.problem


@pytest.mark.parametrize(
    "value",
    [-1, MOST_CLASSES, 0.5, [float("nan")], [1e300], [10**400], [], None, {"a": 1}, ["x"], 10**400],
)
def test_a_label_that_is_none_costs_itself_alone(value):
    pairs = [["a.png", value], ["b.png", 0 if not isinstance(value, list) else [1]]]
    labels = parse_labels(document(pairs), ["a.png", "b.png"])
    assert labels.labels is None
    assert labels.partial[0] is None
    assert labels.partial[1] in (0, (1.0,))
    assert "first a.png" in labels.problem


@pytest.mark.parametrize(
    ("values", "read"),
    [
        ([0.0, 1.0], [0, 1]),
        (["0", " 1 "], [0, 1]),
        ([False, True], [0, 1]),
        ([["1", True], [0.5, 2]], [(1.0, 1.0), (0.5, 2.0)]),
    ],
)
def test_loosely_typed_labels_are_read_as_others_read_them(values, read):
    labels = parse_labels(document(list(zip(["a.png", "b.png"], values, strict=True))), ["a.png", "b.png"])
    assert labels.labels == read
    assert [type(label) for label in labels.labels] == [type(label) for label in read]
    assert labels.notes == ()


def test_names_of_classes_become_numbers_in_the_order_of_class_names_or_letters():
    pairs = [["a.png", "dog"], ["b.png", "cat"]]
    assert parse_labels(document(pairs), ["a.png", "b.png"])[:2] == ([1, 0], ("cat", "dog"))
    named = parse_labels(document(pairs, class_names=["dog", "cow", "cat"]), ["a.png", "b.png"])
    assert named[:2] == ([0, 2], ("dog", "cow", "cat"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (document([["a.png"], ["a.png", 0], ["b.png", 1], 5]), "2 entries (first ['a.png'])"),
        (
            document([["gone.png", 2], ["a.png", 0], ["b.png", 1]]),
            "not there: 1 image (first gone.png)",
        ),
        (document([["a.png", 0], ["a.png", 5], ["b.png", 1]]), "1 image (first a.png) twice"),
        (document([["a.png", 0], ["b.png", 1]], class_names=["x"]), "1 names for 2 columns"),
    ],
)
def test_odd_entries_are_counted_and_the_labels_stay(text, words):
    labels = parse_labels(text, ["a.png", "b.png"])
    assert labels.labels == [0, 1]
    assert labels.class_names == ()
    assert any(words in note for note in labels.notes)


def test_a_mark_a_folder_a_dot_and_decomposed_letters_are_understood():
    text = "\ufeff" + document({"./Jo\u0308rg.png": 1, "b\\c.png": 0})
    assert parse_labels(text, ["in/J\u00f6rg.png", "in/b/c.png"], folder="in").labels == [1, 0]


def test_numpy_labels_become_plain_ones():
    label = check_label(np.int64(3), "x")
    assert (label, type(label)) == (3, int)
    assert check_label(np.array([1, 2], np.float32), "x") == (1.0, 2.0)
