"""`mien demo`: faces at once, then the whole main job on rendered faces, with nothing but this package."""

from pathlib import Path

from rich.console import Console

from mien.bars import bar
from mien.core import discover
from mien.core.errors import InputError
from mien.core.packaged import DEFAULT, names
from mien.datasets.opening import open_dataset
from mien.evaluation.evaluate import evaluate
from mien.evaluation.report import write_report
from mien.evaluation.table import table
from mien.generation.generate import generate
from mien.training.options import TrainOptions
from mien.training.packaged_start import fitting_preset
from mien.training.train import train

SIZE = 64
_COUNT = 500  # pictures a side that are measured: Lite0 takes a tenth of a second for each
_FAMILY, _PRESET = "lite", "quick"


def demo(*, minutes: float, people: int, out: Path, console: Console) -> Path:
    """Draw faces with the packaged model, render people, train on them, draw, evaluate; return the report.

    minutes: of training, which begins with the packaged model. people: how many are rendered. Run again, it
    goes on where it was stopped. A package without a model begins from nothing.
    """
    if minutes <= 0:
        raise InputError(f"--minutes {minutes}: more than 0")
    source = f"rendered:{people}:{SIZE}"
    draw_packaged(out, console)
    console.print(f"[bold]2/6[/] renders {people:,} people who do not exist, {SIZE} px")
    with bar(console, "rendering") as progress:
        open_dataset(source, progress=progress)
    console.print(f"[bold]3/6[/] learns to draw such people, for {minutes:g} minutes")
    preset = fitting_preset(discover.load("mien.models", _FAMILY), DEFAULT, _PRESET)
    options = TrainOptions(model=_FAMILY, preset=preset, minutes=minutes, out=out)
    run = train(source, options, console=console)
    console.print("[bold]4/6[/] draws the same 64 seeds again: what they have become")
    faces = run.path / "faces"
    generate(run.path, faces, seeds="0-63")
    (grid,) = generate(run.path, faces, seeds="0-63", as_grid=True)
    console.print("[bold]5/6[/] measures how good they are")
    with bar(console, "measuring") as progress:
        scores = evaluate(
            run.path,
            source,
            num_fake=min(people, _COUNT),
            num_real=_COUNT,
            noise_baseline=True,
            fetch=False,
            progress=progress,
            announce=console.print,
        )
    console.print(table(scores))
    console.print("[bold]6/6[/] writes the report")
    with bar(console, "comparing with the training pictures") as progress:
        report = write_report(run.path, progress=progress)
    console.print(f"faces: {faces}\ngrid: {grid}\nreport: [bold]{report}[/]", soft_wrap=True)
    return report


def draw_packaged(out: Path, console: Console) -> None:
    """A grid of the packaged model's faces, at once."""
    console.print("[bold]1/6[/] draws 64 faces with the model that comes with mien")
    if DEFAULT not in names():
        console.print("this copy of mien comes without one; training begins from nothing")
        return
    (grid,) = generate(None, out / DEFAULT, seeds="0-63", as_grid=True)
    console.print(f"there they are, people who do not exist: [bold]{grid}[/]", soft_wrap=True)
