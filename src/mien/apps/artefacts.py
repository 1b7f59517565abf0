"""`mien artefacts`: third-party files, pinned by their hash."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from mien.core.artefacts import ARTEFACTS, obtain, state


def show(*, console: Console) -> None:
    """Print every artefact with its licence, source and whether it is here and whole."""
    table = Table("name", "what", "licence", "here", "from")
    for name, artefact in ARTEFACTS.items():
        table.add_row(name, artefact.what, artefact.licence, str(state(name)), artefact.source)
    console.print(table)


def fetch_all(names: Sequence[str], *, console: Console) -> None:
    """Fetch the named artefacts, or all that have a source to fetch from."""
    chosen = names or [name for name, artefact in ARTEFACTS.items() if artefact.member]
    for name in chosen:
        console.print(f"{name}: {obtain(name, announce=console.print)}", soft_wrap=True)
