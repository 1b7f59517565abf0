"""The folder that a crawl fills: pictures by content hash, a manifest line each, what was skipped and why.

    OUT/pictures/ab/abcd....jpg     named by the SHA-256 of the bytes as they were served
    OUT/manifest.jsonl              one line for each picture of each record
    OUT/skipped.jsonl               one line for each record or address that gives nothing, as of now
    OUT/sites/NAME.toml             the site file

A picture is on disk before its line is, and a line that a kill cut short is dropped, so whatever happens,
the next run does at most one picture again.
"""

import datetime
import errno
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mien.collect.addresses import Refused
from mien.collect.extract import PageRecord
from mien.collect.site import NOBODY, RECORD, Site
from mien.core.atomic import drop_cut_line, explain, sweep_temporaries, write_bytes
from mien.core.manifest import dump_record
from mien.core.picture import decode
from mien.core.run import RunFolder

_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif"}
_SUFFIXES |= {"PPM": ".ppm", "AVIF": ".avif", "JPEG2000": ".jp2", "HEIF": ".heic"}


@dataclass(frozen=True)
class PictureTask:
    """One picture to fetch: the `number`th (from 1) of a record."""

    record: PageRecord
    number: int

    @property
    def address(self) -> str:
        return self.record.pictures[self.number - 1]


@dataclass(frozen=True)
class _Have:
    """A picture that is in the folder."""

    file: str
    sha256: str
    width: int
    height: int


