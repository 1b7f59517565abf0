"""Files of image labels: CSV, JSON, and face-annotation JSON (`faceAttributes`)."""

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mien.core.errors import InputError
from mien.core.text import decode_text

LabelRows = dict[str, dict[str, float]]  # name of a picture -> attribute -> number; yes is 1, no is 0

_MOST_BYTES = 256 << 20
_NAMED = 5  # unknown pictures that a warning names
_FILE_KEYS = ("file", "filename", "file_name", "image", "image_id", "name", "path", "seed")
_SEED = re.compile(r"seed[ _-]?0*([0-9]{1,10})$|^0*([0-9]{1,10})$")
_YES, _NO = ("yes", "true", "y", "t"), ("no", "false", "n", "f")
_UNKNOWN = ("", "na", "nan", "none", "null", "?")
_NO_ATTRIBUTES = frozenset({"faceid", "facerectangle", "facelandmarks"})


def read_label_file(path: Path) -> LabelRows:
    """Read labels by the name of their picture.

    CSV: a column "file" or "seed", every other column an attribute. JSON: a list of objects each with a
    "file" or "seed", or an object from names to objects, or a folder of .json files named as the pictures.
    Nested objects become names: {"headPose": {"yaw": 3}} is "yaw". Texts become a yes-no label for each
    value: gender "male" is "gender=male". Of several faces in one entry the first counts. What cannot be
    read as a number, yes, no or a short text is passed over. Raises InputError.
    """
    if path.is_dir():
        entries = [(file.stem, _json(file)) for file in sorted(path.glob("*.json"))]
        rows = {name: _attributes(entry) for name, entry in entries}
    elif path.suffix.lower() == ".json":
        rows = {name: _attributes(entry) for name, entry in _entries(_json(path), path)}
    else:
        rows = dict(_csv_rows(path))
    if not any(rows.values()):
        raise InputError(f"{path}: no labels can be read from it: a file or seed and numbers, yes or no")
    return _every_value(_no_minus_one(rows))


def seed_of(name: str) -> int | None:
    """The seed in the name of a generated picture ("seed0003.png", "3"); None where it names none."""
    match = _SEED.search(PurePosixPath(name.replace("\\", "/")).stem)
    return int(match[1] or match[2]) if match else None


def first_names(names: Sequence[str]) -> str:
    """The first five of unknown names in words, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(repr(name[:60]) for name in names[:_NAMED]) + more


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: larger than {_MOST_BYTES >> 20} MiB; labels are smaller")
        return decode_text(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: this is no text file") from error


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error})") from error


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, float]]]:
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), restkey="", skipinitialspace=True)
    key = _file_key(reader.fieldnames or ())
    if key is None:
        raise InputError(f"{path}: it has no column {', '.join(_FILE_KEYS[:3])} or seed to name the pictures")
    try:
        for row in reader:
            yield str(row.pop(key) or ""), _attributes({k: v for k, v in row.items() if k})
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.reader.line_num}: not a table ({error})") from error


def _entries(document: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """Names and entries of a list of objects, or of an object from names to entries."""
    if isinstance(document, Mapping):
        yield from ((str(name), entry) for name, entry in document.items())
        return
    if not isinstance(document, list):
        raise InputError(f"{path}: a list of pictures with labels is needed, or an object from names to them")
    for number, entry in enumerate(document, start=1):
        key = _file_key(entry) if isinstance(entry, Mapping) else None
        if key is None:
            raise InputError(f"{path}, entry {number}: it names no file and no seed")
        yield str(entry[key]), {name: value for name, value in entry.items() if name != key}


def _file_key(keys: Any) -> str | None:
    lowered = {str(key).strip().lower(): key for key in keys if key is not None}
    return next((lowered[name] for name in _FILE_KEYS if name in lowered), None)


def _attributes(entry: Any) -> dict[str, float]:
    """The attributes of one picture: of its first face where it has several."""
    if isinstance(entry, list):
        entry = next((face for face in entry if isinstance(face, Mapping)), {})
    if not isinstance(entry, Mapping):
        return {}
    return dict(_flat(entry.get("faceAttributes", entry)))


def _flat(values: Any) -> Iterator[tuple[str, float]]:
    if not isinstance(values, Mapping):
        return
    for name, value in values.items():
        if str(name).lower() in _NO_ATTRIBUTES:
            continue
        if isinstance(value, Mapping):
            yield from _flat(value)
        elif isinstance(value, list):
            yield from _listed(str(name), value)
        else:
            yield from _single(str(name).strip(), value)


def _listed(name: str, values: list[Any]) -> Iterator[tuple[str, float]]:
    """[{"color": "brown", "confidence": .9}, ...] of "hairColor": "hairColor=brown" with its confidence."""
    for value in values:
        if isinstance(value, Mapping):
            texts = [text for text in value.values() if isinstance(text, str)]
            numbers = [n for n in value.values() if isinstance(n, int | float) and not isinstance(n, bool)]
            if len(texts) == 1 and len(numbers) <= 1:
                yield f"{name}={texts[0]}", float(numbers[0]) if numbers else 1.0
        elif isinstance(value, str):
            yield f"{name}={value}", 1.0


def _single(name: str, value: Any) -> Iterator[tuple[str, float]]:
    text = str(value).strip() if isinstance(value, str | int | float) else ""
    lowered = text.lower()
    if lowered in _YES or lowered in _NO:
        yield name, float(lowered in _YES)
    elif lowered not in _UNKNOWN:
        try:
            number = float(text)
        except ValueError:
            if len(text) <= 60:
                yield f"{name}={text}", 1.0
        else:
            if math.isfinite(number):
                yield name, number


def _no_minus_one(rows: LabelRows) -> LabelRows:
    """CelebA writes no as -1: where an attribute is 1 or -1 throughout, -1 is taken for 0."""
    observed: dict[str, set[float]] = {}
    for row in rows.values():
        for name, value in row.items():
            observed.setdefault(name, set()).add(value)
    signs = {name for name, values in observed.items() if values == {-1.0, 1.0}}
    return {
        picture: {name: 0.0 if name in signs and value < 0 else value for name, value in row.items()}
        for picture, row in rows.items()
    }


def _every_value(rows: LabelRows) -> LabelRows:
    """Say no to the other values of a text: who is "gender=male" is not "gender=female"."""
    values: dict[str, set[str]] = {}
    for name in (name for row in rows.values() for name in row if "=" in name):
        values.setdefault(name.partition("=")[0], set()).add(name)
    for row in rows.values():
        for names in values.values():
            if names & row.keys():
                row |= dict.fromkeys(sorted(names - row.keys()), 0.0)
    return rows
