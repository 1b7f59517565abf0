"""CK+, the extended Cohn-Kanade films of faces: "ckplus:FOLDER".

    cohn-kanade-images/S005/001/S005_001_00000011.png            640x480 or 640x490, gray or colour
    Landmarks/S005/001/S005_001_00000011_landmarks.txt           68 lines "x y", for every frame
    FACS/S005/001/S005_001_00000011_facs.txt                     lines "AU intensity", for the peak alone
    Emotion/S005/001/S005_001_00000011_emotion.txt               one number 0..7, for some sequences

As a dataset: one picture for each sequence, its peak (frames=peak); with the first frame, which is neutral
by the protocol of the films (frames=neutral+peak); or all. Labels: "emotion" where it is known; "AU12" for
each action unit that any sequence shows, yes or no, where a FACS file says; "intensity_AU12" where given.
No emotion file means that nobody knows, not that the face is neutral. labels=emotion opens what has one.
Pictures are gray, cut around the landmarks (crop=centre: the middle instead).

In code, `read` gives sequences, frames, peaks, landmarks, action units and emotions.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from mien.core.errors import InputError
from mien.core.picture import PICTURE_SUFFIXES, Pixels, read_picture
from mien.datasets.index import Box, Entry, Index, Problem
from mien.datasets.layout import open_layout
from mien.datasets.tables import list_rows
from mien.labels.split import assign_folds

LICENCE = "CK+ agreement: non-commercial research only; publish only pictures of subjects who allow it"
CITATION = (
    "P. Lucey, J. Cohn, T. Kanade, J. Saragih, Z. Ambadar, I. Matthews: The Extended Cohn-Kanade Dataset"
    " (CK+). CVPR Workshops 2010"
)

_HEAD = 1.6  # side of the square, in sides of the box around brows, jaw and chin: hair and chin fit in
_RAISE = 0.14  # how far it is moved up, in heights of that box: the landmarks end at the brows

# In the order of their numbers in Emotion/.
EMOTIONS = ("neutral", "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
NUM_LANDMARKS = 68

_PICTURES = "cohn-kanade-images"
_NUMBER = re.compile(r"_([0-9]+)(?:_[a-z]+)?\.[a-z]+$", re.IGNORECASE)  # of the frame, in any file's name
T = TypeVar("T")
_GET = (
    "get CK+ from www.jeffcohn.net/Resources after signing its agreement, and unpack its four archives here"
)


@dataclass(frozen=True)
class Frame:
    """One picture of a sequence. file: relative to `root`. number: as in its name, from 1."""

    root: Path
    file: str
    number: int

    def image(self) -> Pixels:
        """uint8 [H, W, 3], 480 or 490 high. Raises BadPicture."""
        return read_picture(self.root / self.file)

    def landmarks(self) -> np.ndarray:
        """float64 [68, 2], x and y in pixels. Raises InputError, naming file and line, where they fail."""
        path = self.root / "Landmarks" / Path(*Path(self.file).parts[1:])
        path = path.with_name(path.stem + "_landmarks.txt")
        points = [_numbers(path, number, fields, 2) for number, fields in list_rows(path)]
        if len(points) != NUM_LANDMARKS:
            raise InputError(f"{path}: {len(points)} points, not {NUM_LANDMARKS}")
        if np.ptp(points, axis=0).min() < 1:
            raise InputError(f"{path}: all points lie at one place or on one line")
        return np.array(points)


@dataclass(frozen=True)
class Sequence:
    """A film from a neutral face to the peak of an expression.

    subject: "S005". name: "001". frames: by number, at least one. peak: None if that picture is missing.
    action_units: FACS number -> intensity 1..5, None where the unit is there and its intensity not given; a
    unit that is not in it is absent; None: not coded. emotion: one of EMOTIONS; None: not known, which is not
    neutral.
    """

    subject: str
    name: str
    frames: tuple[Frame, ...]
    peak: Frame | None
    action_units: dict[int, float | None] | None
    emotion: str | None


@dataclass(frozen=True)
class CKPlus:
    """The database: sequences by subject and name, and what is amiss."""

    root: Path
    sequences: tuple[Sequence, ...]
    problems: tuple[Problem, ...]

    @property
    def subjects(self) -> tuple[str, ...]:
        """Everybody, sorted."""
        return tuple(sorted({sequence.subject for sequence in self.sequences}))

    def fold(
        self, fold: int, folds: int, *, seed: int = 0
    ) -> tuple[tuple[Sequence, ...], tuple[Sequence, ...]]:
        """Sequences to train on and to test on in fold `fold` (from 1) of `folds`; no subject is in both."""
        sequences = self.sequences
        sides = assign_folds([s.subject for s in sequences], fold=fold, folds=folds, seed=seed)
        train, test = (
            tuple(s for s, side in zip(sequences, sides, strict=True) if side == name)
            for name in ("train", "test")
        )
        return train, test


def recognise(root: Path) -> bool:
    """Is there the folder of pictures?"""
    return (root / "cohn-kanade-images").is_dir()


def index(
    root: Path,
    *,
    frames: Literal["peak", "neutral+peak", "all"] = "peak",
    crop: Literal["face", "centre"] = "face",
) -> Index:
    """The frames as entries: person is the subject, group the sequence, role neutral, peak or between.

    Raises InputError where there are no pictures at all.
    """
    database = read(root)
    problems = list(database.problems)
    units = sorted({unit for sequence in database.sequences for unit in sequence.action_units or ()})
    entries = tuple(
        Entry(
            frame.file,
            _labels(sequence, role, units),
            sequence.subject,
            role,
            group=f"{sequence.subject}_{sequence.name}",
            box=_box(frame, problems) if crop == "face" else None,
        )
        for sequence in database.sequences
        for frame, role in _roles(sequence)
        if frames == "all" or role in frames.split("+")
    )
    people = Counter(sequence.subject for sequence in database.sequences)
    known, total = sum(s.emotion is not None for s in database.sequences), len(database.sequences)
    notes = (f"{known} of {total} sequences have an emotion; labels=emotion opens those",)
    counts = _count(database)
    return Index("ckplus", root, entries, tuple(problems), notes, counts, LICENCE, channels=1, people=people)


open = partial(open_layout, "ckplus", index)  # no labels unless labels= names some ("emotion", "AU*")


def _roles(sequence: Sequence) -> Iterator[tuple[Frame, str]]:
    for number, frame in enumerate(sequence.frames):
        yield frame, "peak" if frame is sequence.peak else "between" if number else "neutral"


def _labels(sequence: Sequence, role: str, units: list[int]) -> dict[str, Any]:
    if role == "neutral":
        return {"emotion": "neutral"}
    labels: dict[str, Any] = {}
    if role == "peak" and sequence.emotion is not None:
        labels["emotion"] = sequence.emotion
    if role == "peak" and sequence.action_units is not None:
        present = sequence.action_units
        labels |= {f"AU{unit:02d}": unit in present for unit in units}
        labels |= {f"intensity_AU{unit:02d}": value for unit, value in present.items() if value is not None}
    return labels


def _box(frame: Frame, problems: list[Problem]) -> Box | None:
    """A square around the head by the landmarks; None, the middle of the picture, without them."""
    try:
        points = frame.landmarks()
    except InputError as error:
        problems.append(Problem(frame.file, f"cut from the middle, for its landmarks fail: {error}"))
        return None
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    width, height = right - left, bottom - top
    side = _HEAD * max(width, height)
    x, y = left + width / 2 - side / 2, top + height / 2 - side / 2 - _RAISE * height
    return round(x, 3), round(y, 3), round(side, 3), round(side, 3)


def _count(database: CKPlus) -> dict[str, int]:
    sequences = database.sequences
    emotions = Counter(sequence.emotion for sequence in sequences if sequence.emotion is not None)
    counts = {
        "subjects": len(database.subjects),
        "sequences": len(sequences),
        "frames": sum(len(sequence.frames) for sequence in sequences),
        "sequences with an emotion": emotions.total(),
        "sequences with action units": sum(sequence.action_units is not None for sequence in sequences),
    }
    return counts | {f"emotion {name}": emotions[name] for name in sorted(emotions)}


def read(root: Path | str) -> CKPlus:
    """Read the lists of CK+ below `root`; no picture is decoded.

    Raises InputError, saying where to get what is missing, where there are no pictures.
    """
    root = Path(root)
    pictures = root / _PICTURES
    if not pictures.is_dir():
        raise InputError(f"{root}: {_PICTURES}/ is missing; {_GET}")
    problems = [
        Problem(f"{name}/", f"the folder is missing; {_GET}")
        for name in ("Landmarks", "FACS", "Emotion")
        if not (root / name).is_dir()
    ]
    folders = [folder for subject in _folders(pictures) for folder in _folders(subject)]
    read_or_none = [_sequence(root, folder, problems) for folder in folders]
    sequences = tuple(sequence for sequence in read_or_none if sequence is not None)
    if not sequences:
        raise InputError(f"{pictures}: no sequence in it, as S005/001/S005_001_00000001.png; {_GET}")
    return CKPlus(root, sequences, tuple(problems))


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))


def _sequence(root: Path, folder: Path, problems: list[Problem]) -> Sequence | None:
    subject, name = folder.parent.name, folder.name
    frames = _frames(root, folder, problems)
    if not frames:
        problems.append(Problem(folder.relative_to(root).as_posix() + "/", "no frame in it"))
        return None
    facs = _beside_peak(root, "FACS", subject, name, problems)
    feeling = _beside_peak(root, "Emotion", subject, name, problems)
    numbers = {number for _, number in filter(None, (facs, feeling))}
    peak = _peak(frames, numbers, folder.relative_to(root).as_posix(), problems)
    units = None if facs is None else _try(root, facs[0], _read_units, problems)
    emotion = None if feeling is None else _try(root, feeling[0], _read_emotion, problems)
    return Sequence(subject, name, frames, peak, units, emotion)


def _frames(root: Path, folder: Path, problems: list[Problem]) -> tuple[Frame, ...]:
    frames = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in PICTURE_SUFFIXES or path.name.startswith("."):
            continue
        match, file = _NUMBER.search(path.name), path.relative_to(root).as_posix()
        if match is None:
            problems.append(Problem(file, "its name has no number of a frame, as in S005_001_00000011.png"))
        else:
            frames.append(Frame(root, file, int(match[1])))
    return tuple(sorted(frames, key=lambda frame: frame.number))


def _beside_peak(
    root: Path, kind: str, subject: str, name: str, problems: list[Problem]
) -> tuple[Path, int] | None:
    """The one FACS or emotion file of a sequence, and the number of the frame it is about."""
    folder = root / kind / subject / name
    paths = sorted(path for path in folder.glob("*.txt") if not path.name.startswith("."))
    if not paths:
        return None
    match = _NUMBER.search(paths[0].name)
    if len(paths) > 1 or match is None:
        where = paths[0].relative_to(root).as_posix()
        text = f"one file named for the peak is expected, {len(paths)} are there; none is used"
        problems.append(Problem(where, text))
        return None
    return paths[0], int(match[1])


def _peak(frames: tuple[Frame, ...], numbers: set[int], where: str, problems: list[Problem]) -> Frame | None:
    """The frame that FACS and emotion are about, else the last."""
    if not numbers:
        return frames[-1]
    peak = next((frame for frame in frames if {frame.number} == numbers), None)
    if peak is None:
        named = " and ".join(map(str, sorted(numbers)))
        problems.append(Problem(where, f"its peak should be frame {named}, which is not one picture there"))
    return peak


def _try(root: Path, path: Path, parse: Callable[[Path], T], problems: list[Problem]) -> T | None:
    """What `parse` makes of a file; None, and a problem, where it fails."""
    try:
        return parse(path)
    except InputError as error:
        problems.append(Problem(path.relative_to(root).as_posix(), f"not used: {error}"))
        return None


def _read_units(path: Path) -> dict[int, float | None]:
    units: dict[int, float | None] = {}
    for line, fields in list_rows(path):
        unit, intensity = _numbers(path, line, fields, 2)
        if unit != int(unit) or not 0 <= intensity <= 5:
            raise InputError(f"{path}, line {line}: an action unit and its intensity 0 to 5 are expected")
        units[int(unit)] = intensity or None  # 0: it is there, its intensity was not given
    if not units:
        raise InputError(f"{path}: it is empty")
    return units


def _read_emotion(path: Path) -> str:
    values = [_numbers(path, line, fields, 1)[0] for line, fields in list_rows(path)]
    if len(values) != 1 or values[0] not in range(len(EMOTIONS)):
        raise InputError(f"{path}: one number from 0 to {len(EMOTIONS) - 1} is expected, not {values}")
    return EMOTIONS[int(values[0])]


def _numbers(path: Path, line: int, fields: list[str], count: int) -> list[float]:
    """The fields of a line as `count` finite numbers. Raises InputError."""
    try:
        values = [float(field) for field in fields]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise InputError(f"{path}, line {line}: {count} numbers are expected, not {' '.join(fields)[:60]!r}")
    return values
