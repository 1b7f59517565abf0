"""The command line: each verb is a typed function that calls one function of the package.

Nothing heavy is imported before a verb needs it, so that `mien --help` answers at once.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from mien import __version__
from mien.apps.options import TrainOptions
from mien.core.errors import MienError

_TRAIN_DEFAULTS = TrainOptions()

if TYPE_CHECKING:
    from rich.console import Console

app = App(
    name="mien",
    help="Portraits in, faces of people who do not exist out, with an honest account of how good they are.",
    version=__version__,
    help_format="plaintext",
)
artefacts_app = App(name="artefacts", help="Third-party model files: list, fetch, add.")
app.command(artefacts_app)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; give its exit code: 0, 1 for a failure, 2 for bad usage or input."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in tokens
    tokens = [token for token in tokens if token != "--debug"]
    try:
        app(tokens, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        return 2  # cyclopts has said what is wrong
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader left, as in `mien ... | head`
        return 1
    except Exception as error:
        if debug:
            raise
        return _complain(error)
    return 0


def _complain(error: Exception) -> int:
    if isinstance(error, MienError):
        print(f"mien: {error}", file=sys.stderr)
        return error.exit_code
    reason = " ".join(str(error).split())
    print(f"mien: {type(error).__name__}: {reason} (--debug shows where)", file=sys.stderr)
    return 1


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False)


@app.command
def train(
    data: str | None = None,
    /,
    *,
    options: Annotated[TrainOptions, Parameter(name="*")] = _TRAIN_DEFAULTS,
) -> None:
    """Train a generator on DATA; the same command again goes on where it stopped.

    Parameters
    ----------
    data
        A zip from `mien prepare`, a folder of square pictures, or "rendered:2000".
    """
    from mien.apps.train import train as run

    run(data, options, console=_console())


@app.command
def generate(
    source: Path,
    /,
    *,
    out: Path,
    seeds: str = "0-15",
    trunc: float = 1.0,
    label: str | None = None,
    grid: bool = False,
    format: Literal["png", "jpg", "webp"] = "png",
) -> None:
    """Draw new faces from a run folder or a generator file.

    Parameters
    ----------
    source
        A run folder (its newest generator) or a .safetensors file.
    out
        Folder for the pictures.
    seeds
        Like 0,1,4-6: one picture each.
    trunc
        Truncation psi from 0 to 1: lower is safer and less varied.
    label
        Class name or number, for a model trained with --cond.
    grid
        One picture of them all instead of one file each.
    format
        File format.
    """
    from mien.apps.generate import generate as run

    written = run(source, out, seeds=seeds, trunc=trunc, label=label, as_grid=grid, image_format=format)
    print(f"wrote {len(written)} file(s) to {out}")


@app.command
def verify(file: Path, /) -> None:
    """Say what a picture's provenance mark claims: who made it, with which model and seed.

    Parameters
    ----------
    file
        A PNG, JPEG or WebP picture.
    """
    from mien.core.provenance import verify as read

    mark = read(file)
    if mark is None:
        print(f"{file}: no provenance mark")
        return
    seed = "" if mark.seed is None else f", seed {mark.seed}"
    print(
        f"{file}: {mark.source_type.value}, by {mark.tool or 'unknown tool'}, model {mark.model or '?'}{seed}"
    )


@app.command
def models(name: str | None = None, /) -> None:
    """List the model families, or one family's numbers and presets.

    Parameters
    ----------
    name
        A family, for its numbers.
    """
    from mien.apps.models import show

    show(name, console=_console())


if __name__ == "__main__":
    sys.exit(main())
