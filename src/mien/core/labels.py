"""Labels of `dataset.json`: a class number or a float vector for every image, or none at all."""

import json
import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mien.core.errors import InputError

Label = int | tuple[float, ...]
MOST_CLASSES = 1 << 16  # a slip of the pen must not ask for a one-hot of gigabytes
MOST_ROWS = 512  # that a generator's file keeps
_MOST_NUMBERS = 1 << 17  # in them: about half a megabyte
_FLOAT32_MAX = float(np.finfo(np.float32).max)


class Labels(NamedTuple):
    """Labels of images, as a `dataset.json` gives them.

    labels: one for each image, all int or all vectors of one width; None where there are none or not all are
    known. class_names: may be (). partial: what is known of each image, None where nothing is. problem: why
    labels is None though there are some. notes: what was odd and did no harm.
    """

    labels: list[Label] | None
    class_names: tuple[str, ...]
    partial: list[Label | None]
    problem: str = ""
    notes: tuple[str, ...] = ()


def check_label(value: object, where: str) -> Label:
    """`value` as a class number or a vector of finite floats. Raises InputError naming `where`."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        if 0 <= value < MOST_CLASSES:
            return int(value)
        raise InputError(f"{where}: class number {value} is not in 0..{MOST_CLASSES - 1}")
    if isinstance(value, Sequence | np.ndarray) and len(value) and all(map(_is_number, value)):
        return tuple(float(v) for v in value)
    raise InputError(f"{where}: label {str(value)[:60]!r} is neither a class number nor a list of numbers")


def parse_labels(document: str, names: Sequence[str], *, folder: str = "") -> Labels:
    """Read the text of a `dataset.json` that lies in `folder` for the images `names`; it never fails.

    Read as others read them: 0.0, "0" and true are numbers, other texts are names of classes, "./a.png" and
    "a\\b.png" are paths, composed and decomposed letters are the same.
    """
    notes: list[str] = []
    try:
        entries, names_of_classes = _entries(document)
    except ValueError as error:
        return Labels(None, (), [None] * len(names), f"dataset.json {error}")
    if not entries:
        return Labels(None, names_of_classes, [None] * len(names))
    values = _by_name(entries, folder, notes)
    stale = sorted(values.keys() - {same_name(name) for name in names})
    if stale:
        notes.append(f"dataset.json has labels of images that are not there: {_counted(stale, 'image')}")
    given = [values.get(same_name(name)) for name in names]
    given, class_names = _numbered(given, names_of_classes)
    partial: list[Label | None] = []
    wrong: list[str] = []
    for name, value in zip(names, given, strict=True):
        label = _label(value)
        partial.append(label)
        if label is None and value is not None:
            wrong.append(f"{name} ({str(value)[:60]})")
    if wrong:
        notes.append(f"not a class number or a list of numbers: {_counted(wrong, 'label')}")
    problem = _problem(partial, names)
    labels = None if problem else [label for label in partial if label is not None]
    if labels and not _names_fit(labels, class_names):
        notes.append(f"class_names has {len(class_names)} names for {label_width(labels)} columns; not used")
        class_names = ()
    return Labels(labels, class_names, partial, problem, tuple(notes))


def same_name(name: str) -> str:
    """A normalised path, so that a name in a list equals the file's name."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    return unicodedata.normalize("NFC", "/".join(parts))


def label_width(labels: Sequence[Label]) -> int:
    """Width of the vector a label becomes: largest class + 1, or the vectors' own width."""
    return max(label + 1 if isinstance(label, int) else len(label) for label in labels)


def label_array(labels: Sequence[Label], width: int) -> np.ndarray:
    """float32 [N, width]: one-hot rows for class numbers, the vectors themselves otherwise."""
    if isinstance(labels[0], int):
        array = np.zeros((len(labels), width), np.float32)
        array[np.arange(len(labels)), np.asarray(labels)] = 1
        return array
    return np.asarray(labels, np.float32)


def named_label(label: Label, class_names: Sequence[str]) -> dict[str, Any]:
    """A label by name, as a record holds it."""
    names = dict(enumerate(class_names))
    if isinstance(label, int):
        return {"class": names.get(label, str(label))}
    return {names.get(at, f"label {at}"): value for at, value in enumerate(label)}


