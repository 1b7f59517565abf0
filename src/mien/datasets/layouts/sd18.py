"""NIST Special Database 18, mugshots from the front and in profile: "sd18:FOLDER".

    sd18/{single,multiple}/f1_p1/.../00001_1_F.png     gray, sizes vary; F front, L and R profiles
    sd18/{single,multiple}/f1_p1/.../00001_1_F.txt     "Key: value" lines: gender, age, ...

It holds minors. Records with an age under 18 are left out always, and with them the other views of that
sitting. Records with no age are left out too unless unknown_age=keep; even then not those of anybody who was
under 18 at another sitting. Notes say how many.

Options: role=front or role=profile; mirror=left or mirror=right turns profiles of the other side round.
Labels: "sex", "age", and "side" of profiles. Pictures are gray, cut to the largest square in the middle.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mien.core.errors import InputError
from mien.core.events import Tick
from mien.datasets.index import Entry, Index, Problem
from mien.datasets.layout import open_layout
from mien.datasets.layouts._sd18 import ADULT, Record, count_records, minors, read_records
from mien.datasets.stored import StoredDataset

LICENCE = "NIST Special Database 18 agreement: research only"
CITATION = "C. Watson: NIST Special Database 18, Mugshot Identification Database (MID). NIST, 1994"

_GET = "get Special Database 18 from NIST (www.nist.gov/srd) under its agreement and unpack it here"


class Pair(NamedTuple):
    """A front and a profile of one person."""

    front: Entry
    profile: Entry


def recognise(root: Path) -> bool:
    """Are there folders named as its parts?"""
    folder = _folder(root)
    return folder is not None and any(folder.glob("*/f[0-9]*_p[0-9]*/"))


def open(where: str, *, progress: Tick | None = None) -> StoredDataset:
    """Open "FOLDER?options"; no labels unless labels= names some ("sex", "role", "age")."""
    return open_layout("sd18", index, where, progress=progress)


def index(
    root: Path,
    *,
    role: Literal["", "front", "profile"] = "",
    mirror: Literal["", "left", "right"] = "",
    unknown_age: Literal["drop", "keep"] = "drop",
) -> Index:
    """Its adults' pictures by person, sitting and view; group is the sitting.

    `counts` is NIST's own table over everything that lies there. Raises InputError where nothing does.
    """
    folder = _folder(root)
    if folder is None:
        raise InputError(f"{root}: sd18/single/ and sd18/multiple/ are missing; {_GET}")
    missing = [name for name in ("single", "multiple") if not (folder / name).is_dir()]
    problems = [Problem(f"{name}/", f"the folder is missing; {_GET}") for name in missing]
    records = read_records(root, folder, problems)
    if not records:
        raise InputError(f"{folder}: no picture in it, as single/f1_p1/00001_1_F.png; {_GET}")
    counts = count_records(records, problems)
    kept, notes = _adults(records, keep_unknown=unknown_age == "keep", counts=counts)
    entries = tuple(_entry(record, mirror) for record in kept if role in ("", record.role))
    people = Counter(record.person for record in records)
    return Index("sd18", root, entries, tuple(problems), notes, counts, LICENCE, channels=1, people=people)


def pairs(index: Index) -> tuple[Pair, ...]:
    """Every profile with a front of the same person: of the same sitting, else that person's first.

    By person, sitting and side. A profile of whom there is no front is in no pair.
    """
    fronts: dict[str, dict[str, Entry]] = {}
    for entry in index.entries:
        if entry.role == "front":
            fronts.setdefault(entry.person, {})[entry.group] = entry
    profiles = [entry for entry in index.entries if entry.role == "profile" and entry.person in fronts]
    return tuple(
        Pair(fronts[p.person].get(p.group) or next(iter(fronts[p.person].values())), p) for p in profiles
    )


def _folder(root: Path) -> Path | None:
    for folder in (root / "sd18", root):
        if (folder / "single").is_dir() or (folder / "multiple").is_dir():
            return folder
    return None


def _adults(
    records: Sequence[Record], *, keep_unknown: bool, counts: dict[str, int]
) -> tuple[list[Record], tuple[str, ...]]:
    """The records that may be opened, and what the user is told; adds rows to `counts`."""
    young = minors(records)
    people = {person for person, _ in young}
    under = {
        record.file
        for record in records
        if (record.person, record.sitting) in young or (record.age is None and record.person in people)
    }
    rest = [record for record in records if record.file not in under]
    unknown = sum(record.age is None for record in rest)
    kept = rest if keep_unknown else [record for record in rest if record.age is not None]
    with_front = {record.person for record in kept if record.role == "front"}
    lone = sum(record.person not in with_front for record in kept)
    counts[f"pictures of people under {ADULT}, left out"] = len(under)
    counts["pictures with no age, " + ("kept" if keep_unknown else "left out")] = unknown
    counts["profiles with no front"] = lone
    notes = [f"{len(under)} of {len(records)} pictures left out: age under {ADULT}"]
    treatment = "kept, as asked" if keep_unknown else "left out; unknown_age=keep keeps them"
    notes.append(f"{unknown} of {len(records)} pictures give no age: {treatment}")
    notes += [f"profiles with no front, which are in no pair: {lone}"] if lone else []
    return kept, tuple(notes)


def _entry(record: Record, mirror: str) -> Entry:
    labels: dict[str, Any] = {"sex": record.sex, "age": record.age}
    turn = bool(mirror and record.side and record.side != mirror)
    labels["side"] = (mirror if turn else record.side) or None
    known = {name: value for name, value in labels.items() if value is not None}
    group = f"{record.person}_{record.sitting}"
    return Entry(record.file, known, record.person, record.role, group=group, mirror=turn)
