import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.core.errors import InputError
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
    assert parse_labels(document(pairs), names, "x.zip").labels == labels


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
    assert parse_labels('{"labels": null}', ["a.png"], "x").labels is None
    assert parse_labels("{}", ["a.png"], "x").labels is None


def test_backslashes_are_slashes_as_for_nvlabs():
    assert parse_labels(document([["a\\b.png", 1]]), ["a/b.png"], "x").labels == [1]


def test_class_names_are_read():
    found = parse_labels(document([["a.png", 0]], class_names=["cat", "dog"]), ["a.png"], "x")
    assert found.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "not an object"),
        ('{"labels": 3}', "not a list"),
        (document([["a.png"]]), "not [file, label]"),
        (document([["a.png", 0], ["b.png", 1], ["gone.png", 2]]), "first gone.png"),
        (document([["a.png", 0]]), "first b.png"),
        (document([["a.png", 0], ["a.png", 0], ["b.png", 1]]), "a.png twice"),
        (document([["a.png", 0], ["b.png", [1.0]]]), "two kinds"),
        (document([["a.png", [1, 2]], ["b.png", [1.0]]]), "b.png has a label of 1"),
        (document([["a.png", -1], ["b.png", 0]]), "a.png"),
        (document([["a.png", MOST_CLASSES], ["b.png", 0]]), "a.png"),
        (document([["a.png", True], ["b.png", 0]]), "neither"),
        (document([["a.png", "cat"], ["b.png", 0]]), "neither"),
        (document([["a.png", [float("nan")]], ["b.png", [1]]]), "neither"),
        (document([["a.png", [1e300]], ["b.png", [1]]]), "neither"),
        (document([["a.png", [10**400]], ["b.png", [1]]]), "neither"),
        (document([["a.png", []], ["b.png", [1]]]), "neither"),
        (document([["a.png", 5], ["b.png", 0]], class_names=["x"]), "class_names has 1"),
        (document([["a.png", [1]], ["b.png", [1]]], class_names=["x", "y"]), "class_names has 2"),
        (document([["a.png", 0], ["b.png", 0]], class_names="x"), "class_names"),
    ],
)
def test_what_is_wrong_is_named(text, words):
    with pytest.raises(InputError, match=r"some\.zip") as caught:
        parse_labels(text, ["a.png", "b.png"], "some.zip")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numpy_labels_become_plain_ones():
    label = check_label(np.int64(3), "x")
    assert (label, type(label)) == (3, int)
    assert check_label(np.array([1, 2], np.float32), "x") == (1.0, 2.0)
