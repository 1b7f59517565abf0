"""What may go into a dataset: records, labels and crops by number, from a store or from a packed zip."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from mien.core.labels import Label
from mien.core.packed import PackReader
from mien.core.picture import BadPicture, decode
from mien.prepare.archive import Archive
from mien.prepare.dedupe import DUPLICATE
from mien.prepare.extract import dropped
from mien.prepare.judge import RULE_REASONS, Drop
from mien.prepare.people import SAME_PERSON
from mien.prepare.pool import Answer
from mien.prepare.sources import Inputs, readable
from mien.prepare.store import CropsBeside, Store
from mien.prepare.where import names_in

NO_LABEL = Drop("no-label", "it has no label while others have one")
_TOSSED = Drop("tossed", "it was tossed by hand")
# What other rules may undo; whatever else stands as a reason is no picture, no face, or a verdict by hand.
_JUDGED = RULE_REASONS | {DUPLICATE, SAME_PERSON, "where", "where-unknown", "no-label", "crop-gone"}
_NO_CROP = Drop(
    "crop-gone", "other rules may keep it, but its crop is gone with the .work folder: prepare the photos"
)
_TROUBLES = {
    "crashed": "the process that prepared it died (out of memory, or a defect in a decoder)",
    "timed-out": "preparing it took too long and was stopped",
}


class Candidates(Protocol):
    """Numbered 0 to len - 1, in the order of the source. class_names: of class labels, or ()."""

    class_names: tuple[str, ...]

    def __len__(self) -> int: ...

    def record(self, index: int) -> dict[str, Any]:
        """A fresh manifest record without "file"; "verdict" is "dropped" where there is nothing to judge."""

    def label(self, index: int) -> Label | None:
        """For `dataset.json`; None in an unlabelled source."""

    def crops(self, index: int, size: int) -> list[tuple[str, bytes]]:
        """(role, PNG); none where there is no face."""

    def thumb(self, index: int) -> bytes:
        """A small JPEG of the whole picture, b"" if there is none."""

    def known_names(self) -> set[str]:
        """What labels and the like are called, for conditions."""


class StoredFaces:
    """The faces that were taken from the inputs of a source, by what a store knows; inputs without one, too.

    Faces of one photo have its name as `source`, their place by size as `face`, and belong together
    (`group`), so that no split parts them; unless one photo is all there is.
    """

    def __init__(self, inputs: Inputs, store: Store) -> None:
        self.class_names = inputs.class_names
        self._inputs = inputs
        self._store = store
        self._loose: dict[int, dict[str, Any]] = {}  # records of this run that the store shall not keep
        self._numbers: dict[str, tuple[int, int]] = {}
        self._faces: list[tuple[int, int]] = []  # number of the input, number of its face
        self._grouped = False
        self.refresh()

    def __len__(self) -> int:
        return len(self._faces)

    def refresh(self) -> None:
        """See what workers have put into the store."""
        self._numbers = self._store.keys()
        counts = [self._numbers.get(file.key, (0, 0))[1] for file in self._inputs.files]
        self._faces = [(at, face) for at, count in enumerate(counts) for face in range(max(count, 1))]
        self._grouped = sum(count > 0 for count in counts) > 1

    def missing(self) -> list[int]:
        """Numbers of the inputs of which nothing is known yet."""
        return [index for index, file in enumerate(self._inputs.files) if file.key not in self._numbers]

    def take(self, number: int, answer: Answer) -> None:
        """Note what a worker answered about an input and did not store."""
        if answer.record is None:
            drop = Drop(answer.trouble, _TROUBLES[answer.trouble])
            source = readable(self._inputs.files[number].name)
            self._loose[number] = {"source": source, "sha256": None} | dropped(drop)
        elif answer.record:
            self._loose[number] = answer.record

    def _place(self, index: int) -> tuple[int, int | None, int]:
        """Of a candidate the number of its input, that of the store's record of it, and that of its face."""
        at, face = self._faces[index]
        number, _ = self._numbers.get(self._inputs.files[at].key, (None, 0))
        return at, number, face

    def record(self, index: int) -> dict[str, Any]:
        at, number, face = self._place(index)
        record = dict(self._loose[at]) if number is None else self._store.record(number)
        faces = record.pop("faces", None) or [{}]
        record |= faces[face]
        label = self.label(index)
        extra = dict(self._inputs.extra.get(self._inputs.files[at].name, {}))
        labels = {**_label_values(label, self.class_names), **(extra.pop("labels", None) or {})}
        if len(faces) > 1:
            record["face"] = face + 1
            if self._grouped and not labels.get("person"):
                record["group"] = record["source"]
        if self._inputs.labels is not None and label is None and "verdict" not in record:
            record |= dropped(NO_LABEL)
        return record | {"licence": None, **extra, "labels": labels}

    def label(self, index: int) -> Label | None:
        labels = self._inputs.labels
        return None if labels is None else labels.get(self._inputs.files[self._faces[index][0]].name)

    def crops(self, index: int, size: int) -> list[tuple[str, bytes]]:
        _, number, face = self._place(index)
        return [] if number is None else self._store.crops(number, face, size)

    def thumb(self, index: int) -> bytes:
        _, number, _ = self._place(index)
        return b"" if number is None else self._store.thumb(number)

    def known_names(self) -> set[str]:
        labels = next(iter((self._inputs.labels or {}).values()), None)
        names = names_in({"labels": _label_values(labels, self.class_names)})
        for extra in self._inputs.extra.values():
            names |= names_in(extra)
        return names


