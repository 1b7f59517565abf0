"""Which candidates are kept: rules, then the user's condition, then near-duplicates, then one a person."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mien.core.errors import InputError
from mien.labels.split import person_of
from mien.prepare.candidates import Candidates
from mien.prepare.dedupe import DUPLICATE, find_duplicates
from mien.prepare.judge import Drop, Rules, judge
from mien.prepare.people import SAME_PERSON, features, group
from mien.prepare.where import Unknown, Where


@dataclass(frozen=True)
class Selection:
    """drops: for each candidate why it is dropped, or None. doubles: candidate -> source of the kept one.

    people: candidate -> who it is taken to show, where that was guessed.
    """

    drops: list[Drop | None]
    doubles: dict[int, str] = field(default_factory=dict)
    people: dict[int, str] = field(default_factory=dict)

    @property
    def num_kept(self) -> int:
        return self.drops.count(None)


def select(candidates: Candidates, rules: Rules, *, where: Where | None, duplicates: int | None) -> Selection:
    """Judge every candidate. duplicates: bits in which hashes of doubles may differ, None keeps doubles."""
    drops: list[Drop | None] = []
    passed: list[tuple[int, str, float, str]] = []  # number, hash, sharpness, source: all that doubles need
    for index in range(len(candidates)):
        record = candidates.record(index)
        drop = _judge(record, rules, where)
        drops.append(drop)
        if drop is None and record.get("hash"):
            passed.append((index, record["hash"], _sharpness(record), record["source"]))
    doubles: dict[int, str] = {}
    if duplicates is not None and passed:
        hashes, sharpness = [each[1] for each in passed], [each[2] for each in passed]
        keepers = find_duplicates(hashes, sharpness, threshold=duplicates)
        for own, ((index, *_), keeper) in enumerate(zip(passed, keepers, strict=True)):
            if keeper != own:
                doubles[index] = passed[keeper][3]
                drops[index] = Drop(DUPLICATE, f"it shows the same as {doubles[index]}, which is kept")
    return Selection(drops, doubles)


def know_people(
    selection: Selection, candidates: Candidates, size: int, *, one_each: bool, guess: bool
) -> Selection:
    """Look at who the kept candidates show, by the face recognition network on their crops of `size`.

    one_each: keep the sharpest of each person. guess: name the people, but for candidates whose records name
    them already. Raises InputError for crops that are no aligned faces of 64 pixels or more.
    """
    kept = [index for index, drop in enumerate(selection.drops) if drop is None]
    persons = group(features([_crop(candidates, index, size) for index in kept]))
    drops, doubles, people = list(selection.drops), dict(selection.doubles), {}
    members: dict[int, list[int]] = {}
    for index, person in zip(kept, persons.tolist(), strict=True):
        members.setdefault(person, []).append(index)
    width = len(str(len(members)))
    for person, indexes in members.items():
        if one_each:
            indexes = _sharpest_first(candidates, indexes)
            source = candidates.record(indexes[0])["source"]
            for index in indexes[1:]:
                doubles[index] = source
                drops[index] = Drop(SAME_PERSON, f"it shows the same person as {source}, which is kept")
            indexes = indexes[:1]
        for index in indexes if guess else ():
            if not person_of(candidates.record(index)):
                people[index] = f"guessed {person + 1:0{width}d}"
    return Selection(drops, doubles, people)


def _sharpest_first(candidates: Candidates, indexes: Sequence[int]) -> list[int]:
    return sorted(indexes, key=lambda index: (-_sharpness(candidates.record(index)), index))


def _crop(candidates: Candidates, index: int, size: int) -> bytes:
    crops = dict(candidates.crops(index, size))
    if "" not in crops:
        raise InputError("people are known by their faces: leave out the layout of eyes")
    return crops[""]


def _judge(record: dict[str, Any], rules: Rules, where: Where | None) -> Drop | None:
    if record.get("verdict") == "dropped":
        return Drop(record.get("reason") or "dropped", record.get("detail") or "it was dropped before")
    drop = judge(record.get("measurements") or {}, rules)
    if drop is not None or where is None:
        return drop
    try:
        return None if where.holds(record) else Drop("where", f"it is not so that {where.text}")
    except Unknown as unknown:
        return Drop("where-unknown", str(unknown))


def _sharpness(record: dict[str, Any]) -> float:
    """What decides between doubles; faces that were not measured so far go by their size."""
    measurements = record.get("measurements") or {}
    return float(measurements.get("sharpness", measurements.get("face_size", 0.0)))
