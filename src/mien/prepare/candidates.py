"""What may go into a dataset: records, labels and crops by number, from a store or from a prepared zip."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from mien.core.labels import Label
from mien.core.packed import PackReader
from mien.core.picture import BadPicture, decode
from mien.prepare.judge import Drop
from mien.prepare.pool import Answer
from mien.prepare.sources import Inputs, readable
from mien.prepare.store import Store
from mien.prepare.where import names_in
from mien.prepare.work import dropped

NO_LABEL = Drop("no-label", "it has no label while others have one")
_TOSSED = Drop("tossed", "it was tossed by hand")
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


class Found:
    """The inputs of a source and what a store knows of them."""

    def __init__(self, inputs: Inputs, store: Store) -> None:
        self.class_names = inputs.class_names
        self._inputs = inputs
        self._store = store
        self._loose: dict[int, dict[str, Any]] = {}  # records of this run that the store shall not keep
        self._numbers: dict[str, int] = {}
        self.refresh()

    def __len__(self) -> int:
        return len(self._inputs.files)

    def refresh(self) -> None:
        """See what workers have put into the store."""
        self._numbers = self._store.keys()

    def missing(self) -> list[int]:
        """Inputs of which nothing is known yet."""
        return [index for index, file in enumerate(self._inputs.files) if file.key not in self._numbers]

    def take(self, index: int, answer: Answer) -> None:
        """Note what a worker answered and did not store."""
        if answer.record is None:
            drop = Drop(answer.trouble, _TROUBLES[answer.trouble])
            source = readable(self._inputs.files[index].name)
            self._loose[index] = {"source": source, "sha256": None} | dropped(drop)
        elif answer.record:
            self._loose[index] = answer.record

    def record(self, index: int) -> dict[str, Any]:
        number = self._number(index)
        record = dict(self._loose[index]) if number is None else self._store.record(number)
        label = self.label(index)
        extra = dict(self._inputs.extra.get(self._inputs.files[index].name, {}))
        labels = {**_label_values(label, self.class_names), **(extra.pop("labels", None) or {})}
        if self._inputs.labels is not None and label is None and "verdict" not in record:
            record |= dropped(NO_LABEL)
        return record | {"licence": None, **extra, "labels": labels}

    def label(self, index: int) -> Label | None:
        labels = self._inputs.labels
        return None if labels is None else labels.get(self._inputs.files[index].name)

    def crops(self, index: int, size: int) -> list[tuple[str, bytes]]:
        number = self._number(index)
        return [] if number is None else self._store.crops(number, size)

    def thumb(self, index: int) -> bytes:
        number = self._number(index)
        return b"" if number is None else self._store.thumb(number)

    def known_names(self) -> set[str]:
        labels = next(iter((self._inputs.labels or {}).values()), None)
        found = names_in({"labels": _label_values(labels, self.class_names)})
        for extra in self._inputs.extra.values():
            found |= names_in(extra)
        return found

    def _number(self, index: int) -> int | None:
        return self._numbers.get(self._inputs.files[index].key)


class Prepared:
    """A dataset that was prepared before: its pictures are copied as they are, its records judged again.

    What its manifest, continued by `mien curate`, says is dropped stays dropped.
    """

    def __init__(self, reader: PackReader) -> None:
        self._reader = reader
        self._at = {name: index for index, name in enumerate(reader.names)}
        self._records = list(reader.all_records)
        self.class_names = reader.class_names

    def __len__(self) -> int:
        return len(self._records)

    def record(self, index: int) -> dict[str, Any]:
        record: dict[str, Any] = dict(self._records[index])
        if record.pop("file", None) is None:
            return record
        verdict = record.pop("verdict", "kept")
        reason, detail = record.pop("reason", None), record.pop("detail", None)
        if verdict == "dropped":
            return record | dropped(Drop(reason or _TOSSED.reason, detail or _TOSSED.detail))
        return record

    def label(self, index: int) -> Label | None:
        at = self._place(index)
        return None if at is None or self._reader.labels is None else self._reader.labels[at]

    def crops(self, index: int, size: int) -> list[tuple[str, bytes]]:
        at = self._place(index)
        role = str(dict(self._records[index]).get("role") or "")
        return [] if at is None else [(role, self._reader.read(at))]

    def thumb(self, index: int) -> bytes:
        return b""

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
    from mien.prepare.archive import Archive

    archive = Archive(source)
    held = {member.filename for member in archive.members}
    archive.close()
    return PackReader(source, with_tossed=True) if names <= held else None


def _label_values(label: Label | None, class_names: tuple[str, ...]) -> Mapping[str, Any]:
    if label is None:
        return {}
    if isinstance(label, int):
        return {"class": class_names[label] if label < len(class_names) else label}
    names = class_names or tuple(f"label{number}" for number in range(len(label)))
    return dict(zip(names, label, strict=True))
