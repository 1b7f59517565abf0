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
from mien.prepare.judge import DEFAULT_MAX_COVERAGE, DEFAULT_MIN_COVERAGE

_TRAIN_DEFAULTS = TrainOptions()

if TYPE_CHECKING:
    from rich.console import Console

app = App(
    name="mien",
    help="Portraits in, faces of people who do not exist out, with an honest account of how good they are.",
    version=__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
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

    return Console(highlight=False, soft_wrap=True)


@app.command
def demo(*, minutes: float = 4.0, people: int = 1500, out: Path = Path("demo")) -> None:
    """Render people, train on them, draw new faces, evaluate and report: the whole job, offline.

    Parameters
    ----------
    minutes
        Minutes of training.
    people
        How many people to render.
    out
        Folder for the run.
    """
    from mien.apps.demo import demo as run

    run(minutes=minutes, people=people, out=out, console=_console())


@app.command
def render(
    out: Path,
    /,
    *,
    count: int = 1000,
    size: int = 64,
    seed: int = 0,
    pairs: Literal["front-profile", "neutral-smile"] | None = None,
    eyes: bool = False,
) -> None:
    """Render computer-generated heads into a packed dataset, every label known.

    Parameters
    ----------
    out
        The zip to write.
    count
        How many people.
    size
        Pixels along a side, a multiple of 8.
    seed
        Another seed gives other people.
    pairs
        Two pictures of each person: front and profile, or neutral and smiling.
    eyes
        Cut out both eyes of each person instead of the head.
    """
    from mien.apps.bars import bar
    from mien.render.dataset import write_dataset

    console = _console()
    with bar(console, "rendering") as progress:
        write_dataset(out, count=count, size=size, seed=seed, pairs=pairs, eyes=eyes, progress=progress)
    console.print(f"wrote {out}")


@app.command
def prepare(
    source: Path,
    out: Path,
    /,
    *,
    size: int = 64,
    finder: Literal["mesh", "haar"] = "mesh",
    align: Literal["ffhq", "center"] = "ffhq",
    min_coverage: float = DEFAULT_MIN_COVERAGE,
    max_coverage: float = DEFAULT_MAX_COVERAGE,
    min_face: float | None = None,
    workers: int | None = None,
) -> None:
    """Find, align and pack the faces of a heap of photos, with a verdict on every file.

    Parameters
    ----------
    source
        A folder or zip of photos; sub-folders become labels.
    out
        The zip to write; a contact sheet is written beside it.
    size
        Pixels along a side, a power of two.
    finder
        mesh (better, fetched once) or haar (needs no download).
    align
        ffhq (by eyes and mouth) or center (upright square around the face).
    min_coverage
        Smallest share of the picture that the face may cover, 0 to 1.
    max_coverage
        Largest share of the picture that the face may cover, 0 to 1.
    min_face
        Smallest face in pixels.
    workers
        Processes; one a core by default.
    """
    from mien.apps.prepare import prepare as run

    run(
        source,
        out,
        size=size,
        finder=finder,
        align=align,
        min_coverage=min_coverage,
        max_coverage=max_coverage,
        min_face=min_face,
        workers=workers,
        console=_console(),
    )


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
def evaluate(
    run: Path,
    /,
    *,
    data: str,
    network: tuple[str, ...] = (),
    metric: tuple[str, ...] = (),
    count: int | None = None,
    seed: int = 0,
    trunc: float = 1.0,
    noise_baseline: bool = False,
    device: str = "auto",
) -> None:
    """Measure a generator against a dataset; every score says what it was computed with.

    Parameters
    ----------
    run
        A run folder (its newest generator) or a .safetensors file.
    data
        The dataset to compare with, as for train.
    network
        Feature network: vgg-random, mesh or inception; may be repeated. By default all that are here.
    metric
        Metric: swd, ms_ssim, frechet, kernel, prdc or faces; may be repeated. By default all.
    count
        How many fakes to draw; by default as many as there are reals, at most 5,000.
    seed
        Seed of the first fake.
    trunc
        Truncation psi from 0 to 1.
    noise_baseline
        Score pure noise too, to see how bad bad is.
    device
        cpu, cuda, mps or auto.
    """
    from mien.apps.bars import bar
    from mien.apps.evaluate import evaluate as measure
    from mien.apps.evaluate import table
    from mien.apps.train import pick_device

    console = _console()
    with bar(console, "measuring") as progress:
        scores = measure(
            run,
            data,
            networks=network or None,
            metrics=metric or None,
            num_fake=count,
            seed=seed,
            psi=trunc,
            device=pick_device(device),
            noise_baseline=noise_baseline,
            progress=progress,
            announce=console.print,
        )
    console.print(table(scores))


@app.command
def report(run: Path, /, *, data: str | None = None, out: Path | None = None) -> None:
    """Write a run's report: one self-contained HTML page.

    Parameters
    ----------
    run
        A run folder.
    data
        The dataset, if it is not where it was when the run was made.
    out
        Where to write the page; report.html in the run folder by default.
    """
    from mien.apps.bars import bar
    from mien.apps.report import write_report

    console = _console()
    with bar(console, "comparing with the training pictures") as progress:
        path = write_report(run, data=data, out=out, progress=progress)
    console.print(f"wrote {path}")


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


@artefacts_app.command(name="list")
def list_artefacts() -> None:
    """List the third-party files that mien can use, their licence and whether they are here."""
    from mien.apps.artefacts import show

    show(console=_console())


@artefacts_app.command
def fetch(*names: str) -> None:
    """Download pinned files now instead of when first needed.

    Parameters
    ----------
    names
        Which ones; all that can be fetched by default.
    """
    from mien.apps.artefacts import fetch_all

    fetch_all(names, console=_console())


@artefacts_app.command
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


if __name__ == "__main__":
    sys.exit(main())
