"""Addresses of shared storage in the place of paths: s3://BUCKET/NAME, gs://, memory://, file://, by fsspec.

What is read is copied once into the cache, under a name that follows from the address and from what the
storage says of each file (size, checksum or time). What is written is made on this machine and sent when it
is whole. A path is passed through as it is, and fsspec is then not even imported.
"""

import hashlib
import importlib
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from mien.core.cache import cache_root
from mien.core.errors import InputError, MienError, install
from mien.core.events import Event, Events, Notice, Written
from mien.core.manifest import continuation
from mien.core.picture import PICTURE_SUFFIXES

# Paths drop one of two slashes, so one will do.
_ADDRESS = re.compile(r"(?P<layout>(?:\w+:)?)(?P<scheme>s3|gs|memory|file):/+(?P<place>[^?]+)(?P<options>.*)")
_NEEDS = {"s3": "s3", "gs": "gs", "memory": "s3"}  # the extra that reads it
_SETTINGS: dict[str, dict[str, Any]] = {
    "s3": {"config_kwargs": {"retries": {"max_attempts": 2}, "connect_timeout": 10}}
}
_RETRIES = 2  # s3fs's, each of three attempts of boto's: a server that is silent is given up after 90 seconds
_AT_ONCE = 256  # files of a transfer
_CHECKSUMS = ("ETag", "etag", "crc32c", "md5Hash")
_TIMES = ("LastModified", "mtime", "updated", "created")
_MADE = {"out", "save", "json", "heat", "video"}  # parameters of jobs that name what is written
_SENT = {("prepare", "out"), ("generate", "out"), ("real", "out"), ("generated", "out")}
_SENT |= {("detect", "json"), ("detect", "heat")}
_LATER = {("annotate", "dataset"), ("detect", "files")}  # which these fetch as they need them
_copies: dict[Path, tuple[str, str]] = {}  # path in the cache -> address and, of a folder, version


