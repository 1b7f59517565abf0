"""Splits by person: nobody is ever on two sides."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mien.core.errors import InputError
from mien.datasets.index import Entry
from mien.labels.split import cut_line, place_in_line

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


def split_people(
    entries: Sequence[Entry],
    *,
    shares: Mapping[str, float] = SHARES,
    seed: int = 0,
    people: Mapping[str, int] | None = None,
) -> tuple[Entry, ...]:
    """`entries` in their order, each with its `split` set to a key of `shares`.

    People stand in a line by the hash of (seed, name), so the order of entries does not matter; the line is
    cut where the shares of pictures say, never through a person. A side's pictures are off its share by at
    most those of the person with most. Who is not known is a person alone.
    people: pictures of each person to go by (default: count `entries`); give it where `entries` are a part of
    something, so that every part is split alike. Raises InputError for shares that are negative or do not sum
    to 1.
    """
    if not all(share >= 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-9:
        raise InputError(f"the shares of a split must not be negative and must sum to 1, not {dict(shares)}")
    sides = cut_line(people or count_people(entries), shares, seed)
    return tuple(replace(entry, split=sides[person_of(entry)]) for entry in entries)


def fold_people(
    entries: Sequence[Entry],
    *,
    fold: int,
    folds: int,
    seed: int = 0,
    people: Mapping[str, int] | None = None,
) -> tuple[Entry, ...]:
    """`entries` with split "test" for the people of fold `fold` (from 1) of `folds`, "train" for all others.

    Each person is tested in exactly one fold. people: as for `split_people`. Raises InputError for a fold
    that is none, or more folds than people.
    """
    people = people or count_people(entries)
    if not 1 <= fold <= folds or folds < 2:
        raise InputError(f"fold {fold}/{folds}: write a number from 1 to the number of folds, at least 2")
    if folds > len(people):
        raise InputError(f"fold {fold}/{folds}: there are only {len(people)} people to share out")
    number = _deal(people, folds, seed)
    return tuple(
        replace(entry, split="test" if number[person_of(entry)] == fold else "train") for entry in entries
    )


def person_of(entry: Entry) -> str:
    """The name that splits go by: the person, else what belongs together, else the file alone."""
    return entry.person or entry.group or entry.file


def count_people(entries: Sequence[Entry]) -> Counter[str]:
    """How many pictures there are of each person."""
    return Counter(person_of(entry) for entry in entries)


def _deal(people: Mapping[str, int], folds: int, seed: int) -> dict[str, int]:
    """The fold of each person: whoever has most pictures first, always into the emptiest fold."""
    load = dict.fromkeys(range(1, folds + 1), 0)
    number = {}
    for name in sorted(people, key=lambda name: (-people[name], place_in_line(name, seed))):
        number[name] = min(load, key=lambda fold: load[fold])
        load[number[name]] += people[name]
    return number