class Store:
    """The folder `out` for one site; use it through `opened`, which holds its lock."""

    _manifest: "Lines"
    _skipped: "Lines"

    def __init__(self, out: Path, site: Site, *, again: bool = False) -> None:
        self.out = out
        self._site = site
        self._again = again
        self._numbers: dict[str, set[int]] = {}  # of a record's pictures that are done with
        self._counts: dict[str, int] = {}  # how many pictures a record has
        self._pages: dict[str, str] = {}  # address of a record's page -> its id
        self._by_address: dict[str, _Have] = {}
        self._by_hash: dict[str, tuple[_Have, str]] = {}
        self._sharing: dict[str, set[str]] = {}  # hash -> records with that picture
        self._read: set[str] = set()  # addresses that were read in this run
        self._said: set[tuple[object, ...]] = set()  # what was skipped in this run
        self._pictured: set[tuple[object, object]] = set()  # records' numbers whose pictures are here
        self._skips: set[tuple[object, ...]] = set()
        self._num_refused = 0
        self.new = 0
        self.same = 0
        self.reasons: Counter[str] = Counter()
        self.skips: list[dict[str, Any]] = []

    @classmethod
    @contextmanager
    def opened(cls, out: Path, site: Site, *, again: bool = False) -> Iterator[Self]:
        """Make or go on with the folder. again: forget which pictures were refused for good.

        Raises InputError while another process has the folder, MienError where it cannot be written.
        """
        try:
            (out / "pictures").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain(error, out) from error
        with RunFolder(out).lock():
            store = cls(out, site, again=again)
            for folder in (out / "pictures").iterdir():
                sweep_temporaries(folder)
            with (
                Lines(out / "manifest.jsonl") as store._manifest,
                Lines(out / "skipped.jsonl", sync=False) as store._skipped,
            ):
                store._remember()
                yield store
            store._forget_stale(out / "skipped.jsonl")

    @property
    def total(self) -> int:
        """Manifest lines of this site."""
        return sum(len(numbers) for numbers in self._numbers.values()) - self._num_refused

    def is_done(self, record: str) -> bool:
        """Whether all pictures of a record are here, or refused for good."""
        return len(self._numbers.get(record, ())) >= self._counts.get(record, 1)

    def has(self, record: str, number: int) -> bool:
        """Whether that picture of the record is here, or refused for good."""
        return number in self._numbers.get(record, ())

    def is_done_page(self, address: str) -> bool:
        """Whether the record on this page is done."""
        record = self._pages.get(address)
        return record is not None and self.is_done(record)

    def reuse(self, task: PictureTask) -> bool:
        """Record a picture whose address was fetched before, for another record; False if it was not.

        Raises Refused for a placeholder, as `add`.
        """
        have = self._by_address.get(task.address)
        if have is not None:
            self._record(task, have)
        return have is not None

    def was_read(self, address: str) -> None:
        """Know that a list or page gave what it should: what was said of it before is no longer so."""
        self._read.add(address)

    def add(self, task: PictureTask, data: bytes) -> None:
        """Check that `data` is a picture, write it, and its line; both are on disk when this returns.

        Raises BadPicture or Refused for what is no picture to keep: small ones, and those that many records
        share, which stand for pictures that a script would load.
        """
        limits = self._site.limits
        picture = decode(data, max_pixels=int(limits.megapixels * 1e6), where=task.address)
        if min(picture.width, picture.height) < limits.smallest_side:
            size = f"{picture.width}x{picture.height}"
            raise Refused(
                "too-small", f"{size} is smaller than {limits.smallest_side} pixels; it may be an icon"
            )
        sha256 = hashlib.sha256(data).hexdigest()
        self._check_placeholder(sha256, task.record.id)
        name = f"pictures/{sha256[:2]}/{sha256}{_SUFFIXES.get(picture.format, '.img')}"
        if not (self.out / name).exists():
            write_bytes(self.out / name, data)
        self._record(task, _Have(name, sha256, picture.width, picture.height))

    def skip(
        self,
        kind: str,
        address: str,
        why: Refused,
        *,
        page: str | None = None,
        record: str = "",
        task: PictureTask | None = None,
    ) -> None:
        """Name an address that gave nothing, once for each reason, though run after run finds it.

        record: whose address it is, where that is not the task's.
        """
        line: dict[str, Any] = {
            "site": self._site.name, "kind": kind, "address": address, "reason": why.reason,
            "detail": why.detail, "page": page, "again": why.again, "time": _now(),
        }  # fmt: skip
        if record:
            line["record"] = record
        if task is not None:
            line |= {"record": task.record.id, "page": task.record.page}
            line |= {"number": task.number, "of": len(task.record.pictures)}
        self.reasons[why.reason] += 1
        if len(self.skips) < 1000:
            self.skips.append(line)
        self._said.add(_about(line))
        if _key(line) not in self._skips:
            self._skips.add(_key(line))
            self._skipped.append(line)
        if task is not None and not why.again:
            self._refuse(line)

    def _check_placeholder(self, sha256: str, record: str) -> None:
        others = self._sharing.get(sha256, set()) - {record}
        if len(others) > self._site.limits.same_picture:  # one more is here, by which it is known again
            detail = (
                f"{len(others)} other records have the very same picture: a placeholder, it seems;"
                " name where the real one stands (record.picture, attr)"
            )
            raise Refused("placeholder", detail, again=True)

    def _record(self, task: PictureTask, have: _Have) -> None:
        record = task.record
        self._check_placeholder(have.sha256, record.id)
        first = self._by_hash.get(have.sha256)
        line: dict[str, Any] = {
            "file": have.file, "source": task.address, "page": record.page, "record": record.id,
            "site": self._site.name, "licence": self._site.licence, "purpose": self._site.purpose,
            "fields": record.fields, "time": _now(),
            "sha256": have.sha256, "width": have.width, "height": have.height,
        }  # fmt: skip
        line["person"] = self._person(record)
        if record.unread:
            line["unread"] = record.unread
        if len(record.pictures) > 1:
            line |= {"number": task.number, "of": len(record.pictures)}
        if first is not None:
            line["same_as"] = first[1]
            self.same += 1
        self._manifest.append(line)
        self._take(line)
        self.new += 1

    def _person(self, record: PageRecord) -> str:
        """Who is shown, as the site file has it; "" where that is not known."""
        rule = self._site.record.person
        name = record.id if rule == RECORD else "" if rule == NOBODY else record.fields.get(rule)
        return f"{self._site.name}/{name}" if name not in (None, "") else ""

    def _take(self, line: Mapping[str, Any]) -> None:
        """Know the picture of a manifest line."""
        have = _Have(line["file"], line["sha256"], line["width"], line["height"])
        self._by_hash.setdefault(have.sha256, (have, line["record"]))
        if line["site"] == self._site.name:
            self._sharing.setdefault(have.sha256, set()).add(line["record"])
            self._pictured.add((line["record"], line.get("number", 1)))
            self._by_address[line["source"]] = have
            self._done(line)

    def _refuse(self, line: Mapping[str, Any]) -> None:
        self._num_refused += not self.has(line["record"], line["number"])
        self._done(line)

    def _done(self, line: Mapping[str, Any]) -> None:
        record = line["record"]
        self._numbers.setdefault(record, set()).add(line.get("number", 1))
        self._counts[record] = line.get("of", 1)
        self._pages[line["page"]] = record

    def _remember(self) -> None:
        needed = {"file", "sha256", "width", "height", "record", "site", "source", "page"}
        taken = [line for line in self._manifest.read() if needed <= line.keys()]
        for line in taken:
            self._take(line)
        self._ask_placeholders_again(taken)
        for line in self._skipped.read():
            if line.get("site") != self._site.name:
                continue
            self._skips.add(_key(line))
            if not self._again and line.get("again") is False and "number" in line:
                self._refuse(line)

    def _ask_placeholders_again(self, taken: list[dict[str, Any]]) -> None:
        """Records that have nothing but a placeholder are not done: the site file may be mended by now."""
        most = self._site.limits.same_picture
        lone = (line for line in taken if len(self._sharing.get(line["sha256"], ())) <= most)
        real = {(line["record"], line.get("number", 1)) for line in lone}
        for line in taken:
            place = (line["record"], line.get("number", 1))
            if line["site"] == self._site.name and place not in real:
                self._numbers.get(line["record"], set()).discard(place[1])
                self._pictured.discard(place)

    def _forget_stale(self, path: Path) -> None:
        """Leave in skipped.jsonl the last line about each record and address that still gives nothing."""
        with Lines(path) as file:
            kept = {
                (line.get("site"), *_about(line)): line
                for line in file.read()
                if line.get("site") != self._site.name or not self._is_stale(line)
            }
        write_bytes(path, b"".join(map(_encoded, kept.values())))

    def _is_stale(self, line: Mapping[str, Any]) -> bool:
        """Whether a line of this site is no longer so."""
        if "number" in line:
            return (line.get("record"), line["number"]) in self._pictured
        if _about(line) in self._said:
            return False
        done = line.get("kind") == "record" and self.is_done_page(str(line.get("page")))
        return done or line.get("address") in self._read


