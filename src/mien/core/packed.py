"""Packed datasets: a zip of stored PNGs with `dataset.json` and `manifest.jsonl`, laid out as NVlabs' are.

The same layout unzipped in a folder reads the same, down to its content hash.
"""

import hashlib
import io
import json
import os
import struct
import weakref
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image

from mien.core.atomic import open_replacing
from mien.core.errors import InputError
from mien.core.labels import Label, Labels, check_label, parse_labels
from mien.core.manifest import Record, dump_record, merge_records, read_continuation, read_manifest
from mien.core.picture import PICTURE_SUFFIXES, Pixels, list_files

_LARGEST_MEMBER = 1 << 30
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say; any fixed time makes zips reproducible
_END = struct.Struct("<10xH10x")
_LOCAL_HEADER = struct.Struct("<4s22xHH")


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
        self,
        png: bytes,
        label: int | Sequence[float] | None = None,
        record: Mapping[str, Any] | None = None,
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
        parse_labels(text, [name for name, _ in self._labels], str(self.path))  # refuse what no reader takes
        self._write("dataset.json", text.encode())
        self._write("manifest.jsonl", "".join(line + "\n" for line in self._manifest).encode())
        self._zip.close()

    def _write(self, name: str, data: bytes) -> None:
        info = zipfile.ZipInfo(name, date_time=_EPOCH)
        info.create_system = 3
        info.external_attr = 0o644 << 16
        self._zip.writestr(info, data)


class PackReader:
    """Reads a packed zip, the same unzipped, or any zip or folder of pictures.

    names: members with a picture's suffix, sorted, with "/". labels: one class number or vector for each
    name, or None. class_names: from `dataset.json`. records: manifest lines aligned with names ({} where
    there is none). all_records: the whole manifest, dropped inputs too, with what was appended to it later
    merged in (`manifest.continuation`). packed: is there a `dataset.json`. tossed: members that a later
    verdict dropped; they are left out of names, unless `with_tossed`.
    content_hash: sha256 over names, checksums and `dataset.json`; the same for the zip and for its
    unzipped folder, wherever they lie. Raises InputError where the source is damaged or ambiguous.
    Reading is safe from several threads.
    """

    def __init__(self, path: Path, *, with_tossed: bool = False) -> None:
        self.path = path
        self._store = _open_store(path)
        self.names = sorted(name for name in self._store.names() if _is_picture(name))
        if not self.names:
            raise InputError(f"{path}: no pictures in it (looked for {', '.join(sorted(PICTURE_SUFFIXES))})")
        document = self._text("dataset.json")
        self.packed = document is not None
        parsed = parse_labels(document, self.names, str(path)) if document is not None else Labels(None, ())
        self.labels, self.class_names = parsed.labels, parsed.class_names
        self.all_records = self._manifest()
        by_file = {record.get("file"): record for record in self.all_records}
        self.tossed = tuple(
            name for name in self.names if by_file.get(name, Record()).get("verdict") == "dropped"
        )
        if self.tossed and not with_tossed:
            self._leave_out(frozenset(self.tossed))
        self.records: list[Record] = [by_file.get(name, Record()) for name in self.names]
        self._document = document or ""
        self._hash: str | None = None

    @property
    def content_hash(self) -> str:
        if self._hash is None:
            digest = hashlib.sha256(b"mien packed 1\n")
            for name in self.names:
                digest.update(f"{name}\0{self._store.checksum(name)}\n".encode("utf-8", "surrogateescape"))
            digest.update(self._document.encode())
            self._hash = digest.hexdigest()
        return self._hash

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> bytes:
        """The file of picture `index`. Raises InputError where it is damaged."""
        return self._store.read(self.names[index])

    def _manifest(self) -> list[Record]:
        text = self._text("manifest.jsonl")
        packed = read_manifest(text) if text else []
        return merge_records([*packed, *read_continuation(self.path)])

    def _leave_out(self, tossed: frozenset[str]) -> None:
        left = [index for index, name in enumerate(self.names) if name not in tossed]
        if not left:
            raise InputError(f"{self.path}: all of its {len(self.names)} pictures were tossed; restore some")
        self.names = [self.names[index] for index in left]
        if self.labels is not None:
            self.labels = [self.labels[index] for index in left]

    def _text(self, name: str) -> str | None:
        if name not in self._store.names():
            return None
        try:
            return self._store.read(name).decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{self.path}: {name} in it is not UTF-8 text") from error


