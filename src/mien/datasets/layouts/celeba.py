"""CelebA: 202,599 aligned pictures of 10,177 people with forty attributes: "celeba:FOLDER".

    img_align_celeba/000001.jpg    178x218
    list_attr_celeba.txt           line 1 the count, line 2 the names, then "000001.jpg -1  1 ..."
    list_eval_partition.txt        "000001.jpg 0" (train), 1 (val) or 2 (test)
    identity_CelebA.txt            "000001.jpg 2880"

Kaggle's copy has the lists as .csv, line 1 "image_id,5_o_Clock_Shadow,...". The lists may lie in Anno/ and
Eval/ and the pictures in Img/, as they come; without img_align_celeba/ the pictures are those of the list,
in whatever folders they lie (images/, train/). CelebA-HQ's list is read too. Attributes go by the names in
the header, never by their place. Without the partition split= goes by person; without the identities nobody
knows who is who. Pictures are cut to the largest square in the middle.
"""

import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from mien.core.archive import ARCHIVE_SUFFIXES
from mien.core.errors import InputError
from mien.core.path_labels import read_paths
from mien.core.picture import PICTURE_SUFFIXES
from mien.datasets.index import Entry, Index, Problem
from mien.datasets.layout import open_layout
from mien.datasets.tables import list_rows, read_text

LICENCE = "CelebA agreement: non-commercial research only; pictures may not be passed on"
CITATION = "Z. Liu, P. Luo, X. Wang, X. Tang: Deep Learning Face Attributes in the Wild. ICCV 2015"

_PICTURES, _ATTRIBUTES, _OF_HQ = "img_align_celeba", "list_attr_celeba", "CelebAMask-HQ-attribute-anno"
_PARTITION, _IDENTITY = "list_eval_partition", "identity_CelebA"
_LIST_FOLDERS = ("Anno", "Eval")
_PACKED = (*ARCHIVE_SUFFIXES, ".7z", ".7z.001", ".rar")
_SPLITS = {"0": "train", "1": "val", "2": "test"}
_TRUTH = {"1": True, "-1": False}
_GET = "get it from mmlab.ie.cuhk.edu.hk/projects/CelebA.html after agreeing to its terms"

_LOOKED_AT = 200  # entries of a folder, to see whether it is one
T = TypeVar("T")
Attributes = dict[str, dict[str, bool]]  # picture -> name -> value


def recognise(root: Path) -> bool:
    """Is there the folder of pictures or the list of attributes?"""
    root = _base(root)
    return _pictures(root) is not None or _attribute_list(root) is not None


def index(root: Path) -> Index:
    """Read the lists and see which pictures are there.

    Raises InputError, saying what is missing and where to get it, without pictures or attributes, or where
    the list of attributes has no usable header.
    """
    whole, root = root, _base(root)
    listed = _attribute_list(root)
    if listed is None:
        raise _missing(root, f"{_ATTRIBUTES}.txt (or .csv)")
    problems: list[Problem] = []
    notes: list[str] = []
    names, attributes = _read_attributes(listed, problems)
    splits = _read_list(root, _PARTITION, problems, notes)
    people = _read_list(root, _IDENTITY, problems, notes)
    place = _pictures(root)
    folder, present = root if place is None else place, _list_pictures(place) if place else []
    if place is None:
        present, others = _listed_anywhere(root, attributes)
        if others:
            problems.append(
                Problem(others[0], f"{len(others)} not in {listed.name}, or of a number twice: left out")
            )
        if not present:
            raise _missing(root, f"{_PICTURES}/")
    attributes, splits, people = (_as_they_are(present, known) for known in (attributes, splits, people))
    by_folder = {n: path.split for n, path in zip(present, read_paths(present), strict=True) if path.split}
    if by_folder and not splits:
        splits, notes = by_folder, [note for note in notes if not note.startswith(f"no {_PARTITION}")]
    problems += _compare(present, attributes, folder.name, listed.name)
    prefix = folder.relative_to(whole)
    entries = tuple(
        Entry(
            *((prefix / name).as_posix(), attributes.get(name, {}), people.get(name, "")),
            split=splits.get(name, ""),
        )
        for name in present
    )
    counts = _count(entries, names)
    return Index("celeba", whole, entries, tuple(problems), tuple(notes), counts, LICENCE, label_names=names)


