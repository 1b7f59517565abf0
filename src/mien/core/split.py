"""Which people are kept out of training: nobody is ever on both sides."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mien.core.errors import InputError


class Split(NamedTuple):
    """train, held_out: indexes, rising. how: in words, by what the sides were told apart."""

    train: np.ndarray
    held_out: np.ndarray
    how: str


def split_people(records: Sequence[Mapping[str, Any]], *, share: float, seed: int = 0) -> Split:
    """Keep out about `share` of the pictures, all pictures of a person together.

    Where every record names a side ("split"), that is followed, after checking that it parts nobody. Else
    people stand in a line by the hash of (seed, name) and the first of it are kept out. Raises InputError
    where a side would be empty or a person is on both.
    """
    people = [person_of(record) for record in records]
    named = [person or f"picture {index}" for index, person in enumerate(people)]
    if all(record.get("split") for record in records):
        out = np.array([record["split"] != "train" for record in records], bool)
        how = "as the dataset itself is split"
    else:
        chosen = _first(named, share, seed)
        out = np.array([name in chosen for name in named], bool)
        how = _how(people)
    if not 0 < out.sum() < len(out):
        raise InputError(
            f"{len(set(named))} people cannot be parted into some to learn from and some to test"
        )
    both = {n for n, o in zip(named, out, strict=True) if o} & {
        n for n, o in zip(named, out, strict=True) if not o
    }
    if both:
        raise InputError(f"the dataset's split puts {len(both)} people on both sides, first {min(both)}")
    return Split(np.flatnonzero(~out), np.flatnonzero(out), how)


def person_of(record: Mapping[str, Any]) -> str:
    """The name of whoever is shown, or ""; where only what belongs together is known, that."""
    labels = record.get("labels") or {}
    for place in (record, labels):
        for key in ("person", "group", "pair"):
            if (value := place.get(key)) not in (None, ""):
                return f"{key} {value}"
    return ""


def _first(named: Sequence[str], share: float, seed: int) -> set[str]:
    """The people at the head of the line, until they make up `share` of the pictures."""
    pictures = Counter(named)
    chosen: set[str] = set()
    taken = 0
    for name in sorted(pictures, key=lambda name: hashlib.sha256(f"{seed}\0{name}".encode()).digest()):
        if chosen and taken + pictures[name] / 2 > share * len(named):
            break
        chosen.add(name)
        taken += pictures[name]
    return chosen


def _how(people: Sequence[str]) -> str:
    known = sum(map(bool, people))
    if known == len(people):
        return "by person"
    if known:
        return (
            f"by person; {len(people) - known} pictures of unknown people each count as a person of their own"
        )
    return "by picture, since no person is known: if people appear twice, the figures flatter"
