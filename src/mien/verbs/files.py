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
    from mien.interop.artefacts import show

    show(console=console())


def fetch(*names: str) -> None:
    """Download pinned files now instead of when first needed.

    Parameters
    ----------
    names
        Which ones; all that can be fetched by default.
    """
    from mien.interop.artefacts import fetch_all

    fetch_all(names, console=console())


def add(*files: str) -> None:
    """Take files that you have, for a machine without network: their hashes say what they are.

    Parameters
    ----------
    files
        Packages (as pip or npm downloads them), files of them, or files of another machine's cache. Where no
        hash is pinned, the artefact's name goes first: `mien artefacts add inception FILE`.
    """
    from mien.core.errors import InputError
    from mien.interop.artefacts import add_files

    if not files:
        raise InputError("name the files to add: mien artefacts add FILE...")
    add_files(files, console=console())
