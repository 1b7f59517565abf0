"""The terminal that verbs print on."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from mien.translation.transform import Transformed


def console() -> "Console":
    """A console for words: no colouring of numbers, no wrapping of long lines."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def say_done(screen: "Console", done: "Transformed", out: Path) -> None:
    """What changing pictures brought: a line for each input left out, and how many were written."""
    for problem in done.problems:
        screen.print(f"left out: {problem}", markup=False)
    screen.print(f"wrote {done.written} picture(s) to {out}", markup=False)
