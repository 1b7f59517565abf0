"""Pairs of pictures: two folders with the same file names, names ending in the side, or both in one picture.

    faces/front/001.png   faces/profile/001.png      two sub-folders with any names are the two sides
    faces/trainA/1.jpg    faces/trainB/1.jpg         as CycleGAN has them; A/, B/ and AB/ as pix2pix has them
    faces/001_A.jpg       faces/001_B.jpg            the last word of the names is the side
    facades/train/1.jpg                              left half and right half

Folders named train, val or test are the split, above or below the sides. A pair's name is the path inside its
side without suffix, so pairs never depend on the order of a listing. Opened as a plain dataset, every
picture's class is its side; `datasets/paired.py:open_pairs` gives both sides alike.
"""

import glob
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mien.core.errors import InputError
from mien.core.path_labels import PathLabels, read_paths
from mien.core.picture import Pixels, decode, list_pictures
from mien.datasets.header import Header, read_headers
from mien.datasets.index import Entry, Index, Problem
from mien.datasets.layout import open_layout

LICENCE = "that of the pictures themselves"
CITATION = "none; halves side by side are the layout of pix2pix (Isola et al., CVPR 2017)"

HALVES = ("left", "right")
# Names by which a folder of pairs is recognised unasked; any other two folders may as well be classes.
_KNOWN_SIDES = [{"a", "b"}, {"front", "profile"}, {"input", "target"}, {"input", "output"}, {"x", "y"}]
_KNOWN_SIDES += [{"source", "target"}, {"left", "right"}, {"before", "after"}, {"photo", "sketch"}]
_KNOWN_SIDES += [{"photos", "sketches"}, {"noisy", "clean"}, {"blur", "sharp"}, {"lr", "hr"}]
_KNOWN_SIDES += [{"images", "masks"}]
_JOINED = {"ab", "a_b", "a-b", "combined"}  # pix2pix's third folder, which shows both sides again
_SIDE_IN_NAME = re.compile(r"(?P<name>.*[^-_. ])[-_. ](?P<side>[A-Za-z]+)")
_NAMED = 20  # files that an error names for each thing that is amiss; `mien data info` names all
_HINT = "; if names differ after a sign, as 001_03 and 001_08, open pairs:FOLDER?until=_"
_LOOKED_AT = 8  # pictures whose shape decides whether a folder holds halves
_ALIKE = 1.02  # shapes of halves may differ by rounding


@dataclass(frozen=True)
class GrayProblem(Problem):
    """One side is gray and the other in colour: no problem for who opens all as gray (channels=1)."""


class _Picture(NamedTuple):
    """name: of its pair. side: a folder or the end of its name; "" where it shows both."""

    file: str
    side: str
    name: str
    split: str


@dataclass
class _Pairs:
    """What was read so far."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    headers: dict[str, Header] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def recognise(root: Path) -> bool:
    """Sides of known names of which at least half of the smaller's pictures have a partner, or halves."""
    pictures = _list(root, "", _Pairs())
    sides = _names_by_side(pictures)
    if len(sides) == 2:
        one, two = sides.values()
        named = {side.lower() for side in sides} in _KNOWN_SIDES
        return named and 2 * len(one & two) >= min(len(one), len(two)) > 0
    return not sides and _shape_of_halves(root, pictures) == 2


def may_be(root: Path) -> bool:
    """Is there anything to pair, however badly: two sides (one may be empty), or halves?"""
    pictures = _list(root, "", _Pairs())
    sides = _names_by_side(pictures)
    if len(sides) > 1 or _empty_sides(root, sides):
        return len(sides.keys() | _empty_sides(root, sides)) == 2
    return _shape_of_halves(root, pictures) > 1


