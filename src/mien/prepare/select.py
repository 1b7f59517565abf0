"""Which candidates are kept: rules, then the user's condition, then near-duplicates, then one a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mien.core.errors import InputError
from mien.core.labels import Label
from mien.labels.split import person_of
from mien.prepare.candidates import Candidates
from mien.prepare.dedupe import DUPLICATE, find_duplicates, join_scans
from mien.prepare.extract import copy_quality
from mien.prepare.judge import Drop, Rules, judge
from mien.prepare.people import SAME_PERSON, features, group
from mien.prepare.where import Unknown, Where


@dataclass(frozen=True)
class Duplicates:
    """Which near-duplicates are looked for. threshold: bits in which hashes may differ, None keeps all.

    mirrored: mirrored copies, too. size: of the crops that a face recognition network sees, to find scans of
    one photo with other contrast; None does without.
    """

    threshold: int | None
    mirrored: bool = False
    size: int | None = None


@dataclass(frozen=True)
class Selection:
    """drops: for each candidate why it is dropped, or None. doubles: candidate -> the kept one.

    people: candidate -> who it is taken to show, where that was guessed. notes: lines for the user.
    """

    drops: list[Drop | None]
    doubles: dict[int, int] = field(default_factory=dict)
    people: dict[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def num_kept(self) -> int:
        return self.drops.count(None)


def select(candidates: Candidates, rules: Rules, *, where: Where | None, duplicates: Duplicates) -> Selection:
    """Judge every candidate, then drop near-duplicates."""
    drops: list[Drop | None] = []
    passed: list[tuple[int, str, float]] = []  # number, hash, quality: all that doubles need
    restored = groups = 0
    for index in range(len(candidates)):
        record = candidates.record(index)
        drop = _judge(record, rules, where)
        drops.append(drop)
        restored += bool(drop is None and record.get("restored"))
        groups += drop is None and _is_one_of_several(record)
        if drop is None and record.get("hash") and not record.get("restored"):
            passed.append((index, record["hash"], copy_quality(record.get("measurements") or {})))
    notes = (f"{restored:,} that were restored by hand stay, whatever the rules say",) * bool(restored)
    if groups:
        photos = "1 photo shows" if groups == 1 else f"{groups:,} photos show"
        notes += (f"{photos} several faces, of which one was taken; --faces all takes every face",)
    if duplicates.threshold is None or not passed:
        return Selection(drops, notes=notes)
    numbers, hashes, quality = (list(column) for column in zip(*passed, strict=True))
    keepers = find_duplicates(hashes, quality, threshold=duplicates.threshold, mirrored=duplicates.mirrored)
    if duplicates.size is not None:
        size = duplicates.size
        keepers = join_scans(
            hashes,
            quality,
            keepers,
            lambda at: dict(candidates.crops(numbers[at], size)).get(""),
            mirrored=duplicates.mirrored,
        )
    doubles = {numbers[own]: numbers[keeper] for own, keeper in enumerate(keepers) if keeper != own}
    disputed = []
    for index, keeper in doubles.items():
        drops[index], differ = _duplicate(candidates, index, keeper)
        disputed += [(index, keeper)] if differ else []
    return Selection(drops, doubles, notes=(*notes, *_disputed(candidates, disputed)))


def _is_one_of_several(record: Mapping[str, Any]) -> bool:
    """Whether others of its photo were left aside; where all were taken, a record says which it is."""
    return (record.get("measurements") or {}).get("num_faces", 1) > 1 and "face" not in record


def _duplicate(candidates: Candidates, index: int, keeper: int) -> tuple[Drop, bool]:
    """Why a double is dropped, and whether it stands in another class than the one that is kept."""
    mine, theirs = candidates.label(index), candidates.label(keeper)
    words = f"it shows the same as {name_of_face(candidates.record(keeper))}, which is kept"
    if mine == theirs:
        return Drop(DUPLICATE, words), False
    classes = [_class_words(candidates, label) for label in (theirs, mine)]
    return Drop(DUPLICATE, f"{words} with other labels ({classes[0]}, here {classes[1]})"), True


def _class_words(candidates: Candidates, label: Label | None) -> str:
    if isinstance(label, int):
        return candidates.class_names[label] if label < len(candidates.class_names) else str(label)
    return "none" if label is None else " ".join(f"{value:g}" for value in label)


def _disputed(candidates: Candidates, pairs: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """A note on doubles that stand in two classes, naming the first."""
    if not pairs:
        return ()
    index, keeper = pairs[0]
    names = [name_of_face(candidates.record(at)) for at in (keeper, index)]
    classes = [_class_words(candidates, candidates.label(at)) for at in (keeper, index)]
    pictures = "1 picture stands" if len(pairs) == 1 else f"{len(pairs):,} pictures stand"
    return (
        f"{pictures} in two classes; first {names[0]} ({classes[0]}), which is kept,"
        f" and {names[1]} ({classes[1]}): look which is right",
    )


def name_of_face(record: Mapping[str, Any]) -> str:
    """The source of a record, and which of its faces it is, if it has several."""
    face = record.get("face")
    return str(record["source"]) + (f" (face {face})" if face else "")


def know_people(
    selection: Selection, candidates: Candidates, size: int, *, one_each: bool, guess: bool
) -> Selection:
    """Look at who the kept candidates show, by the face recognition network on their crops of `size`.

    one_each: keep the best picture of each person. guess: name the people, but for candidates whose records
    name them already. Raises InputError for crops that are no aligned faces of 64 pixels or more.
    """
    kept = [index for index, drop in enumerate(selection.drops) if drop is None]
    crops = [dict(candidates.crops(index, size)).get("") for index in kept]
    if None in crops:
        raise InputError("people are known by their faces: leave out the layout of eyes")
    persons = group(features([png for png in crops if png is not None]))
    drops, doubles, people = list(selection.drops), dict(selection.doubles), {}
    members: dict[int, list[int]] = {}
    for index, person in zip(kept, persons.tolist(), strict=True):
        members.setdefault(person, []).append(index)
    width = len(str(len(members)))
    for person, indexes in members.items():
        if one_each:
            indexes.sort(key=lambda i: (-copy_quality(candidates.record(i).get("measurements") or {}), i))
            source = name_of_face(candidates.record(indexes[0]))
            for index in indexes[1:]:
                doubles[index] = indexes[0]
                drops[index] = Drop(SAME_PERSON, f"it shows the same person as {source}, which is kept")
            indexes = indexes[:1]
        for index in indexes if guess else ():
            if not person_of(candidates.record(index)):
                people[index] = f"guessed {person + 1:0{width}d}"
    return Selection(drops, doubles, people, selection.notes)


def _judge(record: dict[str, Any], rules: Rules, where: Where | None) -> Drop | None:
    if record.get("verdict") == "dropped":
        return Drop(record.get("reason") or "dropped", record.get("detail") or "it was dropped before")
    if record.get("restored"):
        return None
    if record.get("face") and rules.min_coverage == Rules.min_coverage:
        rules = replace(rules, min_coverage=None)  # one of several of a photo, of which each covers little
    drop = judge(record.get("measurements") or {}, rules)
    if drop is not None or where is None:
        return drop
    try:
        return None if where.holds(record) else Drop("where", f"it is not so that {where.text}")
    except Unknown as unknown:
        return Drop("where-unknown", str(unknown))
