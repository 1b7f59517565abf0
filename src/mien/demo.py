"""`mien demo`: faces at once, then the whole main job on rendered faces, with nothing but this package."""

from pathlib import Path

from mien.core.errors import InputError, want_folder
from mien.core.events import Events, is_hint, job
from mien.core.packaged import DEFAULT, names
from mien.datasets.opening import open_dataset
from mien.evaluation.evaluate import table
from mien.evaluation.measure import measure
from mien.evaluation.report import write_report
from mien.generation.generate import generate
from mien.training.command import TrainOptions, train

SIZE = 64
_COUNT = 500  # pictures a side that are measured: Lite0 takes a tenth of a second for each
_FAMILY = "lite"


@job
def demo(events: Events, /, *, minutes: float = 4.0, people: int = 1500, out: Path = Path("demo")) -> Path:
    """Draw faces at once, then render people, learn from them, draw again, evaluate and report; offline.

    Training begins with the packaged model. Run again, it goes on where it was stopped. Returns the path of
    the report.

    Parameters
    ----------
    minutes
        Minutes of training.
    people
        How many people to render.
    out
        Folder for the run.
    """
    want_folder(out)
    if minutes <= 0:
        raise InputError(f"--minutes {minutes}: more than 0")
    source = f"rendered:{people}:{SIZE}"
    draw_packaged(out, events)
    events.started(f"2/6 renders {people:,} people who do not exist, {SIZE} px")
    open_dataset(source, progress=events.progress("rendering"))
    events.started(f"3/6 learns to draw such people, for {minutes:g} minute{'' if minutes == 1 else 's'}")
    options = TrainOptions(model=_FAMILY, minutes=minutes, out=out)
    run = train(source, options=options).run(lambda event: None if is_hint(event) else events.send(event))
    events.started("4/6 draws the same 64 seeds again: what they have become")
    faces = run.path / "faces"
    generate(run.path, out=faces, seeds="0-63").run()
    (grid,) = generate(run.path, out=faces, seeds="0-63", grid=True).run()
    events.started("5/6 measures how good they are")
    scores = measure(
        run.path,
        source,
        num_fake=min(people, _COUNT),
        num_real=_COUNT,
        noise_baseline=True,
        fetch=False,
        progress=events.progress("measuring"),
        scoring=events.progress("computing metrics", "metrics"),
        announce=events.note,
    )
    events.send(table(scores))
    events.started("6/6 writes the report")
    progress = events.progress("comparing with the training pictures")
    report = write_report(run.path, progress=progress)
    events.note(f"faces: {faces}\ngrid: {grid}\nreport, for your browser: {report}")
    events.hint("next, with photos of your own: mien prepare photos/ photos.zip --size 64")
    return report


def draw_packaged(out: Path, events: Events) -> None:
    """A grid of the packaged model's faces, at once."""
    events.started("1/6 draws 64 faces with the model that comes with mien")
    if DEFAULT not in names():
        events.note("this copy of mien comes without one; training begins from nothing")
        return
    (grid,) = generate(out=out / DEFAULT, seeds="0-63", grid=True).run()
    events.note(f"there they are, people who do not exist: {grid}")
