"""The manifest of a dataset: one strict JSON line for every input, kept or dropped.

A manifest may be continued after its dataset was packed (`continuation`): lines there name a `file` and add
to its record or change it, the later line winning. So `mien curate` and `mien annotate` only ever append.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np

from mien.core.atomic import explain
from mien.core.errors import InputError

CONTINUED = "continued.manifest.jsonl"  # the continuation inside a folder
MERGED = ("landmarks", "measurements", "labels", "predictions")  # keys whose entries are merged, not replaced


class Record(TypedDict, total=False):
    """One line of `manifest.jsonl`; every key may be absent.

    file: member of the dataset, None when the input was dropped. source: path of the input relative to
    the folder given, with "/". sha256: of the source's bytes. verdict, reason (short code), detail (one
    sentence). width, height: of the source in pixels. box: [x, y, w, h] in source pixels.
    landmarks: name -> [x, y] in source pixels. measurements: name -> number. labels: name -> value, as the
    source gives them. predictions: name -> value, as a model guessed them. hash: perceptual, hexadecimal.
    restored: a rule had dropped it, and somebody took it back by hand.
    """

    file: str | None
    source: str
    sha256: str | None
    verdict: Literal["kept", "dropped"]
    reason: str | None
    detail: str | None
    width: int
    height: int
    box: list[float] | None
    landmarks: dict[str, list[float]]
    measurements: dict[str, float]
    labels: dict[str, Any]
    predictions: dict[str, Any]
    licence: str | None
    hash: str | None
    restored: bool


def dump_record(record: Mapping[str, Any]) -> str:
    """One compact JSON line (no newline) with sorted keys; the same record always gives the same text.

    Numpy numbers and arrays become plain ones. Raises ValueError for NaN and infinities, which JSON lacks.
    """
    return json.dumps(
        record, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain
    )


def read_manifest(source: Path | str) -> list[Record]:
    """Read the manifest at a path, or from its text. Raises InputError naming the line that is wrong."""
    if isinstance(source, Path):
        where = str(source)
        try:
            text = source.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{where}: cannot be read as a manifest ({error})") from error
    else:
        where, text = "manifest.jsonl", source
    # Not splitlines(): U+2028 and its like may stand inside a JSON string.
    return [_parse(line, f"{where}, line {n}") for n, line in enumerate(text.split("\n"), 1) if line.strip()]


def continuation(dataset: Path) -> Path:
    """Where a dataset's manifest goes on: `NAME.manifest.jsonl` beside a zip, or a file inside a folder."""
    if dataset.is_dir():
        return dataset / CONTINUED
    return dataset.with_name(dataset.stem + ".manifest.jsonl")


def append_records(dataset: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Append lines to a dataset's manifest, on disk when this returns. Each must name its "file".

    A line that a kill cut short is ended first, so that it spoils none after it. Raises MienError when the
    disk is full or the place not writable.
    """
    path = continuation(dataset)
    text = "".join(dump_record(record) + "\n" for record in records)
    try:
        with open(path, "a+b") as file:
            end = file.seek(0, os.SEEK_END)
            if end:
                file.seek(end - 1)
                text = text if file.read(1) == b"\n" else "\n" + text
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise explain(error, path) from error


def read_continuation(dataset: Path) -> list[Record]:
    """The lines that were appended; [] if none. A line cut short by a kill is passed over, others are not."""
    path = continuation(dataset)
    if not path.exists():
        return []
    lines = path.read_text("utf-8", errors="replace").split("\n")
    return read_manifest("\n".join(filter(_is_whole, lines)))


def merge_records(records: Sequence[Record]) -> list[Record]:
    """Fold later lines about a file into its first; lines about no file stay as they are. Order is kept."""
    merged: list[Record] = []
    at: dict[str, int] = {}
    for record in records:
        name = record.get("file")
        if name is None or name not in at:
            if name is not None:
                at[name] = len(merged)
            merged.append(record)
            continue
        merged[at[name]] = _merge(merged[at[name]], record)
    return merged


def _merge(old: Record, new: Record) -> Record:
    first, second = dict[str, Any](old), dict[str, Any](new)
    joined = first | second
    joined |= {
        key: (first[key] or {}) | (second[key] or {}) for key in MERGED if key in first and key in second
    }
    return joined  # type: ignore[return-value]  # both halves are records


def _is_whole(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _parse(line: str, where: str) -> Record:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error})") from error
    if not isinstance(record, dict):
        raise InputError(f"{where}: expected an object, found {type(record).__name__}")
    if not isinstance(record.get("file"), str | None):
        raise InputError(f"{where}: 'file' must be a member's name or null")
    if record.get("verdict", "kept") not in ("kept", "dropped"):
        raise InputError(f"{where}: verdict {record['verdict']!r} is neither 'kept' nor 'dropped'")
    return record  # type: ignore[return-value]  # other keys are the writer's own business


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"a manifest cannot hold a {type(value).__name__}")


def finite(value: float) -> float | None:
    """`value`, or None where it is NaN or infinite: for measurements that may have failed."""
    return value if math.isfinite(value) else None
