"""The verdicts of one dataset: in memory to be asked, in its manifest before they count."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mien.core.errors import InputError, MienError
from mien.core.manifest import Record, append_records, merge_records, read_continuation
from mien.core.packed import PackReader

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
            asked = [i for i in dict.fromkeys(indexes) if self.verdicts[i].tossed != tossed]
            changes = tuple(Change(index, self.verdicts[index], after) for index in asked)
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
        if _identity(self.reader.path) != self._identity:
            raise InputError(f"{self.reader.path}: was replaced since it was opened; start curate again")
        time = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            append_records(self.reader.path, [self._line(change, time) for change in changes])
        except UnicodeEncodeError as error:
            raise MienError("the name of this picture is not UTF-8, which a manifest cannot hold") from error
        except (MienError, OSError):
            self._read_again()  # a part may have been written
            raise
        self._apply(changes)

    def _line(self, change: Change, time: str) -> dict[str, Any]:
        return {
            "file": self.reader.names[change.index],
            "verdict": "dropped" if change.after.tossed else "kept",
            "reason": change.after.reason,
            "detail": change.after.detail,
            "time": time,
        }

    def _apply(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            self.verdicts[change.index] = change.after
        self._log.append(changes)

    def _read_again(self) -> None:
        """Take over what did reach the disk of an append that failed."""
        lines = merge_records(read_continuation(self.reader.path))
        by_file = {line.get("file"): line for line in lines if "verdict" in line}
        changes = []
        for index, name in enumerate(self.reader.names):
            line = by_file.get(name)
            if line is not None and _verdict(line) != self.verdicts[index]:
                changes.append(Change(index, self.verdicts[index], _verdict(line)))
        if changes:
            self._apply(tuple(changes))
            self._undoable.append(tuple(changes))


def _verdict(record: Record) -> Verdict:
    if record.get("verdict") != "dropped":
        return KEPT
    return Verdict(True, record.get("reason"), record.get("detail"))


def _identity(path: Path) -> tuple[int, ...]:
    """Changes when a zip is written anew; folders change whenever something is appended."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_ino,) if path.is_dir() else (found.st_ino, found.st_size, found.st_mtime_ns)
