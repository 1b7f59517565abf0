"""`mien artefacts`: third-party files, pinned by their hash."""

from collections.abc import Sequence
from pathlib import Path

from mien.core import artefacts
from mien.core.artefacts import ARTEFACTS, artefact_path
from mien.core.errors import InputError, MienError
from mien.core.events import Events, job


@job
def list_artefacts(events: Events) -> None:
    """List the third-party files that mien can use, their licence and whether they are here.

    Two lines each: its name, whether it is here and whole, bytes to fetch, licence; what it is, from where.
    """
    for name, artefact in ARTEFACTS.items():
        size = "-" if artefact.download_size is None else f"{artefact.download_size / 1e6:.0f} MB"
        events.note(f"{name:<20}{artefacts.state(name):<9}{size:>6}  {artefact.licence}")
        events.note(f"    {artefact.what}; {artefact.source}")


@job
def fetch(events: Events, *names: str) -> None:
    """Download pinned files now instead of when first needed.

    One that cannot be had does not keep the others from coming. Raises InputError for an unknown name before
    anything is fetched, MienError at the end naming those that are missing.

    Parameters
    ----------
    names
        Which ones; all that can be fetched by default.
    """
    for name in names:
        if name not in ARTEFACTS:
            raise InputError(f"{name!r} is no artefact; choose from: {', '.join(ARTEFACTS)}")
    chosen = names or [name for name, artefact in ARTEFACTS.items() if artefact.sources]
    missing = obtain_all(chosen, events=events, say_ready=True)
    if missing:
        raise MienError(f"not fetched: {', '.join(missing)} (the reasons are above; the others are here)")


@job
def add(events: Events, *files: str) -> None:
    """Take files that you have, for a machine without network: their hashes say what they are.

    Raises InputError for the first file whose hash is not known; those before it are in the cache.

    Parameters
    ----------
    files
        Packages (as pip or npm downloads them), files of them, or files of another machine's cache. Where no
        hash is pinned, the artefact's name goes first: `mien artefacts add inception FILE`.
    """
    if not files:
        raise InputError("name the files to add: mien artefacts add FILE...")
    if len(files) == 2 and files[0] in ARTEFACTS and not Path(files[0]).exists():
        events.note(f"added {files[0]}: {artefacts.add(files[0], Path(files[1]))}")
        return
    for file in files:
        events.note(f"added {', '.join(artefacts.add_any(Path(file)))} from {file}")


def obtain_all(names: Sequence[str], *, events: Events, say_ready: bool = False) -> list[str]:
    """Have artefacts ready before work begins; return the names of those that cannot be had.

    Nothing is said for what is here already (unless `say_ready`); for a download a line and its progress; for
    one that fails its reason in one line, and the rest goes on.
    """
    missing = []
    for name in dict.fromkeys(names):
        try:
            path = artefact_path(name) or artefacts.fetch(
                name, announce=events.note, progress=events.progress(f"downloading {name}", unit="bytes")
            )
        except MienError as error:
            events.note(f"{name}: {error}")
            missing.append(name)
            continue
        if say_ready:
            events.note(f"{name}: {path}")
    return missing