class PackedFaces:
    """A dataset that was packed before: its pictures are copied as they are, its records judged again.

    What was dropped by a rule is judged again, too, where the store beside the zip still has its crop. What
    its manifest, continued by `mien curate`, says was tossed by hand stays dropped, and what was restored by
    hand stays kept.
    """

    def __init__(self, reader: PackReader, size: int, beside: CropsBeside) -> None:
        self._reader = reader
        self._size = size
        self._beside = beside
        self._at = {name: index for index, name in enumerate(reader.names)}
        self._records = list(reader.all_records)
        self.class_names = reader.class_names

    def __len__(self) -> int:
        return len(self._records)

    def record(self, index: int) -> dict[str, Any]:
        record: dict[str, Any] = dict(self._records[index])
        record.pop("file", None)
        verdict = record.pop("verdict", "kept")
        reason, detail = record.pop("reason", None), record.pop("detail", None)
        record.pop("duplicate_of", None)
        if verdict != "dropped":
            return record
        as_it_was = dropped(Drop(reason or _TOSSED.reason, detail or _TOSSED.detail))
        if reason not in _JUDGED or not record.get("measurements"):
            return record | as_it_was
        if not self.crops(index, self._size):
            return record | dropped(_NO_CROP)
        if self._reader.labels is not None and self.label(index) is None:
            return record | dropped(NO_LABEL)
        return record

    def label(self, index: int) -> Label | None:
        labels, at = self._reader.labels, self._place(index)
        if labels is None:
            return None
        return label_of(self._records[index], labels[0], self.class_names) if at is None else labels[at]

    def crops(self, index: int, size: int) -> list[tuple[str, bytes]]:
        at = self._place(index)
        record = dict(self._records[index])
        if at is None:
            return self._beside.crops(record, size)
        return [(str(record.get("role") or ""), self._reader.read(at))]

    def thumb(self, index: int) -> bytes:
        return self._beside.thumb(dict(self._records[index]))

    def known_names(self) -> set[str]:
        return set[str]().union(*(names_in(record) for record in self._records))

    def _place(self, index: int) -> int | None:
        return self._at.get(self._records[index].get("file") or "")


def prepared_size(reader: PackReader) -> int | None:
    """Pixels along a side if every picture of a dataset was measured by `mien prepare`, else None."""
    if not reader.packed or not all(record.get("measurements") for record in reader.records):
        return None
    try:
        picture = decode(reader.read(0))
    except BadPicture:
        return None
    return picture.width if picture.width == picture.height and picture.format == "PNG" else None


def open_prepared(source: Path) -> PackReader | None:
    """The source as a dataset with all that was tossed, if it has the files of one."""
    names = {"dataset.json", "manifest.jsonl"}
    if source.is_dir():
        return PackReader(source, with_tossed=True) if all((source / n).is_file() for n in names) else None
    if not zipfile.is_zipfile(source):
        return None
    archive = Archive(source)
    held = {name for name, _ in archive.members}
    archive.close()
    return PackReader(source, with_tossed=True) if names <= held else None


def _label_values(label: Label | None, class_names: tuple[str, ...]) -> Mapping[str, Any]:
    if label is None:
        return {}
    if isinstance(label, int):
        return {"class": class_names[label] if label < len(class_names) else label}
    names = class_names or tuple(f"label{number}" for number in range(len(label)))
    return dict(zip(names, label, strict=True))


def label_of(record: Mapping[str, Any], like: Label, class_names: tuple[str, ...]) -> Label | None:
    """The inverse of `_label_values` for the labels of a record; None where they do not say."""
    labels = record.get("labels") or {}
    if isinstance(like, int):
        value = labels.get("class")
        if value in class_names:
            return class_names.index(value)
        return value if isinstance(value, int) and not class_names else None
    names = class_names or tuple(f"label{number}" for number in range(len(like)))
    values = [labels.get(name) for name in names]
    return None if any(not isinstance(value, int | float) for value in values) else tuple(map(float, values))  # type: ignore[arg-type]
