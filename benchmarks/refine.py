"""Do refined eyes look real to classifiers that never saw the refiner, and do pupils stay where they are?

    python benchmarks/refine.py [--minutes 10] [--preset default] [--only project|ours] [--out runs]

Two refiners are trained towards the real eyes of ../shared/data/eyes (frames of three films of one person):

- project: from the 118 computer-generated eyes that lie beside them, all of one eye;
- ours: from rendered eyes of many people (`mien render --eyes`), of which the place of the pupil is known.
  It is measured on other people.

Told is the balanced accuracy of fresh classifiers, real against raw and real against refined, on stretches of
film and rendered people that they did not learn from, and how far the middle of the pupil moves.
"""

import argparse
from pathlib import Path

from rich.console import Console

from mien.core.run import RunFolder
from mien.render.render import render
from mien.terminal import Terminal, show
from mien.training.command import TrainOptions, train
from mien.training.settings import pick_device
from mien.translation.refiner_kind import evaluate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--eyes", type=Path, default=Path("../shared/data/eyes"))
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--set", action="append", default=[], help="as of mien train")
    parser.add_argument("--kimg", type=float, help="of each training")
    parser.add_argument("--minutes", type=float, help="of each training; 10 unless --kimg is given")
    parser.add_argument(
        "--people", type=int, default=200, help="rendered to learn from; a quarter more to test"
    )
    parser.add_argument("--only", choices=("project", "ours"))
    parser.add_argument("--out", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    console = Console(width=120)
    if arguments.only != "ours":
        rendered = f"folder:{arguments.eyes / 'rendered'}?size={arguments.size}"
        examine(trained(rendered, arguments, console), rendered, console)
    if arguments.only != "project":
        learnt, tested = (eyes(arguments, part, console) for part in ("learn", "test"))
        run = trained(learnt, arguments, console)
        examine(run, tested, console)


def eyes(arguments: argparse.Namespace, part: str, console: Console) -> str:
    """Rendered eyes of people of their own for either part."""
    count, seed = (arguments.people, 1) if part == "learn" else (max(arguments.people // 4, 10), 2)
    path: Path = arguments.out / f"eyes-{part}-{count}-{arguments.size}.zip"
    if not path.exists():
        console.print(f"renders both eyes of {count} people")
        path.parent.mkdir(parents=True, exist_ok=True)
        render(path, count=count, size=arguments.size, seed=seed, eyes=True).run()
    return str(path)


def trained(data: str, arguments: argparse.Namespace, console: Console) -> RunFolder:
    options = TrainOptions(
        model="simgan",
        preset=arguments.preset,
        set=tuple(arguments.set),
        real=f"folder:{arguments.eyes / 'real'}?size={arguments.size}",
        kimg=arguments.kimg,
        minutes=arguments.minutes or (None if arguments.kimg else 10),
        out=arguments.out,
    )
    return show(train(data, options=options), console)


def examine(run: RunFolder, data: str, console: Console) -> None:
    terminal = Terminal(console)
    for event in evaluate(run.path, data, device=pick_device("auto")).tables():
        terminal(event)


if __name__ == "__main__":
    main()
