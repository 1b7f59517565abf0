"""What was found so far: records and crops of every picture, in an SQLite file beside the dataset.

Workers write to it themselves, one transaction a picture, so a kill at any moment costs each worker the
picture it was at and no other. A rerun skips what is there; other rules need no pixel again.
"""

import hashlib
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from mien import TOOL
from mien.core.atomic import explain, locked, sweep_temporaries
from mien.core.errors import MienError

Crops = Mapping[tuple[int, int, str], bytes]  # PNG by (number of the face, size, role)
_VERSION = 5  # of the tables and of what is measured; a store of another version is begun anew
_PATIENCE_SECONDS = 60.0
_TABLES = """
CREATE TABLE IF NOT EXISTS found (id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, record TEXT NOT NULL,
                                  faces INTEGER NOT NULL, thumb BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS crops (id INTEGER NOT NULL, face INTEGER NOT NULL, size INTEGER NOT NULL,
                                  role TEXT NOT NULL, png BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS crops_of ON crops (id, face, size);
"""


class Store:
    """One open store. Safe for several processes; not for several threads.

    Raises MienError, naming the file, where the disk is full or the store is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._explained():
            self._db = sqlite3.connect(
                path, timeout=_PATIENCE_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")  # a power cut costs some pictures, not the file
            self._db.executescript(_TABLES)

    def close(self) -> None:
        """Let go of the file; what was added is in it."""
        self._db.close()

    def add(self, key: str, record: Mapping[str, Any], *, crops: Crops, thumb: bytes = b"") -> None:
        """Keep what was found in one picture, all of it or nothing. crops: PNG by (face, size, role)."""
        row = (key, json.dumps(record, allow_nan=False), len(record.get("faces") or ()), thumb)
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            done = self._db.execute(
                "INSERT OR IGNORE INTO found (key, record, faces, thumb) VALUES (?, ?, ?, ?)", row
            )
            if done.rowcount == 1:  # else an orphan of a killed run was quicker
                rows = [(done.lastrowid, *place, png) for place, png in crops.items()]
                self._db.executemany("INSERT INTO crops VALUES (?, ?, ?, ?, ?)", rows)
            self._db.execute("COMMIT")

    def keys(self) -> dict[str, tuple[int, int]]:
        """Every key that is there, with its number and how many faces were taken."""
        with self._explained():
            rows = self._db.execute("SELECT key, id, faces FROM found")
            return {key: (number, faces) for key, number, faces in rows}

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Every record that is there, with its number."""
        with self._explained():
            for number, text in self._db.execute("SELECT id, record FROM found"):
                yield number, json.loads(text)

    def record(self, number: int) -> dict[str, Any]:
        """The record with this number."""
        with self._explained():
            (text,) = self._db.execute("SELECT record FROM found WHERE id = ?", (number,)).fetchone()
            record: dict[str, Any] = json.loads(text)
            return record

    def crops(self, number: int, face: int, size: int) -> list[tuple[str, bytes]]:
        """(role, PNG) of the crops of one face (from 0) and size, in the order of their roles."""
        with self._explained():
            query = "SELECT role, png FROM crops WHERE id = ? AND face = ? AND size = ? ORDER BY role"
            return list(self._db.execute(query, (number, face, size)))

    def thumb(self, number: int) -> bytes:
        """The small JPEG of the whole picture, b"" if there is none."""
        with self._explained():
            row = self._db.execute("SELECT thumb FROM found WHERE id = ?", (number,)).fetchone()
            return bytes(row[0])

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if "full" in str(error):
                message = "no space left on disk; what was found is kept, free some and run again"
            else:
                message = f"cannot be used ({error}); delete its folder and run again"
            raise MienError(f"{self.path}: {message}") from error


class CropsBeside:
    """The crops and small pictures that the store beside a packed zip still has, by record; perhaps none.

    Nothing is written. A record is known by its source, its checksum and its face.
    """

    def __init__(self, dataset: Path) -> None:
        of_one_size = dataset.with_name(re.sub(r"-[0-9]+$", "", dataset.stem) + dataset.suffix)
        folders = (work_folder(dataset), work_folder(of_one_size))
        stores = [path for folder in folders for path in sorted(folder.glob("*.sqlite"))]
        self._store = None
        self._numbers: dict[tuple[str, str], int] = {}
        with suppress(MienError):  # damaged, or of another version: as if it were not there
            self._store = Store(stores[0]) if dataset.is_file() and stores else None
            for number, record in () if self._store is None else self._store.records():
                self._numbers[str(record["source"]), str(record["sha256"])] = number

    def close(self) -> None:
        """Let go of the file."""
        if self._store is not None:
            self._store.close()

    def crops(self, record: Mapping[str, Any], size: int) -> list[tuple[str, bytes]]:
        """(role, PNG) of the crops of a record's face; those of its role alone, if it has one."""
        number = self._number(record)
        if self._store is None or number is None:
            return []
        crops = self._store.crops(number, int(record.get("face") or 1) - 1, size)
        role = record.get("role")
        return crops if role is None else [crop for crop in crops if crop[0] == role]

    def thumb(self, record: Mapping[str, Any]) -> bytes:
        """The small JPEG of a record's whole picture, b"" if there is none."""
        number = self._number(record)
        return b"" if self._store is None or number is None else self._store.thumb(number)

    def _number(self, record: Mapping[str, Any]) -> int | None:
        return self._numbers.get((str(record.get("source")), str(record.get("sha256"))))


def work_folder(out: Path) -> Path:
    """Where the store of a dataset lies: `NAME.work` beside `NAME.zip`."""
    return out.with_name(out.stem + ".work")


@contextmanager
def opened(out: Path, config: Mapping[str, Any]) -> Iterator[Store]:
    """The store for the dataset `out` and what is asked of each picture; empty if that was never asked.

    Stores of other configs are removed. Raises MienError while another run works on the same dataset.
    """
    folder = work_folder(out)
    busy = MienError(f"{out}: another run is preparing it; wait for its end")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / "lock", lambda _: busy):
            identity = json.dumps([_VERSION, TOOL, config], sort_keys=True)
            path = folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.sqlite"
            for other in folder.glob("*.sqlite*"):
                if not other.name.startswith(path.name):
                    other.unlink(missing_ok=True)
            sweep_temporaries(folder)
            with closing(Store(path)) as store:
                yield store
    except OSError as error:
        raise explain(error, folder) from error


def forget(out: Path) -> None:
    """Remove the work folder of a dataset."""
    shutil.rmtree(work_folder(out), ignore_errors=True)
