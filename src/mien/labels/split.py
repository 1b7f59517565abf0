"""Which people are kept out of training: nobody is ever on both sides."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
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


def in_line(people: Iterable[str], seed: int) -> list[str]:
    """People in the order of the hash of (seed, name), in whatever order they are given."""
    return sorted(people, key=lambda name: place_in_line(name, seed))


def place_in_line(name: str, seed: int) -> bytes:
    """Where a person stands, whoever else there is."""
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).digest()


def cut_line(people: Mapping[str, int], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """The side of each person: the line is cut where the shares of pictures say, never through a person.

    people: pictures of each. shares: of each side, summing to 1. A person falls on the side in which the
    middle of its stretch of the line lies, so a side is off its share by one person's pictures at most.
    """
    line = in_line(people, seed)
    total = sum(people.values())
    edges = [total * edge for edge in accumulate(shares.values())]
    edges[-1] = total  # the sum of shares is 1 only up to rounding
    sides: dict[str, str] = {}
    stretches = pairwise(accumulate((people[name] for name in line), initial=0))
    for name, (start, stop) in zip(line, stretches, strict=True):
        side = sum((start + stop) / 2 >= edge for edge in edges)
        sides[name] = tuple(shares)[side]
    return sides


def _first(named: Sequence[str], share: float, seed: int) -> set[str]:
    """The people at the head of the line who make up `share` of the pictures; at least one."""
    pictures = Counter(named)
    sides = cut_line(pictures, {"out": share, "in": 1 - share}, seed)
    return {name for name, side in sides.items() if side == "out"} or set(in_line(pictures, seed)[:1])


def _how(people: Sequence[str]) -> str:
    known = sum(map(bool, people))
    if known == len(people):
        return "by person"
    if known:
        return (
            f"by person; {len(people) - known} pictures of unknown people each count as a person of their own"
        )
    return "by picture, since no person is known: if people appear twice, the figures flatter"