class Lines:
    """A file of JSON lines that is only ever appended to, each line on disk when `append` returns.

    sync: False where a power cut may cost lines, as a site can have a hundred thousand of them.
    """

    def __init__(self, path: Path, *, sync: bool = True) -> None:
        self._path, self._sync = path, sync
        try:
            self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 - closing must not retry what failed
        except OSError as error:
            raise explain(error, path) from error
        drop_cut_line(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self) -> Iterator[dict[str, Any]]:
        """The lines that can be read; a damaged one is passed over."""
        with open(self._path, "rb") as file:
            for text in file:
                try:
                    line = json.loads(text)
                except ValueError:
                    continue
                if isinstance(line, dict):
                    yield line

    def append(self, line: Mapping[str, Any]) -> None:
        """Write one line. Raises MienError when the disk is full."""
        try:
            data = _encoded(line)
            if self._file.write(data) != len(data):
                raise OSError(errno.ENOSPC, "the line was written in part")
            if self._sync:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise explain(error, self._path) from error


def _encoded(line: Mapping[str, Any]) -> bytes:
    return dump_record(line).encode("utf-8", "replace") + b"\n"


def _about(line: Mapping[str, Any]) -> tuple[object, ...]:
    """The record and picture, else the address (and record of it), that a line of skipped.jsonl is about."""
    if "number" in line:
        return "picture", line.get("record"), line["number"]
    return str(line.get("kind")), str(line.get("address")), str(line.get("record"))


def _key(line: Mapping[str, Any]) -> tuple[object, ...]:
    """What makes two lines of skipped.jsonl tell the same."""
    return tuple(str(line.get(name)) for name in ("kind", "address", "reason", "record", "number"))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
