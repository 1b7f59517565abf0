"""`mien annotate --labels`: copy labels from a CSV or JSON file into a dataset's manifest."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from mien.attributes.label_files import LabelRows, read_label_file
from mien.attributes.predictions import open_pack
from mien.core.errors import InputError
from mien.core.manifest import append_records
from mien.datasets.layout import plain_path

_NAMED = 5  # unknown files that a warning names


def write_labels(dataset: Path, source: Path, *, warn: Callable[[str], None]) -> tuple[int, int]:
    """Append the labels of `source` (see `read_label_file`) to the records of the pictures they name.

    A picture is named by its member in the dataset, by the file it was made from, or by either's last part
    or stem where only one picture has it. Rows that name no picture are named by `warn` and left out.
    Returns how many pictures got labels, and how many there are. Raises InputError where none does.
    """
    pack, rows = open_pack(dataset), read_label_file(source)
    sources = [str(record.get("source") or "") for record in pack.records]
    labels_by_file, unknown = matched(rows, pack.names, sources)
    if unknown:
        named = ", ".join(repr(name[:60]) for name in unknown[:_NAMED])
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        warn(f"{source}: left out, for the dataset has no such picture: {named}{more}")
    if not labels_by_file:
        raise InputError(f"{source}: none of its {len(rows)} rows names a picture of {dataset}")
    append_records(
        plain_path(dataset), [{"file": file, "labels": labels} for file, labels in labels_by_file.items()]
    )
    return len(labels_by_file), len(pack)


def matched(
    rows: LabelRows, files: Sequence[str], sources: Sequence[str]
) -> tuple[dict[str, Mapping[str, float]], list[str]]:
    """The labels by member of the dataset, and the names that no picture has, or several have."""
    index_of = _by_name(files, sources)
    matches: dict[str, Mapping[str, float]] = {}
    unknown: list[str] = []
    for name, labels in rows.items():
        index = next((index_of[key] for key in _keys(name) if key in index_of), None)
        if index is None:
            unknown.append(name)
        elif labels:
            matches[files[index]] = {**matches.get(files[index], {}), **labels}
    return matches, unknown


def _by_name(files: Sequence[str], sources: Sequence[str]) -> dict[str, int]:
    """Image index by name: by the whole name, else its last part, else its stem, where that is unique."""
    index_of: dict[str, int] = {}
    for level in range(3):
        for names in (files, sources):
            keys = [_keys(name)[level] if name else "" for name in names]
            counts = Counter(keys)
            for index, key in enumerate(keys):
                if key and counts[key] == 1:
                    index_of.setdefault(key, index)
    return index_of


def _keys(name: str) -> tuple[str, str, str]:
    path = PurePosixPath(name.replace("\\", "/"))
    return str(path), path.name, path.stem
