"""Splits by person: nobody is ever on two sides.

People stand in a line by the hash of (seed, name), whatever the order of images; the line is cut where the
shares of images say, never through a person.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

from mien.core.errors import InputError

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


class Split(NamedTuple):
    """train, held_out: indexes, rising. how: in words, what decided."""

    train: np.ndarray
    held_out: np.ndarray
    how: str


def split_people(records: Sequence[Mapping[str, Any]], *, share: float, seed: int = 0) -> Split:
    """Keep out about `share` of the images, all images of a person together.

    Where every record names its split, that is followed, but for people that it parts, who are learnt from;
    one that leaves a side empty is passed over. Raises InputError where a side would be empty.
    """
    people = [person_of(record) for record in records]
    names = [person or f"picture {index}" for index, person in enumerate(people)]
    sides = ["train" if record.get("split", "") in ("", "train") else "out" for record in records]
    whole, note = keep_whole(people, sides)
    recorded = np.array([side == "out" for side in whole], bool)
    num_split = sum(bool(record.get("split")) for record in records)
    follows = num_split == len(records)
    if follows and 0 < recorded.sum() < len(recorded):
        held_out, how = recorded, "as the dataset itself is split" + (f"; {note}" if note else "")
    else:
        chosen = _first_people(names, share, seed)
        held_out, how = np.array([name in chosen for name in names], bool), _describe(people)
        if follows and note:
            how += "; the dataset's own split parts people, leaves one side alone, and is passed over"
        elif follows and records:
            how += f"; the dataset's own split has only {records[0]['split']} and is passed over"
        elif num_split:
            how += f"; the dataset's own split has {num_split:,} of {len(records):,} and is passed over"
    if not 0 < held_out.sum() < len(held_out):
        raise InputError(
            f"{len(set(names))} people cannot be parted into some to learn from and some to test"
        )
    return Split(np.flatnonzero(~held_out), np.flatnonzero(held_out), how)


def keep_whole(people: Sequence[str], splits: Sequence[str]) -> tuple[list[str], str]:
    """A dataset's own split without parted people: they go to train; and a note on that, or "".

    people: whoever each image shows, "" where that is not known.
    """
    sides: dict[str, set[str]] = {}
    for person, split in zip(people, splits, strict=True):
        if person and split:
            sides.setdefault(person, set()).add(split)
    torn = sorted(person for person, known in sides.items() if len(known) > 1)
    if not torn:
        return list(splits), ""
    parted = frozenset(torn)
    whole = ["train" if split and p in parted else split for p, split in zip(people, splits, strict=True)]
    return whole, f"people on several sides of its split go to train: {len(torn)} (first {torn[0]})"


def assign_splits(
    names: Sequence[str],
    *,
    shares: Mapping[str, float] = SHARES,
    seed: int = 0,
    people: Mapping[str, int] | None = None,
) -> list[str]:
    """The split of each image, a key of `shares`, by the name of whoever it shows.

    The images of a split are off its share by at most those of the person with most. people: images of each
    person to go by (default: count `names`); give it where `names` are a part of something, so that every
    part is split alike. Raises InputError for shares that are negative or do not sum to 1.
    """
    if not all(share >= 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-9:
        raise InputError(f"the shares of a split must not be negative and must sum to 1, not {dict(shares)}")
    splits = cut_line(people or Counter(names), shares, seed)
    return [splits[name] for name in names]


def assign_folds(
    names: Sequence[str], *, fold: int, folds: int, seed: int = 0, people: Mapping[str, int] | None = None
) -> list[str]:
    """ "test" for images of the people of fold `fold` (from 1) of `folds`, "train" for all others.

    Each person is tested in exactly one fold. people: as for `assign_splits`. Raises InputError for a fold
    that is none, or more folds than people.
    """
    people = people or Counter(names)
    if not 1 <= fold <= folds or folds < 2:
        raise InputError(f"fold {fold}/{folds}: write a number from 1 to the number of folds, at least 2")
    if folds > len(people):
        raise InputError(f"fold {fold}/{folds}: there are only {len(people)} people to share out")
    fold_of = _deal(people, folds, seed)
    return ["test" if fold_of[name] == fold else "train" for name in names]


def person_of(record: Mapping[str, Any]) -> str:
    """The name of whoever is shown, or ""; where only what belongs together is known, that."""
    labels = record.get("labels") or {}
    for place in (record, labels):
        for key in ("person", "group", "pair"):
            if (value := place.get(key)) not in (None, ""):
                return f"{key} {value}"
    return ""


def in_line(people: Iterable[str], seed: int) -> list[str]:
    """People in the order of the hash of (seed, name), in whatever order they are given."""
    return sorted(people, key=lambda name: place_in_line(name, seed))


def place_in_line(name: str, seed: int) -> bytes:
    """Where a person stands, whoever else there is."""
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).digest()


def cut_line(people: Mapping[str, int], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """The split of each person.

    people: images of each. shares: of each split, summing to 1. A person falls on the split in which the
    middle of its stretch of the line lies, so a split is off its share by one person's images at most.
    """
    line = in_line(people, seed)
    total = sum(people.values())
    edges = [total * edge for edge in accumulate(shares.values())]
    edges[-1] = total  # the sum of shares is 1 only up to rounding
    splits: dict[str, str] = {}
    stretches = pairwise(accumulate((people[name] for name in line), initial=0))
    for name, (start, stop) in zip(line, stretches, strict=True):
        splits[name] = tuple(shares)[sum((start + stop) / 2 >= edge for edge in edges)]
    return splits


def _deal(people: Mapping[str, int], folds: int, seed: int) -> dict[str, int]:
    """The fold of each person: whoever has most images first, always into the emptiest fold."""
    load = dict.fromkeys(range(1, folds + 1), 0)
    fold_of = {}
    for name in sorted(people, key=lambda name: (-people[name], place_in_line(name, seed))):
        fold_of[name] = min(load, key=lambda fold: load[fold])
        load[fold_of[name]] += people[name]
    return fold_of


def _first_people(names: Sequence[str], share: float, seed: int) -> set[str]:
    """The people at the head of the line who make up `share` of the images; at least one."""
    images = Counter(names)
    splits = cut_line(images, {"out": share, "in": 1 - share}, seed)
    return {name for name, split in splits.items() if split == "out"} or set(in_line(images, seed)[:1])


def _describe(people: Sequence[str]) -> str:
    known = sum(map(bool, people))
    if known == len(people):
        return "by person"
    if known:
        unknown = len(people) - known
        return f"by person; {unknown} pictures of unknown people each count as a person of their own"
    return "by picture, since no person is known: if people appear twice, the figures flatter"
