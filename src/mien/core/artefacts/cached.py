"""The cached third-party files, checked by hash. Nothing in this module uses the network."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from mien.core.artefacts.table import ARTEFACTS, Artefact
from mien.core.atomic import explain, file_sha256, locked, sweep_temporaries
from mien.core.cache import cache_root
from mien.core.errors import InputError, MienError

State = Literal["ready", "absent", "damaged"]
_DOWNLOADS = ".fetch-"


def state(name: str) -> State:
    """Whether artefact `name` is cached and whole, absent, or there with a wrong hash."""
    path, hashes = expected(known(name))
    if path is None or not path.is_file():
        return "absent"
    return "ready" if file_sha256(path) in hashes else "damaged"


def artefact_path(name: str) -> Path | None:
    """The cached file of artefact `name` if it is there and its hash is right, else None."""
    return expected(known(name))[0] if state(name) == "ready" else None


def artefact_sha256(name: str) -> str | None:
    """The hash of artefact `name`: pinned, or recorded for a file that was added (None without).

    Where a network may come from two archives, that of the cached file: it says which weights these are.
    """
    path, hashes = expected(known(name))
    if len(hashes) > 1 and path is not None and path.is_file():
        digest = file_sha256(path)
        return digest if digest in hashes else hashes[0]
    return hashes[0] if hashes else None


def require(name: str) -> Path:
    """The cached file of artefact `name`; raises MienError saying how to get it."""
    path = artefact_path(name)
    if path is not None:
        return path
    trouble = "is damaged in the cache" if state(name) == "damaged" else "is not in the cache"
    raise MienError(f"artefact {name} {trouble}: {remedy(name)}")


def remedy(name: str) -> str:
    """What to do to have artefact `name`."""
    if not known(name).sources:
        return f"run `mien artefacts add {name} FILE` with the file you have"
    return f"run `mien artefacts fetch {name}`, or offline `mien artefacts add FILE` with it or its package"


def known(name: str) -> Artefact:
    """The table's row. Raises InputError for an unknown name."""
    if name not in ARTEFACTS:
        raise InputError(f"{name!r} is no artefact; choose from: {', '.join(ARTEFACTS)}")
    return ARTEFACTS[name]


def folder() -> Path:
    """Where the cached files lie."""
    return cache_root() / "artefacts"


def expected(artefact: Artefact) -> tuple[Path | None, tuple[str, ...]]:
    """The cache path and the valid hashes of a file; no path for a user's file that was never added."""
    if artefact.sources:
        return folder() / artefact.file, artefact.sha256s
    try:
        note = json.loads((folder() / f"{artefact.name}.json").read_text("utf-8"))
        return folder() / Path(str(note["file"])).name, (str(note["sha256"]),)
    except (OSError, ValueError, KeyError, TypeError):
        return None, ()


@contextmanager
def workspace() -> Iterator[Path]:
    """An empty folder inside the cache, held alone: a second process waits here until the first is done.

    What a killed process left behind goes first. The folder goes when the block ends.
    """
    place = folder()
    work = place / f"{_DOWNLOADS}{os.getpid()}"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with locked(place / ".lock"):
            sweep_temporaries(place)
            for left in place.glob(_DOWNLOADS + "*"):
                shutil.rmtree(left, ignore_errors=True)
            try:
                work.mkdir()
                yield work
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise explain(error, place) from error
