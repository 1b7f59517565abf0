"""Labeled Faces in the Wild, and folders laid out like it: a folder for each person, named like its pictures.

    lfw/Aaron_Peirsol/Aaron_Peirsol_0001.jpg    250x250, the face in the middle
    lfw/pairs.txt                               pairs for verification; not read

Nobody is on two sides of split= or fold=. There are no other labels; labels=person makes a class of each.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from mien.core.errors import InputError
from mien.core.picture import list_pictures
from mien.datasets.index import Entry, Index, Problem
from mien.datasets.layout import open_layout

LICENCE = "LFW: pictures from news, for research; their rights are not cleared"
CITATION = "Huang, Ramesh, Berg, Learned-Miller: Labeled Faces in the Wild. UMass Amherst 07-49, 2007"

_NUMBERED = re.compile(r"(?P<person>.+)_[0-9]{4}")
_LOOKED_AT = 20  # folders


def recognise(root: Path) -> bool:
    """Are most of the first folders named like the numbered pictures in them?"""
    folders = list(_first_folders(root))
    if len(folders) == 1:  # as some archives unpack
        folders = list(_first_folders(folders[0]))
    people = [_shows_its_person(folder) for folder in folders]
    return len(people) > 1 and 2 * sum(people) > len(people)


def index(root: Path) -> Index:
    """Pictures by person and number; those that lie elsewhere are named and left out."""
    entries, problems = [], []
    for path in list_pictures(root):
        file, match = path.relative_to(root).as_posix(), _NUMBERED.fullmatch(path.stem)
        if match and match["person"] == path.parent.name:
            entries.append(Entry(file, person=match["person"]))
        else:
            problems.append(
                Problem(file, "left out: it is not named like its folder and a number, NAME_0001")
            )
    if not entries:
        raise InputError(f"{root}: no picture in it as Aaron_Peirsol/Aaron_Peirsol_0001.jpg")
    people = Counter(entry.person for entry in entries)
    counts = {"pictures": len(entries), "people": len(people)}
    counts["people with several pictures"] = sum(count > 1 for count in people.values())
    return Index("lfw", root, tuple(entries), tuple(problems), counts=counts, people=people)


open = partial(open_layout, "lfw", index)  # "FOLDER?size=64&split=train"


def _first_folders(root: Path) -> Iterator[Path]:
    folders = (path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    return islice(folders, _LOOKED_AT)


def _shows_its_person(folder: Path) -> bool:
    matches = [_NUMBERED.fullmatch(path.stem) for path in folder.iterdir()]
    return bool(matches) and all(match and match["person"] == folder.name for match in matches)
