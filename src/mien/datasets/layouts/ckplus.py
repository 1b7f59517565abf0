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

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from mien.core.errors import InputError
from mien.core.events import Tick
from mien.datasets.index import Box, Entry, Index, Problem
from mien.datasets.layout import open_layout
from mien.datasets.layouts._ckplus import CKPlus, Frame, Sequence, read
from mien.datasets.stored import StoredDataset

__all__ = ["CKPlus", "Frame", "Sequence", "index", "open", "read", "recognise"]

LICENCE = "CK+ agreement: non-commercial research only; publish only pictures of subjects who allow it"
CITATION = (
    "P. Lucey, J. Cohn, T. Kanade, J. Saragih, Z. Ambadar, I. Matthews: The Extended Cohn-Kanade Dataset"
    " (CK+). CVPR Workshops 2010"
)

_HEAD = 1.6  # side of the square, in sides of the box around brows, jaw and chin: hair and chin fit in
_RAISE = 0.14  # how far it is moved up, in heights of that box: the landmarks end at the brows


def recognise(root: Path) -> bool:
    """Is there the folder of pictures?"""
    return (root / "cohn-kanade-images").is_dir()


def open(where: str, *, progress: Tick | None = None) -> StoredDataset:
    """Open "FOLDER?options"; no labels unless labels= names some ("emotion", "AU*")."""
    return open_layout("ckplus", index, where, progress=progress)


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
