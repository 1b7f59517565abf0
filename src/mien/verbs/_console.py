"""The terminal that verbs print on."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console() -> "Console":
    """A console for words: no colouring of numbers, no wrapping of long lines."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)
