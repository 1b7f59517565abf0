"""The manifest of a dataset: one strict JSON line for every input, kept or dropped."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np

from mien.core.errors import InputError


class Record(TypedDict, total=False):
    """One line of `manifest.jsonl`; every key may be absent.

    file: member of the dataset, None when the input was dropped. source: path of the input relative to
    the folder given, with "/". sha256: of the source's bytes. verdict, reason (short code), detail (one
    sentence). width, height: of the source in pixels. box: [x, y, w, h] in source pixels.
    landmarks: name -> [x, y] in source pixels. measurements: name -> number. labels: name -> value.
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
    licence: str | None


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
