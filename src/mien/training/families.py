"""`mien models`: list the model families, their config fields and presets."""

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
    default = module.PRESETS["default"].model_dump()
    rows = tuple((field, _shown(default[field]), info.description or "") for field, info in fields.items())
    events.send(Table((Column("number"), Column("default"), Column("what it is", wraps=True)), rows))
    presets = tuple((preset, _changes(default, config)) for preset, config in module.PRESETS.items())
    events.send(Table((Column("preset"), Column("what it changes", wraps=True)), presets))


def _first_line(family: str) -> str:
    return (discover.load(_PACKAGE, family).__doc__ or "").splitlines()[0]


def _changes(default: dict[str, Any], preset: BaseModel) -> str:
    """The fields in which a preset differs from the default, as --set takes them."""
    values = preset.model_dump().items()
    return (
        " ".join(f"{name}={_shown(value)}" for name, value in values if value != default[name]) or "nothing"
    )


def _shown(value: Any) -> str:
    """A value as --set takes it."""
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