@dataclass(frozen=True, slots=True)
class _Member:
    offset: int
    size: int
    stored: int
    crc: int
    deflated: bool


class _ZipStore:
    """Random access to a zip: the central directory is read once, members through `os.pread`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with zipfile.ZipFile(path) as archive:
                _check_count(archive, path)
                self._members = dict(_members(archive, path))
            self._descriptor = os.open(path, os.O_RDONLY)
        # zipfile raises nearly anything for damaged directories
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
            raise InputError(f"{path}: not a zip that can be read ({error})") from error
        weakref.finalize(self, os.close, self._descriptor)

    def names(self) -> Mapping[str, _Member]:
        return self._members

    def checksum(self, name: str) -> str:
        member = self._members[name]
        return f"{member.crc:08x} {member.size}"

    def read(self, name: str) -> bytes:
        member = self._members[name]
        header = os.pread(self._descriptor, _LOCAL_HEADER.size, member.offset)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
            raise self._damaged(name)
        _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        start = member.offset + _LOCAL_HEADER.size + name_length + extra_length
        data = os.pread(self._descriptor, member.stored, start)
        if member.deflated:
            try:
                data = zlib.decompressobj(-15).decompress(data, member.size + 1)
            except zlib.error as error:
                raise self._damaged(name) from error
        if len(data) != member.size or zlib.crc32(data) != member.crc:
            raise self._damaged(name)
        return data

    def _damaged(self, name: str) -> InputError:
        return InputError(f"{self._path}: {name} in it is damaged; copy or pack it again")


class _FolderStore:
    """The same over a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._names = dict.fromkeys(path.relative_to(root).as_posix() for path in list_files(root))

    def names(self) -> Mapping[str, None]:
        return self._names

    def checksum(self, name: str) -> str:
        data = self.read(name)
        return f"{zlib.crc32(data):08x} {len(data)}"

    def read(self, name: str) -> bytes:
        try:
            return (self._root / name).read_bytes()
        except OSError as error:
            raise InputError(f"{self._root / name}: cannot be read ({error.strerror})") from error


def _open_store(path: Path) -> _ZipStore | _FolderStore:
    if path.is_dir():
        return _FolderStore(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder")
    return _ZipStore(path)


def _check_count(archive: zipfile.ZipFile, path: Path) -> None:
    """Hold the directory against the end record: zipfile misses entries swallowed by a damaged one."""
    with open(path, "rb") as file:
        file.seek(-min(path.stat().st_size, _END.size + 0xFFFF), os.SEEK_END)
        tail = file.read()
    position = tail.rfind(b"PK\x05\x06", 0, len(tail) - _END.size + 4)
    (promised,) = _END.unpack_from(tail, position)
    found = len(archive.infolist())
    if promised not in (found, 0xFFFF):  # the latter stands for "see the zip64 record"
        raise InputError(f"{path}: damaged, its directory lists {found} files of {promised}; copy it again")


def _members(archive: zipfile.ZipFile, path: Path) -> Iterator[tuple[str, _Member]]:
    seen: set[str] = set()
    length = path.stat().st_size
    for info in archive.infolist():
        name = info.filename
        if info.is_dir():
            continue
        if name in seen or not _is_plain(name):
            problem = "twice" if name in seen else "which leads out of the zip or is no plain name"
            raise InputError(f"{path}: it holds {name!r} {problem}")
        seen.add(name)
        if info.flag_bits & 1:
            raise InputError(f"{path}: {name} in it is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(f"{path}: {name} in it is compressed in a way other than stored or deflate")
        if max(info.file_size, info.compress_size) > _LARGEST_MEMBER:
            raise InputError(f"{path}: {name} in it is larger than 1 GiB")
        if not 0 <= info.header_offset <= length - info.compress_size:
            raise InputError(f"{path}: its directory places {name} outside of the file; copy it again")
        deflated = info.compress_type == zipfile.ZIP_DEFLATED
        yield name, _Member(info.header_offset, info.file_size, info.compress_size, info.CRC, deflated)


def _is_plain(name: str) -> bool:
    return not (name.startswith("/") or "\\" in name or "\0" in name or ".." in name.split("/"))


def _is_picture(name: str) -> bool:
    """Whether `name` may be a picture; hidden files and the Mac's shadow copies are not."""
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES and not hidden
