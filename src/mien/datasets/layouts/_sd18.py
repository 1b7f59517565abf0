"""The records of NIST SD18 as they lie on disk, and the table of what there is."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.core.errors import InputError
from mien.core.picture import PICTURE_SUFFIXES, list_files
from mien.datasets.index import Problem
from mien.datasets.tables import read_text

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
