"""Pictures of one eye with the direction of gaze: UnityEyes (rendered) and MPIIGaze (real).

    unityeyes/1.jpg, 1.json                 what the UnityEyes program writes, perhaps into `imgs`
    MPIIGaze/Data/Normalized/p00/day01.mat  both eyes of each frame, 36 pixels high and 60 wide, gray

Labels, in degrees: gaze_pitch = asin(-y) and gaze_yaw = atan2(-x, -z) of the line of sight in the camera's
axes (x to the picture's right, y down, z away from the camera). So gaze_pitch is positive for looking up, and
gaze_yaw for looking to the picture's LEFT, as is usual for these datasets; `yaw_towards=right` turns its
sign, which makes it what `mien render` writes. head_pitch and head_yaw follow the same rule.

Opened as squares: of UnityEyes the square around the eye; of MPIIGaze the whole width, the outer rows
repeated above and below. `fit=crop` instead cuts out what is as wide as 36x60 is high, and so loses both
corners of the eye. `picture_36x60` gives either dataset unpadded.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.picture import BadPicture, Pixels, decode
from mien.datasets.index import Box, Entry, Index, Problem
from mien.datasets.layout import open_layout
from mien.datasets.layouts._eyes import HEIGHT, WIDTH, days, numbered, read_day, read_eye, read_note
from mien.datasets.stored import StoredDataset

LICENCE = "UnityEyes: research only, see its site; MPIIGaze: CC BY-NC-SA 4.0"
CITATION = (
    "Wood et al., Learning an appearance-based gaze estimator from one million synthesised images, ETRA 2016;"
    " Zhang et al., Appearance-based gaze estimation in the wild, CVPR 2015"
)

_LICENCES = {"UnityEyes": "research only", "MPIIGaze": "CC BY-NC-SA 4.0"}
_MARGIN = 1.3  # side of the square around an eye, in widths of the eye


def recognise(root: Path) -> bool:
    """Days of MPIIGaze, or numbered pictures each with a note of UnityEyes."""
    return bool(_kind(root))


def index(
    root: Path, *, yaw_towards: Literal["left", "right"] = "left", fit: Literal["pad", "crop"] = "pad"
) -> Index:
    """UnityEyes by number; MPIIGaze by person, day, frame and eye.

    yaw_towards: where in the picture somebody looks whose gaze_yaw is positive. fit: as the module says.

    Named and left out: pictures without note, notes without picture or direction, days that cannot be read,
    lines of sight that are none. Raises InputError where the folder is neither.
    """
    kind = _kind(root)
    if not kind:
        raise InputError(
            f"{root}: neither UnityEyes (1.jpg, 1.json) nor MPIIGaze (Data/Normalized/p00/*.mat)"
        )
    problems: list[Problem] = []
    entries = (_unityeyes if kind == "UnityEyes" else _mpiigaze)(root, problems)
    if yaw_towards == "right":
        for at, entry in enumerate(entries):
            labels = {name: -v if name.endswith("_yaw") else v for name, v in entry.labels.items()}
            entries[at] = replace(entry, labels=labels)
    if fit == "crop":
        entries = [replace(entry, box=_inner(entry.box)) for entry in entries]
    people = len({entry.person for entry in entries} - {""})
    counts = {"pictures": len(entries)} | ({"people": people} if people else {})
    return Index(
        "eyes",
        root,
        tuple(entries),
        tuple(problems),
        notes=(kind,),
        counts=counts,
        licence=_LICENCES[kind],
        channels=3 if kind == "UnityEyes" else 1,
        label_names=("gaze_pitch", "gaze_yaw"),
    )


def read(root: Path, entry: Entry) -> Pixels:
    """The picture of an entry: RGB of UnityEyes, gray and padded to 60x60 of MPIIGaze. Raises BadPicture."""
    if not entry.part:
        return decode(root / entry.file, where=entry.file).pixels
    above = (WIDTH - HEIGHT) // 2
    return np.pad(read_eye(root / entry.file, entry.part), ((above, above), (0, 0)), mode="edge")


def as_stored(root: Path, entry: Entry) -> Pixels:
    """The picture as the dataset has it, of whatever size."""
    return read_eye(root / entry.file, entry.part) if entry.part else read(root, entry)


def picture_36x60(root: Path, entry: Entry) -> Pixels:
    """The eye as MPIIGaze has it, uint8 [36, 60], nothing padded; of UnityEyes cut out and made gray."""
    if entry.part:
        return read_eye(root / entry.file, entry.part)
    whole = Image.fromarray(decode(root / entry.file, where=entry.file).pixels).convert("L")
    if entry.box is None:
        raise BadPicture(entry.file, "unreadable", "where the eye is in it is not known")
    x, y, side, _ = entry.box
    height = side * HEIGHT / WIDTH
    top = y + (side - height) / 2
    box = (max(x, 0), max(top, 0), min(x + side, whole.width), min(top + height, whole.height))
    return np.asarray(whole.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS, box=box))


def open(where: str, *, progress: Tick | None = None) -> StoredDataset:
    """Open "FOLDER?size=64&yaw_towards=right", labelled with gaze_pitch and gaze_yaw."""
    return open_layout("eyes", index, where, progress=progress, read=read)


def _kind(root: Path) -> str:
    if days(root):
        return "MPIIGaze"
    return "UnityEyes" if numbered(root, most=1) else ""


def _unityeyes(root: Path, problems: list[Problem]) -> list[Entry]:
    pictures = numbered(root)
    entries = []
    for picture, note in pictures.items():
        try:
            labels, box = read_note(root / picture, root / note, grow=_MARGIN)
        except InputError as error:
            problems.append(Problem(note if (root / picture).is_file() else picture, str(error)))
            continue
        entries.append(Entry(picture, labels, box=box))
    return entries


def _mpiigaze(root: Path, problems: list[Problem]) -> list[Entry]:
    entries = []
    for file in days(root):
        try:
            eyes = read_day(root / file)
        except BadPicture as error:
            problems.append(Problem(file, error.detail))
            continue
        person = Path(file).parent.name
        for part, labels in eyes.items():
            if labels is None:
                problems.append(
                    Problem(f"{file}#{part}", "its line of sight is no direction; it is left out")
                )
            else:
                entries.append(Entry(file, labels, person=person, part=part))
    return entries


def _inner(box: Box | None) -> Box:
    """The middle of a square (by default the padded 60x60), as large as 36x60 is high."""
    x, y, side, _ = box or (0, 0, WIDTH, WIDTH)
    cut = side * (1 - HEIGHT / WIDTH) / 2
    return x + cut, y + cut, side - 2 * cut, side - 2 * cut
