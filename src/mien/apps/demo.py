"""`mien demo`: the whole main job on rendered faces, with nothing but this package."""

from pathlib import Path

from rich.console import Console

from mien.apps.bars import bar
from mien.apps.evaluate import evaluate
from mien.apps.evaluate_table import table
from mien.apps.generate import generate
from mien.apps.options import TrainOptions
from mien.apps.report import write_report
from mien.apps.train import train
from mien.core.errors import InputError
from mien.datasets._open import open_dataset

SIZE = 64


def demo(*, minutes: float, people: int, out: Path, console: Console) -> Path:
    """Render people, train `lite`, draw 64 faces, evaluate, report; return the report's path.

    minutes: of training. people: how many are rendered. Run again, it goes on where it was stopped.
    """
    if minutes <= 0:
        raise InputError(f"--minutes {minutes}: more than 0")
    source = f"rendered:{people}:{SIZE}"
    console.print(f"[bold]1/5[/] renders {people:,} people who do not exist, {SIZE} px")
    with bar(console, "rendering") as progress:
        open_dataset(source, progress=progress)
    console.print(f"[bold]2/5[/] trains on them for {minutes:g} minutes")
    run = train(source, TrainOptions(preset="quick", minutes=minutes, out=out), console=console)
    console.print("[bold]3/5[/] draws 64 new faces")
    faces = run.path / "faces"
    generate(run.path, faces, seeds="0-63")
    (grid,) = generate(run.path, faces, seeds="0-63", as_grid=True)
    console.print("[bold]4/5[/] measures how good they are")
    with bar(console, "measuring") as progress:
        scores = evaluate(
            run.path, source, noise_baseline=True, fetch=False, progress=progress, announce=console.print
        )
    console.print(table(scores))
    console.print("[bold]5/5[/] writes the report")
    with bar(console, "comparing with the training pictures") as progress:
        report = write_report(run.path, progress=progress)
    console.print(f"faces: {faces}\ngrid: {grid}\nreport: [bold]{report}[/]", soft_wrap=True)
    return report