open = partial(open_layout, "celeba", index)  # the forty attributes are its labels unless labels= names some


def _base(root: Path) -> Path:
    """The folder with pictures and list: the root, or the folder in it that an archive was unpacked to."""
    folders = sorted(path for path in islice(root.iterdir(), _LOOKED_AT) if path.is_dir())
    listed = [place for place in (root, *folders) if _attribute_list(place)]
    return next((place for place in listed if _pictures(place)), listed[0] if listed else root)


def _attribute_list(root: Path) -> Path | None:
    return _list_file(root, _ATTRIBUTES) or _list_file(root, _OF_HQ)


def _missing(root: Path, what: str) -> InputError:
    packed = min((path.name for path in root.glob("*") if path.name.lower().endswith(_PACKED)), default="")
    advice = f"{packed} lies there still packed: unpack it here" if packed else _GET
    return InputError(f"{root}: {what} is missing; {advice}")


def _listed_anywhere(root: Path, attributes: Attributes) -> tuple[list[str], list[str]]:
    """The pictures of the list, wherever they lie below `root`, and the other pictures."""
    stems = {Path(name).stem for name in attributes}
    folders = [
        [(Path(place) / name).relative_to(root) for name in _list_pictures(Path(place))]
        for place, _, _ in os.walk(root)
    ]
    folders.sort(key=lambda paths: (-sum(path.stem in stems for path in paths), paths))
    known: dict[str, str] = {}
    others = []
    for path in chain.from_iterable(folders):
        name = path.as_posix()
        if path.stem not in stems or known.setdefault(path.stem, name) != name:
            others.append(name)
    return sorted(known.values()), others


def _pictures(root: Path) -> Path | None:
    known = next(
        (folder for place in (root, root / "Img") for folder in _named(place, _PICTURES, dirs=True)), None
    )
    nested = next(_named(known, _PICTURES, dirs=True), None) if known else None
    return nested or known  # some copies are unpacked into a folder of that name


def _list_file(root: Path, name: str) -> Path | None:
    """A list as it comes, or as Kaggle has it."""
    paths = (path for folder in ("", *_LIST_FOLDERS) for path in _named(root / folder, name, dirs=False))
    return min(paths, key=lambda path: path.suffix.lower() != ".txt", default=None)


def _named(folder: Path, name: str, *, dirs: bool) -> Iterator[Path]:
    """Folders or lists in `folder` that are called so, or so and something more, as "NAME (1).CSV"."""
    known = folder.iterdir() if folder.is_dir() else ()
    for path in sorted(each for each in known if each.name.lower().startswith(name.lower())):
        if path.is_dir() if dirs else path.suffix.lower() in (".txt", ".csv") and path.is_file():
            yield path


def _as_they_are(present: list[str], known: dict[str, T]) -> dict[str, T]:
    """What a list says, by the names of the pictures that are there: PNGs where the list has JPEGs."""
    by_stem = {Path(name).stem: name for name in present}
    return {by_stem.get(Path(name).stem, name): value for name, value in known.items()}


