"""What a manifest's record says of an image: its labels, and who and what it belongs to."""

from collections.abc import Mapping
from typing import Any

_NOT_LEARNT = frozenset({"person", "pair", "role", "shot", "group", "hidden"})  # say what an image belongs to


def flatten(values: Any) -> dict[str, Any]:
    """A record's labels with those of inner objects ("attributes", "action_units") beside the others."""
    if not isinstance(values, Mapping):
        return {}
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= value if isinstance(value, Mapping) else {name: value}
    return flat


def single_labels(record: Mapping[str, Any]) -> dict[str, Any]:
    """The labels that are one value each and say more than what the image belongs to."""
    return {
        name: value
        for name, value in flatten(record.get("labels")).items()
        if name not in _NOT_LEARNT and isinstance(value, bool | int | float | str)
    }


def text_of(record: Mapping[str, Any], name: str) -> str:
    """A field ("person", "role", "split", ...) of the record or else of its labels; "" if unknown."""
    value = record.get(name)
    if value is None:
        value = (record.get("labels") or {}).get(name)
    return "" if value is None else str(value)
