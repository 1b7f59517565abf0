"""Verbs that train, draw and measure."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from mien.training.options import TrainOptions
from mien.verbs._console import console

_TRAIN_DEFAULTS = TrainOptions()


def demo(*, minutes: float = 4.0, people: int = 1500, out: Path = Path("demo")) -> None:
    """Draw faces at once, then render people, learn from them, draw again, evaluate and report; offline.

    Parameters
    ----------
    minutes
        Minutes of training.
    people
        How many people to render.
    out
        Folder for the run.
    """
    from mien.demo import demo as run

    run(minutes=minutes, people=people, out=out, console=console())


def train(
    data: str | None = None,
    /,
    *,
    options: Annotated[TrainOptions, Parameter(name="*")] = _TRAIN_DEFAULTS,
) -> None:
    """Train a generator or another model on DATA; the same command again goes on where it stopped.

    Parameters
    ----------
    data
        A zip from `mien prepare`, a folder of square pictures, or "rendered:2000".
    """
    from mien.training.train import train as run

    run(data, options, console=console())


def generate(
    source: Path | None = None,
    /,
    *,
    out: Path,
    seeds: str = "0-15",
    trunc: float = 1.0,
    label: tuple[str, ...] = (),
    grid: bool = False,
    format: Literal["png", "jpg", "webp"] = "png",
) -> None:
    """Draw new faces from a run folder, a generator file, or the model that comes with mien.

    Parameters
    ----------
    source
        A run folder (its newest generator), a .safetensors or an exported .onnx file; the model that comes
        with mien by default (also called packaged).
    out
        Folder for the pictures.
    seeds
        Like 0,1,4-6, or @kept.txt for a file of seeds: one picture each.
    trunc
        Truncation psi from 0 to 1: lower is safer and less varied.
    label
        Of a model trained with --cond or --labels, what to show: a class, or NAME=VALUE, like smiling=1,
        hair_colour=black; may be repeated. What is not said is drawn from labels that it learnt from.
    grid
        One picture of them all instead of one file each.
    format
        File format.
    """
    from mien.generation.generate import generate as run

    written = run(source, out, seeds=seeds, trunc=trunc, label=label, as_grid=grid, image_format=format)
    print(f"wrote {len(written)} file(s) to {out}")


def evaluate(
    run: Path | None = None,
    /,
    *,
    data: str,
    features: Annotated[tuple[str, ...], Parameter(name=("--features", "--network"), negative="")] = (),
    metric: tuple[str, ...] = (),
    count: int | None = None,
    seed: int = 0,
    trunc: float = 1.0,
    noise_baseline: bool = False,
    device: str = "auto",
) -> None:
    """Measure a run's model against a dataset; every score says what it was computed with.

    A generator is compared with the pictures. Every other model is tried on what was kept out of its
    training, and takes no option but --data and --device.

    Parameters
    ----------
    run
        A run folder (its newest generator) or a .safetensors file; the model that comes with mien by default.
    data
        The dataset to compare with, as for train.
    features
        Feature network: lite0, mesh, vgg16, alexnet, identity, vgg-random, inception, or an ONNX file of your
        own (FILE.onnx?range=0..1&size=224; ranges: -1..1, 0..1, 0..255, imagenet); may be repeated. lite0 and
        mesh by default, vgg-random where neither is here nor can be fetched.
    metric
        Metric: kernel, frechet, prdc, lpips, ms_ssim, swd or faces; may be repeated. By default all.
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
    from mien.bars import bar
    from mien.core.errors import InputError
    from mien.core.kinds import kind_at
    from mien.evaluation.evaluate import evaluate as measure
    from mien.evaluation.table import table
    from mien.training.settings import pick_device

    screen = console()
    kind = "generator" if run is None else kind_at(run)
    if run is not None and kind != "generator":
        if features or metric or count is not None or noise_baseline:
            raise InputError(f"{run}: holds '{kind}'; --features, --metric, --count are for generators")
        _examine(run, kind, data, device)
        return
    with bar(screen, "measuring") as progress:
        scores = measure(
            run,
            data,
            networks=features or None,
            metrics=metric or None,
            num_fake=count,
            seed=seed,
            psi=trunc,
            device=pick_device(device),
            noise_baseline=noise_baseline,
            progress=progress,
            announce=screen.print,
        )
    screen.print(table(scores))


def _examine(run: Path, kind: str, data: str, device: str) -> None:
    from mien.bars import bar
    from mien.core.kinds import scores_for
    from mien.training.settings import pick_device

    screen = console()
    scores = scores_for(run, kind)
    with bar(screen, "measuring") as progress:
        found = scores.evaluate(run, data, device=pick_device(device), progress=progress)
    screen.print(scores.table(found))


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
    from mien.bars import bar
    from mien.core.kinds import kind_at, report_for

    writer = report_for(run, kind_at(run) if run.is_dir() else "generator")
    screen = console()
    with bar(screen, "comparing with the training pictures") as progress:
        path = writer.write_report(run, data=data, out=out, progress=progress)
    screen.print(f"wrote {path}")


def models(name: str | None = None, /) -> None:
    """List the model families, or one family's numbers and presets.

    Parameters
    ----------
    name
        A family, for its numbers.
    """
    from mien.training.families import show

    show(name, console=console())
