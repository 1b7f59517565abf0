"""NIST Special Database 18, mugshots from the front and in profile: "sd18:FOLDER".

    sd18/{single,multiple}/f1_p1/.../00001_1_F.png     gray, sizes vary; F front, L and R profiles
    sd18/{single,multiple}/f1_p1/.../00001_1_F.txt     "Key: value" lines: gender, age, ...

It holds minors. Records with an age under 18 are left out always, and with them the other views of that
sitting. Records with no age are left out too unless unknown_age=keep; even then not those of anybody who was
under 18 at another sitting. Notes say how many.

Options: role=front or role=profile; mirror=left or mirror=right turns profiles of the other side round.
Labels: "sex", "age", and "side" of profiles. Pictures are gray, cut to the largest square in the middle.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mien.core.errors import InputError
from mien.core.picture import PICTURE_SUFFIXES, list_files
from mien.datasets.index import Entry, Index, Problem
from mien.datasets.layout import open_layout
from mien.datasets.tables import read_text

LICENCE = "NIST Special Database 18 agreement: research only"
CITATION = "C. Watson: NIST Special Database 18, Mugshot Identification Database (MID). NIST, 1994"

_GET = "get Special Database 18 from NIST (www.nist.gov/srd) under its agreement and unpack it here"

ADULT = 18
_NAME = re.compile(r"([0-9]+)_([0-9]+)_([FLR])", re.IGNORECASE)
_ROLES = {"F": "front", "L": "profile", "R": "profile"}
_SIDES = {"F": "", "L": "left", "R": "right"}
_SEXES = {"m": "male", "male": "male", "f": "female", "female": "female"}
_OLDEST = 120


@dataclass(frozen=True)
class Record:
    """One picture. file: relative to the root. person, sitting: of its name, "00001" and 1. role: "front" or
    "profile". side: which profile, "left" or "right", as the name says, or "". age, sex: as its text says.
    """

    file: str
    person: str
    sitting: int
    role: str
    side: str
    age: int | None
    sex: str | None


class Pair(NamedTuple):
    """A front and a profile of one person."""

    front: Entry
    profile: Entry


def recognise(root: Path) -> bool:
    """Are there folders named as its parts?"""
    folder = _folder(root)
    return folder is not None and any(folder.glob("*/f[0-9]*_p[0-9]*/"))


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


open = partial(open_layout, "sd18", index)  # no labels unless labels= names some ("sex", "role", "age")


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


def read_records(root: Path, folder: Path, problems: list[Problem]) -> tuple[Record, ...]:
    """All pictures under `folder`, by person, sitting and view, however they are listed or nested."""
    files = list_files(folder)
    texts = {path.with_suffix(""): path for path in files if path.suffix.lower() == ".txt"}
    records: dict[tuple[str, int, str], Record] = {}
    for path in files:
        if path.suffix.lower() not in PICTURE_SUFFIXES:
            continue
        file = path.relative_to(root).as_posix()
        match = _NAME.fullmatch(path.stem)
        if match is None:
            problems.append(Problem(file, "not named NNNNN_K_F, _L or _R; it is left out"))
            continue
        text = texts.pop(path.with_suffix(""), None)
        if text is None:
            problems.append(Problem(file, "no .txt beside it says age and sex"))
        view = match[3].upper()
        key = (match[1], int(match[2]), view)
        if key in records:
            problems.append(Problem(file, f"the same view as {records[key].file}; it is left out"))
            continue
        age, sex = (None, None) if text is None else _age_and_sex(text, root, problems)
        records[key] = Record(file, match[1], int(match[2]), _ROLES[view], _SIDES[view], age, sex)
    orphans = [path for stem, path in texts.items() if _NAME.fullmatch(stem.name)]
    problems += [Problem(path.relative_to(root).as_posix(), "its picture is missing") for path in orphans]
    return tuple(records[key] for key in sorted(records))


def parse_text(text: str) -> dict[str, str]:
    """Lines "Key: value" with any case and space; "=" or a tab may stand for ":". Others say nothing."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        match = re.match(r"\s*([^:=\t]+?)\s*[:=\t]\s*(.*?)\s*$", line)
        if match and match[2]:
            fields.setdefault(match[1].lower(), match[2])
    return fields


def _age_and_sex(path: Path, root: Path, problems: list[Problem]) -> tuple[int | None, str | None]:
    try:
        fields = parse_text(read_text(path))
    except InputError as error:
        problems.append(Problem(path.relative_to(root).as_posix(), str(error)))
        return None, None
    number = re.match(r"[0-9]{1,3}(?![0-9])", fields.get("age", ""))
    age = int(number[0]) if number and 0 < int(number[0]) <= _OLDEST else None
    return age, _SEXES.get((fields.get("gender") or fields.get("sex") or "").lower())


def minors(records: Iterable[Record]) -> frozenset[tuple[str, int]]:
    """The sittings (person, number) of which any record gives an age under 18."""
    return frozenset((r.person, r.sitting) for r in records if r.age is not None and r.age < ADULT)


def count_records(records: Sequence[Record], problems: list[Problem]) -> dict[str, int]:
    """The table that NIST gives of the whole database; minors are in it.

    A case is a person with all sittings. "Two or more fronts" counts the people of whom there are at least
    two pictures from the front, "one front" those with exactly one, whatever profiles there are; the same for
    profiles, left and right together. The last three rows count people by both at once.
    """
    fronts = Counter(record.person for record in records if record.role == "front")
    profiles = Counter(record.person for record in records if record.role == "profile")
    people = {record.person: "" for record in records}
    for person, of_person in _sexes(records).items():
        people[person] = min(of_person) if len(of_person) == 1 else ""
        if len(of_person) > 1:
            problems.append(Problem(f"person {person}", "records give two sexes; counted as not known"))
    both = Counter((min(fronts[person], 2), min(profiles[person], 2)) for person in people)
    sexes = Counter(people.values())
    counts = {
        "pictures": len(records),
        "people": len(people),
        "people, male": sexes["male"],
        "people, female": sexes["female"],
    }
    counts |= {"people, sex not known": sexes[""]} if sexes[""] else {}
    return counts | {
        "cases with two or more fronts": sum(count for (f, _), count in both.items() if f == 2),
        "cases with one front": sum(count for (f, _), count in both.items() if f == 1),
        "cases with two or more profiles": sum(count for (_, p), count in both.items() if p == 2),
        "cases with one profile": sum(count for (_, p), count in both.items() if p == 1),
        "cases with two or more fronts and two or more profiles": both[2, 2],
        "cases with two or more fronts and one profile": both[2, 1],
        "cases with one front and one profile": both[1, 1],
    }


def _sexes(records: Sequence[Record]) -> dict[str, set[str]]:
    sexes: dict[str, set[str]] = {}
    for record in records:
        if record.sex is not None:
            sexes.setdefault(record.person, set()).add(record.sex)
    return sexes
