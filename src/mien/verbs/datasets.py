"""Verbs about datasets that are there: what is in them, and into which other layouts they go."""

from pathlib import Path
from typing import Literal

from cyclopts import App

from mien.verbs._console import console

app = App(name="data", help="Datasets: say what is in one, export one to other layouts.")


@app.command
def info(source: str, /, *, quick: bool = False, json: bool = False) -> None:
    """Say what a dataset is: layout, counts, label balance, splits, and every missing or broken file.

    Parameters
    ----------
    source
        A folder or zip of whatever layout, "NAME:FOLDER?options", or "rendered:2000".
    quick
        Read the pictures' headers only; broken pictures may go unseen.
    json
        One JSON object instead of tables.
    """
    from mien.bars import bar
    from mien.datasets.info import inspect, show

    screen = console()
    with bar(screen, "looking at pictures") as progress:
        found = inspect(source, quick=quick, progress=None if json else progress)
    if json:
        print(found.as_json())
    else:
        show(found, screen)


@app.command
def export(
    source: str,
    out: Path,
    /,
    *,
    format: Literal["imagefolder", "parquet"],
    split: float | None = None,
    seed: int = 0,
    measurements: bool = False,
) -> None:
    """Export a dataset to Hugging Face's imagefolder or to parquet, labels by name, licence kept.

    Parameters
    ----------
    source
        Whatever `mien train` takes; tossed pictures are left out.
    out
        The folder to make; it must not exist.
    format
        imagefolder (PNG files and metadata.jsonl) or parquet (files of about 500 MB).
    split
        Share of the pictures for training, between 0 and 1; the others are for testing, no person on both
        sides. By default the dataset's own split, or all for training.
    seed
        Another seed splits the people otherwise.
    measurements
        Export the measurements too.
    """
    from mien.bars import bar
    from mien.datasets.export import export as run

    screen = console()
    with bar(screen, "exporting") as progress:
        told = run(
            source, out, format=format, split=split, seed=seed, measurements=measurements, progress=progress
        )
    screen.print(f"wrote {out}: {told}")
