"""The verdicts of one dataset: in memory to be asked, in its manifest before they count."""

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mien.core.errors import InputError, MienError
from mien.core.manifest import Record, append_records, merge_records, read_continuation
from mien.core.packed import PackReader
from mien.curate.dropped import DroppedInputs, place_of
from mien.prepare.dedupe import DUPLICATE

REASON = "curated"
BY_HAND = "tossed by hand"


class Verdict(NamedTuple):
    """Whether a picture is tossed, and why as its manifest says."""

    tossed: bool
    reason: str | None = None
    detail: str | None = None


KEPT = Verdict(False)


@dataclass(frozen=True)
class Change:
    """One picture's verdict before and after."""

    index: int
    before: Verdict
    after: Verdict


@dataclass(frozen=True)
class Saved:
    """What a request changed: on disk already. changes: () where all was as asked."""

    revision: int
    changes: tuple[Change, ...]


class Faces:
    """The pictures of a dataset with their verdicts; safe from several threads.

    reader: of all pictures, tossed ones too. revision: how many times verdicts changed since opening.
    Raises InputError as PackReader does.
    """

    def __init__(self, path: Path) -> None:
        self.reader = PackReader(path, with_tossed=True)
        self.verdicts = [_verdict(record) for record in self.reader.records]
        self._before = np.array([verdict.tossed for verdict in self.verdicts])
        self._log: list[tuple[Change, ...]] = []  # one entry a revision
        self._undoable: list[tuple[Change, ...]] = []
        self._identity = _identity(path)
        self._lock = threading.RLock()
        self.dropped = DroppedInputs(self.reader)
        self.pairs = _pairs(self.dropped.records)
        self._places: list[tuple[str, int]] = []
        self.held: list[int] = []  # descriptors that hold the lock of zips written here

    def __len__(self) -> int:
        return len(self.reader)

    @property
    def revision(self) -> int:
        return len(self._log)

    def state(self) -> dict[str, Any]:
        """Counts and revision as the page shows them."""
        with self._lock:
            tossed = sum(verdict.tossed for verdict in self.verdicts)
            return {
                "revision": self.revision,
                "num_faces": len(self),
                "num_tossed": tossed,
                "num_undo": len(self._undoable),
            }

    def close(self) -> None:
        """Let go of the store and of locks."""
        self.dropped.close()
        while self.held:
            os.close(self.held.pop())

    def indexes_of(self, place: tuple[str, int]) -> list[int]:
        """The pictures of a photo's face: none while it is dropped, two of eyes."""
        with self._lock:
            if len(self._places) != len(self):
                self._places = [place_of(record) for record in self.reader.records]
            return [index for index, own in enumerate(self._places) if own == place]

    def restore(self, numbers: Sequence[int]) -> Saved:
        """Take dropped inputs into the dataset, as kept pictures. Raises as `set` and `DroppedInputs.add_to`.

        Taking that back leaves them there as tossed pictures, dropped for the reason that they had.
        """
        with self._lock:
            return self.set(self._add(numbers), tossed=False)

    def take_other(self, number: int) -> Saved:
        """Of a pair of near-duplicates keep the other one than now; one change. Raises as `restore`."""
        with self._lock:
            if not 0 <= number < len(self.pairs):
                raise InputError(f"there is no pair number {number}")
            kept, double = self.pairs[number]
            self._add([double])
            sides = [self.indexes_of(place) for place in (kept, place_of(self.dropped.records[double]))]
            if not all(sides):
                raise InputError(f"{kept[0]}, of which it is a double, is not in this dataset")
            first_out = self.verdicts[sides[0][0]].tossed
            taken, left = sides if first_out else sides[::-1]
            name = self.reader.records[taken[0]].get("source")
            toss = Verdict(True, DUPLICATE, f"it shows the same as {name}, which was chosen by hand")
            return self._change(dict.fromkeys(taken, KEPT) | dict.fromkeys(left, toss))

    def _add(self, numbers: Sequence[int]) -> list[int]:
        """The pictures of dropped inputs; those that are not in the dataset yet are added, as dropped."""
        for number in numbers:
            if not 0 <= number < len(self.dropped.records):
                raise InputError(f"there is no dropped input number {number}")
        places = [place_of(self.dropped.records[number]) for number in numbers]
        new = [n for n, place in zip(numbers, places, strict=True) if not self.indexes_of(place)]
        if new:
            self._check_same()
            self.held.append(self.dropped.add_to(self.reader, list(dict.fromkeys(new))))
            before = len(self)
            self.reader = PackReader(self.reader.path, with_tossed=True)
            self._identity = _identity(self.reader.path)
            self.verdicts += [_verdict(record) for record in self.reader.records[before:]]
            self._before = np.append(self._before, np.ones(len(self) - before, bool))
        return [index for place in places for index in self.indexes_of(place)]

    def tossed_at(self, revision: int) -> np.ndarray:
        """bool [N]: which were tossed when `revision` changes had been made."""
        with self._lock:
            tossed = self._before.copy()
            for changes in self._log[:revision]:
                for change in changes:
                    tossed[change.index] = change.after.tossed
            return tossed

    def set(self, indexes: Sequence[int], *, tossed: bool, detail: str = BY_HAND) -> Saved:
        """Toss or restore pictures; those that are so already keep their reason.

        On disk when this returns. Raises InputError for an index out of range or a dataset that was
        replaced meanwhile, MienError where it cannot be written; verdicts then are what the disk says.
        """
        after = Verdict(True, REASON, detail) if tossed else KEPT
        with self._lock:
            for index in indexes:
                if not 0 <= index < len(self):
                    raise InputError(f"there is no face number {index}")
            return self._change(dict.fromkeys(indexes, after))

    def _change(self, verdicts: Mapping[int, Verdict]) -> Saved:
        """Give pictures these verdicts, where they are not tossed, or kept, already."""
        changes = tuple(
            Change(index, self.verdicts[index], after)
            for index, after in verdicts.items()
            if self.verdicts[index].tossed != after.tossed
        )
        self._save(changes)
        if changes:
            self._undoable.append(changes)
        return Saved(self.revision, changes)

    def undo(self) -> Saved:
        """Take the latest change of this session back, by appending what stood before. Raises as `set`."""
        with self._lock:
            if not self._undoable:
                return Saved(self.revision, ())
            back = tuple(Change(c.index, c.after, c.before) for c in self._undoable[-1])
            self._save(back)
            self._undoable.pop()
            return Saved(self.revision, back)

    def _save(self, changes: tuple[Change, ...]) -> None:
        if not changes:
            return
        self._check_same()
        lines = [
            {
                "file": self.reader.names[change.index],
                "verdict": "dropped" if change.after.tossed else "kept",
                "reason": change.after.reason,
                "detail": change.after.detail,
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            for change in changes
        ]
        try:
            append_records(self.reader.path, lines)
        except UnicodeEncodeError as error:
            raise MienError("the name of this picture is not UTF-8, which a manifest cannot hold") from error
        except (MienError, OSError):
            self._read_again()  # a part may have been written
            raise
        self._apply(changes)

    def _apply(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            self.verdicts[change.index] = change.after
        self._log.append(changes)

    def _check_same(self) -> None:
        if _identity(self.reader.path) != self._identity:
            raise InputError(f"{self.reader.path}: was replaced since it was opened; start curate again")

    def _read_again(self) -> None:
        """Take over what did reach the disk of an append that failed."""
        lines = merge_records(read_continuation(self.reader.path))
        by_file = {line.get("file"): _verdict(line) for line in lines if "verdict" in line}
        changes = tuple(
            Change(index, self.verdicts[index], by_file[name])
            for index, name in enumerate(self.reader.names)
            if name in by_file and by_file[name] != self.verdicts[index]
        )
        if changes:
            self._apply(changes)
            self._undoable.append(changes)


def _pairs(records: Sequence[Mapping[str, Any]]) -> list[tuple[tuple[str, int], int]]:
    """The kept picture of each near-duplicate, and the number of the dropped input."""
    return [
        ((str(record["duplicate_of"]), int(record.get("duplicate_face") or 0)), number)
        for number, record in enumerate(records)
        if record.get("duplicate_of")
    ]


def _verdict(record: Record) -> Verdict:
    if record.get("verdict") != "dropped":
        return KEPT
    return Verdict(True, record.get("reason"), record.get("detail"))


def _identity(path: Path) -> tuple[int, ...]:
    """Changes when a zip is written anew; folders change whenever something is appended."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_ino,) if path.is_dir() else (status.st_ino, status.st_size, status.st_mtime_ns)
