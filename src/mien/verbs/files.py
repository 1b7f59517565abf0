"""Verbs about single files: provenance marks and third-party files."""

from pathlib import Path

from mien.verbs._console import console


def verify(file: Path, /) -> None:
    """Say what the provenance mark of a picture or film claims: who made it, with which model and seed.

    Parameters
    ----------
    file
        A PNG, JPEG or WebP picture, or an MP4 film.
    """
    from mien.core.packaged import name_of_model
    from mien.core.provenance import verify as read

    mark = read(file)
    if mark is None:
        print(f"{file}: no provenance mark")
        return
    packaged = name_of_model(mark.model)
    known = f" ({packaged}, which comes with mien)" if packaged else ""
    seed = "" if mark.seed is None else f", seed {mark.seed}"
    tool = mark.tool or "unknown tool"
    print(f"{file}: {mark.source_type.value}, by {tool}, model {mark.model or '?'}{known}{seed}")


def list_artefacts() -> None:
    """List the third-party files that mien can use, their licence and whether they are here."""
    from mien.apps.artefacts import show

    show(console=console())


def fetch(*names: str) -> None:
    """Download pinned files now instead of when first needed.

    Parameters
    ----------
    names
        Which ones; all that can be fetched by default.
    """
    from mien.apps.artefacts import fetch_all

    fetch_all(names, console=console())


def add(name: str, file: Path, /) -> None:
    """Take a file that you have: its hash is checked, or recorded where none is pinned.

    Parameters
    ----------
    name
        The artefact, as in the list.
    file
        The file itself, or the wheel that holds it.
    """
    from mien.core.artefacts import add as take

    print(f"added {name}: {take(name, file)}")
