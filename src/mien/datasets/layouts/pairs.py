"""Pairs of pictures: two folders with the same file names, or pictures that show both sides in one.

    faces/front/001.png   faces/profile/001.png      two sub-folders with any names are the two sides
    facades/train/1.jpg                              twice as wide as high: left half and right half

Either may stand in sub-folders `train`, `val`, `test`, which then are the split. A pair's name is the path
inside its side without suffix, so pairs never depend on the order of a listing. Opened as a
plain dataset, every picture's class is its side; `_paired.open_pairs` gives both sides alike.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.picture import Pixels, decode, list_pictures
from mien.datasets.header import Header, read_headers
from mien.datasets.index import Entry, Index, Problem
from mien.datasets.layout import open_layout
from mien.datasets.stored import StoredDataset

LICENCE = "that of the pictures themselves"
CITATION = "none; halves side by side are the layout of pix2pix (Isola et al., CVPR 2017)"

HALVES = ("left", "right")
_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_NAMED = 20  # files that an error names for each thing that is amiss; `mien data info` names all
_HINT = "; if names differ after a sign, as 001_03 and 001_08, open pairs:FOLDER?until=_"
_LOOKED_AT = 8  # pictures whose shape decides whether a folder holds halves


@dataclass(frozen=True)
class GrayProblem(Problem):
    """One side is gray and the other in colour: no problem for who opens all as gray (channels=1)."""


class _Side(NamedTuple):
    role: str
    files: dict[str, str]  # name of the pair -> file relative to the root


@dataclass
class _Found:
    """What was found so far."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    headers: dict[str, Header] = field(default_factory=dict)
    pairs: int = 0


def recognise(root: Path) -> bool:
    """Two sub-folders of which at least half of the smaller's names are in the other, or halves."""
    part, _ = next(_parts(root))
    folders = _folders(part)
    if len(folders) == 2:
        one, two = (_names(root, folder, "", []) for folder in folders)
        return min(len(one), len(two)) > 0 and 2 * len(one.keys() & two.keys()) >= min(len(one), len(two))
    return not folders and _holds_halves(part)


def may_be(root: Path) -> bool:
    """Is there anything to pair, however badly: two sub-folders (one may be empty), or halves?"""
    part, _ = next(_parts(root))
    folders = _folders(part)
    return len(folders) == 2 or (not folders and _holds_halves(part))


def index(root: Path, *, until: str = "") -> Index:
    """Entries come pair by pair, sorted by name. Left out and named: pictures without partner, pairs of
    different sizes. Named only: pairs of which one side is gray.

    until: a pair's name ends before this sign, so that until=_ pairs 001_03.jpg with 001_08.jpg.
    """
    found = _Found()
    for part, split in _parts(root):
        folders = _folders(part)
        if len(folders) == 2:
            _two_folders(root, folders, split, until, found)
        elif not folders and _holds_halves(part):
            _halves(root, part, split, found)
        else:
            text = f"it holds {len(folders)} sub-folders; two, or pictures twice as wide as high, are needed"
            found.problems.append(Problem(_relative(root, part), text))
    gray = bool(found.headers) and all(header.gray for header in found.headers.values())
    sides = Counter(entry.role for entry in found.entries)
    counts = {"pairs": found.pairs, **{f"pictures in {role}": n for role, n in sorted(sides.items())}}
    return Index(
        "pairs",
        root,
        tuple(found.entries),
        tuple(found.problems),
        counts=counts,
        channels=1 if gray else 3,
        label_names=("role",),
    )


def read(root: Path, entry: Entry) -> Pixels:
    """The picture of an entry, which may be one half of a file."""
    whole = decode(root / entry.file, where=entry.file).pixels
    half = whole.shape[1] // 2
    return {"": whole, "left": whole[:, :half], "right": whole[:, half : 2 * half]}[entry.part]


def open(where: str, *, progress: Tick | None = None) -> StoredDataset:
    """Open "FOLDER?size=64": both sides of every whole pair, one class for each side."""
    return open_layout("pairs", index, where, progress=progress, read=read)


def _parts(root: Path) -> Iterator[tuple[Path, str]]:
    """The folder itself, or its train, val and test, each with its split."""
    folders = _folders(root)
    if folders and all(folder.name.lower() in _SPLITS for folder in folders):
        yield from ((folder, _SPLITS[folder.name.lower()]) for folder in folders)
    else:
        yield root, ""


