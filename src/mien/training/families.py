"""`mien models`: what can be trained, and with which numbers."""

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
        for family in discover.names(_PACKAGE):
            first_line = (discover.load(_PACKAGE, family).__doc__ or "").splitlines()[0]
            events.note(f"{family}  {first_line}")
        events.note("\n`mien models NAME` shows a family's numbers; change one with --set NAME=VALUE.")
        return
    module = discover.load(_PACKAGE, name)
    columns = (Column("number"), *map(Column, module.PRESETS), Column("what it is", wraps=True))
    rows = tuple(
        (field, *(str(getattr(preset, field)) for preset in module.PRESETS.values()), info.description or "")
        for field, info in module.Config.model_fields.items()
    )
    events.send(Table(columns, rows))
