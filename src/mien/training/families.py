"""`mien models`: what can be trained, and with which numbers."""

from rich.console import Console
from rich.table import Table

from mien.core import discover

_PACKAGE = "mien.models"


def show(name: str | None, *, console: Console) -> None:
    """Print the families with one line each, or one family's fields and presets."""
    if name is None:
        for family in discover.names(_PACKAGE):
            first_line = (discover.load(_PACKAGE, family).__doc__ or "").splitlines()[0]
            console.print(f"[bold]{family}[/]  {first_line}")
        console.print("\n`mien models NAME` shows a family's numbers; change one with --set NAME=VALUE.")
        return
    module = discover.load(_PACKAGE, name)
    table = Table("number", *module.PRESETS, "what it is")
    for field, info in module.Config.model_fields.items():
        values = [str(getattr(preset, field)) for preset in module.PRESETS.values()]
        table.add_row(field, *values, info.description or "")
    console.print(table)