def index(root: Path, *, until: str = "", halves: bool = False) -> Index:
    """Entries come pair by pair, sorted by name. Left out and named: pictures without partner, pairs of
    different sizes. Named only: pairs of which one side is gray.

    until: a pair's name ends before this sign, so that until=_ pairs 001_03.jpg with 001_08.jpg. halves: cut
    pictures in the middle also where they are not wider than high.
    """
    pairs = _Pairs()
    pictures = _list(root, until, pairs)
    sides = _names_by_side(pictures)
    empty = _empty_sides(root, sides)
    if len(sides) == 2 and not halves:
        _two_sides(root, pictures, sorted(sides), pairs)
    elif sides and len(sides.keys() | empty) == 2:
        words = "there are no pictures in it, so nothing has a partner"
        pairs.problems += [Problem(side, words) for side in sorted(empty)]
    elif len(sides) < 2 or halves:
        _halves(root, pictures, pairs, always=halves)
    else:
        text = (
            f"it holds {len(sides)} sub-folders; two, or pictures of both sides, wider than high, are needed"
        )
        pairs.problems.append(Problem(".", text))
    gray = bool(pairs.headers) and all(header.gray for header in pairs.headers.values())
    roles = Counter(entry.role for entry in pairs.entries)
    counts = {"pairs": len(pairs.entries) // 2}
    return Index(
        "pairs",
        root,
        tuple(pairs.entries),
        tuple(pairs.problems),
        tuple(pairs.notes),
        counts | {f"pictures in {role}": count for role, count in sorted(roles.items())},
        channels=1 if gray else 3,
        label_names=("role",),
    )


def read(root: Path, entry: Entry) -> Pixels:
    """The picture of an entry, which may be one half of a file."""
    whole = decode(root / entry.file, where=entry.file).pixels
    half = whole.shape[1] // 2
    return {"": whole, "left": whole[:, :half], "right": whole[:, half : 2 * half]}[entry.part]


open = partial(
    open_layout, "pairs", index, read=read
)  # both sides of every whole pair, one class for each side


def _list(root: Path, until: str, pairs: _Pairs) -> list[_Picture]:
    """Every picture with its side, pair and split; a second one of the same name is a problem, left out."""
    files = sorted(path.relative_to(root).as_posix() for path in list_pictures(root))
    placed = _below_common(files, read_paths(files))
    sides = {path.folders[0] for path in placed if path.folders}
    joined = {side for side in sides if side.lower() in _JOINED} if len(sides) == 3 else set()
    pairs.notes += [f"{side}/ shows both sides again and is passed over" for side in sorted(joined)]
    pictures: dict[tuple[str, str, str], _Picture] = {}
    for file, path in zip(files, placed, strict=True):
        if path.folders[:1] and path.folders[0] in joined:
            continue
        picture = _picture(file, path, until)
        first = pictures.setdefault((picture.split, picture.side, picture.name), picture)
        if first is not picture:
            pairs.problems.append(Problem(file, f"left out: {first.file} has the same name"))
    listed = list(pictures.values())
    return _alike(listed) if sides else _with_sides_of_names(listed)


def _below_common(files: Sequence[str], placed: list[PathLabels]) -> list[PathLabels]:
    """Paths without outer folders that all share, where two folders below them share names of files."""
    below = placed
    while all(len(path.folders) > 1 for path in below) and len({path.folders[0] for path in below}) == 1:
        below = [path._replace(folders=path.folders[1:]) for path in below]
    stems: dict[str, set[str]] = {}
    for file, path in zip(files, below, strict=True):
        stems.setdefault(path.folders[0] if path.folders else "", set()).add(PurePosixPath(file).stem)
    shared = len(stems) in (2, 3) and set.intersection(*stems.values())
    return below if shared else placed


def _alike(pictures: list[_Picture]) -> list[_Picture]:
    """The same with looser names where none is on both sides: in one case, then without the side's word."""
    for loosen in (str, str.casefold, _without_side):
        loose = [picture._replace(name=loosen(picture.name)) for picture in pictures]
        sides = list(_names_by_side(loose).values())
        if len(sides) == 2 and sides[0] & sides[1]:
            return loose
    return pictures


def _without_side(name: str) -> str:
    match = _SIDE_IN_NAME.fullmatch(name.casefold())
    return match["name"] if match else name.casefold()


def _picture(file: str, path: PathLabels, until: str) -> _Picture:
    stem = PurePosixPath(file).stem
    stem = (stem.split(until)[0] or stem) if until else stem
    return _Picture(
        file,
        path.folders[0] if path.folders else "",
        PurePosixPath(*path.folders[1:], stem).as_posix(),
        path.split,
    )


def _with_sides_of_names(pictures: list[_Picture]) -> list[_Picture]:
    """The same with the sides that names end in, where those are two words in all: 0_A and 0_B."""
    matches = [_SIDE_IN_NAME.fullmatch(picture.name) for picture in pictures]
    sides = {match["side"] if match else "" for match in matches}
    if len(sides) != 2 or "" in sides:
        return pictures
    return [
        picture._replace(side=match["side"], name=match["name"])
        for picture, match in zip(pictures, matches, strict=True)
        if match
    ]


def _names_by_side(pictures: Sequence[_Picture]) -> dict[str, set[tuple[str, str]]]:
    """Side -> (split, name) of its pictures; {} where pictures lie beside the folders or show both sides."""
    sides: dict[str, set[tuple[str, str]]] = {}
    for picture in pictures:
        sides.setdefault(picture.side, set()).add((picture.split, picture.name))
    return {} if "" in sides else sides


def _empty_sides(root: Path, sides: Mapping[str, object]) -> set[str]:
    """Folders beside the only side that hold no picture."""
    if len(sides) != 1:
        return set()
    (side,) = sides
    parents = [path.parent for path in root.rglob(glob.escape(side)) if path.is_dir()]
    beside = {path.name for parent in parents for path in parent.iterdir() if path.is_dir()}
    return {name for name in beside - {side} if not name.startswith((".", "__MACOSX"))}


def _two_sides(root: Path, pictures: Sequence[_Picture], sides: Sequence[str], pairs: _Pairs) -> None:
    by_pair: dict[tuple[str, str], dict[str, str]] = {}
    for picture in pictures:
        by_pair.setdefault((picture.split, picture.name), {})[picture.side] = picture.file
    for side, other in (tuple(sides), tuple(reversed(sides))):
        lone = sorted(files[side] for files in by_pair.values() if side in files and other not in files)
        pairs.problems += [Problem(file, f"it has no partner in {other}/") for file in lone]
    whole = {pair: files for pair, files in sorted(by_pair.items()) if len(files) == 2}
    pairs.headers = read_headers(root, [files[s] for files in whole.values() for s in sides], pairs.problems)
    for (split, name), files in whole.items():
        group = PurePosixPath(split, name).as_posix()
        _add_pair(pairs, [Entry(files[side], role=side, split=split, group=group) for side in sides])


def _add_pair(pairs: _Pairs, entries: list[Entry]) -> None:
    one, two = (pairs.headers.get(entry.file) for entry in entries)
    if one is None or two is None:
        return  # the file that is no picture has been named
    if one.size != two.size:
        text = f"left out: it is {one}, {entries[1].file} is {two}; a pair needs one size"
        pairs.problems.append(Problem(entries[0].file, text))
        return
    if one.gray != two.gray:
        kinds = ["gray" if header.gray else "in colour" for header in (one, two)]
        text = f"it is {kinds[0]}, {entries[1].file} is {kinds[1]}; channels=1 opens both as gray"
        pairs.problems.append(GrayProblem(entries[0].file, text))
    pairs.entries += entries


def _halves(root: Path, pictures: Sequence[_Picture], pairs: _Pairs, *, always: bool) -> None:
    """Left and right halves of pictures that have the shape most of them have."""
    headers = read_headers(root, [picture.file for picture in pictures], pairs.problems)
    shape = _commonest_shape(list(headers.values()))
    if not always and shape <= 1:
        text = "no pairs: no two folders, no names in _A and _B, most are not wider than high"
        pairs.problems.append(Problem(".", f"{text}; halves=yes cuts them in the middle all the same"))
        return
    if shape != 2 and headers:
        pairs.notes.append(
            f"pictures of {next(iter(headers.values()))} are cut in the middle: left and right"
        )
    for picture in sorted(pictures, key=lambda picture: (picture.split, picture.name)):
        header = headers.get(picture.file)
        if header is None:
            continue
        wrong = _why_no_halves(header, shape)
        if wrong:
            pairs.problems.append(
                Problem(picture.file, f"left out: it is {header}, {wrong}, so it is no pair")
            )
            continue
        pairs.headers[picture.file] = header
        group = PurePosixPath(picture.split, picture.side, picture.name).as_posix()
        split = picture.split
        pairs.entries += [Entry(picture.file, role=h, split=split, group=group, part=h) for h in HALVES]


def _why_no_halves(header: Header, shape: float) -> str:
    if shape and not 1 / _ALIKE <= header.width / header.height / shape <= _ALIKE:
        return "not twice as wide as high" if shape == 2 else f"not {shape:.3g} times as wide as high"
    return "and its width is odd" if header.width % 2 else ""


def _shape_of_halves(root: Path, pictures: Sequence[_Picture]) -> float:
    """Width by height of most of the first pictures; 0 where they differ."""
    files = [picture.file for picture in pictures[:_LOOKED_AT]]
    return _commonest_shape(list(read_headers(root, files, []).values()))


def _commonest_shape(headers: Sequence[Header]) -> float:
    shapes = Counter(header.width / header.height for header in headers)
    shape, count = shapes.most_common(1)[0] if shapes else (0.0, 0)
    alike = sum(n for each, n in shapes.items() if shape and 1 / _ALIKE <= each / shape <= _ALIKE)
    return shape if 2 * alike > len(headers) and count else 0.0


def check(contents: Index, *, gray: bool) -> None:
    """Raise InputError naming everything in `contents` that training on pairs may not pass over.

    gray: everything will be opened as gray, so that gray beside colour is none of it.
    """
    grave: dict[str, list[str]] = {}
    for problem in contents.problems:
        if not (gray and isinstance(problem, GrayProblem)):
            grave.setdefault(problem.text, []).append(problem.where)
    if grave:
        texts = []
        for text, files in grave.items():
            more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
            texts.append(f"{', '.join(files[:_NAMED])}{more}: {text}")
        raise InputError(f"{contents.root}: {'; '.join(texts)}{'' if contents.entries else _HINT}")
    if not contents.entries:
        raise InputError(f"{contents.root}: there are no pairs in it")