def _folders(root: Path) -> list[Path]:
    shown = (path for path in root.iterdir() if not path.name.startswith((".", "__MACOSX")))
    return sorted(path for path in shown if path.is_dir())


def _names(root: Path, folder: Path, until: str, problems: list[Problem]) -> dict[str, str]:
    """Name of the pair -> file; a second file of the same name is a problem and left out."""
    names: dict[str, str] = {}
    for path in list_pictures(folder):
        file, inside = _relative(root, path), path.relative_to(folder)
        stem = inside.stem.split(until)[0] if until else inside.stem
        name = inside.with_name(stem or inside.stem).as_posix()
        if name not in names:
            names[name] = file
        else:
            problems.append(Problem(file, f"left out: {names[name]} has the same name"))
    return names


def _two_folders(root: Path, folders: Sequence[Path], split: str, until: str, found: _Found) -> None:
    sides = [_Side(folder.name, _names(root, folder, until, found.problems)) for folder in folders]
    empty = [side.role for side in sides if not side.files]
    if empty:
        words = "there are no pictures in it, so nothing has a partner"
        found.problems += [Problem(_relative(root, root / split / role), words) for role in empty]
        return
    one, two = sides
    for side, other in ((one, two), (two, one)):
        found.problems += [
            Problem(side.files[name], f"it has no partner in {other.role}/")
            for name in sorted(side.files.keys() - other.files.keys())
        ]
    names = sorted(one.files.keys() & two.files.keys())
    files = [side.files[name] for name in names for side in sides]
    headers = read_headers(root, files, found.problems)
    found.headers |= headers
    for name in names:
        _add_pair(
            found, [Entry(side.files[name], role=side.role) for side in sides], _join(split, name), split
        )


def _add_pair(found: _Found, entries: list[Entry], name: str, split: str) -> None:
    headers = [found.headers.get(entry.file) for entry in entries]
    one, two = headers
    if one is None or two is None:
        return  # the file that is no picture has been named
    if one.size != two.size:
        text = f"left out: it is {one}, {entries[1].file} is {two}; a pair needs one size"
        found.problems.append(Problem(entries[0].file, text))
        return
    if one.gray != two.gray:
        kinds = ["gray" if header.gray else "in colour" for header in (one, two)]
        text = f"it is {kinds[0]}, {entries[1].file} is {kinds[1]}; channels=1 opens both as gray"
        found.problems.append(GrayProblem(entries[0].file, text))
    found.pairs += 1
    found.entries += [Entry(e.file, role=e.role, split=split, group=name, part=e.part) for e in entries]


def _halves(root: Path, part: Path, split: str, found: _Found) -> None:
    files = _names(root, part, "", found.problems)
    headers = read_headers(root, list(files.values()), found.problems)
    for name, file in sorted(files.items()):
        header = headers.get(file)
        if header is not None and header.width != 2 * header.height:
            text = f"left out: it is {header}, not twice as wide as high, so it is no pair"
            found.problems.append(Problem(file, text))
        elif header is not None:
            found.headers[file] = header
            found.pairs += 1
            found.entries += [
                Entry(file, role=half, split=split, group=_join(split, name), part=half) for half in HALVES
            ]


def _holds_halves(folder: Path) -> bool:
    """Are most of the first pictures of a folder twice as wide as high?"""
    files = [_relative(folder, path) for path in list_pictures(folder)[:_LOOKED_AT]]
    headers = read_headers(folder, files, [])
    return 2 * sum(header.width == 2 * header.height for header in headers.values()) > len(files)


def _join(split: str, name: str) -> str:
    return PurePosixPath(split, name).as_posix()


def _relative(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def check(found: Index, *, gray: bool) -> None:
    """Raise InputError naming everything in `found` that training on pairs may not pass over.

    gray: everything will be opened as gray, so that gray beside colour is none of it.
    """
    grave: dict[str, list[str]] = {}
    for problem in found.problems:
        if not (gray and isinstance(problem, GrayProblem)):
            grave.setdefault(problem.text, []).append(problem.where)
    if grave:
        told = "; ".join(f"{_some(files)}: {text}" for text, files in grave.items())
        raise InputError(f"{found.root}: {told}{'' if found.entries else _HINT}")
    if not found.entries:
        raise InputError(f"{found.root}: there are no pairs in it")


def _some(files: Sequence[str]) -> str:
    more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    return ", ".join(files[:_NAMED]) + more
