"""Folders that name splits are splits, wherever they lie; the first others that differ are classes."""

import pytest

from mien.core.path_labels import classes_of, read_paths, split_of


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("validation", "val"),
        ("VALID", "val"),
        ("dev", "val"),
        ("test_set", "test"),
        ("train2017", "train"),
        ("TestImages", "test"),
        ("seg_train", "train"),
        ("partial-train", "train"),
        ("trainer", ""),
        ("steam train", ""),
        ("cats", ""),
        ("", ""),
    ],
)
def test_names_of_splits(name, split):
    assert split_of(name) == split


# path -> (split, class)
LAYOUTS = {
    "above classes": {"train/a/1": ("train", "a"), "train/b/1": ("train", "b"), "test/a/2": ("test", "a")},
    "below classes": {"a/train/1": ("train", "a"), "b/val/1": ("val", "b"), "b/train/2": ("train", "b")},
    "below data": {"data/train/a/1": ("train", "a"), "data/valid/b/2": ("val", "b")},
    "no classes": {"train/1": ("train", None), "validation/2": ("val", None)},
    "twice": {"seg_train/seg_train/a/1": ("train", "a"), "seg_test/seg_test/b/1": ("test", "b")},
    "with others": {"train/a/1": ("train", "a"), "test/b/1": ("test", "b"), "extra/a/3": ("", "a")},
    "cyclegan": {"trainA/1": ("train", "A"), "testB/2": ("test", "B")},
    "stray beside splits": {"train/a/1": ("train", "a"), "test/b/1": ("test", "b"), "x": ("", None)},
    "a class called train": {"train/1": ("", "train"), "car/2": ("", "car"), "bus/3": ("", "bus")},
    "classes": {"a/1": ("", "a"), "b/x/2": ("", "b"), "stray": ("", None)},
    "a common folder": {"x/a/1": ("", "a"), "x/b/1": ("", "b")},
    "packed": {"00000/img00000000.png": ("", None), "00001/img00001000.png": ("", None)},
    "one folder": {"a/1": ("", None), "a/2": ("", None)},
    "flat": {"1": ("", None)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_splits_and_classes_of_folders(layout):
    names = list(LAYOUTS[layout])
    placed = read_paths(names)
    read = zip((path.split for path in placed), classes_of(names, placed), strict=True)
    assert dict(zip(names, read, strict=True)) == LAYOUTS[layout]
