"""Packed datasets: a zip of stored PNGs with `dataset.json` and `manifest.jsonl`, laid out as NVlabs' are.

The same layout unzipped in a folder reads the same, down to its content hash.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self, cast

import numpy as np
from PIL import Image

from mien.core.archive import ARCHIVE_SUFFIXES, open_store
from mien.core.atomic import open_replacing
from mien.core.crawl import read_crawls
from mien.core.errors import InputError
from mien.core.labels import Label, Labels, check_label, named_label, parse_labels
from mien.core.manifest import CONTINUED, Record, dump_record, merge_records, read_continuation, read_manifest
from mien.core.path_labels import classes_of, read_paths
from mien.core.picture import PICTURE_SUFFIXES, Pixels, is_hidden
from mien.core.text import decode_text

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say; any fixed time makes zips reproducible
_TABLES = (".csv", ".tsv", ".jsonl")
_NAMED = 3  # of what is not read
_MANIFESTS = ("manifest.jsonl", CONTINUED)


def encode_png(image: Pixels) -> bytes:
    """Encode uint8 [H, W, 3], [H, W, 1] or [H, W] as PNG, fast and the same every time."""
    if image.dtype != np.uint8:
        raise TypeError(f"encode_png takes uint8, not {image.dtype}")
    plane = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    buffer = io.BytesIO()
    Image.fromarray(plane).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


class PackWriter:
    """Writes a packed dataset; use it in a `with` block.

    The zip appears at `path` when the block ends well and not at all otherwise. The same calls write the
    same bytes. `class_names` names the columns of the labels and may be set before the block ends.
    """

    def __init__(self, path: Path, *, class_names: Sequence[str] = ()) -> None:
        self.path = path
        self.class_names: tuple[str, ...] = tuple(class_names)
        self._labels: list[tuple[str, Label | None]] = []
        self._manifest: list[str] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._file = self._stack.enter_context(open_replacing(self.path))
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_STORED)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            try:
                if error is not None:
                    raise error  # into the stack, which removes the temporary file
                self._finish()
            finally:
                self._zip.fp = None  # keeps its destructor from writing into a file that is closed

    def __len__(self) -> int:
        return len(self._labels)

    def add_png(
        self, png: bytes, label: int | Sequence[float] | None = None, record: Mapping[str, Any] | None = None
    ) -> str:
        """Add one picture and its manifest line; return its member name.

        label: a class number, or a vector of floats; all pictures have the same kind, or all have None.
        Raises InputError where they differ.
        """
        index = len(self._labels)
        name = f"{index:08d}"[:5] + f"/img{index:08d}.png"
        checked = None if label is None else check_label(label, name)
        if self._labels and type(checked) is not type(self._labels[0][1]):
            raise InputError(f"{name}: all pictures of a dataset need a label of one kind, or none has one")
        self._labels.append((name, checked))
        self._write(name, png)
        self._manifest.append(dump_record({"verdict": "kept", **(record or {}), "file": name}))
        return name

    def add_record(self, record: Mapping[str, Any]) -> None:
        """Add the manifest line of an input that gave no picture."""
        self._manifest.append(dump_record({"verdict": "dropped", **record, "file": None}))

    def _finish(self) -> None:
        labelled = [[name, label] for name, label in self._labels if label is not None]
        document: dict[str, Any] = {"labels": labelled or None}
        if self.class_names:
            document["class_names"] = list(self.class_names)
        text = json.dumps(document, ensure_ascii=False, allow_nan=False)
        parsed = parse_labels(text, [name for name, _ in self._labels])
        if labelled and (parsed.problem or parsed.notes):  # refuse what no reader takes
            raise InputError(f"{self.path}: {parsed.problem or parsed.notes[0]}")
        self._write("dataset.json", text.encode())
        self._write("manifest.jsonl", "".join(line + "\n" for line in self._manifest).encode())
        self._zip.close()

    def _write(self, name: str, data: bytes) -> None:
        info = zipfile.ZipInfo(name, date_time=_EPOCH)
        info.create_system = 3
        info.external_attr = 0o644 << 16
        self._zip.writestr(info, data)


class PackReader:
    """Reads a packed zip, the same unzipped, or any zip, tar or folder of images; never fails over labels.

    names: members with an image's suffix, sorted, with "/", relative to the folder of `dataset.json`. labels:
    one class number or vector for each name, or None; from `dataset.json` (the topmost, where it lies in a
    sub-folder), else from the class folders. label_problem: why labels is None though some images have one.
    class_names: of the columns. records: manifest lines aligned with names ({} where there is none), with the
    split that the folders name, and the labels of images where not all have one. all_records: the whole
    manifest, dropped inputs too, with what was appended to it later merged in (`manifest.continuation`).
    packed: is there a `dataset.json`. tossed: members that a later verdict dropped; they are left out of
    names, unless `with_tossed`. notes: lines for the user about what was odd or not read.
    content_hash: sha256 over names, checksums and `dataset.json`; the same for the zip and for its
    unzipped folder, wherever they lie. Raises InputError where the source is damaged or ambiguous.
    Reading is safe from several threads.
    """

    def __init__(self, path: Path, *, with_tossed: bool = False) -> None:
        self.path = path
        self._store = open_store(path)
        images = sorted(name for name in self._store.members if _is_picture(name))
        if not images:
            raise InputError(self._without_images())
        names = list(self._store.members)
        folder, notes = dataset_folder(names)
        self._root = f"{folder}/" if folder and all(name.startswith(f"{folder}/") for name in images) else ""
        self.names = [name.removeprefix(self._root) for name in images]
        json_name = f"{folder}/dataset.json".lstrip("/")
        document = None if folder is None else self._text(json_name)
        self.packed = document is not None
        crawl: dict[str, Mapping[str, Any]] = {}
        left_out: tuple[str, ...] = ()
        if not self.packed:  # what `mien collect` says of each picture, where it filled this folder
            crawl, left_out = read_crawls(names, images, self._store.read)
        if crawl:
            self.names = [name for name in self.names if name in crawl]
            if not self.names:
                raise InputError(f"{path}: manifest.jsonl names none of the {len(images)} pictures in it")
        self._placed = read_paths([PurePosixPath(name).name for name in self.names] if crawl else self.names)
        parsed = (
            self._from_folders()
            if document is None
            else parse_labels(document, self.names, folder="" if self._root else str(folder))
        )
        self.labels, self.class_names, self.label_problem = parsed.labels, parsed.class_names, parsed.problem
        notes += [
            f"left out as a placeholder, which too many records share: {name}" for name in left_out[:_NAMED]
        ]
        self.notes = (*notes, *parsed.notes, *([parsed.problem] if parsed.problem else []), *self._unread())
        self.all_records = self._manifest(crawl)
        by_file = {record.get("file"): record for record in self.all_records}
        self.tossed = tuple(
            name for name in self.names if by_file.get(name, Record()).get("verdict") == "dropped"
        )
        records = [self._record(by_file, at, parsed) for at in range(len(self.names))]
        self.records: list[Record] = records
        if self.tossed and not with_tossed:
            self._leave_out(frozenset(self.tossed))
        self._document = document or ""
        self._hash: str | None = None

    @property
    def content_hash(self) -> str:
        if self._hash is None:
            digest = hashlib.sha256(b"mien packed 1\n")
            for name in self.names:
                checksum = self._store.checksum(self._root + name)
                digest.update(f"{name}\0{checksum}\n".encode("utf-8", "surrogateescape"))
            digest.update(self._document.encode())
            self._hash = digest.hexdigest()
        return self._hash

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> bytes:
        """The file of image `index`. Raises InputError where it is damaged."""
        return self._store.read(self._root + self.names[index])

    def _manifest(self, crawl: Mapping[str, Mapping[str, Any]]) -> list[Record]:
        text = "" if crawl else self._text(f"{self._root}manifest.jsonl")
        packed = read_manifest(text) if text else []
        packed += [cast(Record, {**known, "file": name}) for name, known in crawl.items()]
        dropped = {record.get("file") for record in packed if record.get("verdict") == "dropped"} - {None}
        inside = self.path / self._root  # where it was curated before it was opened by its parent
        inner = read_continuation(inside) if self._root and self.path.is_dir() else []
        records = merge_records([*packed, *inner, *read_continuation(self.path)])
        for record in records:
            if record.get("file") in dropped and record.get("verdict") == "kept":
                record["restored"] = True
        return records

    def _from_folders(self) -> Labels:
        """Class numbers by the folders' names."""
        classes = classes_of(self.names, self._placed)
        names = tuple(sorted({name for name in classes if name is not None}))
        if not names:
            return Labels(None, (), [None] * len(self.names))
        partial: list[Label | None] = [None if name is None else names.index(name) for name in classes]
        stray = [name for name, label in zip(self.names, partial, strict=True) if label is None]
        if not stray:
            return Labels([label for label in partial if label is not None], names, partial)
        lie = "image lies" if len(stray) == 1 else "images lie"
        problem = f"{len(stray)} {lie} beside {len(names)} class folders and so without a label"
        return Labels(None, names, partial, f"{problem} (first {stray[0]})")

    def _record(self, by_file: Mapping[str | None, Record], index: int, parsed: Labels) -> Record:
        """The manifest's record of an image, with labels from its folders or a partial `dataset.json`."""
        name = self.names[index]
        record: dict[str, Any] = dict(by_file.get(name, Record()))
        if self._placed[index].split and not record.get("split"):
            record["split"] = self._placed[index].split
        label = parsed.partial[index]
        if parsed.problem and label is not None:
            record["labels"] = named_label(label, parsed.class_names) | (record.get("labels") or {})
        return cast(Record, record)

    def _leave_out(self, tossed: frozenset[str]) -> None:
        left = [index for index, name in enumerate(self.names) if name not in tossed]
        if not left:
            raise InputError(f"{self.path}: all of its {len(self.names)} pictures were tossed; restore some")
        self.names = [self.names[index] for index in left]
        self.records = [self.records[index] for index in left]
        if self.labels is not None:
            self.labels = [self.labels[index] for index in left]

    def _text(self, name: str) -> str | None:
        there = name in self._store.members
        return decode_text(self._store.read(name), "replace") if there else None

    def _without_images(self) -> str:
        packed = [name for name in self._store.members if name.lower().endswith(ARCHIVE_SUFFIXES)]
        parquet = [name for name in self._store.members if name.lower().endswith(".parquet")]
        lies = f"; {packed[0]} lies in it: unpack it, or give it as the source" if packed else ""
        lies += f"; {parquet[0]} lies in it: unpacked, parquet:FOLDER reads it" if parquet else ""
        lies += "".join(f"; {note}" for note in self._store.notes[:1])
        return f"{self.path}: no pictures in it (looked for {', '.join(sorted(PICTURE_SUFFIXES))}){lies}"

    def _unread(self) -> Iterator[str]:
        """Links, archives in the source, and tables of labels in an archive, which are not read."""
        yield from self._store.notes
        visible = [name for name in self._store.members if not is_hidden(name)]
        for name in [name for name in visible if name.lower().endswith(ARCHIVE_SUFFIXES)][:_NAMED]:
            yield f"{name} lies in it packed and is not read: unpack it, or give it as the source"
        if self.packed or self.path.is_dir():
            return
        tables = [name for name in visible if name.lower().endswith(_TABLES)]
        for name in [name for name in tables if PurePosixPath(name).name not in _MANIFESTS][:_NAMED]:
            yield f"{name} in it is not read: unpack {self.path.name}; table:FOLDER then reads its labels"


def dataset_folder(members: Sequence[str]) -> tuple[str | None, list[str]]:
    """The folder of the topmost `dataset.json`, None if there is none; a note on others passed over."""
    files = sorted(
        (name for name in members if PurePosixPath(name).name == "dataset.json" and not is_hidden(name)),
        key=lambda name: (name.count("/"), name),
    )
    top = [name for name in files if name.count("/") == files[0].count("/")]
    if len(top) > 1:
        return None, [f"{name} is passed over: another lies beside it" for name in top[:_NAMED]]
    passed = [f"{name} is passed over: {files[0]} is read" for name in files[1:][:_NAMED]]
    return (files[0].rpartition("/")[0], passed) if files else (None, [])


def _is_picture(name: str) -> bool:
    """Whether `name` may be a picture; hidden files and the Mac's shadow copies are not."""
    return PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES and not is_hidden(name)
