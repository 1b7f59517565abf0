"""`mien artefacts`: third-party files, pinned by their hash."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from mien.core.artefacts import ARTEFACTS, add, add_any, artefact_path, obtain, state
from mien.core.errors import InputError, MienError


def show(*, console: Console) -> None:
    """Print two lines an artefact: is it here and whole, bytes to fetch, licence; what it is, from where."""
    for name, artefact in ARTEFACTS.items():
        size = "-" if artefact.download_size is None else f"{artefact.download_size / 1e6:.0f} MB"
        _say(console, f"{name:<20}{state(name):<9}{size:>6}  {artefact.licence}")
        _say(console, f"    {artefact.what}; {artefact.source}")


def fetch_all(names: Sequence[str], *, console: Console) -> None:
    """Fetch the named artefacts, or all that have a source to fetch from, a line and a bar for each.

    One that cannot be had does not keep the others from coming. Raises InputError for an unknown name before
    anything is fetched, MienError at the end naming those that are missing.
    """
    for name in names:
        if name not in ARTEFACTS:
            raise InputError(f"{name!r} is no artefact; choose from: {', '.join(ARTEFACTS)}")
    chosen = names or [name for name, artefact in ARTEFACTS.items() if artefact.sources]
    missing = obtain_all(chosen, console=console, say_ready=True)
    if missing:
        raise MienError(f"not fetched: {', '.join(missing)} (the reasons are above; the others are here)")


def obtain_all(names: Sequence[str], *, console: Console, say_ready: bool = False) -> list[str]:
    """Have artefacts ready before work begins; return the names of those that cannot be had.

    Nothing is printed for what is here already (unless `say_ready`); for a download a line and a bar of its
    bytes; for one that fails its reason in one line, and the rest goes on.
    """
    missing = []
    for name in dict.fromkeys(names):
        path = artefact_path(name)
        try:
            if path is None:
                with download_bar(name, console=console) as progress:
                    path = obtain(name, announce=lambda line: _say(console, line), progress=progress)
        except MienError as error:
            _say(console, f"{name}: {error}")
            missing.append(name)
            continue
        if say_ready:
            _say(console, f"{name}: {path}")
    return missing


def add_files(arguments: Sequence[str], *, console: Console) -> None:
    """Take files that the user has: `FILE...`, each recognised by its hash, or `NAME FILE`.

    Raises InputError for the first file that is nothing known; those before it are in the cache.
    """
    if len(arguments) == 2 and arguments[0] in ARTEFACTS and not Path(arguments[0]).exists():
        _say(console, f"added {arguments[0]}: {add(arguments[0], Path(arguments[1]))}")
        return
    for argument in arguments:
        names = add_any(Path(argument))
        _say(console, f"added {', '.join(names)} from {argument}")


@contextmanager
def download_bar(name: str, *, console: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar of bytes on a terminal; elsewhere nothing is drawn. Gives what to call with done and total."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task(name, total=None, visible=False)

        def progress(done: int, total: int) -> None:
            bars.update(bar, completed=done, total=total, visible=True)

        yield progress


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
