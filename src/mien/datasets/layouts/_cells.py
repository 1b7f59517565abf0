"""From a row's cells to an entry: columns that are no labels, and labels worth learning."""

from collections.abc import Sequence

from mien.datasets.index import Entry
from mien.datasets.layouts._values import Value

_PERSON = ("person", "person_id", "subject", "subject_id", "identity")
_SPLIT = ("split", "partition")
LICENCE_COLUMNS = ("licence", "license")
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
SPLITS |= {"dev": "val", "training": "train", "testing": "test"}
_MOST_TEXTS = 64  # a label of more texts than this is no class to learn


def entry_of(file: str, labels: dict[str, Value], split: str, *, part: str = "") -> Entry:
    """An entry of a row; what its columns' names say is taken out of `labels`."""
    person, role, group = ("".join(take(labels, names)[:1]) for names in (_PERSON, ("role",), ("group",)))
    column = next((name for name in labels if name.lower() in _SPLIT), "")
    said = str(labels.get(column, "")).lower()
    if said in SPLITS:
        split = SPLITS[said]
        del labels[column]
    return Entry(file, labels, person=person, role=role, split=split, group=group, part=part)


def take(labels: dict[str, Value], names: tuple[str, ...]) -> list[str]:
    """Take out what has one of these names (in whatever case), as text."""
    return [str(labels.pop(name)) for name in list(labels) if name.lower() in names]


def learnable(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Labels worth opening unasked: numbers, yes and no, and texts that are few, so classes and no names."""
    found: dict[str, set[Value]] = {}
    for entry in entries:
        for name, value in entry.labels.items():
            found.setdefault(name, set()).add(value)
    most = min(_MOST_TEXTS, max(2, len(entries) // 2))
    texts = {name for name, values in found.items() if any(isinstance(value, str) for value in values)}
    return tuple(name for name, values in found.items() if name not in texts or 2 <= len(values) <= most)
