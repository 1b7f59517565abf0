"""`mien worth`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mien.evaluation.worth_options import WorthOptions
from mien.verbs._console import console

_DEFAULTS = WorthOptions()


def worth(
    *,
    real: str,
    label: str,
    options: Annotated[WorthOptions, Parameter(name="*")] = _DEFAULTS,
    out: Path = Path("worth"),
) -> None:
    """Say whether synthetic pictures help a small model that is to read a label off real ones.

    The same model learns from real pictures, from real ones with classical augmentation, from each synthetic
    set, and from real ones and each; every one is tested on the same real people, of whom none learnt. The
    same command again goes on where it was stopped.

    Parameters
    ----------
    real
        Real pictures with the label: a zip, a folder, or NAME:WHERE.
    label
        What to read: a label of the manifest or a label column, "class" for sub-folders, "gaze" for the line
        of sight (gaze_yaw and gaze_pitch).
    out
        Folder for worth.json, worth.html and what each model said.
    """
    from mien.evaluation.worth import worth as run
    from mien.evaluation.worth_words import table

    screen = console()
    screen.print(table(run(real, label, out, options, console=screen)))
    screen.print(f"wrote {out / 'worth.html'}", markup=False)