@dataclass(frozen=True)
class Remote:
    """A file or folder of a storage. What the storage raises becomes an error of one line."""

    scheme: str
    place: str

    @property
    def address(self) -> str:
        return f"{self.scheme}://{self.place}"

    @property
    def name(self) -> str:
        return PurePosixPath(self.place).name

    @property
    def folder(self) -> "Remote":
        """What it lies in."""
        return Remote(self.scheme, self.place.rpartition("/")[0])

    def __truediv__(self, name: str) -> "Remote":
        return Remote(self.scheme, f"{self.place}/{name}".strip("/"))

    @cached_property
    def _system(self) -> Any:
        try:
            fsspec = importlib.import_module("fsspec")
            settings = _SETTINGS.get(self.scheme, {})
            system = fsspec.filesystem(self.scheme, use_listings_cache=False, **settings)
            system.retries = _RETRIES
            return system
        except ImportError as error:
            raise InputError(f"{self.address}: needs a package; {install(_NEEDS[self.scheme])}") from error

    def is_file(self) -> bool:
        with self._explained():
            return bool(self._system.isfile(self.place))

    def check_bucket(self) -> None:
        """Raise InputError where there is no such bucket, or this user may not look at it."""
        with self._explained():
            if self.scheme != "memory":
                self._system.info(self.place.partition("/")[0])

    def listed(self) -> dict[str, Mapping[str, Any]]:
        """What the storage says of the file, or of each file of the folder, by its name in `self.folder`.

        With a dataset's zip go the later lines of its manifest.
        """
        self.check_bucket()
        parts = [self] if self.is_file() else []
        if (
            self.name.endswith(".zip")
            and (beside := self.folder / continuation(Path(self.name)).name).is_file()
        ):
            parts.append(beside)
        with self._explained():
            if parts:
                infos = [self._system.info(part.place) for part in parts]
            else:
                infos = list(self._system.find(self.place, detail=True).values())
        if not infos:
            raise InputError(f"{self.address}: there is no such file or folder")
        above = len(self.folder.place)
        files = {str(info["name"]).strip("/")[above:].strip("/"): info for info in infos}
        return {name: files[name] for name in sorted(files) if ".." not in PurePosixPath(name).parts}

    def get(self, names: Sequence[str], into: Path) -> None:
        """Copy files of this folder, each whole or not at all."""
        for start in range(0, len(names), _AT_ONCE):
            copies = {name: into / (name + ".part") for name in names[start : start + _AT_ONCE]}
            for copy in copies.values():
                copy.parent.mkdir(parents=True, exist_ok=True)
            with self._explained():
                self._system.get(
                    [(self / name).place for name in copies], [str(each) for each in copies.values()]
                )
            for name, copy in copies.items():
                os.replace(copy, into / name)

    def put(self, names: Sequence[str], out_of: Path) -> None:
        """Copy files into this folder; the storage shows each when it is whole."""
        with self._explained():
            for start in range(0, len(names), _AT_ONCE):
                part = names[start : start + _AT_ONCE]
                self._system.put(
                    [str(out_of / name) for name in part], [(self / name).place for name in part]
                )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except MienError:
            raise
        except FileNotFoundError as error:
            raise InputError(f"{self.address}: there is no such file, folder or bucket") from error
        except PermissionError as error:
            raise InputError(f"{self.address}: the storage refuses ({_reason(error)})") from error
        except Exception as error:  # each kind of storage raises its own
            raise MienError(f"{self.address}: the storage failed ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def remote(source: str | Path) -> Remote | None:
    """What the address in `source` ("s3://...", "LAYOUT:s3://...?options") names; None for a path."""
    match = _ADDRESS.fullmatch(str(source))
    return (
        None
        if match is None or match["scheme"] == "file"
        else Remote(match["scheme"], match["place"].strip("/"))
    )


def on_disk(what: str, path: Path) -> Path:
    """`path`, where it is none of a storage. Raises InputError: of what is written little by little."""
    if (address := remote(path)) is not None:
        raise InputError(
            f"{what} {address.address}: this is written on a disk; name a folder of this machine and copy it"
            " later (prepare, generate, annotate, detect and project write to a storage themselves)"
        )
    return Path(local(path))


# --- Reading ---


def at_hand(job: str, arguments: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """What a job is to take in the place of addresses among `arguments`: copies on this machine.

    names: of arguments that are files or folders. Raises InputError for what cannot be written to a storage.
    """
    given = {name: arguments[name] for name in names & arguments.keys() if (job, name) not in _SENT | _LATER}
    for name, value in given.items():
        if isinstance(value, Path) and (name in _MADE or job == "curate"):
            given[name] = on_disk(f"--{name}" if name in _MADE else "curate", value)
        elif isinstance(value, tuple):
            given[name] = tuple(type(each)(local(each)) for each in value)
        elif value is not None:
            given[name] = type(value)(local(value))
    return given


def local(source: str | Path, *, pictures: bool = True) -> str:
    """`source` with a path on this machine for the address in it, if it has one; the files are copied there.

    pictures: False where workers alone read them: here they are then empty, with their size and time.
    Raises InputError and MienError where the storage refuses.
    """
    match, address = _ADDRESS.fullmatch(str(source)), remote(source)
    if match is None:
        return str(source)
    path = f"/{match['place']}" if address is None else str(_copied(address, pictures))
    return f"{match['layout']}{path}{match['options']}"


def _copied(address: Remote, pictures: bool = True) -> Path:
    listed = address.listed()
    version = _version(listed)
    into = _folder_of(address.address, version if pictures else f"{version}-listed")
    sizes = {path: path.stat().st_size for path in into.rglob("*") if path.is_file()}
    missing = [name for name, info in listed.items() if sizes.get(into / name) != info["size"]]
    hollow = {
        name for name in missing if not pictures and PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES
    }
    for name in hollow:
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        with open(into / name, "wb") as file:
            file.truncate(listed[name]["size"])
    address.folder.get([name for name in missing if name not in hollow], into)
    for name in missing:  # `prepare` knows a photo by its time, too
        os.utime(into / name, (_time(listed[name]),) * 2)
    path = into / address.name
    _copies[path.resolve()] = address.address, version if path.is_dir() else ""
    return path


def shared(path: Path | str) -> tuple[str, str]:
    """What a worker needs to have the same file or folder: its address and version, or its whole path."""
    path = Path(path).resolve()
    for above in (path, *path.parents):
        if above in _copies:
            address, version = _copies[above]
            return f"{address}/{path.relative_to(above).as_posix()}".removesuffix("/."), version
    return str(path), ""


def on_worker(place: str, version: str, names: Sequence[str] | None = None) -> Path:
    """What `shared` gave, on another machine. names: the files of a folder that are needed; None for all.

    Raises MienError where it is not there.
    """
    address = remote(place)
    if address is None:
        if not Path(place).exists():
            raise MienError(f"{place}: not there on a worker; all machines need it at the same place")
        return Path(place)
    if names is None or not version:
        return Path(local(place))
    into = _folder_of(place, version) / address.name
    address.get([name for name in names if not (into / name).exists()], into)
    return into


def _folder_of(address: str, version: str) -> Path:
    return cache_root() / "storage" / _digest(address) / version


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _version(listed: Mapping[str, Mapping[str, Any]]) -> str:
    """Changes when a file does."""
    states = [
        next((info[key] for key in (*_CHECKSUMS, *_TIMES) if info.get(key)), "") for info in listed.values()
    ]
    sizes = [info["size"] for info in listed.values()]
    return _digest([*zip(listed, sizes, map(str, states), strict=True)])


def _time(info: Mapping[str, Any]) -> float:
    time = next((info[key] for key in _TIMES if info.get(key)), 0)
    time = datetime.fromisoformat(time) if isinstance(time, str) else time
    return time.timestamp() if isinstance(time, datetime) else float(time)


# --- Writing ---


@contextmanager
def sent(out: Path, events: Events, *, first: Sequence[str] = ()) -> Iterator[tuple[Path, Events]]:
    """In this context, where to make the file or folder `out`, and the events to speak by.

    When all went well, it is sent to its address with all that was made beside it, zips last. first: what is
    fetched before, where it is there: NAME beside it, FOLDER/NAME, or FOLDER/ for all in one. Where the
    storage refuses, InputError is raised before anything is made; where it does later, what was made stays.
    """
    address = remote(out)
    if address is None:
        yield Path(local(out)), events
        return
    address.check_bucket()
    there, made = address.folder, cache_root() / "storage" / "made" / _digest(address.address)
    made.mkdir(parents=True, exist_ok=True)
    there.get([name for name in _existing(there, set(first)) if not (made / name).exists()], made)
    spoken = Events(lambda event: events.send(_renamed(event, made, there)))
    try:
        yield made / address.name, spoken
    except MienError as error:
        error.args = (str(error).replace(str(made), there.address),)
        raise
    files = (
        path for path in made.rglob("*") if path.is_file() and path.name[0] != "." and path.name != "lock"
    )
    names = sorted(
        (path.relative_to(made).as_posix() for path in files), key=lambda name: (name.endswith(".zip"), name)
    )
    try:
        there.put(names, made)
    except MienError as error:
        raise type(error)(f"{error}; what was made is in {made}, and the same command sends it") from error
    shutil.rmtree(made)
    events.note(f"sent {len(names):,} files to {there.address}")


def _existing(there: Remote, names: set[str]) -> list[str]:
    """Which of these files are there; a folder is listed once."""
    existing = [name for name in names if "/" not in name and (there / name).is_file()]
    for folder in {name.partition("/")[0] for name in names if "/" in name}:
        with suppress(InputError):  # no such folder yet
            inside = (there / folder).listed()
            existing += inside if f"{folder}/" in names else names & inside.keys()
    return existing


@contextmanager
def changed(dataset: Path, events: Events) -> Iterator[Path]:
    """In this context, a dataset on this machine; lines that its manifest gains are sent, stopped or not."""
    address = remote(dataset)
    path = Path(local(dataset))
    if address is None:
        yield path
        return
    copy = _copied(address)
    later = continuation(copy)
    before = later.stat().st_size if later.exists() else 0
    try:
        yield path
    finally:
        if later.exists() and later.stat().st_size > before:
            name = later.relative_to(copy.parent).as_posix()
            address.folder.put([name], copy.parent)
            events.note(f"sent {name} to {address.folder.address}")
            with suppress(OSError):  # the copy is what lies there now; else it is made anew when needed
                copy.parent.rename(_folder_of(address.address, _version(address.listed())))


def _renamed(event: Event, made: Path, there: Remote) -> Event:
    """The event with the address in the place of the folder on this machine."""
    if isinstance(event, Notice):
        return replace(event, text=event.text.replace(str(made), there.address))
    if isinstance(event, Written):
        text = f"wrote {event.path}: {event.text}".removesuffix(": ")
        return Notice(text.replace(str(made), there.address))
    return event