def spread_rows(labels: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """Up to 512 rows of labels [N, D], evenly out of all of them; fewer where they are very wide."""
    most = min(len(labels), MOST_ROWS, max(_MOST_NUMBERS // labels.shape[1], 1))
    chosen = np.linspace(0, len(labels) - 1, most).astype(int)
    return tuple(tuple(map(float, row)) for row in labels[chosen].tolist())


def _is_number(value: object) -> bool:
    """Whether a value is a number that float32 can hold."""
    if isinstance(value, np.generic):
        value = value.item()
    return isinstance(value, int | float) and abs(value) <= _FLOAT32_MAX  # False for NaN


def _entries(document: str) -> tuple[list[Any], tuple[str, ...]]:
    """The entries and class names of the document. Raises ValueError where it is malformed."""
    try:
        parsed = json.loads(document.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise ValueError("is not an object with 'labels'")
    entries = parsed.get("labels") or []
    if isinstance(entries, dict):
        entries = [list(pair) for pair in entries.items()]
    if not isinstance(entries, list):
        raise ValueError("has labels that are not a list")
    names = parsed.get("class_names") or []
    whole = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return entries, tuple(names) if whole else ()


def _by_name(entries: Sequence[Any], folder: str, notes: list[str]) -> dict[str, Any]:
    """Raw label by image; malformed entries are noted, and of two of one image the first counts."""
    values: dict[str, Any] = {}
    odd, twice = [], []
    for entry in entries:
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)):
            odd.append(str(entry)[:60])
            continue
        name = same_name(f"{folder}/{entry[0]}")
        if name in values and values[name] != entry[1]:
            twice.append(name)
        values.setdefault(name, entry[1])
    if odd:
        notes.append(f"not [file, label] in dataset.json: {_counted(odd, 'entry', 'entries')}")
    if twice:
        notes.append(f"dataset.json labels {_counted(twice, 'image')} twice; the first label counts")
    return values


def _numbered(values: list[Any], class_names: tuple[str, ...]) -> tuple[list[Any], tuple[str, ...]]:
    """Names of classes as numbers, where some label is a text that is no number."""
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    if all(_loose_number(text) is not None for text in texts):
        return values, class_names
    names = class_names if set(texts) <= set(class_names) else tuple(sorted(set(texts)))
    return [
        names.index(value) if isinstance(value, str) and value in names else value for value in values
    ], names


def _label(value: Any) -> Label | None:
    """A class number or a vector, read loosely; None where it is neither."""
    numbers = [_loose_number(each) for each in value] if isinstance(value, list) else _loose_number(value)
    try:
        return None if numbers is None else check_label(numbers, "")
    except InputError:
        return None


def _loose_number(value: Any) -> int | float | None:
    """0, 0.0, "0" and false are 0; a whole number is an int."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if number.is_integer() else number


def _problem(labels: Sequence[Label | None], names: Sequence[str]) -> str:
    """Why these are not labels of one kind for all images, or ""."""
    bare = [name for name, label in zip(names, labels, strict=True) if label is None]
    if bare:
        return f"dataset.json has no label for {len(bare)} of {len(names)} images (first {bare[0]})"
    first = labels[0]
    for name, label in zip(names, labels, strict=True):
        if isinstance(label, int) != isinstance(first, int):
            return f"{name} and {names[0]} have labels of two kinds (class and vector)"
        if isinstance(label, tuple) and isinstance(first, tuple) and len(label) != len(first):
            return f"{name} has a label of {len(label)} numbers, {names[0]} of {len(first)}"
    return ""


def _names_fit(labels: Sequence[Label], class_names: Sequence[str]) -> bool:
    width = label_width(labels)
    exact = isinstance(labels[0], tuple)
    return not class_names or (width == len(class_names) if exact else width <= len(class_names))


def _counted(items: Sequence[str], noun: str, nouns: str = "") -> str:
    """A count with the first item: "3 images (first a.png)"."""
    return f"{len(items)} {noun if len(items) == 1 else nouns or noun + 's'} (first {items[0]})"
