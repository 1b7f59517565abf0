"""Does a conditional generator show what it is asked for? An independent attribute model says.

    python benchmarks/conditional.py [--minutes 8] [--people 2000] [--count 300]

Trains (or with --run takes) a generator conditioned on Smiling, Eyeglasses and hair_colour of rendered
people, and (or with --reader takes) an attribute model on other rendered people. For each label `--count`
pictures are drawn, asking for that label alone; the others vary as they do in the training pictures. Beside
the share that agrees stands what the reader says of real pictures with that label, of a third set of people,
which is the most that can be expected, and the share of it among pictures drawn as the data has them: chance.
Variety is how much the pictures of one label differ (standard deviation of a pixel) over how much real ones
do: the same good example again and again would agree well and be worth nothing. The last row asks for one
value of every label at once. Look at the faces too.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from mien.attributes.scores import load as load_reader
from mien.attributes.scores import read
from mien.core.image import to_float
from mien.core.network import LoadedNetwork, load_network
from mien.core.sampling import draw, latents
from mien.datasets.opening import open_dataset
from mien.labels.conditions import rows_for
from mien.labels.encoding import Target
from mien.labels.vectors import label_vectors
from mien.models.attributes import Reader
from mien.terminal import show
from mien.training.command import TrainOptions, train
from mien.training.start import NOTHING


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--labels", default="Smiling,Eyeglasses,hair_colour")
    parser.add_argument("--people", type=int, default=2000, help="that the generator learns from")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=8.0, help="of training the generator")
    parser.add_argument("--kimg", type=float, help="stop the generator there already")
    parser.add_argument("--model", default="lite")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--set", action="append", default=[], help="a number of the family: lr=0.001")
    parser.add_argument("--run", type=Path, help="a run or generator file to take instead of training one")
    parser.add_argument(
        "--reader", type=Path, help="an attribute run or file to take instead of training one"
    )
    parser.add_argument("--reader-people", type=int, default=2000)
    parser.add_argument("--reader-minutes", type=float, default=3.0)
    parser.add_argument("--count", type=int, default=300, help="pictures for each asked label")
    parser.add_argument("--psi", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    console = Console()
    reader = load_reader(arguments.reader or train_reader(arguments, console)).network
    loaded = load_network(arguments.run or train_generator(arguments, console))
    real = open_dataset(f"rendered:{max(arguments.count * 3, 600)}:{arguments.size}:2")
    console.print(table(loaded, reader, real, arguments.count, arguments.psi))


def train_generator(arguments: argparse.Namespace, console: Console) -> Path:
    options = TrainOptions(
        model=arguments.model,
        preset=arguments.preset,
        set=tuple(arguments.set),
        labels=arguments.labels,
        minutes=arguments.minutes,
        kimg=arguments.kimg,
        out=arguments.out,
        start=NOTHING,
    )
    return show(train(f"rendered:{arguments.people}:{arguments.size}:0", options=options), console).path


def train_reader(arguments: argparse.Namespace, console: Console) -> Path:
    options = TrainOptions(
        model="attributes",
        preset="quick",
        set=(f"labels={arguments.labels}",),
        minutes=arguments.reader_minutes,
        out=arguments.out,
    )
    data = f"rendered:{arguments.reader_people}:{arguments.size}:1"
    return show(train(data, options=options), console).path


def table(loaded: LoadedNetwork[Any], reader: Reader, real, count: int, psi: float) -> Table:
    """A row for each value that can be asked for, and the mean of each label."""
    header = loaded.header
    truth, said_of_real = rows_for(reader.spec, real), read(reader, real, np.arange(len(real)))
    usual = np.array(header.label_rows, np.float32)
    usual = torch.from_numpy(usual[np.random.default_rng(0).integers(len(usual), size=count)])
    said_of_usual = said(reader, pictures(loaded, usual, psi))
    grid = Table(title=f"{loaded.model}, {header.nimg / 1000:.0f} kimg, psi {psi:g}, {count} pictures each")
    for heading in ("asked", "reader agrees", "of real pictures", "drawn as the data is", "variety"):
        grid.add_column(heading, justify="left" if heading == "asked" else "right")
    for target in reader.targets:
        shares = []
        for value, name in enumerate(asked_names(target)):
            labels = label_vectors(header, [name], range(count))
            drawn = pictures(loaded, labels, psi)
            agrees = answers(target, said(reader, drawn)) == value
            truly = answers(target, truth) == value
            of_real = (answers(target, said_of_real)[truly] == value).mean() if truly.any() else float("nan")
            chance = (answers(target, said_of_usual) == value).mean()
            variety = spread(drawn) / spread(torch.from_numpy(real.images(np.flatnonzero(truly))))
            shares.append((agrees.mean(), of_real, chance, variety))
            grid.add_row(name, *(f"{share:.1%}" for share in shares[-1]))
        mean = np.mean(shares, axis=0)
        grid.add_row(
            f"[bold]{target.name}[/]", *(f"[bold]{share:.1%}[/]" for share in mean), end_section=True
        )
    grid.add_row(*together(loaded, reader, truth, real, count, psi))
    return grid


def together(
    loaded: LoadedNetwork[Any], reader: Reader, truth: np.ndarray, real, count: int, psi: float
) -> list[str]:
    """The row of all labels at once: yes to each, and the second value of each that has several."""
    names = [asked_names(target)[1] for target in reader.targets]
    drawn = pictures(loaded, label_vectors(loaded.header, names, range(count)), psi)
    rows = said(reader, drawn)
    agrees = np.all([answers(target, rows) == 1 for target in reader.targets], axis=0).mean()
    alike = np.all([answers(target, truth) == 1 for target in reader.targets], axis=0)
    variety = spread(drawn) / spread(torch.from_numpy(real.images(np.flatnonzero(alike))))
    return [" ".join(names), f"{agrees:.1%}", f"{alike.sum()} pictures", "", f"{variety:.1%}"]


def asked_names(target: Target) -> list[str]:
    """What can be asked of a label, in the order of `answers`."""
    if target.kind == "one-of":
        return list(target.column_names)
    return [f"{target.name}=0", f"{target.name}=1"]


def answers(target: Target, rows: np.ndarray) -> np.ndarray:
    """Which of `asked_names` each row says."""
    part = rows[:, target.columns]
    return part.argmax(axis=1) if target.kind == "one-of" else (part[:, 0] >= 0.5).astype(int)


def pictures(loaded: LoadedNetwork[Any], labels: torch.Tensor, psi: float) -> torch.Tensor:
    """uint8 [N, C, H, W], of seeds from 0 on."""
    z = latents(list(range(len(labels))), loaded.network.z_dim)
    return draw(loaded.network, z, labels, psi=psi)


def spread(images: torch.Tensor) -> float:
    """How much a pixel varies from picture to picture, on average."""
    return images.float().std(dim=0).mean().item()


def said(reader: Reader, images: torch.Tensor) -> np.ndarray:
    """What the reader says of uint8 pictures of its own size."""
    parts = [reader.read(to_float(part)) for part in images.split(128)]
    return torch.cat(parts).numpy()


if __name__ == "__main__":
    main()
