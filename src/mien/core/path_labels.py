"""Splits and classes from the folders of images: "train/cats/1.png" is a cat of the training split.

A level of folders whose names are those of splits is the split, wherever it lies: above the classes, below
them ("A/train/1.png") or below `data`. The first other level at which images differ is the class.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mien.core.text import encodable

SPLITS = ("train", "val", "test")
_WORDS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
_WORDS |= dict.fromkeys(("val", "valid", "validation", "dev"), "val")
_FILLERS = {"set", "sets", "split", "data", "dataset", "images", "image", "imgs", "img", "pictures"}
_FILLERS |= {"photos", "pics", "faces", "samples", "partial", "seg"}
_SPLIT_AND_SIDE = re.compile(r"(train|val|valid|validation|test)[-_ ]?([AB])", re.I)  # CycleGAN's trainA
_PACKED_NAME = re.compile(r"[0-9]{5}/img[0-9]{8}\.png")


class PathLabels(NamedTuple):
    """Labels of a path. split: "train", "val", "test" or "". folders: the other folders of the path."""

    split: str
    folders: tuple[str, ...]


def split_of(name: str) -> str:
    """The split that a folder, a file's stem or a cell names ("validation", "train2017"), or ""."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)]
    splits = {_WORDS[word] for word in words if word in _WORDS}
    known = all(word in _WORDS or word in _FILLERS for word in words)
    return splits.pop() if len(splits) == 1 and known else ""


def read_paths(names: Sequence[str]) -> list[PathLabels]:
    """The split of each path and its folders without those that are splits."""
    folders = [name.split("/")[:-1] for name in names]
    splits = [""] * len(names)
    depth = 0
    while level := {parts[depth] for parts in folders if len(parts) > depth}:
        sided = {name: _SPLIT_AND_SIDE.fullmatch(name) for name in level}
        if all(sided.values()):
            _take_splits(
                folders, splits, depth, {name: match.groups() for name, match in sided.items() if match}
            )
            depth += 1
        elif _is_split_level(level):
            _take_splits(folders, splits, depth, {name: (name, "") for name in level})
        else:
            depth += 1
    return [PathLabels(split, tuple(parts)) for split, parts in zip(splits, folders, strict=True)]


def classes_of(names: Sequence[str], placed: Sequence[PathLabels]) -> list[str | None]:
    """The class of each image, None for one beside the class folders; all None where there are none."""
    none: list[str | None] = [None] * len(names)
    if all(_PACKED_NAME.fullmatch(name) for name in names):
        return none
    folders = [path.folders for path in placed]
    depth = 0
    while True:
        level = {parts[depth] for parts in folders if len(parts) > depth}
        if len(level) > 1:
            return [encodable(parts[depth]) if len(parts) > depth else None for parts in folders]
        if not level or any(len(parts) <= depth for parts in folders):
            return none
        depth += 1


def _is_split_level(level: set[str]) -> bool:
    """Whether all folders are splits, or training and another split are among them."""
    splits = {split_of(name) for name in level}
    return "" not in splits or ("train" in splits and len(splits - {""}) > 1)


def _take_splits(
    folders: list[list[str]], splits: list[str], depth: int, parts_of: Mapping[str, Sequence[str]]
) -> None:
    """Replace the folder of every path at `depth` by its side (of a pair), if any, and note its split."""
    for at, parts in enumerate(folders):
        if len(parts) > depth:
            split, side = parts_of[parts[depth]]
            splits[at] = splits[at] or split_of(split)
            parts[depth : depth + 1] = [side.upper()] if side else []