def _fields(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(number of the line, its fields) for each line of a list, at spaces or, in a .csv, at commas."""
    if path.suffix.lower() != ".csv":
        yield from list_rows(path)
        return
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.strip():
            yield number, [field.strip().strip('"') for field in line.split(",")]


def _list_pictures(folder: Path) -> list[str]:
    with os.scandir(folder) as known:
        return sorted(
            item.name
            for item in known
            if Path(item.name).suffix.lower() in PICTURE_SUFFIXES and not item.name.startswith(".")
        )


def _read_attributes(path: Path, problems: list[Problem]) -> tuple[tuple[str, ...], Attributes]:
    """The names in line 2, and the values of every row that is whole."""
    lines = _fields(path)
    csv = path.suffix.lower() == ".csv"  # without the count, and with a name over the pictures
    count = None if csv else _header_count(path, next(lines, None))
    number, header = next(lines, (2, []))
    header = header[1:] if csv else header
    if not header or len(set(header)) < len(header) or header[0] in _TRUTH:
        raise InputError(f"{path}, line {number}: it must name each attribute once; {_GET}")
    known: Attributes = {}
    last, num_rows = number, 0
    for last, fields in lines:
        num_rows += 1
        trouble = _trouble(fields, len(header), number, known)
        if trouble:
            problems.append(Problem(f"{path.name}:{last}", f"{trouble}; the line is left out"))
        else:
            known[fields[0]] = {n: _TRUTH[value] for n, value in zip(header, fields[1:], strict=True)}
    if num_rows and not known:
        raise InputError(f"{path}: none of its {num_rows} rows fits line {number}; first {problems[0]}")
    if count is not None and num_rows != count:
        text = f"it promises {count} rows, but there are {num_rows}, the last in line {last}"
        problems.insert(0, Problem(f"{path.name}:1", f"{text}; the file is cut off or not whole: {_GET}"))
    return tuple(header), known


def _header_count(path: Path, first: tuple[int, list[str]] | None) -> int:
    if first is None or len(first[1]) != 1 or not first[1][0].isdecimal():
        raise InputError(f"{path}, line 1: it must be the number of pictures and nothing else; {_GET}")
    return int(first[1][0])


def _trouble(fields: list[str], width: int, line: int, known: Attributes) -> str:
    """What is wrong with a row, or ""."""
    if len(fields) != width + 1:
        return f"{len(fields) - 1} values where line {line} names {width} attributes"
    odd = next((value for value in fields[1:] if value not in _TRUTH), None)
    if odd is not None:
        return f"value {odd!r} is neither 1 nor -1"
    return f"{fields[0]} stands in an earlier line too" if fields[0] in known else ""


def _read_list(root: Path, name: str, problems: list[Problem], notes: list[str]) -> dict[str, str]:
    """picture -> split or person; {} and a note where there is no such list."""
    path = _list_file(root, name)
    if path is None:
        lost = "who is who, so split= may put one person on two sides"
        lost = "the official split, so split= is made by person" if name == _PARTITION else lost
        notes.append(f"no {name}.txt: nothing says {lost}; {_GET}")
        return {}
    known: dict[str, str] = {}
    for number, fields in _fields(path):
        if number == 1 and path.suffix.lower() == ".csv":
            continue  # the names of the columns
        value = fields[1] if len(fields) == 2 else ""
        value = _SPLITS.get(value, "") if name == _PARTITION else value
        if not value or fields[0] in known:
            expected = "a picture and 0, 1 or 2" if name == _PARTITION else "a picture and a person"
            text = f"it should hold {expected}, each picture once; the line is left out"
            problems.append(Problem(f"{path.name}:{number}", text))
        else:
            known[fields[0]] = value
    return known


def _compare(present: list[str], attributes: Attributes, folder: str, listed: str) -> Iterator[Problem]:
    """Rows without a picture, and pictures without a row."""
    for name in sorted(attributes.keys() - set(present)):
        yield Problem(f"{folder}/{name}", f"the picture is missing, though {listed} has it")
    for name in present:
        if name not in attributes:
            yield Problem(f"{folder}/{name}", f"it has no whole row in {listed}; it has no labels")


def _count(entries: tuple[Entry, ...], names: tuple[str, ...]) -> dict[str, int]:
    sides = Counter(entry.split for entry in entries if entry.split)
    counts = {"pictures": len(entries), "attributes": len(names)}
    counts["pictures with attributes"] = sum(bool(entry.labels) for entry in entries)
    counts["people"] = len({entry.person for entry in entries} - {""})
    return counts | {split: sides[split] for split in _SPLITS.values()}
