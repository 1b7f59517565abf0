"""Inputs that a rule dropped: their pictures in the store beside the zip, and how they come into the zip."""

import fcntl
import json
import os
import threading
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mien.core.atomic import open_replacing
from mien.core.errors import InputError
from mien.core.manifest import dump_record
from mien.core.packed import PackReader
from mien.core.picture import BadPicture, decode
from mien.prepare.candidates import label_of
from mien.prepare.store import CropsBeside

_OTHERS = ("dataset.json", "manifest.jsonl")
Record = Mapping[str, Any]


def count(texts: Sequence[str]) -> list[tuple[str, int]]:
    """Different texts with their counts, most frequent first, then by name."""
    return sorted(Counter(texts).items(), key=lambda pair: (-pair[1], pair[0]))


def place_of(record: Record) -> tuple[str, int]:
    """The photo and which of its faces a record is about."""
    return str(record.get("source") or ""), int(record.get("face") or 0)


class DroppedInputs:
    """The inputs of a dataset that have a line in its manifest and no picture; safe from several threads.

    Numbered in the manifest's order; a number stays when its input is added to the dataset.
    """

    def __init__(self, reader: PackReader) -> None:
        self.records: list[Record] = [dict(r) for r in reader.all_records if r.get("file") is None]
        self.reasons = count([_text(r, "reason") for r in self.records]) if self.records else []
        self._lock = threading.Lock()
        self._beside = CropsBeside(reader.path)
        self._size = _side(reader)
        self._texts = ["\n".join(self.line(at).values()).casefold() for at in range(len(self.records))]

    def close(self) -> None:
        """Let go of the store."""
        self._beside.close()

    def line(self, number: int) -> dict[str, str]:
        """Source, reason and detail as texts."""
        return {key: _text(self.records[number], key) for key in ("source", "reason", "detail")}

    def crops(self, number: int) -> list[tuple[str, bytes]]:
        """(role, PNG) as they would stand in the dataset; [] where nothing was found or the store is gone."""
        with self._lock:
            return self._beside.crops(self.records[number], self._size)

    def picture(self, number: int) -> bytes:
        """The crop, else the whole picture, small; b"" where there is neither."""
        crops = self.crops(number)
        with self._lock:
            return crops[0][1] if crops else self._beside.thumb(self.records[number])

    def find(self, text: str, reason: str | None) -> list[int]:
        """Numbers of those with `text` in the source or the reason."""
        query = text.casefold()
        return [
            number
            for number, texts in enumerate(self._texts)
            if query in texts and reason in (None, _text(self.records[number], "reason"))
        ]

    def add_to(self, reader: PackReader, numbers: Sequence[int]) -> int:
        """Write the zip anew with these inputs as pictures that are dropped as before; it stays locked.

        Gives a descriptor that holds the lock. Raises InputError for an input without a crop or a label, and
        for a dataset that is no zip from `mien prepare`; MienError where the disk is full.
        """
        if not reader.packed or reader.path.is_dir():
            raise InputError(f"{reader.path}: dropped inputs come back into zips from `mien prepare` alone")
        added, labels = [], reader.labels
        for number in numbers:
            record, crops = self.records[number], self.crops(number)
            label = None if labels is None else label_of(record, labels[0], reader.class_names)
            if not crops or (labels is not None and label is None):
                lacks = "label" if crops else "crop (it is in the .work folder beside the zip)"
                raise InputError(f"{_text(record, 'source')}: there is no {lacks} for it")
            added.append((number, crops, label))
        with open_replacing(reader.path) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with zipfile.ZipFile(reader.path) as old, zipfile.ZipFile(file, "w") as new:
                self._copy(old, new, added)
            return os.dup(file.fileno())

    def _copy(
        self, old: zipfile.ZipFile, new: zipfile.ZipFile, added: Sequence[tuple[int, Any, Any]]
    ) -> None:
        members = [info for info in old.infolist() if info.filename not in _OTHERS]
        for info in members:
            new.writestr(info, old.read(info))
        document = json.loads(old.read("dataset.json"))
        lines = [line for line in old.read("manifest.jsonl").decode().split("\n") if line]
        records = [json.loads(line) for line in lines]
        places = {place_of(record): at for at, record in enumerate(records) if record.get("file") is None}
        numbers = (info.filename[-12:-4] for info in members)
        last = max((int(number) for number in numbers if number.isdecimal()), default=-1)
        for number, crops, label in added:
            place = places[place_of(self.records[number])]
            own = []
            for role, png in crops:
                last += 1
                name = f"{last:08d}"[:5] + f"/img{last:08d}.png"
                new.writestr(_like(members[0], name), png)
                if label is not None:
                    document["labels"].append([name, list(label) if isinstance(label, tuple) else label])
                record = {**records[place], **({"role": role} if role else {}), "file": name}
                own.append(dump_record(record))
            lines[place] = "\n".join(own)
        texts = (json.dumps(document, ensure_ascii=False), "".join(line + "\n" for line in lines))
        for name, text in zip(_OTHERS, texts, strict=True):
            new.writestr(_like(members[0], name), text.encode())


def _like(info: zipfile.ZipInfo, name: str) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name, date_time=info.date_time)
    made.create_system, made.external_attr = info.create_system, info.external_attr
    return made


def _side(reader: PackReader) -> int:
    try:
        return decode(reader.read(0)).width
    except (BadPicture, InputError):
        return 0


def _text(record: Record, key: str) -> str:
    return str(record.get(key) or "")
