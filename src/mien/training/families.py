"""`mien models`: what can be trained, and with which numbers."""

from typing import Any

from pydantic import BaseModel

from mien.core import discover
from mien.core.events import Column, Events, Table, job

_PACKAGE = "mien.models"


@job
def models(events: Events, name: str | None = None, /) -> None:
    """List the model families, or one family's numbers and presets.

    Parameters
    ----------
    name
        A family, for its numbers.
    """
    if name is None:
        families = tuple((family, _first_line(family)) for family in discover.names(_PACKAGE))
        events.send(Table((Column("family"), Column("what it is", wraps=True)), families))
        events.note("`mien models NAME` shows a family's numbers; change one with --set NAME=VALUE.")
        return
    module = discover.load(_PACKAGE, name)
    fields = module.Config.model_fields
    usual = module.PRESETS["default"].model_dump()
    rows = tuple((field, _shown(usual[field]), info.description or "") for field, info in fields.items())
    events.send(Table((Column("number"), Column("default"), Column("what it is", wraps=True)), rows))
    presets = tuple((preset, _changes(usual, config)) for preset, config in module.PRESETS.items())
    events.send(Table((Column("preset"), Column("what it changes", wraps=True)), presets))


def _first_line(family: str) -> str:
    return (discover.load(_PACKAGE, family).__doc__ or "").splitlines()[0]


def _changes(usual: dict[str, Any], preset: BaseModel) -> str:
    """What a preset sets that the default has otherwise, as --set would."""
    values = preset.model_dump().items()
    return " ".join(f"{name}={_shown(value)}" for name, value in values if value != usual[name]) or "nothing"


def _shown(value: Any) -> str:
    """As --set reads it, short."""
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
